#!/usr/bin/env bash
# Usage: Scripts/engines/mpi.sh
#
# Starts workers by mpirun, as one does on a cluster that has nothing but MPI; kills one, upon which
# mpirun ends all of them, and starts them again. Installs Debian's openmpi-bin if it is missing.
#
# Prints a line that begins with `ok:`, or says what failed and ends with 1. CONVOY=PROGRAM checks
# that program.
set -euo pipefail

# shellcheck source=Scripts/engines/common.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh" mpi

steps=300
need_packages openmpi-bin dataset-fashion-mnist
# All processes are on this host, also where there is no ssh.
export OMPI_MCA_plm_rsh_agent=true OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

processes=()
stop_engine() {
    ((${#processes[@]} == 0)) || kill -TERM "${processes[@]}" 2>/dev/null
    sleep 1
    ((${#processes[@]} == 0)) || kill -KILL "${processes[@]}" 2>/dev/null
    { wait; } 2>/dev/null
}

# start NAME COMMAND...: in the background.
start() {
    "${@:2}" </dev/null >>"$directory/$1.log" 2>&1 &
    processes+=($!)
}

run_dir=$directory/run
logs=("$directory/coordinator.log" "$directory/workers.log")
start coordinator "$convoy" coordinator --run-dir "$run_dir" --listen 'tcp://127.0.0.1:*' \
    --workers 2 --servers 1 --steps "$steps" --heartbeat-interval-ms 250
wait_for 30 "the coordinator" test -s "$run_dir/endpoint"
read -r endpoint <"$run_dir/endpoint"
start server "$convoy" server --coordinator "$endpoint"

workers() {
    start workers mpirun -n 2 --oversubscribe --bind-to none \
        "$convoy" worker --coordinator "$endpoint"
}
workers
wait_for 60 "step 100" reached "$run_dir" 100
mapfile -t ranks < <(processes_of worker "$run_dir")
((${#ranks[@]} == 2)) || fail "expected 2 workers, found ${#ranks[@]}" "${logs[@]}"
kill -KILL "${ranks[0]}"
wait_for 30 "the end of mpirun" has_ended "${processes[2]}"
workers
for process in "${processes[0]}" "${processes[1]}" "${processes[3]}"; do
    code=0
    wait_for 60 "the end of process $process" has_ended "$process"
    wait "$process" || code=$?
    ((code == 0)) || fail "process $process ended with exit code $code" "${logs[@]}"
done
processes=()

undisturbed "$directory/undisturbed" --steps "$steps"
require_hash "$run_dir"
succeed "a worker killed and mpirun repeated, $steps steps, weights_sha256 ${expected:0:16}, as \
convoy train"
