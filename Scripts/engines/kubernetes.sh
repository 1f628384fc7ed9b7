#!/usr/bin/env bash
# Usage: Scripts/engines/kubernetes.sh
#
# Validates Cluster/kubernetes/convoy.yaml with the schemas of two versions of Kubernetes (PyPI's
# kubernetes-validate), checks that the names in it refer to something, and trains with its command
# lines, without a cluster. The coordinator is killed and started again as its StatefulSet would,
# and once more after the end of the run. As root the processes have the pods' user and group, and
# keys in a read-only volume as Kubernetes makes it from a secret.
#
# Prints a line that begins with `ok:`, or says what failed and ends with 1. CONVOY=PROGRAM checks
# that program.
set -euo pipefail

# shellcheck source=Scripts/engines/common.sh
source "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/common.sh" kubernetes

# Enough steps for a fast machine: its coordinator is killed before the end of the run.
steps=3000
manifest=$root/Cluster/kubernetes/convoy.yaml
need_packages dataset-fashion-mnist
need_python kubernetes kubernetes-validate pyyaml

processes=()
is_mounted=false
stop_engine() {
    ((${#processes[@]} == 0)) || kill -KILL "${processes[@]}" 2>/dev/null
    { wait; } 2>/dev/null
    ! $is_mounted || umount "$directory/keys-volume"
}

for version in 1.29 1.33; do
    "$python" "$engines/kubernetes_check.py" validate "$version" "$manifest" \
        >"$directory/validate.out" 2>&1 ||
        fail "$manifest is not valid for Kubernetes $version" "$directory/validate.out"
done

value() { "$python" "$engines/kubernetes_check.py" value "$1" "$2" "$manifest"; }

# The places of the containers' files on this machine. Only the steps of the run file change.
run_dir=$directory/run
mkdir "$directory/bin"
cp -- "$convoy" "$directory/bin/convoy"
port=$(free_port)
value ConfigMap/convoy-run data/run.yaml |
    sed "s/checkpoint-every: [0-9]*/checkpoint-every: 50, steps: $steps/" >"$directory/run.yaml"
export PATH=$directory/bin:$PATH CONVOY_CONFIG=$directory/run.yaml CONVOY_RUN_DIR=$run_dir
export POD_IP=127.0.0.1 CONVOY_COORDINATOR=tcp://127.0.0.1:$port

# Pods have no home directory, and a user other than root.
as_pod=()
secured="without keys, which needs root"
if ((EUID == 0)) && mkdir "$directory/keys-volume" &&
    mount -t tmpfs tmpfs "$directory/keys-volume" 2>/dev/null; then
    is_mounted=true
    secured="keys of a secret"
    "$convoy" keygen --output "$directory/keys" >/dev/null
    "$python" "$engines/kubernetes_check.py" mount StatefulSet/convoy-coordinator \
        "$directory/keys" "$directory/keys-volume" "$manifest"
    mount -o remount,ro "$directory/keys-volume"
    user=$(value StatefulSet/convoy-coordinator spec/template/spec/securityContext/runAsUser)
    group=$(value StatefulSet/convoy-coordinator spec/template/spec/securityContext/runAsGroup)
    as_pod=(setpriv "--reuid=$user" "--regid=$group" --clear-groups
        env HOME=/nonexistent "CONVOY_KEYS=$directory/keys-volume")
    chown "$user:$group" "$directory"
fi

# start NAME OBJECT INDEX: runs the command of the object's container in the background.
start() {
    local command
    command=$(value "$2" spec/template/spec/containers/0/command/2)
    JOB_COMPLETION_INDEX=$3 "${as_pod[@]}" sh -c "${command//:5555/:$port}" </dev/null \
        >>"$directory/$1.log" 2>&1 &
    processes+=($!)
}

logs=("$directory/coordinator.log" "$directory/server.log" "$directory/worker-0.log")
start server Job/convoy-server 0
workers=$(value Job/convoy-worker spec/completions)
for ((index = 0; index < workers; index++)); do
    start "worker-$index" Job/convoy-worker "$index"
done
start coordinator StatefulSet/convoy-coordinator 0
wait_for 60 "step 100" reached "$run_dir" 100
kill -KILL "${processes[-1]}"
{ wait "${processes[-1]}"; } 2>/dev/null || true
unset 'processes[-1]'
start coordinator StatefulSet/convoy-coordinator 0
for process in "${processes[@]}"; do
    code=0
    wait_for 300 "the end of process $process" has_ended "$process"
    wait "$process" || code=$?
    ((code == 0)) || fail "process $process ended with exit code $code" "${logs[@]}"
done
processes=()

# The container is started again, and only sleeps.
start coordinator StatefulSet/convoy-coordinator 0
rests() { [[ $(tr '\0' ' ' <"/proc/${processes[0]}/cmdline") == "sleep infinity " ]]; }
wait_for 10 "rest after the end of the run" rests

undisturbed "$directory/undisturbed" --config "$directory/run.yaml"
require_hash "$run_dir"
succeed "manifests valid, $secured, coordinator killed, $steps steps, weights_sha256 ${expected:0:16}, as \
convoy train"
