#!/usr/bin/env bash
# Usage: Scripts/bench/keys.sh [flags]
#
# Measures what keys cost: images a second of `convoy train` without keys (--insecure) and with the
# keys that a run makes for itself, alternately, with `cnn` on random images of 3 x 32 x 32 and two
# workers of one thread. Processes on one host exchange floats through shared memory, which is not
# sealed. Without it floats cross sockets, as between hosts, in fp32 or, with half the bytes, in
# bf16. Prints a Markdown table, and fails when keys change a bit of the result.
#
#   --rounds N       rounds (3); each measures every line without and with keys
#   --steps N        steps a run (600)
#   --per-worker N   images a worker and step (32)
#   --precision P    fp32 or bf16 (fp32)
#   --only WAY       how floats cross: sockets or memory (both)
#   --before PROGRAM measures this program instead of --insecure, without that flag
#   --output FILE    also writes the table to FILE
#
# The figure of a line is the median of its rounds. CONVOY=PROGRAM measures that program and builds
# nothing. BENCH_LOCK=FILE takes turns with other measurements. Takes about three minutes.
# shellcheck disable=SC2034,SC2154 # common.sh reads what is set here, and sets what is read
set -euo pipefail

bench=keys
# shellcheck source=Scripts/bench/common.sh disable=SC1091
source "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/common.sh"

command_line="Scripts/bench/keys.sh${*:+ $*}"
rounds=3
steps=600
per_worker=32
precision=fp32
only=
before=
output=
while (($# > 0)); do
    (($# > 1)) || usage_error "$1: unknown, or its value is missing"
    case $1 in
    --rounds) require_count "$1" "$2" && rounds=$2 ;;
    --steps) require_count "$1" "$2" && steps=$2 ;;
    --per-worker) require_count "$1" "$2" && per_worker=$2 ;;
    --precision) precision=$2 ;;
    --only)
        [[ $2 == sockets || $2 == memory ]] || usage_error "--only: expected sockets or memory"
        only=$2
        ;;
    --before) before=$(command -v -- "$2") || usage_error "--before: $2 is no program" ;;
    --output) output=$2 ;;
    *) usage_error "$1: expected --rounds, --steps, --per-worker, --precision, --only, --before or \
--output" ;;
    esac
    shift 2
done

prepare_convoy
command -v python3 >/dev/null || fail "no python3, which writes the data set"
python3 "$root/Scripts/bench/peers/random_partitions.py" "$directory/data" 32768 64 32

# rate NAME PROGRAM WIRE FLAGS...: puts the images a second of one run into `result`. The run's bits
# must be those of every earlier run with this wire precision.
declare -A bits
rate() {
    local name=$1 program=$2 wire=$3 found
    shift 3
    rm -rf -- "${directory:?}/$name"
    take_turn
    start_child 300 "$directory/$name.out" "$program" train --data "partitions:$directory/data" \
        --batch-size $((2 * per_worker)) --virtual-workers 2 --workers 2 --steps "$steps" \
        --checkpoint-every 1000000 --precision "$precision" --wire-precision "$wire" \
        --run-dir "$directory/$name" "$@"
    await_children || fail "convoy train $* failed: $(tail -n 1 "$directory/$name.out")"
    give_turn
    found=$(summary "$directory/$name" weights_sha256)
    bits[$wire]=${bits[$wire]:-$found}
    [[ -n $found && $found == "${bits[$wire]}" ]] ||
        fail "other bits with $*: $found, before ${bits[$wire]}"
    result=$(summary "$directory/$name" images_per_second)
}

# The lines of the table: flags, servers, and the way and the precision of floats.
lines=("--servers 1 --no-shared-memory|1|sockets|fp32"
    "--servers 0 --no-shared-memory|0|sockets|fp32"
    "--servers 1 --no-shared-memory|1|sockets|bf16"
    "--servers 0 --no-shared-memory|0|sockets|bf16"
    "--servers 1|1|shared memory|fp32" "--servers 0|0|shared memory|fp32")
if [[ $only == sockets ]]; then lines=("${lines[@]:0:4}"); fi
if [[ $only == memory ]]; then lines=("${lines[@]:4}"); fi
for ((round = 1; round <= rounds; round++)); do
    for ((line = 0; line < ${#lines[@]}; line++)); do
        read -r -a flags <<<"${lines[line]%%|*}"
        wire=${lines[line]##*|}
        # The order changes from round to round.
        order=(plain keys)
        if ((round % 2 == 0)); then order=(keys plain); fi
        for kind in "${order[@]}"; do
            with=()
            if [[ $kind == plain && -z $before ]]; then with=(--insecure); fi
            program=$convoy
            if [[ $kind == plain && -n $before ]]; then program=$before; fi
            rate "run-$line-$kind" "$program" "$wire" "${flags[@]}" "${with[@]}"
            echo "$result" >>"$directory/rates-$line-$kind"
            echo "keys: round $round, ${lines[line]%%|*}, $wire wire, $kind: $result images/s" >&2
        done
    done
done

median() {
    sort -n "$1" | awk '{ value[NR] = $1 }
        END { print NR % 2 ? value[(NR + 1) / 2] : (value[NR / 2] + value[NR / 2 + 1]) / 2 }'
}
table() {
    local line plain keys servers way wire
    echo "$(machine); $(convoy_version); $precision, $per_worker images a worker, $rounds rounds of"
    echo "$steps steps; \`$command_line\`"
    echo
    echo "| servers | floats cross | in | images/s without keys | with keys | |"
    echo "|---|---|---|---|---|---|"
    for ((line = 0; line < ${#lines[@]}; line++)); do
        IFS='|' read -r _ servers way wire <<<"${lines[line]}"
        plain=$(median "$directory/rates-$line-plain")
        keys=$(median "$directory/rates-$line-keys")
        awk -v servers="$servers" -v way="$way" -v wire="$wire" -v plain="$plain" \
            -v keys="$keys" 'BEGIN {
            printf "| %s | %s | %s | %.0f | %.0f | %.0f %% |\n", servers, way, wire, plain, keys,
                100 * keys / plain
        }'
    done
}
if [[ -n $output ]]; then table | tee -- "$output"; else table; fi
