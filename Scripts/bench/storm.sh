#!/usr/bin/env bash
# Usage: Scripts/bench/storm.sh [RUNS [FIRST_SEED]]
#
# Makes 125 kills (kill -9) and 38 stops (SIGSTOP, half of them for good) at random moments over all
# roles in each of RUNS runs (8) by Scripts/chaos.sh: 1,000 kills and 304 stops in all, in about 40
# minutes on two cores. Seeds are FIRST_SEED (1) and those after it. Prints a line a run and one
# table for all. Ends with 0 only when each run ended by itself, with the hash of an undisturbed run
# of equal settings, an exact ledger, and no process left. The records of other runs stay in
# runs/storm-SEED.
#
# CONVOY=PROGRAM starts that program and builds nothing.
set -euo pipefail

root=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/../.." && pwd)
runs=${1:-8}
first=${2:-1}
[[ $runs =~ ^[1-9][0-9]?$ && $first =~ ^[1-9][0-9]{0,6}$ ]] || {
    echo "storm: error: expected 1 to 99 runs and a seed, found $*" >&2
    exit 64
}
cd -- "$root"
if [[ -z ${CONVOY:-} ]]; then
    Scripts/setup.sh
    swift build -c release --product convoy >&2
    export CONVOY=$root/.build/release/convoy
fi
mkdir -p runs

declare -A kills=() stops=() good=()
expect=
failed=0
began=$SECONDS
for ((seed = first; seed < first + runs; seed++)); do
    rm -rf -- "runs/storm-$seed" "runs/storm-$seed-undisturbed" runs/storm-"$seed"*.out
    report=$(Scripts/chaos.sh --kill-every 1.5 --kills 125 --stop-every 5 --stops 38 --for-good 50 \
        --seed "$seed" --within 800 --run-dir "runs/storm-$seed" ${expect:+--expect "$expect"} \
        -- --epochs 10 --checkpoint-every 200) && code=0 || code=$?
    while IFS='|' read -r _ role killed stopped ended _; do
        role=${role// /}
        [[ $role =~ ^(coordinator|server|worker)$ ]] || continue
        kills[$role]=$((${kills[$role]:-0} + killed))
        stops[$role]=$((${stops[$role]:-0} + stopped))
        good[$role]=$((${good[$role]:-0} + ended))
    done <<<"$report"
    grep -E '^(undisturbed|seed|all equal|chaos: FAILED)' <<<"$report" || true
    if ((code == 0)); then
        expect=$(sed -n 's/^seed .*weights_sha256 \([0-9a-f]*\)$/\1/p' <<<"$report")
        rm -rf -- "runs/storm-$seed" "runs/storm-$seed-undisturbed" runs/storm-"$seed"*.out
    else
        echo "seed $seed: exit code $code, see runs/storm-$seed and runs/storm-$seed.out"
        failed=$((failed + 1))
    fi
done

printf '\n| role | kill -9 | SIGSTOP | of these for good |\n|---|--:|--:|--:|\n'
sums=(0 0 0)
for role in coordinator server worker; do
    row=("${kills[$role]:-0}" "${stops[$role]:-0}" "${good[$role]:-0}")
    printf '| %s | %d | %d | %d |\n' "$role" "${row[@]}"
    for index in 0 1 2; do sums[index]=$((sums[index] + row[index])); done
done
printf '| in all | %d | %d | %d |\n\n' "${sums[@]}"
echo "$runs runs, $failed failed, $((SECONDS - began)) s on $(nproc) x$(
    sed -n 's/^model name[^:]*://p' /proc/cpuinfo | head -n 1)"
((failed == 0))
