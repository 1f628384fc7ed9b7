#!/usr/bin/env bash
# Usage: Scripts/bench/peers.sh [flags]
#
# Trains a model on random images with Convoy and with PyTorch, MXNet and Keras on this machine,
# alternately, and prints a Markdown table of images a second.
#
#   --model NAME|FILE  a built-in model (cnn) or a model file; PyTorch computes the graph that
#                  `convoy models` prints, MXNet and Keras are measured with cnn alone
#   --input CxHxW  the shape of the images of a built-in model (3x32x32, or its own for series)
#   --batch N      images a step and worker; may be repeated (32 and 128)
#   --only NAME    measures only programs whose names begin so; may be repeated
#   --rounds N     measurements of each (3)
#   --quick        a fifth of the images: to see whether all run, not to quote
#   --bf16         bf16 also on a processor without instructions for it: peers emulate it in their
#                  way, which is slow, and Convoy rounds as such instructions would
#   --output FILE  also writes the table to FILE
#
#   torch-eager        PyTorch DistributedDataParallel over Gloo, two processes of one thread
#   torch-fused        torch-eager with channels-last images and fused Adam
#   torch-fused-bf16   torch-fused with bf16 autocast
#   torch-compiled     torch-fused with torch.compile, which needs g++; only with --only
#   mxnet              MXNet dist_sync: scheduler, server and two workers of one thread
#   keras              Keras on TensorFlow, one process of two threads
#   convoy-server      Convoy, two workers of one thread and one server; fp32 and bf16
#   convoy-sharded     Convoy, two workers of one thread with a shard each (--servers 0)
#   convoy-one         Convoy, one worker of one thread and its shard, everything on one core
#   convoy-alone       convoy-one, where other cores may run everything but the computation
#   convoy-apart       two independent runs of convoy-one at the same time, one a core, and the rate
#                      if the faster waited for the slower: what this machine has for two workers,
#                      however fast they exchange
#
# Each runs at 32 and at 128 images a step and worker (Keras: a step), or at those of --batch. A round runs
# all of them once, so that a slow phase of the machine slows all of them. Peers keep their images
# as floats in memory, warm up for 20 steps (Keras: an epoch) and give the best of three loops.
# Convoy reads bytes from a partitioned data set and gives images_per_second of its summary: the
# mean over at least 5 s of training, with the first steps and without evaluation. When the host of
# a virtual machine takes cores away meanwhile, which slows down mostly processes that wait for one
# another, the table says how much.
#
# The peers' environments are made below ~/.cache/convoy/peers (or CONVOY_PEERS=DIR), with the
# versions in Scripts/bench/peers/environments.sh. CONVOY=PROGRAM measures that program and builds
# nothing. BENCH_LOCK=FILE takes turns with other measurements. Takes about six minutes a round.
# shellcheck disable=SC2034,SC2154 # common.sh reads what is set here, and sets what is read
set -euo pipefail

bench=peers
# shellcheck source=Scripts/bench/common.sh disable=SC1091
source "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/common.sh"
# shellcheck source=Scripts/bench/peers/environments.sh disable=SC1091
source "$root/Scripts/bench/peers/environments.sh"
programs=$root/Scripts/bench/peers

names=(torch-eager torch-fused torch-fused-bf16 torch-compiled mxnet keras convoy-server convoy-sharded
    convoy-one convoy-alone convoy-apart)
command_line="Scripts/bench/peers.sh${*:+ $*}"
only=()
rounds=3
model=cnn
input=
batches=()
loop_images=6000
least_seconds=5
wants_bf16=
output=
while (($# > 0)); do
    case $1 in
    --bf16)
        wants_bf16=yes
        shift
        continue
        ;;
    --quick)
        loop_images=1200
        least_seconds=1
        shift
        continue
        ;;
    --only | --rounds | --output | --model | --input | --batch)
        (($# > 1)) || usage_error "$1: its value is missing"
        ;;
    *) usage_error "$1: expected --model, --input, --batch, --only, --rounds, --quick, --bf16 or --output" ;;
    esac
    case $1 in
    --only)
        [[ " ${names[*]}" == *" $2"* ]] || usage_error "--only $2: expected one of ${names[*]}"
        only+=("$2")
        ;;
    --rounds)
        require_count --rounds "$2"
        rounds=$2
        ;;
    --output) output=$2 ;;
    --model)
        [[ $2 =~ ^[a-z0-9-]+$ || -f $2 ]] ||
            usage_error "--model: expected a built-in model or a model file, found $2"
        model=$2
        ;;
    --input)
        [[ $2 =~ ^[1-9][0-9]*x[1-9][0-9]*x[1-9][0-9]*$ ]] || usage_error "--input: expected CxHxW, found $2"
        input=$2
        ;;
    --batch)
        require_count --batch "$2"
        batches+=("$2")
        ;;
    esac
    shift 2
done

((${#batches[@]} > 0)) || batches=(32 128)

is_wanted() {
    local prefix
    if ((${#only[@]} == 0)); then
        [[ $1 != torch-compiled ]]
        return
    fi
    for prefix in "${only[@]}"; do
        [[ $1 != "$prefix"* ]] || return 0
    done
    return 1
}

is_emulated() { ! grep -q avx512_bf16 /proc/cpuinfo; }

# The cases, `NAME PRECISION BATCH`; the batch is that of a worker.
precisions_here=(fp32)
if ! is_emulated; then
    precisions_here+=(bf16)
elif [[ -n $wants_bf16 ]]; then
    echo "$bench: this processor has no bf16 instructions; bf16 is emulated" >&2
    precisions_here+=(bf16)
else
    echo "$bench: this processor has no bf16 instructions; bf16 is left out (--bf16: emulated)" >&2
fi
cases=()
for name in "${names[@]}"; do
    is_wanted "$name" || continue
    # The other peers' programs have the network of the article alone.
    [[ $model == cnn && ${input:-3x32x32} == 3x32x32 || $name != @(mxnet|keras) ]] || continue
    case $name in
    convoy-*) precisions=(fp32 bf16) ;;
    *-bf16) precisions=(bf16) ;;
    *) precisions=(fp32) ;;
    esac
    for precision in "${precisions[@]}"; do
        [[ " ${precisions_here[*]} " == *" $precision "* ]] || continue
        for batch in "${batches[@]}"; do cases+=("$name $precision $batch"); done
    done
done

((${#cases[@]} > 0)) || usage_error "--only ${only[*]}: nothing is measured with $model"

export OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1 TF_CPP_MIN_LOG_LEVEL=3
# The peers use loopback, as Convoy does.
export GLOO_SOCKET_IFNAME=lo DMLC_INTERFACE=lo

has_case() { [[ " ${cases[*]%% *} " == *" $1"* ]]; }
for environment in torch keras mxnet; do
    if has_case "$environment"; then prepare_environment "$environment"; fi
done
prepare_convoy
find_python || python=$(command -v python3) || fail "no python3, which writes the data set"
# The graph with every composite written out, for PyTorch, and as the model file of Convoy.
if [[ -z $input && $model != *1d && $model != inception-time && ! -f $model ]]; then input=3x32x32; fi
"$convoy" models "$model" ${input:+--input "$input"} >"$directory/model.txt" ||
    fail "convoy models $model" 64
sed -n '/^input:/,$p' "$directory/model.txt" >"$directory/model.yaml"
shape=$(sed -n 's/^input: \[\(.*\)\]$/\1/p' "$directory/model.yaml" | sed 's/, /x/g')
if has_case convoy; then
    "$python" "$programs/random_partitions.py" "$directory/data" 32768 256 "$shape"
fi

# Each of these functions measures once, and prints one line of JSON.

measure_torch() { # MODE BATCH
    local rank meeting=$directory/meeting-$RANDOM$RANDOM images=$loop_images
    # Without instructions for bf16 a step takes ten times as long.
    [[ $1 != *bf16 ]] || ! is_emulated || images=1200
    for rank in 1 0; do
        start_child 120 "$directory/rank-$rank.out" env RANK=$rank WORLD_SIZE=2 \
            "$cache/torch/bin/python" "$programs/torch_ddp.py" --mode "$1" \
            --model "$directory/model.txt" \
            --batch "$2" --images "$images" "$meeting"
    done
    await_children || return
    tail -n 1 "$directory/rank-0.out"
}

measure_mxnet() { # BATCH
    local member port rate=$directory/mxnet
    port=$("$cache/mxnet/bin/python" -c '
import socket
with socket.socket() as listener:
    listener.bind(("127.0.0.1", 0))
    print(listener.getsockname()[1])')
    for member in scheduler server worker-1 worker-2; do
        start_child 120 "$rate-$member.out" env DMLC_ROLE="${member%-*}" DMLC_NUM_SERVER=1 \
            DMLC_NUM_WORKER=2 DMLC_PS_ROOT_URI=127.0.0.1 DMLC_PS_ROOT_PORT="$port" \
            "$cache/mxnet/bin/python" "$programs/mxnet_dist_sync.py" --batch "$1" \
            --images "$loop_images"
    done
    await_children || return
    # MXNet decides which worker is the first, and only that one reports.
    grep -h '"images_per_second"' "$rate"-worker-*.out
}

measure_keras() { # BATCH
    start_child 120 "$directory/keras.out" "$cache/keras/bin/python" \
        "$programs/keras_single.py" --batch "$1" --images "$loop_images"
    await_children || return
    tail -n 1 "$directory/keras.out"
}

declare -A step_counts=()
run_count=0
measure_convoy() { # NAME PRECISION BATCH
    local workers=2 servers=0 cores=(any) core run_dir seconds steps key="$1 $2 $3"
    case $1 in
    convoy-server) servers=1 ;;
    convoy-one) workers=1 cores=(0) ;;
    convoy-alone) workers=1 ;;
    convoy-apart) workers=1 cores=(0 1) ;;
    esac
    steps=${step_counts[$key]:-$((30000 / $3))}
    # Repeats with more steps, unless the run took long enough.
    while :; do
        run_count=$((run_count + 1))
        run_dir=$directory/run-$run_count
        for core in "${cores[@]}"; do
            local prefix=(taskset --cpu-list "$core")
            [[ $core != any ]] || prefix=()
            start_child 120 "$run_dir-$core.out" "${prefix[@]}" "$convoy" train \
                --run-dir "$run_dir-$core" --data "partitions:$directory/data" --model "$directory/model.yaml" \
                --workers "$workers" --threads 1 --servers "$servers" \
                --virtual-workers "$workers" --batch-size $((workers * $3)) --precision "$2" \
                --epochs 1000000 --steps "$steps" --checkpoint-every 1000000000
        done
        if ! await_children; then
            tail -n 3 "$run_dir"-*.out >&2
            return 1
        fi
        run_dir+=-${cores[0]}
        seconds=$(summary "$run_dir" seconds)
        step_counts[$key]=$steps
        if awk -v s="$seconds" -v least="$least_seconds" 'BEGIN { exit !(s >= least) }'; then
            break
        fi
        steps=$(awk -v n="$steps" -v s="$seconds" -v least="$least_seconds" \
            'BEGIN { printf "%d", n * least * 1.2 / (s > 0.1 ? s : 0.1) + 1 }')
    done
    local rate waiting=
    rate=$(for core in "${cores[@]}"; do
        summary "$directory/run-$run_count-$core" images_per_second
    done | awk '{ sum += $1 } END { print sum }')
    if [[ $1 == convoy-apart ]]; then
        waiting=$("$python" "$programs/waiting.py" "$directory/run-$run_count"-{0,1}) || return
        waiting=$(awk -v rate="$rate" -v share="$waiting" \
            'BEGIN { printf ", \"waiting_images_per_second\": %.1f", rate * share }')
    fi
    printf '{"peer": "convoy", "version": "%s, %s, %s", "images_per_second": %s%s}\n' \
        "$version" "$(summary "$run_dir" backend)" "$(summary "$run_dir" isa)" "$rate" "$waiting"
    rm -rf -- "$directory/run-$run_count"-*
}

measure() { # NAME PRECISION BATCH
    case $1 in
    torch-eager) measure_torch eager "$3" ;;
    torch-fused* | torch-compiled) measure_torch "channels-last-${1#torch-}" "$3" ;;
    mxnet) measure_mxnet "$3" ;;
    keras) measure_keras "$3" ;;
    convoy-*) measure_convoy "$1" "$2" "$3" ;;
    esac
}

# Prints ticks of all cores since the start: all, and those that the host of a virtual machine took.
ticks() { awk '/^cpu / { for (i = 2; i <= 9; i++) sum += $i; print sum, $9 }' /proc/stat; }

version=
if has_case convoy; then version=$(convoy_version); fi
results=$directory/results.jsonl
: >"$results"
failures=0
for ((round = 1; round <= rounds; round++)); do
    for entry in "${cases[@]}"; do
        read -r name precision batch <<<"$entry"
        take_turn
        load=$(cut -d ' ' -f 1 /proc/loadavg)
        before=$(ticks)
        # Runs in this shell, whose children these are; the line goes through a file.
        if measure "$name" "$precision" "$batch" >"$directory/line" &&
            grep -q '"images_per_second"' "$directory/line"; then
            line=$(<"$directory/line")
            stolen=$(awk -v before="$before" -v after="$(ticks)" 'BEGIN {
                split(before, a); split(after, b); printf "%.5f", (b[2] - a[2]) / (b[1] - a[1]) }')
            printf '{"name": "%s", "precision": "%s", "batch": %s, "load": %s, "stolen": %s, %s\n' \
                "$name" "$precision" "$batch" "$load" "$stolen" "${line#\{}" >>"$results"
            line=${line#*'"images_per_second": '}
            echo "round $round, $entry: ${line%%[,\}]*}" >&2
        else
            failures=$((failures + 1))
            echo "$bench: error: round $round, $entry: it failed:" >&2
            tail -n 5 "$directory"/{rank-0,mxnet-worker-1,keras}.out >&2 2>/dev/null || true
        fi
        give_turn
    done
done

find_python || python=python3
{
    printf '%s\n\n' "Command: \`$command_line\`. $(date --utc '+%Y-%m-%d %H:%M UTC'). $(machine)."
    "$python" "$programs/table.py" "$results"
} >"$directory/table.md"
cat -- "$directory/table.md"
if [[ -n $output ]]; then cp -- "$directory/table.md" "$output"; fi
((failures == 0)) || fail "$failures measurements failed" 1
