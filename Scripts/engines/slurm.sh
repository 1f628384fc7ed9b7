#!/usr/bin/env bash
# Usage: Scripts/engines/slurm.sh
#
# Submits Cluster/slurm/train.sbatch to a private Slurm cluster on this machine: two nodes (two
# slurmd), with their own munged, configuration, ports and directories. An installed Slurm is not
# touched. Trains Fashion-MNIST undisturbed; then again, with keys, while a worker and the
# coordinator are killed, a node fails, the time limit is announced and the job is requeued. Both
# hashes must be those of convoy train. Installs Debian's slurm-wlm and munge if they are missing.
#
# Prints a line that begins with `ok:`, or says what failed and ends with 1. CONVOY=PROGRAM checks
# that program.
set -euo pipefail

# shellcheck source=Scripts/engines/common.sh
source "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/common.sh" slurm

# Enough steps for a fast machine: the last disturbance comes before the end of the run.
steps=6000
need_packages slurm-wlm munge iproute2 dataset-fashion-mnist

daemons=()
stop_engine() {
    local daemon
    scancel --quiet --state=RUNNING 2>/dev/null
    for _ in {1..50}; do
        [[ -n $(squeue --noheader 2>/dev/null) ]] || break
        sleep 0.1
    done
    for daemon in "${daemons[@]}"; do kill -TERM "$daemon" 2>/dev/null; done
    for _ in {1..50}; do
        kill -0 "${daemons[@]}" 2>/dev/null || break
        sleep 0.1
    done
    for daemon in "${daemons[@]}"; do kill -KILL "$daemon" 2>/dev/null; done
    { wait; } 2>/dev/null
}

# daemon NAME COMMAND...: starts a daemon in the background; its output goes to a file.
daemon() {
    "${@:2}" </dev/null >"$directory/$1.log" 2>&1 &
    daemons+=($!)
    logs+=("$directory/$1.log")
}

host=$(hostname -s)
user=$(id -un)
export SLURM_CONF=$directory/slurm.conf
cat >"$SLURM_CONF" <<END
ClusterName=convoy
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$(free_port)
SlurmUser=$user
SlurmdUser=$user
AuthInfo=socket=$directory/munge.socket
StateSaveLocation=$directory/state
SlurmdSpoolDir=$directory/spool-%n
SlurmctldPidFile=$directory/slurmctld.pid
SlurmdPidFile=$directory/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,bf_interval=1,sched_min_interval=0
ReturnToService=2
KillWait=3
NodeName=one NodeHostname=$host NodeAddr=127.0.0.1 Port=$(free_port) CPUs=2
NodeName=two NodeHostname=$host NodeAddr=127.0.0.1 Port=$(free_port) CPUs=2
PartitionName=main Nodes=one,two Default=YES State=UP
END
mkdir "$directory/state" "$directory"/spool-{one,two}
head -c 1024 /dev/urandom >"$directory/munge.key"
chmod 600 "$directory/munge.key"
chmod 700 "$directory/state" # munged wants nobody else to write beside its files
daemon munged munged --foreground --key-file="$directory/munge.key" \
    --socket="$directory/munge.socket" --pid-file="$directory/munged.pid" \
    --seed-file="$directory/munged.seed" --log-file="$directory/munged.out"
wait_for 10 "munged" test -S "$directory/munge.socket"
daemon slurmctld /usr/sbin/slurmctld -D -i
daemon slurmd-one /usr/sbin/slurmd -D -N one
daemon slurmd-two /usr/sbin/slurmd -D -N two
are_idle() { [[ $(sinfo --noheader --format=%t%D) == idle2 ]]; }
wait_for 30 "two idle nodes" are_idle

# submit NAME: puts the job's number into `job`; its output goes to NAME.out, its run to NAME.
submit() {
    run_dir=$directory/$1
    logs=("$directory/slurmctld.log" "$directory/$1.out")
    job=$(CONVOY=$convoy CONVOY_RUN_DIR=$run_dir sbatch --parsable --chdir="$directory" \
        --cpus-per-task=1 --time=20 --output="$directory/$1.out" \
        "$root/Cluster/slurm/train.sbatch" --config "$directory/run.yaml" \
        --steps "$steps") || fail "sbatch" "${logs[@]}"
}

job_state() { scontrol --oneliner show job "$job" | sed 's/.* JobState=\([A-Z]*\).*/\1/'; }
is_over() { [[ $(job_state) =~ ^(COMPLETED|FAILED|CANCELLED|TIMEOUT|NODE_FAIL)$ ]]; }
await_job() {
    wait_for 400 "the end of job $job" is_over
    [[ $(job_state) == COMPLETED ]] || fail "job $job: $(job_state)" "${logs[@]}"
    require_hash "$run_dir"
}
told() { (($(grep -c -- "$1" "$directory/disturbed.out") >= $2)); }

# Slurm delays a requeued job by two minutes, in case a node does not know yet that the earlier try
# is over. Here two seconds are enough.
is_pending() { [[ $(job_state) == PENDING ]]; }
await_try() {
    wait_for 60 "the queueing for try $1" is_pending
    sleep 2
    scontrol update jobid="$job" starttime=now
    wait_for 30 "try $1" told "try $1 on" 1
}

cat >"$directory/run.yaml" <<END
training: {checkpoint-every: 100}
cluster: {heartbeat-interval-ms: 250}
END
undisturbed "$directory/train" --steps "$steps"

submit undisturbed
await_job

# Every task finds the keys by CONVOY_KEYS.
"$convoy" keygen --output "$directory/keys" >/dev/null
export CONVOY_KEYS=$directory/keys
submit disturbed
wait_for 60 "step 50" reached "$run_dir" 50
mapfile -t workers < <(processes_of worker "$run_dir")
kill -KILL "${workers[0]}"
wait_for 30 "another worker" told "worker on .* another takes its place" 1

wait_for 60 "step 150" reached "$run_dir" 150
kill -KILL "$(coordinator_of "$run_dir")"
wait_for 30 "another coordinator" told "the coordinator ended with exit code 137" 1

# Slurm sends this signal a minute before the time limit.
wait_for 60 "step 250" reached "$run_dir" 250
scancel --batch --signal=USR1 "$job"
await_try 2
wait_for 60 "two workers" have_workers 2

wait_for 60 "step 500" reached "$run_dir" 500
scontrol update nodename=two state=down reason=check
wait_for 30 "one worker" have_workers 1
wait_for 60 "step 650" reached "$run_dir" 650

scontrol requeue "$job"
await_try 3
await_job
"$convoy" verify "$run_dir" >/dev/null || fail "the run does not verify" "${logs[@]}"
succeed "keys, worker and coordinator killed, node down, time limit, requeue, $steps steps, \
weights_sha256 ${expected:0:16}, as convoy train"
