#!/usr/bin/env bash
# Usage: Scripts/engines/mpi.sh
#
# Starts workers by mpirun, as on a cluster that has only MPI. Kills one, whereupon mpirun ends all
# of them, starts them again, and ends the run when these have computed too: the run has no end of
# its own, however fast the machine is. Installs Debian's openmpi-bin if it is missing.
#
# Prints a line that begins with `ok:`, or says what failed and ends with 1. CONVOY=PROGRAM checks
# that program.
set -euo pipefail

# shellcheck source=Scripts/engines/common.sh
source "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/common.sh" mpi

# The least number of steps for each pair of workers.
most=100
need_packages openmpi-bin dataset-fashion-mnist
# All processes run on this host, even without ssh.
export OMPI_MCA_plm_rsh_agent=true OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

processes=()
stop_engine() {
    ((${#processes[@]} == 0)) || kill -TERM "${processes[@]}" 2>/dev/null
    sleep 1
    ((${#processes[@]} == 0)) || kill -KILL "${processes[@]}" 2>/dev/null
    { wait; } 2>/dev/null
}

# start NAME COMMAND...: runs a command in the background.
start() {
    "${@:2}" </dev/null >>"$directory/$1.log" 2>&1 &
    processes+=($!)
}

run_dir=$directory/run
logs=("$directory/coordinator.log" "$directory/workers.log")
start coordinator "$convoy" coordinator --run-dir "$run_dir" --listen 'tcp://127.0.0.1:*' \
    --workers 2 --servers 1 --epochs 100000 --heartbeat-interval-ms 250
wait_for 30 "the coordinator" test -s "$run_dir/endpoint"
read -r endpoint <"$run_dir/endpoint"
start server "$convoy" server --coordinator "$endpoint"

workers() {
    start workers mpirun -n 2 --oversubscribe --bind-to none \
        "$convoy" worker --coordinator "$endpoint"
}
workers
wait_for 60 "step $most" reached "$run_dir" "$most"
mapfile -t ranks < <(processes_of worker "$run_dir")
((${#ranks[@]} == 2)) || fail "expected 2 workers, found ${#ranks[@]}" "${logs[@]}"
kill -KILL "${ranks[0]}"
wait_for 30 "the end of mpirun" has_ended "${processes[2]}"
workers
are_back() { (($(processes_of worker "$run_dir" | wc -l) == 2)); }
wait_for 30 "the start of two workers" are_back
last=$(tail -n 1 "$run_dir/metrics.jsonl" | sed -n 's/.*"step":\([0-9]*\).*/\1/p')
wait_for 60 "$most steps more" reached "$run_dir" "$((last + most))"
# Interrupts the coordinator as Ctrl-C does: it writes a checkpoint and sends all members home.
kill -INT "${processes[0]}"
for process in "${processes[0]}" "${processes[1]}" "${processes[3]}"; do
    wait_for 60 "the end of process $process" has_ended "$process"
done
code=0
wait "${processes[0]}" || code=$?
((code == 130)) || fail "the coordinator ended with exit code $code, expected 130" "${logs[@]}"
processes=()

steps=$(summary "$run_dir" steps)
undisturbed "$directory/undisturbed" --epochs 100000 --steps "$steps"
require_hash "$run_dir"
succeed "a worker killed and mpirun repeated, $steps steps, weights_sha256 ${expected:0:16}, as \
convoy train"
