#!/usr/bin/env bash
# Usage: Scripts/engines/hosts.sh [--quick | --only captured|readable|unfinished|disturbed]
#
# Trains on four hosts over ssh. A host is a network and process namespace of this machine with its
# own home directory, address and sshd; a fifth namespace has the bridge between them, and starts
# the runs. The machine's own network and configuration are not touched. Shown, each time with the
# weights_sha256 of convoy train on one machine:
#
#   - Scripts/launch.sh with a cluster file and keys starts a run, Scripts/monitor.sh follows it to
#     its end, Scripts/stop.sh leaves no process and no key; a capture of the bridge has no readable
#     text (and one of a run without keys has);
#   - while a run trains, a host is cut off and comes back, loses what it sends and then a part of
#     what it receives, the coordinator is killed and launched again, a host changes its address, is
#     gone for good, and another host takes its place; then the run is stopped, and goes on;
#   - a launch that is interrupted leaves nothing, one that is killed can be repeated.
#
# --quick shows the first, with a host cut off for a moment, and installs openssh-server, which
# elsewhere may start an sshd of the machine's, with CI=true alone. Where that is missing or namespaces
# are not permitted it says so in a line that begins with `skipped:`, and ends with 0. Otherwise it
# prints a line that begins with `ok:`, or says what failed and ends with 1. CONVOY=PROGRAM checks that
# program.
set -euo pipefail

# shellcheck source=Scripts/engines/common.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh" hosts

quick=false
only=
while (($# > 0)); do
    case $1 in
    --quick) quick=true ;;
    --only)
        only=${2:-}
        [[ $only =~ ^(captured|readable|unfinished|disturbed)$ ]] || fail "--only: no such part"
        shift
        ;;
    *) fail "$1: not known" ;;
    esac
    shift
done

skip() {
    echo "skipped: hosts: $1"
    exit 0
}
((EUID == 0)) || skip "needs root, for network namespaces"
if $quick && [[ ${CI:-} != true && ! -x /usr/sbin/sshd ]]; then
    skip "openssh-server is not installed"
fi
need_packages openssh-server openssh-client iproute2 tcpdump nftables procps dataset-fashion-mnist

prefix=cvy-$$
network=$prefix-net
names=(head one two three)
declare -A address=([head]=10.77.0.1 [one]=10.77.0.2 [two]=10.77.0.3 [three]=10.77.0.4
    [four]=10.77.0.5)
# Process that holds a host's namespace; all of the host end with it.
declare -A machine=()
helpers=()

# MARK: Hosts

stop_engine() {
    local process name
    for process in "${helpers[@]}" "${machine[@]}"; do kill -KILL "$process" 2>/dev/null; done
    { wait; } 2>/dev/null
    for name in net "${!address[@]}"; do ip netns del "$prefix-$name" 2>/dev/null; done
    return 0
}

in_network() { ip netns exec "$network" "$@"; }
on() { ip netns exec "$prefix-$1" "${@:2}"; }

if ! { ip netns add "$network" && in_network ip link set lo up &&
    in_network unshare --pid --fork --mount-proc --uts true; } 2>"$directory/namespaces.out"; then
    skip "namespaces are not permitted here ($(tail -n 1 "$directory/namespaces.out"))"
fi
in_network ip link add bridge type bridge || fail "a bridge"
in_network ip addr add 10.77.0.254/24 dev bridge
in_network ip link set bridge up

ssh-keygen -q -t ed25519 -N '' -f "$directory/operator"
cat >"$directory/ssh_config" <<END
Host *
    User root
    Port 2222
    IdentityFile $directory/operator
    IdentitiesOnly yes
    BatchMode yes
    ConnectTimeout 5
    ServerAliveInterval 2
    ServerAliveCountMax 2
    UserKnownHostsFile $directory/known_hosts
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
END
export CONVOY_SSH="ssh -F $directory/ssh_config" CONVOY=$directory/program/convoy
# Hosts do not see it there.
mkdir "$directory/program"
cp -- "$convoy" "$CONVOY"

place_of() { echo "$directory/hosts/$1"; }

# start_host NAME: its cable, its namespace, its sshd.
start_host() {
    local name=$1 place
    place=$(place_of "$name")
    mkdir -p -- "$place/home" "$place/convoy"
    ip netns add "$prefix-$name"
    in_network ip link add "to-$name" type veth peer name eth0 netns "$prefix-$name"
    in_network ip link set "to-$name" master bridge up
    on "$name" ip link set lo up
    on "$name" ip addr add "${address[$name]}/24" dev eth0
    on "$name" ip link set eth0 up
    ssh-keygen -q -t ed25519 -N '' -f "$place/host_key"
    cat >"$place/sshd_config" <<END
Port 2222
HostKey $place/host_key
PidFile none
AuthorizedKeysFile $directory/operator.pub
StrictModes no
UsePAM no
UseDNS no
PasswordAuthentication no
PermitRootLogin prohibit-password
END
    printf 'Host %s\n    HostName %s\n' "$name" "${address[$name]}" >>"$directory/ssh_config"
    echo "[${address[$name]}]:2222 $(cut -d ' ' -f 1,2 "$place/host_key.pub")" \
        >>"$directory/known_hosts"
    # What follows sees its own processes, home directory and /run.
    ip netns exec "$prefix-$name" unshare --pid --fork --kill-child --mount-proc --uts \
        sh -c "hostname $name && mount --bind '$place/home' '$HOME' &&
            mount -t tmpfs tmpfs /run && mkdir -m 755 /run/sshd &&
            mount -t tmpfs tmpfs '$directory/program' &&
            exec /usr/sbin/sshd -D -e -f '$place/sshd_config'" \
        </dev/null >"$place/sshd.log" 2>&1 &
    machine[$name]=$!
    wait_for 20 "sshd of $name" in_network timeout 10 ssh -F "$directory/ssh_config" "$name" true
}

# gone_for_good NAME: its processes and its cable.
gone_for_good() {
    in_network ip link del "to-$1"
    kill -KILL "${machine[$1]}"
    { wait "${machine[$1]}"; } 2>/dev/null || true
    unset "machine[$1]"
}

# Hosts of the cluster file: the last has its program in its home directory.
cluster_line() {
    local roles=worker
    if [[ $1 == head ]]; then roles=coordinator,server; fi
    echo "$1 $roles address=${address[$1]} directory=$(place_of "$1")/convoy"
}

# Numbers of the processes that run a program which was copied to a host, of role $1 or all.
left_over() {
    local process words=()
    for process in /proc/[0-9]*; do
        [[ $(readlink "$process/exe" 2>/dev/null || true) == "$directory"/hosts/* ]] || continue
        mapfile -d '' -t words 2>/dev/null <"$process/cmdline" || continue
        [[ -n ${1:-} && ${words[1]:-} != "$1" ]] || echo "${process#/proc/}"
    done
}
require_none_left() {
    local found name
    found=$(left_over)
    [[ -z $found ]] || fail "processes $(echo "$found" | tr '\n' ' ')are left $1" "${logs[@]}"
    for name in "${!machine[@]}"; do
        ! compgen -G "$(place_of "$name")/*/$run.node" >/dev/null || fail "keys are left $1"
    done
}

# MARK: Runs

# begin RUN: the names of its files.
begin() {
    run=runs/$1
    run_dir=$(place_of head)/convoy/$run
    logs=("$directory/$1.launch" "$run_dir/logs/coordinator-1.out")
}

# A launch from the operator's place; its words to RUN.launch.
launch() {
    cd -- "$directory"
    in_network timeout 200 "$root/Scripts/launch.sh" --cluster "$directory/cluster" \
        --run-dir "$run" "$@" </dev/null >>"$directory/${run#runs/}.launch" 2>&1
}

follow() {
    in_network timeout "$1" "$root/Scripts/monitor.sh" "$run" </dev/null \
        >"$directory/${run#runs/}.monitor" 2>&1
}

stop_run() {
    local status=0
    in_network timeout 120 "$root/Scripts/stop.sh" "$run" </dev/null \
        >"$directory/${run#runs/}.stop" 2>&1 || status=$?
    logs+=("$directory/${run#runs/}.stop")
    return "$status"
}

# has_workers COUNT: what the coordinator says of how many are at work.
has_workers() {
    CONVOY_KEYS=$directory/$run.keys/head in_network "$convoy" status --json --timeout 2 \
        --coordinator "tcp://${address[head]}:5555" 2>/dev/null | grep -q "\"workers\":$1[,}]"
}
step_now() {
    tail -n 1 "$run_dir/metrics.jsonl" 2>/dev/null | sed -n 's/.*"step":\([0-9]*\).*/\1/p' |
        grep . || echo 0
}
# steps_pass COUNT: the run goes on by so many steps.
steps_pass() {
    local goal=$(($(step_now) + $1))
    wait_for 120 "step $goal" reached "$run_dir" "$goal"
}

cut_off() { in_network ip link set "to-$1" down; }
connect() { in_network ip link set "to-$1" up; }

cd -- "$directory"
for name in "${names[@]}"; do
    start_host "$name"
    cluster_line "$name" >>cluster
done
# This one gets the program where launch.sh puts it by itself.
sed -i "s|\(^three .*\) directory=.*|\1|" cluster

settings=(--batch-size 128 --virtual-workers 8 --checkpoint-every 100 --heartbeat-interval-ms 1000)

# MARK: Undisturbed, captured

# capture FILE: what crosses the bridge, its first packets, in the background.
capture() {
    in_network tcpdump -i bridge -s 0 -U -Z root -c 8000 -w "$1" 'tcp and not port 2222' \
        </dev/null >"$1.log" 2>&1 &
    tcpdump=$!
    helpers+=("$tcpdump")
    wait_for 10 "the capture" test -s "$1"
}
end_capture() {
    kill -TERM "$tcpdump" 2>/dev/null || true
    wait "$tcpdump" 2>/dev/null || true
    captured=$(stat --format=%s "$1")
    ((captured > 4 << 20)) || fail "the capture has only $captured bytes" "$1.log"
}
# What the first bytes of a message of members, of the coordinator and of a file's header are.
words=(CVOY '"kind"' 'virtual')

steps=200

captured() {
    begin captured
    capture "$directory/capture"
    launch "${settings[@]}" --steps "$steps" || fail "launch.sh ended with exit code $?" "${logs[@]}"
    wait_for 60 "three workers" has_workers 3
    follow 120 &
    follower=$!
    if $quick; then
        cut_off two
        sleep 3
        connect two
        wait_for 60 "three workers after a cut" has_workers 3
    fi
    wait "$follower" ||
        fail "monitor.sh ended with exit code $?" "$directory/captured.monitor" "${logs[@]}"
    require_hash "$run_dir"
    grep -q "^ended at step $steps: .*$expected" "$directory/captured.monitor" ||
        fail "monitor.sh does not tell of the end" "$directory/captured.monitor"
    stop_run || fail "stop.sh ended with exit code $?" "${logs[@]}"
    require_none_left "after stop.sh"
    end_capture "$directory/capture"
    for word in "${words[@]}"; do
        ! grep -qaF -- "$word" "$directory/capture" || fail "the capture can be read: $word"
    done
    rm -f -- "$directory/capture"
    [[ -x $(place_of three)/home/convoy/convoy ]] || fail "no program in the home directory of three"
}

# Without keys the same words are there, so the search finds what there is.
readable() {
    begin readable
    capture "$directory/capture"
    launch "${settings[@]}" --steps "$steps" --insecure || fail "launch.sh --insecure" "${logs[@]}"
    follow 120 || fail "monitor.sh ended with exit code $?" "${logs[@]}"
    require_hash "$run_dir"
    stop_run || fail "stop.sh ended with exit code $?" "${logs[@]}"
    end_capture "$directory/capture"
    for word in "${words[@]}"; do
        grep -qaF -- "$word" "$directory/capture" || fail "without keys the capture lacks $word"
    done
    rm -f -- "$directory/capture"
}

# MARK: Disturbed

# It lasts as long as the disturbances do; how many steps that were is known afterwards.
disturbed() {
    begin disturbed
    launch "${settings[@]}" --epochs 1000 || fail "launch.sh ended with exit code $?" "${logs[@]}"
    wait_for 60 "three workers" has_workers 3
    steps_pass 50

    echo "hosts: a host is cut off for 10 s" >&2
    cut_off two
    wait_for 30 "the loss of a worker" has_workers 2
    sleep 10
    connect two
    wait_for 90 "its return" has_workers 3
    steps_pass 20

    echo "hosts: what a host sends is lost, then a part of what it receives" >&2
    on one nft -f - <<'END'
table inet faults {
    chain output { type filter hook output priority 0; tcp sport != 2222 drop; }
}
END
    wait_for 30 "the loss of a worker" has_workers 2
    on one nft delete table inet faults
    wait_for 90 "its return" has_workers 3
    on one nft -f - <<'END'
table inet faults {
    chain input { type filter hook input priority 0; numgen random mod 100 < 20 drop; }
}
END
    steps_pass 50
    on one nft delete table inet faults
    wait_for 60 "three workers" has_workers 3
    steps_pass 20

    echo "hosts: the coordinator is killed, and launched again" >&2
    kill -KILL "$(left_over coordinator)"
    launch || fail "launch.sh for another coordinator ended with exit code $?" "${logs[@]}"
    wait_for 90 "three workers with another coordinator" has_workers 3
    steps_pass 20

    echo "hosts: a host changes its address" >&2
    on three ip addr del "${address[three]}/24" dev eth0
    sed -i "s/${address[three]//./\\.}\b/10.77.0.14/" cluster ssh_config known_hosts
    address[three]=10.77.0.14
    on three ip addr add "${address[three]}/24" dev eth0
    wait_for 30 "the loss of a worker" has_workers 2
    wait_for 90 "its return from another address" has_workers 3
    steps_pass 20

    echo "hosts: a host is gone for good, another takes its place" >&2
    gone_for_good two
    wait_for 30 "the loss of a worker" has_workers 2
    steps_pass 50
    start_host four
    sed -i '/^two /d' cluster
    cluster_line four >>cluster
    launch || fail "launch.sh for another host ended with exit code $?" "${logs[@]}"
    wait_for 60 "three workers" has_workers 3
    steps_pass 20
    # One host of the list is gone, which is said.
    ! stop_run || fail "stop.sh does not tell of the host that is gone" "${logs[@]}"
    grep -q '^two: error: not reached over ssh' "$directory/disturbed.stop" ||
        fail "stop.sh does not name the host that is gone" "${logs[@]}"
    require_none_left "after stop.sh"
    rm -- "$run.hosts"

    echo "hosts: the run goes on" >&2
    steps=$(($(summary "$run_dir" steps) + 100))
    launch --steps "$steps" || fail "launch.sh ended with exit code $?" "${logs[@]}"
    follow 200 || fail "monitor.sh ended with exit code $?" "$directory/disturbed.monitor" "${logs[@]}"
    undisturbed "$directory/one-machine-long" "${settings[@]}" --epochs 1000 --steps "$steps"
    require_hash "$run_dir"
    "$convoy" verify "$run_dir" >/dev/null || fail "the run does not verify" "${logs[@]}"
    stop_run || fail "stop.sh ended with exit code $?" "${logs[@]}"
    require_none_left "after stop.sh"
}

# MARK: Launches that do not end

# launch_and_send SIGNAL COMMAND...: a launch in a process group of its own, which gets the signal as
# soon as the command succeeds; when it was faster, its run is ended.
launch_and_send() {
    local signal=$1 launcher
    shift
    setsid env --default-signal=INT ip netns exec "$network" "$root/Scripts/launch.sh" \
        --cluster "$directory/cluster" --run-dir "$run" "${settings[@]}" --steps "$steps" \
        </dev/null >>"$directory/interrupted.launch" 2>&1 &
    launcher=$!
    until "$@" || has_ended "$launcher"; do sleep 0.02; done
    kill -"$signal" -- "-$launcher" 2>/dev/null || true
    wait_for 120 "the end of a launch" has_ended "$launcher"
    { wait "$launcher"; } 2>/dev/null || return 0
    echo "hosts: a launch was over before: $*" >&2
    stop_run || fail "stop.sh ended with exit code $?" "${logs[@]}"
}
# lists HOST ROLE: whether a host's list has a process of this role.
lists() { grep -qs "^$2" "$(place_of "$1")/convoy/$run.pids"; }

unfinished() {
    begin interrupted
    launch_and_send INT sleep 0.5
    require_none_left "after a launch that was interrupted at once"
    launch_and_send INT test -x "$(place_of one)/convoy/convoy"
    require_none_left "after a launch that was interrupted while it copied"
    launch_and_send INT test -s "$run_dir.pids"
    require_none_left "after a launch that was interrupted before its first process"
    launch_and_send INT lists head coordinator
    require_none_left "after a launch that was interrupted at its coordinator"
    launch_and_send INT lists one worker
    require_none_left "after a launch that was interrupted at its workers"
    # Killed: what it has started goes on, until the next launch ends it.
    launch_and_send KILL lists head coordinator
    launch_and_send KILL lists one worker
    launch "${settings[@]}" --steps "$steps" || fail "launch.sh ended with exit code $?" "${logs[@]}"
    follow 120 ||
        fail "monitor.sh ended with exit code $?" "$directory/interrupted.monitor" "${logs[@]}"
    require_hash "$run_dir"
    stop_run || fail "stop.sh ended with exit code $?" "${logs[@]}"
    require_none_left "after stop.sh"
}

# MARK: All of it

undisturbed "$directory/one-machine" "${settings[@]}" --steps "$steps"
if $quick; then
    captured
    succeed "four hosts by ssh, keys, one cut off, nothing readable in $((captured >> 20)) MiB, \
weights_sha256 ${expected:0:16}, as convoy train"
    exit 0
fi
# The last one changes hosts and what is expected.
for part in ${only:-captured readable unfinished disturbed}; do
    echo "hosts: $part" >&2
    "$part"
done
succeed "four hosts by ssh: ${only:-keys, capture, launches interrupted and killed, a cut of 10 s, \
one-way loss, coordinator killed, another address, a host gone and replaced, stop and resume}; \
weights_sha256 as convoy train"
