#!/usr/bin/env bash
# Usage: Scripts/bench/scale.sh [flags]
#
# Measures how many workers one coordinator can serve: many worker processes on this machine train a
# model so small (490 parameters, one image a worker and step) that only the exchange and its
# control take time. Prints a Markdown table.
#
#   --workers LIST   counts of workers ("1 2 4 8 16 32 64")
#   --servers LIST   counts of servers, each with every count of workers; 0 puts a shard into every
#                    worker ("1 0")
#   --fan-in LIST    counts of workers beyond which they relay for a server, each with all of the
#                    above; 0 for never ("0", Convoy's default on one host)
#   --seconds S      how long each count is watched (5)
#   --quick          "2 16 64" workers, 2 seconds each, no table of memory: for trying
#   --output FILE    also writes the table to FILE
#
#   steps/s              finished steps by their times in metrics.jsonl
#   coordinator CPU      its processor time (/proc/PID/stat) as a part of one core's, while watched;
#                        beside it, all servers together, and all workers together
#   control              TCP segments with data at the coordinator's control port, both ways, over all
#                        connections, divided by workers and steps: kernel counters (ss). A control
#                        message is one segment unless several leave at once. Empty when there is
#                        no ss.
#   control/s            such segments a worker and second: heartbeats do not follow the steps
#   start                from the start of `convoy train` to the end of the first step
#   worker memory        VmRSS of the largest worker
#   contributions        sums of tree nodes sent, a worker and step, by the workers' logs: 1, and
#                        more by sums sent again or computed for late workers
#
# The last table is about a worker with the model `cnn` on 32,768 images of 3 x 32 x 32: the time
# from the start of `convoy train` to the end of the first step, and memory after 5 and 15 seconds.
#
# With more workers than cores all of them wait for the processor most of the time; the time of a
# step is then processor time, not delay. CONVOY=PROGRAM measures that program and builds nothing.
# BENCH_LOCK=FILE takes turns with other measurements. Takes about four minutes, with --quick one
# and a half.
# shellcheck disable=SC2034,SC2154 # common.sh reads what is set here, and sets what is read
set -euo pipefail

bench=scale
# shellcheck source=Scripts/bench/common.sh disable=SC1091
source "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/common.sh"

command_line="Scripts/bench/scale.sh${*:+ $*}"
counts=(1 2 4 8 16 32 64)
server_counts=(1 0)
fan_ins=(0)
seconds=5
output=
is_quick=
while (($# > 0)); do
    if [[ $1 == --quick ]]; then
        is_quick=1
        counts=(2 16 64)
        seconds=2
        shift
        continue
    fi
    (($# > 1)) || usage_error "$1: unknown, or its value is missing"
    case $1 in
    --workers) read -r -a counts <<<"$2" ;;
    --servers)
        read -r -a server_counts <<<"$2"
        ;;
    --fan-in) read -r -a fan_ins <<<"$2" ;;
    --seconds)
        require_count --seconds "$2"
        seconds=$2
        ;;
    --output) output=$2 ;;
    *) usage_error "$1: expected --workers, --servers, --fan-in, --seconds, --quick or --output" ;;
    esac
    shift 2
done
((${#counts[@]} > 0)) || usage_error "--workers: expected at least one number"
for count in "${counts[@]}"; do require_count --workers "$count"; done
((${#server_counts[@]} > 0)) || usage_error "--servers: expected at least one number"
for count in "${server_counts[@]}"; do
    [[ $count =~ ^[0-9]{1,3}$ ]] || usage_error "--servers: expected numbers, found '$count'"
done

((${#fan_ins[@]} > 0)) || usage_error "--fan-in: expected at least one number"
for count in "${fan_ins[@]}"; do
    [[ $count =~ ^[0-9]{1,4}$ ]] || usage_error "--fan-in: expected numbers, found '$count'"
done

prepare_convoy
command -v python3 >/dev/null || fail "no python3, which writes the data sets"
python3 "$root/Scripts/bench/peers/random_partitions.py" "$directory/tiny" 65536 64 4
python3 "$root/Scripts/bench/peers/random_partitions.py" "$directory/images" 32768 64 32
cat >"$directory/tiny.yaml" <<'END'
input: [3, 4, 4]
layers:
  - flatten: {}
  - dense: {units: 10}
END
ticks=$(getconf CLK_TCK)

# A pause without a process: this pipe is never written to.
mkfifo "$directory/never"
exec 8<>"$directory/never"
nap() { read -r -t "$1" -u 8 || true; }

# Prints the numbers of the children of `convoy train` with role $1.
members() {
    local pid words
    for pid in $(pgrep --parent "$train" || true); do
        words=()
        mapfile -d '' -t words 2>/dev/null <"/proc/$pid/cmdline" || continue
        if [[ ${words[1]:-} == "$1" ]]; then echo "$pid"; fi
    done
}

# Prints the processor time of a role's processes so far, in ticks.
processor_time() {
    local pid stat sum=0 fields
    for pid in $(members "$1"); do
        { read -r stat <"/proc/$pid/stat"; } 2>/dev/null || continue
        read -r -a fields <<<"${stat##*) }"
        sum=$((sum + fields[11] + fields[12]))
    done
    echo "$sum"
}

# Prints the segments with data at the coordinator's control port so far; nothing without ss.
control_segments() {
    command -v ss >/dev/null || return 0
    ss --tcp --info --no-header --numeric state established "sport = :$control_port" |
        grep -o 'data_segs_[a-z]*:[0-9]*' | awk -F : '{ sum += $2 } END { print sum + 0 }'
}

# Prints the largest value of field $2 of /proc/PID/status among processes of role $1, in MiB.
memory() {
    local pid
    for pid in $(members "$1"); do
        awk -v field="$2:" '$1 == field { print $2 }' "/proc/$pid/status" 2>/dev/null || true
    done | awk '{ if ($1 > most) most = $1 } END { printf "%.0f", most / 1024 }'
}

run_count=0
# Starts `convoy train`, and waits until its first steps are finished.
begin() {
    run_count=$((run_count + 1))
    run_dir=$directory/run-$run_count
    begin_time=$EPOCHREALTIME
    start_child 180 "$run_dir.out" "$convoy" train --run-dir "$run_dir" --threads 1 \
        --steps 100000000 --epochs 1000000 --checkpoint-every 1000000000 "$@"
    # The parent of `convoy train` is `timeout`.
    local deadline=$((SECONDS + 90))
    train=
    until [[ -n $train && -s $run_dir/metrics.jsonl ]]; do
        if ((SECONDS >= deadline)) || ! kill -0 "${children[0]}" 2>/dev/null; then
            fail "the run does not train: $(tail -n 3 "$run_dir.out")"
        fi
        train=$(pgrep --parent "${children[0]}" || true)
        nap 0.1
    done
    control_port=$(sed -n '1s/.*://p' "$run_dir/endpoint")
    nap 2
}

# Ends the run as Ctrl-C does; its exit code is then 130.
finish() {
    local code=0
    kill -TERM "$train"
    wait "${children[0]}" || code=$?
    children=()
    ((code == 130)) || fail "exit code $code, expected 130: $(tail -n 3 "$run_dir.out")"
}

# Print the time of the first step, and the number of steps between two moments.
first_step_time() { sed -n '1s/.*"time":\([0-9.]*\).*/\1/p' "$run_dir/metrics.jsonl"; }
step_count() {
    awk -F '"time":' -v from="$1" -v to="$2" '
        /"kind":"step"/ { time = $2 + 0; if (time > from && time <= to) steps++ }
        END { print steps + 0 }' "$run_dir/metrics.jsonl"
}

# Prints the contributions of all workers, and the steps of the one that got furthest.
contributions() {
    cat -- "$run_dir"/logs/worker-*.jsonl | sed -n '/"message":"exchanged"/ {
        s/.*"train.contributions":"\{0,1\}\([0-9]*\).*"train.step":"\{0,1\}\([0-9]*\).*/\1 \2/p
    }' | awk '{ sum += $1; if ($2 > most) most = $2 } END { print sum + 0, most + 0 }'
}

# watch WORKERS SERVERS FAN_IN: makes one line of the table.
watch() {
    local count=$1 servers=$2 fan_in=$3 from to coordinator server worker segments rss start sums
    begin --workers "$count" --servers "$servers" --virtual-workers "$count" \
        --fan-in "$fan_in" \
        --batch-size "$count" --data "partitions:$directory/tiny" --model "$directory/tiny.yaml"
    from=$EPOCHREALTIME
    coordinator=$(processor_time coordinator)
    server=$(processor_time server)
    worker=$(processor_time worker)
    segments=$(control_segments)
    nap "$seconds"
    to=$EPOCHREALTIME
    coordinator=$(($(processor_time coordinator) - coordinator))
    server=$(($(processor_time server) - server))
    worker=$(($(processor_time worker) - worker))
    if [[ -n $segments ]]; then segments=$(($(control_segments) - segments)); fi
    rss=$(memory worker VmRSS)
    finish
    start=$(first_step_time)
    sums=$(contributions)
    awk -v count="$count" -v servers="$servers" -v from="$from" -v to="$to" -v ticks="$ticks" \
        -v steps="$(step_count "$from" "$to")" -v coordinator="$coordinator" -v server="$server" \
        -v worker="$worker" -v segments="${segments:-none}" -v begin="$begin_time" \
        -v start="$start" -v fan_in="$fan_in" -v rss="$rss" -v sums="${sums% *}" -v ended="${sums#* }" '
        function part(time) { return sprintf("%.1f %%", 100 * time / ticks / (to - from)) }
        BEGIN {
            isKnown = segments != "none" && steps > 0
            control = isKnown ? sprintf("%.3f", segments / count / steps) : "—"
            rate = segments == "none" ? "—" : sprintf("%.1f", segments / count / (to - from))
            sent = sums > 0 && ended > 0 ? sprintf("%.2f", sums / count / ended) : "—"
            printf "| %d | %d | %d | %.0f | %s | %s | %s | %s | %s | %s | %.2f s | %d MiB |\n",
                count, servers, fan_in, steps / (to - from), part(coordinator), part(server), part(worker),
                control, rate, sent, start - begin, rss
        }'
}

{
    printf '%s\n\n' "Command: \`$command_line\`. $(date --utc '+%Y-%m-%d %H:%M UTC'). $(machine)."
    printf '%s\n\n' "$(convoy_version), one thread a worker."
    echo '| workers | servers | fan-in | steps/s | coordinator CPU | servers CPU | workers CPU | control a' \
        'worker and step | control/s a worker | contributions | start | worker memory |'
    echo '|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|'
} >"$directory/table.md"
for count in "${counts[@]}"; do
    for server_count in "${server_counts[@]}"; do
        for fan_in in "${fan_ins[@]}"; do
            take_turn
            watch "$count" "$server_count" "$fan_in" >"$directory/line"
            give_turn
            cat "$directory/line" >&2
            cat "$directory/line" >>"$directory/table.md"
        done
    done
done
show() {
    cat -- "$directory/table.md"
    if [[ -n $output ]]; then cp -- "$directory/table.md" "$output"; fi
}
if [[ -n $is_quick ]]; then
    show
    exit
fi

printf '\n%s\n%s\n' \
    '| cnn, 3 x 32 x 32, batch 32 a worker | start | VmRSS | VmHWM | of it RssAnon |' \
    '|---|--:|--:|--:|--:|' >>"$directory/table.md"
for precision in fp32 bf16; do
    if [[ $precision == bf16 ]] && ! grep -qE 'avx512_bf16|amx_bf16' /proc/cpuinfo; then
        printf '\nThis processor has no bf16 instructions.\n' >>"$directory/table.md"
        continue
    fi
    take_turn
    begin --workers 2 --servers 1 --virtual-workers 2 --batch-size 64 \
        --data "partitions:$directory/images" --precision "$precision"
    nap 3
    early=$(memory worker VmRSS)
    nap 10
    line="| $precision | START | $early MiB, then $(memory worker VmRSS) MiB |"
    for field in VmHWM RssAnon; do line+=" $(memory worker "$field") MiB |"; done
    finish
    give_turn
    start=$(awk -v begin="$begin_time" -v start="$(first_step_time)" \
        'BEGIN { printf "%.2f s", start - begin }')
    line=${line/START/$start}
    echo "$line" >>"$directory/table.md"
done
show
