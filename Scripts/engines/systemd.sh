#!/usr/bin/env bash
# Usage: Scripts/engines/systemd.sh
#
# Verifies the units in Cluster/systemd (systemd-analyze: syntax, and exposure after the hardening),
# and trains with their command lines, while the coordinator is killed and started again as by
# systemd. Needs no running systemd; installs Debian's systemd if it is missing.
#
# Prints a line that begins with `ok:`, or says what failed and ends with 1. CONVOY=PROGRAM checks
# that program.
set -euo pipefail

# shellcheck source=Scripts/engines/common.sh
source "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/common.sh" systemd

# Enough steps for a fast machine: its coordinator is killed before the end of the run.
steps=3000
# The highest exposure allowed: systemd-analyze's scale goes from 0 (nothing is open) to 100.
most_exposure=20
command -v systemd-analyze >/dev/null || need_packages systemd
need_packages dataset-fashion-mnist

processes=()
stop_engine() {
    ((${#processes[@]} == 0)) || kill -KILL "${processes[@]}" 2>/dev/null
    { wait; } 2>/dev/null
}

# Here the program is at another path.
units=$directory/units
mkdir "$units"
for unit in "$root"/Cluster/systemd/*.service; do
    sed "s|/usr/local/bin/convoy|$convoy|" "$unit" >"$units/${unit##*/}"
done
logs=("$directory/verify.out")
# systemd-analyze verifies a template by an instance.
cp -- "$units/convoy-worker@.service" "$units/convoy-worker@1.service"
cp -- "$units/convoy-server@.service" "$units/convoy-server@1.service"
for unit in convoy-coordinator convoy-worker@1 convoy-server@1; do
    SYSTEMD_LOG_LEVEL=warning timeout 30 systemd-analyze verify --man=no --recursive-errors=no \
        "$units/$unit.service" >"$directory/verify.out" 2>&1 ||
        fail "systemd-analyze verify $unit" "${logs[@]}"
    [[ ! -s $directory/verify.out ]] || fail "systemd-analyze verify $unit" "${logs[@]}"
    timeout 30 systemd-analyze security --offline=yes --threshold="$most_exposure" --no-pager \
        "$units/$unit.service" >"$directory/verify.out" 2>&1 ||
        fail "systemd-analyze security $unit: above $most_exposure" "${logs[@]}"
done

# The settings of `convoy.env`, here.
run_dir=$directory/run
cat >"$directory/run.yaml" <<END
training: {steps: $steps, checkpoint-every: 50}
cluster: {workers: 2, servers: 1, heartbeat-interval-ms: 250}
END
export CONVOY_CONFIG=$directory/run.yaml CONVOY_RUN_DIR=$run_dir CONVOY_THREADS=1
CONVOY_LISTEN=tcp://127.0.0.1:$(free_port)
export CONVOY_LISTEN CONVOY_COORDINATOR=$CONVOY_LISTEN
logs=()

# start UNIT NUMBER: runs the unit's command line as systemd reads it, in the background.
start() {
    local line
    line=$(sed -n -e '/^ExecStart=/,/[^\\]$/ { s/^ExecStart=//; p }' "$units/$1.service")
    # A backslash at the end joins lines, $$ is a dollar sign, %H and %i are the host and the
    # instance.
    line=$(sed -e ':join' -e '/\\$/ { N; s/\\\n */ /; b join }' -e 's/\$\$/$/g' \
        -e "s/%H/host/g; s/%i/$2/g" <<<"$line")
    bash -c "exec $line" </dev/null >>"$directory/$1-$2.log" 2>&1 &
    processes+=($!)
    [[ " ${logs[*]} " == *" $directory/$1-$2.log "* ]] || logs+=("$directory/$1-$2.log")
}

start convoy-worker@ 1
start convoy-worker@ 2
start convoy-server@ 1
start convoy-coordinator 0
wait_for 60 "step 100" reached "$run_dir" 100
coordinator=${processes[3]}
kill -KILL "$coordinator"
{ wait "$coordinator"; } 2>/dev/null || true
start convoy-coordinator 0
for process in "${processes[@]:0:3}" "${processes[4]}"; do
    code=0
    wait_for 300 "the end of process $process" has_ended "$process"
    wait "$process" || code=$?
    ((code == 0)) || fail "process $process ended with exit code $code" "${logs[@]}"
done
processes=()

undisturbed "$directory/undisturbed" --config "$directory/run.yaml"
require_hash "$run_dir"
succeed "units verified, coordinator killed, $steps steps, weights_sha256 ${expected:0:16}, as \
convoy train"
