#!/usr/bin/env bash
# Usage: Scripts/bench/allreduce.sh [flags]
#
# Measures the exchange of a step without any computation: Convoy (`convoy bench exchange`) and
# Gloo's all_reduce through PyTorch, alternately on this machine, over loopback. Prints a Markdown
# table.
#
#   --bytes LIST     sizes ("4096 65536 490280 4000000 40000000 400000000")
#   --workers LIST   counts of processes ("2 4 8")
#   --rounds N       measurements of each (3); a measurement has 5 to 300 steps by size
#   --output FILE    also writes the table to FILE
#
# Convoy's figure is the time from one version of the weights to the next, as a worker sees it: a
# constant gradient is handed over, sent chunk by chunk, summed and applied at the shards, and the
# new weights arrive whole. The figure includes the optimizer (SGD) and everything that controls a
# step: task queues, the loader (a record of one pixel), sums in a fixed order, the ledger. Convoy
# is measured once with one server (--servers 1), which all data goes through, and once with a shard
# in every worker (--servers 0). Gloo's figure is one call of all_reduce on rank 0, which only sums.
# Each time is the median of the steps of a measurement; the table has the median and the smallest
# of these medians. "Sent" is the number of gradients sent a worker and step: above 1 some workers
# sent copies of gradients that seemed late. A count of processes that needs too much memory is left
# out.
#
# Environment: CONVOY, BENCH_LOCK and CONVOY_PEERS as in peers.sh. Takes about ten minutes.
# shellcheck disable=SC2034,SC2154 # common.sh reads what is set here, and sets what is read
set -euo pipefail

bench=allreduce
# shellcheck source=Scripts/bench/common.sh disable=SC1091
source "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/common.sh"
# shellcheck source=Scripts/bench/peers/environments.sh disable=SC1091
source "$root/Scripts/bench/peers/environments.sh"

command_line="Scripts/bench/allreduce.sh${*:+ $*}"
sizes=(4096 65536 490280 4000000 40000000 400000000)
counts=(2 4 8)
rounds=3
output=
while (($# > 0)); do
    (($# > 1)) || usage_error "$1: unknown, or its value is missing"
    case $1 in
    --bytes) read -r -a sizes <<<"$2" ;;
    --workers) read -r -a counts <<<"$2" ;;
    --rounds)
        require_count --rounds "$2"
        rounds=$2
        ;;
    --output) output=$2 ;;
    *) usage_error "$1: expected --bytes, --workers, --rounds or --output" ;;
    esac
    shift 2
done
for size in "${sizes[@]}"; do
    if [[ ! $size =~ ^[1-9][0-9]{3,9}$ ]] || ((size < 4096)); then
        usage_error "--bytes: expected numbers from 4096, found '$size'"
    fi
done
for count in "${counts[@]}"; do
    require_count --workers "$count"
    ((count >= 2)) || usage_error "--workers: expected numbers from 2, found $count"
done

export OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1 GLOO_SOCKET_IFNAME=lo TMPDIR=$directory
prepare_environment torch
prepare_convoy

measure_convoy() { # BYTES WORKERS STEPS SERVERS
    start_child 170 "$directory/convoy.out" "$convoy" bench exchange --bytes "$1" \
        --workers "$2" --rounds "$3" --servers "$4"
    await_children || return
    tail -n 1 "$directory/convoy.out"
}

measure_gloo() { # BYTES WORKERS STEPS
    local rank meeting=$directory/meeting-$RANDOM$RANDOM
    for ((rank = $2 - 1; rank >= 0; rank--)); do
        start_child 170 "$directory/gloo-$rank.out" env RANK=$rank WORLD_SIZE="$2" \
            "$cache/torch/bin/python" "$root/Scripts/bench/peers/gloo_all_reduce.py" \
            "$1" "$3" "$meeting"
    done
    await_children || return
    tail -n 1 "$directory/gloo-0.out"
}

value() { sed -n "s/.*\"$1\": \([0-9.e+-]*\).*/\1/p" "$directory/line"; }

# measure NAME COMMAND...: appends the median of a measurement to the file of its kind.
failures=0
measure() {
    local name=$1 sent
    shift
    take_turn
    if "$@" >"$directory/line" && [[ -n $(value median_seconds) ]]; then
        sent=$(value gradients_per_step)
        value median_seconds >>"$directory/times-$name"
        if [[ -n $sent ]]; then echo "$sent" >>"$directory/sent-$name"; fi
        echo "$name $*: $(<"$directory/line")" >&2
    else
        failures=$((failures + 1))
        echo "$bench: error: $name, $*: it failed:" >&2
        tail -n 3 "$directory/convoy.out" "$directory/gloo-0.out" >&2 2>/dev/null || true
    fi
    give_turn
}

# Prints `MEDIAN (SMALLEST)` of a file of seconds, in milliseconds.
milliseconds() {
    [[ -s $1 ]] || { echo "failed" && return; }
    sort -g "$1" | awk '{ v[NR] = $1 * 1000 } END {
        printf "%.2f (%.2f)", (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2, v[1] }'
}

{
    printf '%s\n\n' "Command: \`$command_line\`. $(date --utc '+%Y-%m-%d %H:%M UTC'). $(machine)."
    printf '%s; %s. Milliseconds a step, the median (and the smallest) of %s medians, in turns.\n' \
        "$(convoy_version)" "Gloo of ${requirements[torch]%% *}" "$rounds"
    printf '\n| bytes | processes | Gloo all_reduce | Convoy, 1 server | sent | %s |\n%s\n' \
        'Convoy, shards in the workers | sent' '|--:|--:|--:|--:|--:|--:|--:|'
} >"$directory/table.md"
available=$(awk '/^MemAvailable:/ { printf "%d", $2 * 1024 }' /proc/meminfo)
for size in "${sizes[@]}"; do
    # A measurement takes between a quarter of a second and some seconds.
    steps=$((600000000 / size))
    ((steps <= 300)) || steps=300
    ((steps >= 5)) || steps=5
    for count in "${counts[@]}"; do
        # A worker and its share of the shards hold about eight vectors, the coordinator four.
        if ((size * (8 * count + 4) > available)); then
            echo "$bench: $size bytes with $count processes: not enough memory" >&2
            continue
        fi
        rm -f -- "$directory"/times-* "$directory"/sent-*
        for ((round = 1; round <= rounds; round++)); do
            measure server measure_convoy "$size" "$count" "$steps" 1
            actual=$(value bytes)
            measure gloo measure_gloo "${actual:-$size}" "$count" "$steps"
            measure sharded measure_convoy "$size" "$count" "$steps" 0
        done
        line="| ${actual:-$size} | $count | $(milliseconds "$directory/times-gloo")"
        for name in server sharded; do
            line+=" | $(milliseconds "$directory/times-$name")"
            line+=" | $(sort -g "$directory/sent-$name" 2>/dev/null | tail -n 1 |
                awk -v count="$count" '{ printf "%.2f", $1 / count }')"
        done
        echo "$line |" >>"$directory/table.md"
    done
done
cat -- "$directory/table.md"
if [[ -n $output ]]; then cp -- "$directory/table.md" "$output"; fi
((failures == 0)) || fail "$failures measurements failed" 1
