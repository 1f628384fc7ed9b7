#!/usr/bin/env bash
# Usage: Scripts/bench/series.sh [flags]
#
# Trains Cluster/trace.yaml on four sets of series with several seeds, and compares the median of the
# test accuracies with what each set has to reach: Trace 0.98, GunPoint 0.97, BasicMotions 0.95,
# ItalyPowerDemand 0.95. (InceptionTime, an ensemble of five larger networks, reaches 1.0, 1.0 and, on
# the last, 0.966 on the archive's own split, as Ismail Fawaz et al. publish.) Ends with 1 when a
# median is below.
#
#   --seeds N      seeds 1 to N (5)
#   --data DIR     where Scripts/fetch-series.sh puts the sets (data/series)
#   --only NAME    trace, gunpoint, basicmotions or italypowerdemand; may be repeated
#   --quick        one seed and few epochs: to see whether all runs, not to quote; compares nothing
#
# CONVOY=PROGRAM measures that program and builds nothing. Takes some ten minutes on 2 cores.
# shellcheck disable=SC2034,SC2154 # common.sh reads what is set here, and sets what is read
set -euo pipefail

bench=series
# shellcheck source=Scripts/bench/common.sh disable=SC1091
source "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/common.sh"

declare -A required=([trace]=0.98 [gunpoint]=0.97 [basicmotions]=0.95 [italypowerdemand]=0.95)
seeds=5
data=data/series
only=()
extra=()
while (($# > 0)); do
    if [[ $1 == --quick ]]; then
        seeds=1
        extra=(--epochs 6)
        shift
        continue
    fi
    (($# > 1)) || usage_error "$1: its value is missing"
    case $1 in
    --seeds)
        require_count --seeds "$2"
        seeds=$2
        ;;
    --data) data=$2 ;;
    --only)
        [[ -n ${required[$2]:-} ]] || usage_error "--only: expected ${!required[*]}, found '$2'"
        only+=("$2")
        ;;
    *) usage_error "$1: expected --seeds, --data, --only or --quick" ;;
    esac
    shift 2
done
((${#only[@]} > 0)) || only=(trace gunpoint basicmotions italypowerdemand)

prepare_convoy
"$root/Scripts/fetch-series.sh" "$data" >&2
machine
convoy_version

status=0
for name in "${only[@]}"; do
    accuracies=()
    for ((seed = 1; seed <= seeds; seed++)); do
        run=$directory/$name-$seed
        take_turn
        "$convoy" train --config "$root/Cluster/trace.yaml" --data "npy:$data/$name" --seed "$seed" \
            --run-dir "$run" "${extra[@]}" </dev/null >"$run.out" 2>&1 ||
            fail "$name, seed $seed: $(tail -n 3 "$run.out")"
        give_turn
        accuracies+=("$(summary "$run" test_accuracy)")
        rm -rf -- "$run"
    done
    median=$(printf '%s\n' "${accuracies[@]}" | sort -g | awk '
        { values[NR] = $1 }
        END { print (values[int((NR + 1) / 2)] + values[int(NR / 2) + 1]) / 2 }')
    verdict=reached
    if ((${#extra[@]} > 0)); then
        verdict="not compared"
    elif ! awk -v m="$median" -v r="${required[$name]}" 'BEGIN { exit !(m >= r) }'; then
        verdict="NOT reached"
        status=1
    fi
    echo "$name: median $median of ${accuracies[*]}; at least ${required[$name]}: $verdict"
done
exit "$status"
