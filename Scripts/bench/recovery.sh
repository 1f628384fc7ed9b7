#!/usr/bin/env bash
# Usage: Scripts/bench/recovery.sh [PART...]
#
# Measures what a fault costs, on this machine, with the model cnn on Fashion-MNIST and two workers
# of one thread, and prints a table. Measures all parts unless some are named:
#
#   worker       kill -9 of a worker: time to the next finished step
#   stop         SIGSTOP of a worker, heartbeat 1 s: time to the next finished step
#   overhead     without faults: the defaults against heartbeats once a minute and no checkpoints
#   throughput   a worker killed every 10 s (its replacement joins by itself) against an undisturbed
#                run, in alternating order
#   straggler    a worker at about a quarter of its speed (30 ms stopped, 10 ms running, and so on)
#   everything   kill -9 of everything at once, twice, each time resumed with other numbers of
#                workers and servers: time to the next new step
#   server       kill -9 of the only server, a checkpoint every 100 steps: time to the next new step
#   hang         SIGSTOP of the server, then of the coordinator, heartbeat 1 s: time to the next new
#                step; convoy train replaces a process that is silent for three heartbeats
#   coordinator  kill -9 of the coordinator: longest time without a finished step in the records,
#                and the number of steps that were finished around it all the same
#
# Steps go on while there is no coordinator. The new coordinator is told the steps that the old one
# had not written down yet, so the times of these steps are when the new one heard of them. What
# counts is the pace from 2 s before the kill to 6 s after it, against that of the other seconds.
#
# Every disturbed run of `throughput`, `straggler` and `everything` must end with the weights of an
# undisturbed run of as many steps; otherwise this script ends with 1.
#
# `overhead` leaves out everything that can be left out: heartbeats, checkpoints, and their lines in
# the journal and the ledger. The cost of a step's totals, and the bytes of a ledger line, are in
# both. It reports steps a second and, because other work on the machine disturbs those, the
# processor time of all processes a step: with as many workers as cores, one follows from the other.
#
# Times are those in metrics.jsonl, which the coordinator writes when it hears of a finished step. A
# pause is the longest time between two steps, the later of them finished within 4 s after the
# fault. It says more than the time to the next step, which may have been nearly finished when the
# worker died. The evaluation between two epochs is left out. Compared runs alternate. Nothing else
# should run meanwhile: the load is printed with the table. Takes about twenty minutes.
#
# BENCH_LOCK=FILE holds an exclusive lock (flock) on FILE while a run is measured.
# CONVOY=PROGRAM measures that program and builds nothing. FAULTS=N: the number of faults for
# `worker` (15), and a third of it for the others; SECONDS_EACH=S: how long a throughput is measured
# (40).
set -euo pipefail

root=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/../.." && pwd)
# shellcheck source=Scripts/faults.sh disable=SC1091
source "$root/Scripts/faults.sh"

parts=(worker stop overhead throughput straggler server hang coordinator everything)
for part in "$@"; do
    if [[ " ${parts[*]} " != *" $part "* ]]; then
        echo "recovery: error: $part: expected some of ${parts[*]}" >&2
        exit 64
    fi
done
if (($# > 0)); then parts=("$@"); fi
faults=${FAULTS:-15}
few=$(((faults + 2) / 3))
seconds_each=${SECONDS_EACH:-40}

if [[ -n ${CONVOY:-} ]]; then
    convoy=$CONVOY
else
    "$root/Scripts/setup.sh"
    swift build --package-path "$root" -c release --product convoy >&2
    convoy=$root/.build/release/convoy
fi

directory=$(mktemp -d)
train=
train_start=
clean_up() {
    [[ -z $train ]] || kill_family "$train" "$train_start"
    rm -rf -- "$directory"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# A pause without a process: this pipe is never written to.
mkfifo "$directory/never"
exec 8<>"$directory/never"
nap() { read -r -t "$1" -u 8 || true; }

if [[ -n ${BENCH_LOCK:-} ]]; then exec 9>>"$BENCH_LOCK"; fi
take_turn() { if [[ -n ${BENCH_LOCK:-} ]]; then flock 9; fi; }
give_turn() { if [[ -n ${BENCH_LOCK:-} ]]; then flock --unlock 9; fi; }

run_count=0
# Starts a run without an end of its own, and waits until it trains at its usual pace.
begin() {
    take_turn
    run_count=$((run_count + 1))
    run_dir=$directory/run-$run_count
    start_train --run-dir "$run_dir" --workers 2 --steps 100000000 --epochs 1000000 "$@"
    await_steps
    nap 4
}

start_train() {
    "$convoy" train "$@" </dev/null >>"$run_dir.out" 2>&1 8<&- 9>&- &
    train=$!
    train_start=$(process_start "$train")
}

await_steps() {
    local deadline=$((SECONDS + 60))
    until [[ -s $run_dir/metrics.jsonl ]]; do
        if ((SECONDS >= deadline)) || ! is_running "$train" "$train_start"; then
            echo "recovery: error: the run does not train:" >&2
            cat "$run_dir.out" >&2
            exit 69
        fi
        nap 0.1
    done
}

# Ends the run as Ctrl-C at a terminal does.
finish() {
    local code=0
    # In the background a shell lets children ignore SIGINT; SIGTERM does the same.
    signal_process TERM "$train" "$train_start" || true
    wait "$train" || code=$?
    train=
    if ((code != 130)); then
        echo "recovery: error: exit code $code, expected 130 (interrupted):" >&2
        tail -n 5 "$run_dir.out" >&2
        exit 1
    fi
    give_turn
}

# Trains as many steps as the run has, undisturbed, with the given flags; requires equal weights.
require_same_weights() {
    local disturbed=$run_dir steps found expected code=0
    steps=$(summary "$disturbed" steps)
    found=$(summary "$disturbed" weights_sha256)
    run_dir=$disturbed-undisturbed
    start_train --run-dir "$run_dir" --workers 2 --steps "$steps" --epochs 1000000 "$@"
    wait "$train" || code=$?
    train=
    expected=$(summary "$run_dir" weights_sha256)
    run_dir=$disturbed
    if ((code != 0)) || [[ -z $found || $found != "$expected" ]]; then
        echo "recovery: error: weights_sha256 ${found:-none} after $steps steps, undisturbed" \
            "${expected:-none} (exit code $code)" >&2
        exit 1
    fi
    same_count=$((same_count + 1))
}
same_count=0

# Sends signal $1 to a process of role $2, another one each time; puts the time into `fault_time`.
count=0
hit() {
    local family
    mapfile -t family < <(children "$train" "$2")
    count=$((count + 1))
    read -r _ victim victim_start <<<"${family[count % ${#family[@]}]}"
    fault_time=$EPOCHREALTIME
    signal_process "$1" "$victim" "$victim_start"
    echo "$fault_time" >>"$run_dir.faults"
}

# Prints for each fault of the run the seconds to the next step that is later than all before it,
# and the longest pause of the 4 s after the fault.
after_faults() {
    awk -v key='"time":' '
        NR == FNR { fault[++faults] = $1; next }
        /"kind":"step"/ {
            match($0, key "[0-9.]+")
            time = substr($0, RSTART + length(key), RLENGTH - length(key)) + 0
            match($0, /"step":[0-9]+/)
            step = substr($0, RSTART + 7, RLENGTH - 7) + 0
            match($0, /"epoch":[0-9]+/)
            epoch = substr($0, RSTART + 8, RLENGTH - 8)
            for (i = 1; i <= faults; i++) {
                if (time <= fault[i]) { if (step > highest[i]) highest[i] = step; continue }
                if (step <= highest[i]) continue
                if (!(i in first)) first[i] = time - fault[i]
                if (last >= fault[i] + 4 || epoch != last_epoch) continue
                if (time - last > pause[i]) pause[i] = time - last
            }
            last = time
            last_epoch = epoch
        }
        END {
            for (i = 1; i <= faults; i++) {
                printf "%.3f %.3f\n", (i in first) ? first[i] : 999, pause[i]
            }
        }' "$run_dir.faults" "$run_dir/metrics.jsonl"
}

# Prints the median and the largest value of column $1 of the input, in milliseconds.
median_and_maximum() {
    awk -v column="$1" '{ print $column }' | sort -n | awk '{ value[NR] = $1 } END {
        median = NR % 2 ? value[(NR + 1) / 2] : (value[NR / 2] + value[NR / 2 + 1]) / 2
        printf "median %.0f ms, largest %.0f ms of %d", median * 1000, value[NR] * 1000, NR
    }'
}

# Prints the steps a second between two moments.
pace() {
    awk -F '"time":' -v from="$1" -v to="$2" '
        /"kind":"step"/ { time = $2 + 0; if (time > from && time <= to) steps++ }
        END { printf "%.2f", steps / (to - from) }' "$run_dir/metrics.jsonl"
}

# Prints the pace from 2 s before to 6 s after the run's faults, relative to that of its other
# seconds.
pace_around_faults() {
    awk -F '"time":' '
        NR == FNR { fault[++faults] = $1; next }
        /"kind":"step"/ {
            time = $2 + 0
            if (!begin) begin = time
            near = 0
            for (i = 1; i <= faults; i++) if (time > fault[i] - 2 && time <= fault[i] + 6) near = 1
            if (near) inside++; else outside++
            end = time
        }
        END {
            around = faults * 8
            printf "%.3f", inside / around / (outside / (end - begin - around))
        }' "$run_dir.faults" "$run_dir/metrics.jsonl"
}

quotient() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.3f", a / b }'; }
median() {
    sort -n | awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'
}

rows=()
# row NAME FIGURE: adds a line to the table.
row() {
    rows+=("| $1 | $2 |")
    echo "$1: $2" >&2
}

# measure_faults NAME SIGNAL ROLE HOW-MANY SECONDS-BETWEEN [flags of convoy train]: faults of one
# kind.
measure_faults() {
    local name=$1 signal=$2 role=$3 how_many=$4 between=$5 i
    shift 5
    begin "$@"
    for ((i = 0; i < how_many; i++)); do
        hit "$signal" "$role"
        nap "$between"
        if [[ $signal == STOP ]]; then
            signal_process CONT "$victim" "$victim_start" || true
            nap 4
        fi
    done
    nap 4
    finish
    after_faults >"$run_dir.figures"
    row "$name: next finished step" "$(median_and_maximum 1 <"$run_dir.figures")"
    row "$name: longest pause" "$(median_and_maximum 2 <"$run_dir.figures")"
    if [[ $signal == STOP && $role == worker ]]; then
        row "$name: found silent, and its share dealt to the others" \
            "$(grep -c '"silent for' "$run_dir/logs/coordinator-1.jsonl") of $how_many times"
    fi
}

# Prints the processor time of all processes of the run so far, in ticks.
processor_time() {
    local pid stat sum=0 fields
    while read -r _ pid _; do
        { read -r stat <"/proc/$pid/stat"; } 2>/dev/null || continue
        read -r -a fields <<<"${stat##*) }"
        sum=$((sum + fields[11] + fields[12]))
    done < <(children "$train")
    echo "$sum"
}

# Puts the steps a second over `seconds_each` into `found`, and processor ticks a step into `cost`.
watch_pace() {
    local from to ticks
    begin "$@"
    from=$EPOCHREALTIME
    ticks=$(processor_time)
    nap "$seconds_each"
    to=$EPOCHREALTIME
    ticks=$(($(processor_time) - ticks))
    finish
    found=$(pace "$from" "$to")
    cost=$(awk -v ticks="$ticks" -v pace="$found" -v seconds="$(seconds_between "$from" "$to")" \
        'BEGIN { printf "%.4f", ticks / (pace * seconds) }')
}

# Prints the seconds between two moments.
seconds_between() { awk -v from="$1" -v to="$2" 'BEGIN { printf "%.3f", to - from }'; }

measure_overhead() {
    local round kind kinds with=() without=() cost_with=() cost_without=()
    for round in 1 2 3 4; do
        # The order is A B, B A, and so on: a drift of the machine affects both.
        kinds=(with without)
        if ((round % 2 == 0)); then kinds=(without with); fi
        for kind in "${kinds[@]}"; do
            if [[ $kind == with ]]; then
                watch_pace
                with+=("$found")
                cost_with+=("$cost")
            else
                watch_pace --heartbeat-interval-ms 60000 --checkpoint-every 1000000000
                without+=("$found")
                cost_without+=("$cost")
            fi
        done
        row "overhead, round $round: defaults; heartbeat 60 s, no checkpoints" \
            "${with[-1]}; ${without[-1]} steps/s: $(quotient "${with[-1]}" "${without[-1]}");\
 processor time a step $(quotient "${cost_with[-1]}" "${cost_without[-1]}")"
    done
    row "overhead: throughput of defaults, of that without" "$(quotient \
        "$(printf '%s\n' "${with[@]}" | median)" "$(printf '%s\n' "${without[@]}" | median)")"
    row "overhead: processor time a step of defaults, of that without" "$(quotient \
        "$(printf '%s\n' "${cost_with[@]}" | median)" \
        "$(printf '%s\n' "${cost_without[@]}" | median)")"
}

# Measures while a worker is killed every 10 s.
watch_disturbed_pace() {
    local from to end deadline
    begin
    from=$EPOCHREALTIME
    end=$((SECONDS + seconds_each))
    while ((SECONDS < end)); do
        hit KILL worker
        deadline=$((SECONDS + 10 < end ? SECONDS + 10 : end))
        while ((SECONDS < deadline)); do nap 0.2; done
    done
    to=$EPOCHREALTIME
    finish
    found=$(pace "$from" "$to")
    require_same_weights
}

measure_throughput() {
    local round undisturbed=() disturbed=() found cost
    for round in 1 2; do
        if ((round == 1)); then
            watch_pace
            undisturbed+=("$found")
            watch_disturbed_pace
            disturbed+=("$found")
        else
            watch_disturbed_pace
            disturbed+=("$found")
            watch_pace
            undisturbed+=("$found")
        fi
        row "throughput, round $round: undisturbed; a worker killed every 10 s" \
            "${undisturbed[-1]}; ${disturbed[-1]} steps/s:\
 $(quotient "${disturbed[-1]}" "${undisturbed[-1]}")"
    done
    local a b
    a=$(printf '%s\n' "${undisturbed[@]}" | median)
    b=$(printf '%s\n' "${disturbed[@]}" | median)
    row "throughput with a worker killed every 10 s, of undisturbed" "$(quotient "$b" "$a")"
}

# Keeps the worker `victim` stopped three quarters of the time until $1; puts the share it ran into
# `share`.
slow_down() {
    local before running=0 all_from=$EPOCHREALTIME
    while ((${EPOCHREALTIME/./} < $1)); do
        kill -STOP "$victim"
        nap 0.03
        before=${EPOCHREALTIME/./}
        kill -CONT "$victim"
        nap 0.01
        running=$((running + ${EPOCHREALTIME/./} - before))
    done
    share=$(quotient "$running" "$((${EPOCHREALTIME/./} - ${all_from/./}))")
}

# Puts the steps a second with one slowed worker into `found`, and the share that it ran into
# `share`.
watch_slowed_pace() {
    local from to
    begin --virtual-workers 16
    read -r _ victim victim_start < <(children "$train" worker)
    # Gives the coordinator some seconds to notice the slow worker.
    slow_down $((${EPOCHREALTIME/./} + 8000000))
    from=$EPOCHREALTIME
    slow_down $((${EPOCHREALTIME/./} + seconds_each * 1000000))
    to=$EPOCHREALTIME
    finish
    found=$(pace "$from" "$to")
    require_same_weights --virtual-workers 16
}

measure_straggler() {
    local round undisturbed=() slowed=() shares=() found cost
    for round in 1 2; do
        if ((round == 1)); then
            watch_pace --virtual-workers 16
            undisturbed+=("$found")
            watch_slowed_pace
            slowed+=("$found")
        else
            watch_slowed_pace
            slowed+=("$found")
            watch_pace --virtual-workers 16
            undisturbed+=("$found")
        fi
        shares+=("$share")
        row "one worker slowed, round $round: undisturbed; slowed to $share of its time" \
            "${undisturbed[-1]}; ${slowed[-1]} steps/s:\
 $(quotient "${slowed[-1]}" "${undisturbed[-1]}")"
    done
    local a b f
    a=$(printf '%s\n' "${undisturbed[@]}" | median)
    b=$(printf '%s\n' "${slowed[@]}" | median)
    f=$(printf '%s\n' "${shares[@]}" | median)
    row "one worker slowed: of the ideal share ((1 + $f) / 2 of undisturbed)" \
        "$(awk -v a="$a" -v b="$b" -v f="$f" 'BEGIN { printf "%.3f", b / (a * (1 + f) / 2) }')"
    row "one worker slowed: times a plain barrier's pace ($f of undisturbed)" \
        "$(awk -v a="$a" -v b="$b" -v f="$f" 'BEGIN { printf "%.2f", b / (a * f) }')"
}

# Measures kill -9 of everything and a resume with other numbers: seconds from the start of the
# resumed run to the first step that is later than any before.
measure_everything() {
    local before from numbers
    begin --checkpoint-every 100
    : >"$run_dir.figures"
    for numbers in "3 2" "1 0"; do
        kill_family "$train" "$train_start"
        train=
        before=$(last_step "$run_dir")
        from=$EPOCHREALTIME
        start_train --resume "$run_dir" --workers "${numbers% *}" --servers "${numbers#* }"
        local deadline=$((SECONDS + 60))
        until (($(last_step "$run_dir") > before)); do
            ((SECONDS < deadline)) || { tail -n 5 "$run_dir.out" >&2 && exit 69; }
            nap 0.02
        done
        seconds_between "$from" "$EPOCHREALTIME" >>"$run_dir.figures"
        echo >>"$run_dir.figures"
        nap 2
    done
    finish
    require_same_weights
    "$convoy" verify "$run_dir" >/dev/null
    row "everything, kill -9, resumed with other numbers: next new step in the records" \
        "$(median_and_maximum 1 <"$run_dir.figures")"
}

load=$(cut -d ' ' -f 1-3 /proc/loadavg)
processor=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
for part in "${parts[@]}"; do
    case $part in
    worker) measure_faults "worker, kill -9" KILL worker "$faults" 3 ;;
    stop) measure_faults "worker, SIGSTOP for 5 s" STOP worker "$few" 5 ;;
    overhead) measure_overhead ;;
    throughput) measure_throughput ;;
    straggler) measure_straggler ;;
    everything) measure_everything ;;
    server)
        measure_faults "server, kill -9, checkpoint every 100" KILL server "$few" 5 \
            --servers 1 --checkpoint-every 100
        ;;
    hang)
        measure_faults "server, hangs, checkpoint every 100" STOP server "$few" 8 \
            --servers 1 --checkpoint-every 100
        measure_faults "coordinator, hangs" STOP coordinator "$few" 8
        ;;
    coordinator)
        measure_faults "coordinator, kill -9" KILL coordinator "$few" 14
        row "coordinator, kill -9: steps from 2 s before to 6 s after, of the usual" \
            "$(pace_around_faults)"
        ;;
    esac
done

echo "$(date -u +%Y-%m-%d), $(nproc) cores, ${processor:-unknown processor}, load before: $load," \
    "after: $(cut -d ' ' -f 1-3 /proc/loadavg)"
printf '\n| what | measured |\n|---|---|\n'
printf '%s\n' "${rows[@]}"
if ((same_count > 0)); then
    printf '\n%d disturbed runs ended with the weights of an undisturbed one.\n' "$same_count"
fi
