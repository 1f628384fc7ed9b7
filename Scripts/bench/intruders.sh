#!/usr/bin/env bash
# Usage: Scripts/bench/intruders.sh [flags]
#
# Measures what intruders cost a run with keys. The run is `convoy train` with `cnn` on
# Fashion-MNIST, two workers of one thread and a server, through sockets as between hosts: once
# undisturbed, and once while intruders come to every port of coordinator and server, --rate times a
# second (Scripts/bench/intruder.py):
#
#   scan      a port scanner, which sends nothing or bytes that are not ZeroMQ's
#   plain     a ZeroMQ peer without a key
#   unlisted  a peer with a key that is not on the list
#   old       a peer with a key of the list and an old protocol version in its hello
#   huge      a peer with a key of the list that announces frames of 1 GB
#   together  all five at once, sharing the rate
#
# Fails unless every attempt was turned away, all runs ended with equal weights_sha256, no member
# was lost, each intruder was logged once per process, address and reason, and the memory of no role
# grew by more than 16 MiB. Prints a Markdown table: images a second beside those of the undisturbed
# run of the same round. The intruder shares the machine, and other work disturbs rates, so the
# table has processor times too: Convoy's an image, the coordinator's an attempt (measured on an
# idle coordinator), and the intruder's an attempt and as a part of a core.
#
#   --rounds N     rounds (3); each measures every intruder, and an undisturbed run before or after it
#   --steps N      steps of 64 images a run (900)
#   --rate N       attempts a second (5)
#   --only KIND    one of the six
#   --output FILE  also writes the table to FILE
#   --quick        only `together`, 20 attempts of each kind, 40 a second, and no figures: for tests
#
# Figures are medians of the rounds. Takes about seven minutes. CONVOY=PROGRAM measures that program
# and builds nothing. BENCH_LOCK=FILE takes turns with other measurements.
# shellcheck disable=SC2034,SC2154 # common.sh reads what is set here, and sets what is read
set -euo pipefail

bench=intruders
# shellcheck source=Scripts/bench/common.sh disable=SC1091
source "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/common.sh"

command_line="Scripts/bench/intruders.sh${*:+ $*}"
kinds=(scan plain unlisted old huge together)
rounds=3
steps=900
rate=5
attempts=0
is_quick=false
output=
while (($# > 0)); do
    if [[ $1 == --quick ]]; then
        is_quick=true
        kinds=(together) rounds=1 steps=400 rate=200 attempts=20
        shift
        continue
    fi
    (($# > 1)) || usage_error "$1: unknown, or its value is missing"
    case $1 in
    --rounds) require_count "$1" "$2" && rounds=$2 ;;
    --steps) require_count "$1" "$2" && steps=$2 ;;
    --rate) require_count "$1" "$2" && rate=$2 ;;
    --only)
        [[ " ${kinds[*]} " == *" $2 "* ]] || usage_error "--only: expected one of ${kinds[*]}"
        kinds=("$2")
        ;;
    --output) output=$2 ;;
    *) usage_error "$1: expected --rounds, --steps, --rate, --only, --output or --quick" ;;
    esac
    shift 2
done

prepare_convoy
if ! command -v python3 >/dev/null; then
    if $is_quick; then
        echo "skipped: intruders: no python3"
        exit 0
    fi
    fail "no python3, which the intruder is written in"
fi
"$convoy" keygen --output "$directory/keys" >/dev/null
roles=(coordinator server worker)
growth_limit_kib=$((16 << 10))

# Fails with message $1, after the last lines of the run's output.
fail_run() {
    tail -n 3 -- "$directory/run.out" >&2
    fail "$1" 1
}

# Prints lines `ROLE PID` of the run's processes.
members() {
    local process words
    for process in $(pgrep --full -- "--log-file $directory/run/logs/" || true); do
        words=()
        mapfile -d '' -t words 2>/dev/null <"/proc/$process/cmdline" || continue
        [[ ${words[1]:-} == @(coordinator|server|worker) ]] && echo "${words[1]} $process"
    done
    return 0
}

# Prints the ports that process $1 listens at (state 0A of the kernel's table, by socket inode).
ports_of() {
    local port
    find "/proc/$1/fd" -lname 'socket:*' -printf '%l\n' | tr -dc '0-9\n' |
        awk 'NR == FNR { own[$1]; next }
            $4 == "0A" && $10 in own { print substr($2, index($2, ":") + 1) }' \
            - "/proc/$1/net/tcp" | sort -u | while read -r port; do echo $((16#$port)); done
}

has_begun() { grep -qs '"message":"training"' "$directory/run/logs/coordinator-1.jsonl"; }

# Starts intruder $1 on all ports; puts the process numbers into `intruding`.
intrude() {
    local port ports kind role process share=$rate all=(scan plain unlisted old huge)
    # The control port comes first.
    ports=$(sed -n '3s/.*://p' "$directory/run/endpoint")
    while read -r role process; do
        [[ $role != worker ]] || continue
        for port in $(ports_of "$process"); do
            if [[ ,$ports, != *",$port,"* ]]; then ports+=,$port; fi
        done
    done <"$directory/members"
    # The control, state and data ports of the coordinator, and the server's port.
    [[ $ports == *,*,*,* ]] || fail_run "expected four ports, found $ports"
    if [[ $1 == together ]]; then
        share=$(awk -v rate="$rate" -v count=${#all[@]} 'BEGIN { print rate / count }')
    else
        all=("$1")
    fi
    intruding=()
    for kind in "${all[@]}"; do
        timeout --kill-after=5 300 python3 "$root/Scripts/bench/intruder.py" "$kind" \
            --ports "$ports" --keys "$directory/keys" --rate "$share" --attempts "$attempts" \
            </dev/null >"$directory/intruder-$kind" 2>&1 &
        intruding+=($!)
    done
}

# Ends the intruders, and requires that every attempt of theirs was turned away.
end_intruders() {
    local process code file
    for process in "${intruding[@]}"; do
        code=0
        if ((attempts == 0)); then kill -TERM "$process" 2>/dev/null || true; fi
        wait "$process" || code=$?
        ((code == 0)) || fail_run "an intruder ended with $code: $(cat "$directory"/intruder-*)"
    done
}

# run WHO: trains, with that intruder unless WHO is `nobody`. Puts images a second into `result`,
# and processor milliseconds for 1,000 images into `cost`.
bits=
declare -A peak=()
run() {
    local who=$1 train role process kib found used
    rm -rf -- "${directory:?}"/run "$directory"/intruder-*
    intruding=()
    take_turn
    # shellcheck disable=SC2016 # the inner shell expands them
    start_child 300 "$directory/run.out" bash -c 'TIMEFORMAT="%3U %3S"
        { time "${@:2}" 2>&3; } 3>&2 2>"$1"' bash "$directory/used" \
        "$convoy" train --keys "$directory/keys" --workers 2 --servers 1 --no-shared-memory \
        --steps "$steps" --checkpoint-every 300 --run-dir "$directory/run"
    train=${children[0]}
    until has_begun; do
        kill -0 "$train" 2>/dev/null || fail_run "convoy train has ended"
        sleep 0.05
    done
    members >"$directory/members"
    if [[ $who != nobody ]]; then intrude "$who"; fi
    # Keeps the peak memory of each role, while its processes are there.
    while kill -0 "$train" 2>/dev/null; do
        while read -r role process; do
            kib=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$process/status" 2>/dev/null) ||
                continue
            if [[ -n $kib ]] && ((kib > ${peak[$who-$role]:-0})); then peak[$who-$role]=$kib; fi
        done <"$directory/members"
        if ((attempts > 0 && ${#intruding[@]} > 0)); then
            end_intruders
            kill -0 "$train" 2>/dev/null || fail_run "the run was over too soon to show anything"
            intruding=()
        fi
        sleep 0.5
    done
    await_children || fail_run "convoy train failed"
    if ((${#intruding[@]} > 0)); then end_intruders; fi
    give_turn
    found=$(summary "$directory/run" weights_sha256)
    bits=${bits:-$found}
    [[ -n $found && $found == "$bits" ]] || fail_run "other bits with $who: $found, before $bits"
    require_logged "$who"
    result=$(printf "%.0f" "$(summary "$directory/run" images_per_second)")
    read -r -a used <"$directory/used"
    cost=$(awk -v own="${used[0]}" -v kernel="${used[1]}" -v images=$((steps * 64)) \
        'BEGIN { printf "%.1f", (own + kernel) * 1e6 / images }')
}

# Prints what the log of a role says about an intruder; nothing when it says nothing.
mention() {
    case $1-$2 in
    scan-*) echo "not ZeroMQ" ;;
    plain-*) echo "another security mechanism" ;;
    unlisted-*) echo '"peer.key":' ;;
    old-coordinator) echo "protocol version 0" ;;
    huge-*) echo "a frame beyond the limit" ;;
    esac
}

require_logged() {
    local who=$1 kind role text log warnings line all=(scan plain unlisted old huge)
    if grep -qs '"message":"lost"' "$directory"/run/logs/coordinator-1.jsonl; then
        fail_run "a member was lost with $who"
    fi
    if [[ $who == nobody ]]; then all=(); elif [[ $who != together ]]; then all=("$who"); fi
    for role in coordinator server; do
        log=$directory/run/logs/$role-1.jsonl
        for kind in "${all[@]}"; do
            text=$(mention "$kind" "$role")
            [[ -z $text ]] || grep '"level":"warning"' "$log" | grep -qF -- "$text" ||
                fail_run "the log of the $role does not tell of the intruder: $kind"
        done
        # Compares lines without their time.
        warnings=$(grep '"level":"warning"' "$log" | sed 's/"time":[0-9.]*,//') || true
        line=$(sort <<<"$warnings" | uniq -d | head -n 1)
        [[ -z $line ]] || fail_run "logged more than once by the $role: $line"
        [[ $who != nobody || -z $warnings ]] || fail_run "a warning without an intruder: $warnings"
    done
}

# field NAME: prints the sum of a field over the outputs of all intruders of the last run.
field() {
    sed -n "s/.*\"$1\": \([0-9.]*\).*/\1/p" "$directory"/intruder-* |
        awk '{ sum += $1 } END { print sum }'
}

# Measures the processor milliseconds of an attempt on an idle coordinator, into idle.KIND.
idle_costs() {
    local coordinator process port kind before after ticks count=200
    rm -rf -- "${directory:?}/run"
    start_child 300 "$directory/run.out" "$convoy" coordinator --keys "$directory/keys" \
        --workers 2 --servers 1 --listen 'tcp://127.0.0.1:0' --run-dir "$directory/run" \
        --log-file "$directory/run/logs/coordinator-1.jsonl"
    coordinator=${children[0]}
    until [[ -s $directory/run/endpoint ]]; do
        kill -0 "$coordinator" 2>/dev/null || fail_run "convoy coordinator has ended"
        sleep 0.05
    done
    process=$(members | sed -n 's/^coordinator //p')
    port=$(sed -n '3s/.*://p' "$directory/run/endpoint")
    ticks=$(getconf CLK_TCK)
    spent_of() { sed 's/.*) //' "/proc/$process/stat" | awk '{ print $12 + $13 }'; }
    for kind in scan plain unlisted old huge; do
        before=$(spent_of)
        timeout 120 python3 "$root/Scripts/bench/intruder.py" "$kind" --ports "$port" \
            --keys "$directory/keys" --rate 100 --attempts "$count" >"$directory/intruder" ||
            fail_run "an intruder ended with $?: $(<"$directory/intruder")"
        after=$(spent_of)
        awk -v spent=$((after - before)) -v ticks="$ticks" -v count="$count" \
            'BEGIN { printf "%.1f\n", 1000 * spent / ticks / count }' >"$directory/idle.$kind"
    done
    echo "–" >"$directory/idle.together"
    end_children
    children=()
}
if ! $is_quick; then
    take_turn
    idle_costs
    give_turn
fi

for ((round = 1; round <= rounds; round++)); do
    for kind in "${kinds[@]}"; do
        # The order changes from round to round.
        order=(nobody "$kind")
        if ((round % 2 == 0)); then order=("$kind" nobody); fi
        for who in "${order[@]}"; do
            run "$who"
            name=alone
            if [[ $who != nobody ]]; then
                name=with
                tried=$(field tried)
                spent=$(field processor_seconds)
                span=$(sed -n 's/.*"seconds": \([0-9.]*\),.*/\1/p' "$directory"/intruder-* | sort -n |
                    tail -n 1)
                echo "$tried $spent $span" >>"$directory/intruder.$kind"
            fi
            echo "$result $cost" >>"$directory/$name.$kind"
            echo "intruders: round $round, $kind, $who: $result images/s, $cost ms" >&2
        done
    done
done

for kind in "${kinds[@]}"; do
    for role in "${roles[@]}"; do
        growth=$((${peak[$kind-$role]:-0} - ${peak[nobody-$role]:-0}))
        ((growth <= growth_limit_kib)) ||
            fail "the $role grew by $growth KiB, from ${peak[nobody-$role]} KiB, with $kind" 1
    done
done
peaks() {
    local role
    for role in "${roles[@]}"; do
        printf '%s %d and %d MiB, ' "$role" $((${peak[nobody-$role]} >> 10)) \
            $((${peak[${kinds[-1]}-$role]} >> 10))
    done
}

if $is_quick; then
    echo "ok: intruders: $(field tried) attempts of five kinds, each turned away, logged once;" \
        "weights_sha256 ${bits:0:16} with them and without"
    exit 0
fi

median() {
    awk -v column="$1" '{ print $column }' "$2" | sort -n | awk '{ value[NR] = $1 }
        END { print NR % 2 ? value[(NR + 1) / 2] : (value[NR / 2] + value[NR / 2 + 1]) / 2 }'
}
# Prints the median of the rounds' quotients of column $1 for intruder $2.
quotients() {
    paste -d ' ' "$directory/with.$2" "$directory/alone.$2" |
        awk -v column="$1" '{ print $column / $(column + 2) }' >"$directory/quotients"
    median 1 "$directory/quotients"
}
table() {
    local kind
    echo "$(machine); $(convoy_version); \`cnn\` on Fashion-MNIST, keys, two workers, a server,"
    echo "sockets; $rounds rounds of $steps steps, $rate attempts a second each; \`$command_line\`"
    echo
    echo "| intruder | images/s alone | with it | | Convoy's time an image, with it by alone |" \
        "coordinator's ms an attempt | intruder's ms an attempt | intruder of a core |"
    echo "|---|--:|--:|--:|--:|--:|--:|--:|"
    for kind in "${kinds[@]}"; do
        awk -v kind="$kind" -v alone="$(median 1 "$directory/alone.$kind")" \
            -v with="$(median 1 "$directory/with.$kind")" -v ratio="$(quotients 1 "$kind")" \
            -v more="$(quotients 2 "$kind")" -v idle="$(<"$directory/idle.$kind")" \
            '{ tried += $1; spent += $2; span += $3 }
            END {
                printf "| %s | %.0f | %.0f | %.3f | %.3f | %s | %.1f | %.1f %% |\n", kind, alone, with,
                    ratio, more, idle, 1000 * spent / tried, 100 * spent / span
            }' "$directory/intruder.$kind"
    done
    echo
    echo "Most memory alone and with ${kinds[-1]}: $(peaks | sed 's/, $//')."
}
if [[ -n $output ]]; then table | tee -- "$output"; else table; fi
