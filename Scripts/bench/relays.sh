#!/usr/bin/env bash
# Usage: Scripts/bench/relays.sh [flags]
#
# Measures what relays save a server on a slow network. Hosts are network namespaces of this machine
# on one bridge, each with its own cable of limited rate in either direction. A coordinator and one
# server share a host, and every worker has its own. The run is repeated with relays and without,
# alternately. Prints a Markdown table. All runs must end with equal weights.
#
#   --workers LIST   counts of workers ("16 32")
#   --mbit N         rate of a cable, in 10^6 bits a second (100)
#   --steps N        steps of a run (20)
#   --rounds N       runs of each kind (1)
#   --output FILE    also writes the table to FILE
#
#   steps/s          by the times in metrics.jsonl, from the second step on
#   server in, out   bytes of the server's exchange a step (its log), in units of the model
#   worker in, out   those of the worker with the most bytes
#
# The model is `cnn` on 3 x 32 x 32 with one image a worker and step, so nearly all the time goes to
# the exchange. With relays a worker receives and sends up to twice the model, and the server as
# many models as there are groups.
#
# Needs root, for namespaces (iproute2); says so and ends with 0 where they are not permitted.
# CONVOY=PROGRAM measures that program and builds nothing. BENCH_LOCK=FILE takes turns with other
# measurements. Takes about three minutes.
# shellcheck disable=SC2034,SC2154 # common.sh reads what is set here, and sets what is read
set -euo pipefail

bench=relays
# shellcheck source=Scripts/bench/common.sh disable=SC1091
source "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/common.sh"

command_line="Scripts/bench/relays.sh${*:+ $*}"
counts=(16 32)
mbit=100
steps=20
rounds=1
output=
while (($# > 0)); do
    (($# > 1)) || usage_error "$1: unknown, or its value is missing"
    case $1 in
    --workers) read -r -a counts <<<"$2" ;;
    --mbit) require_count --mbit "$2" && mbit=$2 ;;
    --steps) require_count --steps "$2" && steps=$2 ;;
    --rounds) require_count --rounds "$2" && rounds=$2 ;;
    --output) output=$2 ;;
    *) usage_error "$1: expected --workers, --mbit, --steps, --rounds or --output" ;;
    esac
    shift 2
done
((${#counts[@]} > 0)) || usage_error "--workers: expected at least one number"
most=0
for count in "${counts[@]}"; do
    require_count --workers "$count"
    ((count <= 200)) || usage_error "--workers: expected at most 200, found $count"
    ((count <= most)) || most=$count
done
((steps > 1)) || usage_error "--steps: expected at least 2, found $steps"

command -v tc >/dev/null || fail "no tc (Debian: iproute2)"
prefix=cvr-$$
hub=$prefix-hub
hosts=()
remove_network() {
    local host
    clean_up
    for host in "$hub" "${hosts[@]}"; do ip netns del "$host" 2>/dev/null || true; done
}
trap remove_network EXIT
if ! { ip netns add "$hub" && ip -n "$hub" link add bridge type bridge &&
    ip -n "$hub" link set bridge up; } 2>"$directory/network.out"; then
    echo "relays: skipped: no network namespaces here: $(tail -n 1 "$directory/network.out")" >&2
    exit 0
fi

prepare_convoy
command -v python3 >/dev/null || fail "no python3, which writes the data set"
python3 "$root/Scripts/bench/peers/random_partitions.py" "$directory/images" 4096 64 32

# add_host NUMBER ADDRESS: makes a host and its cable to the bridge.
add_host() {
    local host=$prefix-$1 slow=(root tbf rate "${mbit}mbit" burst 64kb latency 2s)
    hosts+=("$host")
    ip netns add "$host"
    ip -n "$hub" link add "to-$1" type veth peer name eth0 netns "$host"
    ip -n "$hub" link set "to-$1" master bridge up
    ip -n "$host" link set lo up
    ip -n "$host" addr add "$2/16" dev eth0
    ip -n "$host" link set eth0 up
    tc -n "$hub" qdisc add dev "to-$1" "${slow[@]}"
    tc -n "$host" qdisc add dev eth0 "${slow[@]}"
}
add_host 0 10.78.0.1
for ((number = 1; number <= most; number++)); do
    add_host "$number" "10.78.1.$number"
done

# train WORKERS FAN_IN: makes one run in $run_dir, from start to end.
run_count=0
train() {
    local count=$1 number host
    run_count=$((run_count + 1))
    run_dir=$directory/run-$run_count
    local on_head=(ip netns exec "$prefix-0")
    start_child 300 "$directory/coordinator.out" "${on_head[@]}" "$convoy" coordinator \
        --run-dir "$run_dir" --listen tcp://10.78.0.1:7000 --insecure --workers "$count" \
        --servers 1 --virtual-workers "$count" --batch-size "$count" --steps "$steps" \
        --epochs 1000000 --checkpoint-every 1000000 --data "partitions:$directory/images" \
        --no-shared-memory --fan-in "$2"
    start_child 300 "$directory/server.out" "${on_head[@]}" "$convoy" server \
        --coordinator tcp://10.78.0.1:7000 --insecure --log-file "$run_dir.server"
    for ((number = 1; number <= count; number++)); do
        host=$prefix-$number
        start_child 300 "$directory/worker-$number.out" ip netns exec "$host" "$convoy" worker \
            --coordinator tcp://10.78.0.1:7000 --insecure --log-file "$run_dir.worker-$number"
    done
    await_children || fail "a process failed: $(tail -qn 1 "$directory"/*.out | sort | uniq -c)"
}

# exchanged FIELD FILE...: prints the largest value in the last lines that processes log, a step and
# in units of the model (122,570 parameters).
exchanged() {
    local field=$1
    shift
    sed -n "/\"message\":\"exchanged\"/s/.*\"$field\":\"\{0,1\}\([0-9]*\).*/\1/p" "$@" |
        awk -v steps="$steps" '{ if ($1 > most) most = $1 }
            END { printf "%.1f", most / steps / 490280 }'
}

pace() {
    awk -F '"time":' '/"kind":"step"/ { time = $2 + 0; if (!count++) first = time; last = time }
        END { printf "%.2f", (count - 1) / (last - first) }' "$run_dir/metrics.jsonl"
}

{
    printf '%s\n\n' "Command: \`$command_line\`. $(date --utc '+%Y-%m-%d %H:%M UTC'). $(machine)."
    printf '%s\n\n' "$(convoy_version), one server, cables of $mbit Mbit/s."
    echo '| workers | fan-in | steps/s | server in | server out | worker in | worker out |'
    echo '|--:|--:|--:|--:|--:|--:|--:|'
} >"$directory/table.md"
for count in "${counts[@]}"; do
    hash=
    for ((round = 0; round < rounds; round++)); do
        for fan_in in 0 4; do
            take_turn
            train "$count" "$fan_in"
            give_turn
            found=$(summary "$run_dir" weights_sha256)
            [[ -z $hash || $found == "$hash" ]] || fail "other weights with relays: $found, $hash" 1
            hash=$found
            echo "| $count | $fan_in | $(pace) |" \
                "$(exchanged net.received-bytes "$run_dir.server") |" \
                "$(exchanged net.sent-bytes "$run_dir.server") |" \
                "$(exchanged net.received-bytes "$run_dir".worker-*) |" \
                "$(exchanged net.sent-bytes "$run_dir".worker-*) |" | tee -a "$directory/table.md" >&2
        done
    done
done
cat -- "$directory/table.md"
if [[ -n $output ]]; then cp -- "$directory/table.md" "$output"; fi
