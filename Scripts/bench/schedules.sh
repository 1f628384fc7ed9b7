#!/usr/bin/env bash
# Usage: Scripts/bench/schedules.sh [N [FAMILY...]]
#
# Simulates N schedules of whole clusters with faults (a million by default) on every core: all
# families of faults in Tests/ClusterSimulationTests/ScheduleFamily.swift, with fixed seeds that the
# tests do not use. With FAMILY, simulates only the share of those families. Prints a table by
# family, and the total time. Ends with 1 when a schedule breaks a rule. The schedule is printed as
# family:seed with its last events, and CONVOY_SCHEDULES=family:seed swift test -c release --filter
# onDemand replays it.
set -euo pipefail

root=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/../.." && pwd)
count=${1:-1000000}
[[ $count =~ ^[1-9][0-9]{2,8}$ ]] || {
    echo "schedules: error: expected a number from 100 to 999999999, found $count" >&2
    exit 64
}
cd -- "$root"
Scripts/setup.sh
swift build -c release --build-tests >&2
started=$SECONDS
CONVOY_SCHEDULES="$count ${*:2}" swift test -c release --skip-build --filter ScheduleTests/onDemand
echo "$count schedules ${*:2} in $((SECONDS - started)) s on $(nproc) x$(
    sed -n 's/^model name[^:]*://p' /proc/cpuinfo | head -n 1)"
