#!/usr/bin/env bash
# Usage: Scripts/engines/hosts.sh [--quick | --only PART]
#
# Trains on four hosts over ssh. A host is a network and process namespace of this machine with its
# own home directory, address and sshd; a fifth namespace has the bridge between them, and starts
# the runs. The machine's own network and configuration are not touched. Each part compares the
# weights_sha256 with that of convoy train on one machine:
#
#   captured    Scripts/launch.sh with a cluster file and keys starts a run, Scripts/monitor.sh follows
#               it to its end, Scripts/stop.sh leaves no process and no key; a capture of the bridge
#               has no readable text
#   readable    such a run without keys, whose capture has readable text
#   ipv6        hosts that have only IPv6 addresses, two of them without a name
#   doctor      faults on the hosts, one after the other: convoy doctor names each, and no other
#   unfinished  a launch that is interrupted leaves nothing, one that is killed can be repeated
#   servers     the host of the only server is gone for good: another takes its place, and when that
#               goes too, the shard moves to a server in reserve
#   disturbed   while a run trains, a host is cut off and comes back, loses the packets it sends and
#               then a part of those it receives, the coordinator is killed and launched again, a host
#               changes its address, is gone for good, and another host takes its place; then the run
#               is stopped and resumed
#   static      without CONVOY: launch.sh builds the program with Swift's libraries inside, and hosts
#               without these libraries run it, unlike the usual program; runs only when asked for,
#               and is skipped without Swift's compiler
#
# --quick runs the first part, with a host cut off until it is missed, a stop and a second start. It
# installs openssh-server only with CI=true, because elsewhere that may start an sshd on the
# machine. Without openssh-server, or where namespaces are not permitted, the script prints a line
# that begins with `skipped:`, and ends with 0. Otherwise it prints a line that begins with `ok:`,
# or says what failed and ends with 1. CONVOY=PROGRAM checks that program.
set -euo pipefail

# shellcheck source=Scripts/engines/common.sh
source "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/common.sh" hosts

quick=false
only=
# The last part changes its hosts and the expected weights.
parts=(captured readable ipv6 doctor unfinished servers disturbed)
while (($# > 0)); do
    case $1 in
    --quick) quick=true ;;
    --only)
        only=${2:-}
        [[ " ${parts[*]} static " == *" $only "* ]] || fail "--only: expected ${parts[*]} or static"
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
    [four]=10.77.0.5 [five]=10.77.0.6 [six]=10.77.0.7 [seven]=10.77.0.8)
# The process that holds a host's namespace; all processes of the host end with it.
declare -A machine=()
helpers=()

# MARK: Hosts

# Kills a process that this script started, and waits for its end, 5 s at most.
end_now() {
    local deadline=$((SECONDS + 5))
    kill -KILL "$1" 2>/dev/null || return 0
    until has_ended "$1" || ((SECONDS >= deadline)); do sleep 0.05; done
}

stop_engine() {
    local process name
    for process in "${helpers[@]}" "${machine[@]}"; do end_now "$process"; done
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
# Hosts do not see the program there.
mkdir "$directory/program"
cp -- "$convoy" "$CONVOY"

place_of() { echo "$directory/hosts/$1"; }

# known_at ADDRESS NAME: makes the host's sshd known to the operator at this address.
known_at() {
    echo "[$1]:2222 $(cut -d ' ' -f 1,2 "$(place_of "$2")/host_key.pub")" >>"$directory/known_hosts"
}

# start_host NAME: makes the host's cable and namespace, and starts its sshd.
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
    known_at "${address[$name]}" "$name"
    # The processes started here see their own processes, home directory and /run.
    ip netns exec "$prefix-$name" unshare --pid --fork --kill-child --mount-proc --uts \
        sh -c "hostname $name && mount --bind '$place/home' '$HOME' &&
            mount -t tmpfs tmpfs /run && mkdir -m 755 /run/sshd &&
            mount -t tmpfs tmpfs '$directory/program' &&
            exec /usr/sbin/sshd -D -e -f '$place/sshd_config'" \
        </dev/null >"$place/sshd.log" 2>&1 &
    machine[$name]=$!
    # Keeps the shell from reporting each process that is killed.
    disown
    wait_for 20 "sshd of $name" in_network timeout 10 ssh -F "$directory/ssh_config" "$name" true
}

# at_host NAME COMMAND: runs a command over ssh, with the mounts that the host's processes have.
at_host() {
    in_network timeout 20 ssh -F "$directory/ssh_config" "$1" "$2" </dev/null ||
        fail "on $1: $2"
}

# gone_for_good NAME: removes the host's cable and ends its processes.
gone_for_good() {
    in_network ip link del "to-$1"
    end_now "${machine[$1]}"
    unset "machine[$1]"
}

# cluster_line NAME [ROLES]
cluster_line() {
    local roles=worker
    if [[ $1 == head ]]; then roles=coordinator,server; fi
    echo "$1 ${2:-$roles} address=${address[$1]} directory=$(place_of "$1")/convoy"
}

# Prints the numbers of the processes, of role $1 or all, that run a program copied to a host.
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

# begin RUN: sets the names of the run's files.
begin() {
    run=runs/$1
    run_dir=$(place_of head)/convoy/$run
    logs=("$directory/$1.launch" "$run_dir/logs/coordinator-1.out")
}

# Launches the run from the operator's place; the output goes to RUN.launch.
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

# has FIELD NUMBER: whether the coordinator's status has this number, whether healthy or not.
has() {
    { CONVOY_KEYS=$directory/$run.keys/head in_network "$convoy" status --json --timeout 2 \
        --coordinator "$(head -n 1 "$run_dir/endpoint")" 2>/dev/null || true; } |
        grep -q "\"$1\":$2[,}]"
}
has_workers() { has workers "$1"; }
step_now() {
    tail -n 1 "$run_dir/metrics.jsonl" 2>/dev/null | sed -n 's/.*"step":\([0-9]*\).*/\1/p' |
        grep . || echo 0
}
# steps_pass COUNT: waits until the run has made COUNT more steps.
steps_pass() {
    local goal=$(($(step_now) + $1))
    wait_for 120 "step $goal" reached "$run_dir" "$goal"
}

cut_off() { in_network ip link set "to-$1" down; }
connect() { in_network ip link set "to-$1" up; }

cd -- "$directory"
for name in "${names[@]}"; do start_host "$name"; done

# Writes the cluster file of most parts; launch.sh chooses the program's place on the last host.
usual_cluster() {
    for name in "${names[@]}"; do cluster_line "$name"; done |
        sed 's|\(^three .*\) directory=.*|\1|' >"$directory/cluster"
}
usual_cluster

settings=(--batch-size 128 --virtual-workers 8 --checkpoint-every 100 --heartbeat-interval-ms 1000)

# MARK: Undisturbed, captured

# capture FILE: captures the first packets that cross the bridge, in the background.
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
# The beginning of members' messages (magic and version), a word of the coordinator's messages, and
# one of a run file. Each has six bytes or more: four bytes occur by chance in some gigabytes of
# noise, which sealed messages look like.
words=('CVOY\x01\x00' '"kind"' 'virtual')
is_in() {
    local status=0
    LC_ALL=C grep -qaP -- "$1" "$2" || status=$?
    ((status < 2)) || fail "$2 cannot be searched"
    return "$status"
}

usual_steps=200
steps=$usual_steps

# Requires that monitor.sh has reported the end of the run.
require_told() {
    local told=$directory/${run#runs/}.monitor
    grep -q "^ended at step $steps: .*$expected" "$told" ||
        fail "monitor.sh does not tell of the end" "$told"
}

captured() {
    begin captured
    capture "$directory/capture"
    # The short form lasts until the host that was cut off is back, however fast the others are.
    local length=(--steps "$steps")
    if $quick; then length=(--epochs 1000); fi
    launch "${settings[@]}" "${length[@]}" || fail "launch.sh ended with exit code $?" "${logs[@]}"
    wait_for 60 "three workers" has_workers 3
    if $quick; then
        cut_off two
        wait_for 30 "the loss of a worker" has_workers 2
        connect two
        wait_for 60 "three workers after a cut" has_workers 3
        steps_pass 20
    else
        follow 120 ||
            fail "monitor.sh ended with exit code $?" "$directory/captured.monitor" "${logs[@]}"
        require_hash "$run_dir"
        require_told
    fi
    stop_run || fail "stop.sh ended with exit code $?" "${logs[@]}"
    require_none_left "after stop.sh"
    if $quick; then go_on; fi
    end_capture "$directory/capture"
    for word in "${words[@]}"; do
        ! is_in "$word" "$directory/capture" || fail "the capture can be read: $word"
    done
    rm -f -- "$directory/capture"
    [[ -x $(place_of three)/home/convoy/convoy ]] || fail "no program in the home directory of three"
}

# Without keys the capture has the words, so the search works.
readable() {
    begin readable
    capture "$directory/capture"
    launch "${settings[@]}" --steps "$steps" --insecure || fail "launch.sh --insecure" "${logs[@]}"
    follow 120 || fail "monitor.sh ended with exit code $?" "${logs[@]}"
    require_hash "$run_dir"
    stop_run || fail "stop.sh ended with exit code $?" "${logs[@]}"
    end_capture "$directory/capture"
    for word in "${words[@]}"; do
        is_in "$word" "$directory/capture" || fail "without keys the capture lacks $word"
    done
    rm -f -- "$directory/capture"
}

# MARK: IPv6

ipv6() {
    local name number line
    if [[ ! -e /proc/net/if_inet6 ]]; then
        echo "hosts: this machine has no IPv6, so that part is left out" >&2
        return
    fi
    begin ipv6
    # nodad: addresses are used at once, because no other host has them.
    in_network ip addr add fd00:77::fe/64 dev bridge nodad
    cp -- "$directory/ssh_config" "$directory/ssh_config.usual"
    cp -- "$directory/known_hosts" "$directory/known_hosts.usual"
    for name in "${names[@]}"; do
        number=${address[$name]##*.}
        on "$name" ip addr add "fd00:77::$number/64" dev eth0 nodad
        on "$name" ip -4 addr flush dev eth0
        known_at "fd00:77::$number" "$name"
        sed -i "s/HostName 10\.77\.0\.$number\$/HostName fd00:77::$number/" "$directory/ssh_config"
    done
    in_network ip -4 addr flush dev bridge
    # Names with an address, and addresses without a name, with and without a directory.
    cat >"$directory/cluster" <<END
head coordinator,server address=fd00:77::1 directory=$(place_of head)/convoy
one worker address=fd00:77::2 directory=$(place_of one)/convoy
fd00:77::3 worker directory=$(place_of two)/convoy
fd00:77::4 worker
END
    launch "${settings[@]}" --steps "$steps" || fail "launch.sh ended with exit code $?" "${logs[@]}"
    line=$(head -n 1 "$run_dir/endpoint")
    [[ $line == 'tcp://[fd00:77::1]:5555' ]] || fail "the coordinator is at $line" "${logs[@]}"
    ! grep -q '^\(warning\|error\) ' "${logs[0]}" || fail "the doctor has found something" "${logs[@]}"
    follow 120 || fail "monitor.sh ended with exit code $?" "$directory/ipv6.monitor" "${logs[@]}"
    require_hash "$run_dir"
    stop_run || fail "stop.sh ended with exit code $?" "${logs[@]}"
    require_none_left "after stop.sh"
    in_network ip addr add 10.77.0.254/24 dev bridge
    in_network ip -6 addr del fd00:77::fe/64 dev bridge
    for name in "${names[@]}"; do
        on "$name" ip addr add "${address[$name]}/24" dev eth0
        on "$name" ip -6 addr del "fd00:77::${address[$name]##*.}/64" dev eth0
    done
    mv -- "$directory/ssh_config.usual" "$directory/ssh_config"
    mv -- "$directory/known_hosts.usual" "$directory/known_hosts"
    usual_cluster
}

# MARK: The doctor

# examine FAULT LINE MENTION...: requires that convoy doctor finds one fault, in a line that begins
# with LINE and has each MENTION in it; without LINE, that it finds none.
examine() {
    local fault=$1 line=$2 found mention
    shift 2
    in_network timeout 120 "$CONVOY" doctor --cluster "$directory/doctor.hosts" --data none \
        --timeout 30 </dev/null >"$directory/doctor.out" 2>&1 || true
    found=$(grep -E '^(warning|error|unreachable)  ' "$directory/doctor.out" || true)
    if [[ -z $line ]]; then
        [[ -z $found ]] || fail "$fault: the doctor finds something" "$directory/doctor.out"
        grep -q ' processes can start on ' "$directory/doctor.out" ||
            fail "$fault: the doctor is not content" "$directory/doctor.out"
        return
    fi
    [[ $found == "$line"* && $found != *$'\n'* ]] ||
        fail "$fault: the doctor does not say '$line', and that alone" "$directory/doctor.out"
    for mention in "$@"; do
        [[ $found == *"$mention"* ]] ||
            fail "$fault: the doctor does not say '$mention'" "$directory/doctor.out"
    done
    echo "hosts: doctor: $fault: $found" >&2
}

# set_clock NAME SECONDS: all hosts share one kernel's time of day, so the host's program becomes
# one that adds SECONDS to the real program's times.
set_clock() {
    cat >"$(place_of "$1")/convoy/convoy" <<END
#!/bin/sh
real='$(place_of "$1")/real'
case "\$*" in *--listen-probe*) exec "\$real" "\$@" ;; esac
"\$real" "\$@" | python3 -c 'import json, sys
report = json.load(sys.stdin)
for name in ("begunAt", "endedAt"):
    report[name] += $2
print(json.dumps(report))'
END
}

doctor() {
    local name file=$directory/doctor.hosts total
    need_packages qemu-user python3
    for name in head one two; do
        rm -rf -- "$(place_of "$name")"/convoy/convoy*
        cp -- "$convoy" "$(place_of "$name")/convoy/convoy"
        cp -- "$convoy" "$(place_of "$name")/real"
        printf '127.0.0.1 localhost\n10.77.0.1 head\n10.77.0.2 one\n10.77.0.3 two\n' \
            >"$(place_of "$name")/names"
        at_host "$name" "mount --bind '$(place_of "$name")/names' /etc/hosts"
    done
    # Only names: the hosts have to resolve them.
    healthy() {
        for name in head one two; do cluster_line "$name" | sed 's/ address=[^ ]*//'; done >"$file"
    }
    healthy
    examine "no fault" ""

    # Writes in place, because this file is mounted.
    names_of() { cat >"$(place_of "$1")/names"; }
    sed 's/^10.77.0.1 head/127.0.1.1 head/' "$(place_of two)/names" | names_of head
    examine "its own name is loopback, as Debian's installer writes it" \
        "error  head: host name: " "head (its own name)" "127.0.1.1, which is loopback"
    names_of head <"$(place_of two)/names"

    sed '/ head$/d' "$(place_of two)/names" | names_of one
    examine "a name that is not in /etc/hosts" "error  one: host name: " "to resolve"
    names_of one <"$(place_of two)/names"

    # Host one keeps only its routes to the operator and to host two.
    on one ip route add 10.77.0.254/32 dev eth0
    on one ip route add 10.77.0.3/32 dev eth0
    on one ip route del 10.77.0.0/24 dev eth0
    examine "no route to the network of another host" "error  one: route: " "head at head port" \
        "no route"
    on one ip route add 10.77.0.0/24 dev eth0
    on one ip route del 10.77.0.254/32 dev eth0
    on one ip route del 10.77.0.3/32 dev eth0

    on head nft -f - <<'END'
table inet faults {
    chain input { type filter hook input priority 0; ip saddr 10.77.0.2 tcp dport 5555 drop; }
}
END
    examine "a firewall that drops one way" "error  one: port: " "head at head port 5555" \
        "no answer, while the other way is open"
    on head nft delete table inet faults

    at_host head "setsid python3 -c 'import socket, time
listener = socket.create_server((\"\", 5555))
time.sleep(120)' >/dev/null 2>&1 </dev/null & echo \$! >'$(place_of head)/listener'"
    examine "another process at the coordinator's port" "error  head: port: " "port 5555 to be free"
    at_host head "kill \$(cat '$(place_of head)/listener')"

    printf '\n' >>"$(place_of one)/convoy/convoy"
    examine "another build" "error  one: build: " "as on head"
    printf '#!/bin/sh\necho "Unknown option --json" >&2\nexit 64\n' >"$(place_of one)/convoy/convoy"
    examine "a version that cannot answer" "error  one: report: " "exit code 64" "Unknown option"

    # The offset exceeds the time that a report takes.
    set_clock one 100
    examine "a clock that is ahead" "warning  one: clock: " " s ahead"
    set_clock one -100
    examine "a clock that is behind" "warning  one: clock: " " s behind"

    printf '#!/bin/sh\nexec qemu-x86_64 -cpu Nehalem %q "$@"\n' "$(place_of one)/real" \
        >"$(place_of one)/convoy/convoy"
    examine "a processor with fewer instructions" "warning  one: instruction set: " "found sse41"
    cp -- "$convoy" "$(place_of one)/convoy/convoy"

    sed -i "s/^one .*/& threads=$(($(nproc --all) + 1))/" "$file"
    examine "fewer cores than threads" "warning  one: cores: " "threads"
    healthy
    # Servers need memory and no cores; a file may name 1,024 a host.
    total=$(awk '/^MemTotal:/ { print int($2 / 1024) }' /proc/meminfo)
    if ((total < 120000)); then
        sed -i "s/^head .*/& servers=$((total / 128 + 1))/" "$file"
        examine "more processes than memory" "error  head: memory: " "lower"
        healthy
    fi
    sed 's/^MemAvailable:.*/MemAvailable: 150000 kB/' /proc/meminfo >"$(place_of one)/meminfo"
    at_host one "mount --bind '$(place_of one)/meminfo' /proc/meminfo"
    examine "memory that others use" "warning  one: memory: " "146 MiB free"
    at_host one "umount /proc/meminfo"

    mount_small() { at_host "$1" "mount -t tmpfs -o size=$2 tmpfs '$(place_of "$1")/convoy' &&
        cp '$(place_of "$1")/real' '$(place_of "$1")/convoy/convoy'"; }
    mount_small head 120m
    examine "a small disk" "error  head: disk: " "1,024 MiB free"
    at_host head "umount '$(place_of head)/convoy'"

    echo 12 >"$(place_of one)/entropy"
    at_host one "mount --bind '$(place_of one)/entropy' /proc/sys/kernel/random/entropy_avail"
    examine "little entropy" "warning  one: entropy: " "found 12"
    at_host one "umount /proc/sys/kernel/random/entropy_avail"

    cut_off two
    examine "a host that is not there" "unreachable  two: login: " "ssh -o BatchMode=yes two true"
    connect two
    examine "no fault any more" ""
    for name in head one two; do
        at_host "$name" "umount /etc/hosts"
        rm -rf -- "$(place_of "$name")"/convoy/convoy*
    done
}

# MARK: Disturbed

# The run lasts as long as the disturbances; its number of steps is known afterwards.
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
    cd -- "$directory"
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
    sed -i '/^two /d' "$directory/cluster"
    cluster_line four >>"$directory/cluster"
    launch || fail "launch.sh for another host ended with exit code $?" "${logs[@]}"
    wait_for 60 "three workers" has_workers 3
    steps_pass 20
    stop_without two
    go_on
}

# stop_without HOST...: ends the run, and requires that stop.sh names these missing hosts.
stop_without() {
    local name
    ! stop_run || fail "stop.sh does not tell of the host that is gone" "${logs[@]}"
    for name in "$@"; do
        grep -q "^$name: error: not reached over ssh" "$directory/${run#runs/}.stop" ||
            fail "stop.sh does not name $name, which is gone" "${logs[@]}"
    done
    require_none_left "after stop.sh"
    rm -- "$directory/$run.hosts"
}

# Resumes the run for 100 steps, and requires the weights of one machine after as many steps.
go_on() {
    local usual=$expected
    echo "hosts: the run goes on" >&2
    steps=$(($(summary "$run_dir" steps) + 100))
    launch --steps "$steps" || fail "launch.sh ended with exit code $?" "${logs[@]}"
    follow 200 ||
        fail "monitor.sh ended with exit code $?" "$directory/${run#runs/}.monitor" "${logs[@]}"
    undisturbed "$directory/one-machine-${run#runs/}" "${settings[@]}" --epochs 1000 --steps "$steps"
    require_hash "$run_dir"
    require_told
    "$convoy" verify "$run_dir" >/dev/null || fail "the run does not verify" "${logs[@]}"
    stop_run || fail "stop.sh ended with exit code $?" "${logs[@]}"
    require_none_left "after stop.sh"
    expected=$usual
    steps=$usual_steps
}

# MARK: Servers

servers() {
    begin servers
    for name in five six; do start_host "$name"; done
    {
        cluster_line head coordinator
        cluster_line five server
        cluster_line one
        cluster_line two
    } >"$directory/cluster"
    launch "${settings[@]}" --epochs 1000 || fail "launch.sh ended with exit code $?" "${logs[@]}"
    wait_for 60 "two workers" has_workers 2
    steps_pass 150

    echo "hosts: the host of the only server is gone for good, another takes its place" >&2
    gone_for_good five
    wait_for 30 "the loss of the shard" has shards_missing 1
    sed -i '/^five /d' "$directory/cluster"
    cluster_line six server >>"$directory/cluster"
    launch || fail "launch.sh for another server ended with exit code $?" "${logs[@]}"
    wait_for 60 "the shard on another host" has shards_missing 0
    steps_pass 150

    echo "hosts: a server in reserve, and the one that has the shard is gone for good" >&2
    start_host seven
    cluster_line seven server >>"$directory/cluster"
    launch || fail "launch.sh for a server in reserve ended with exit code $?" "${logs[@]}"
    wait_for 30 "a server in reserve" has servers 2
    gone_for_good six
    sed -i '/^six /d' "$directory/cluster"
    steps_pass 50
    stop_without five six
    go_on
    usual_cluster
}

# MARK: Swift's libraries inside

static() {
    local name runtime
    command -v swift >/dev/null || skip "no Swift here, for the part static"
    begin static
    # The hosts' network does not reach further, so the build is made before.
    echo "hosts: building with Swift's libraries inside, which takes minutes" >&2
    { "$root/Scripts/setup.sh" && timeout 3600 swift build --package-path "$root" \
        --scratch-path "$root/.build/static" -c release --product convoy \
        --static-swift-stdlib; } >"$directory/build.out" 2>&1 || fail "the build" "$directory/build.out"
    runtime=$(ldd "$convoy" | sed -n 's|.*=> \(.*\)/libswiftCore\.so.*|\1|p')
    [[ -n $runtime ]] || fail "$convoy has Swift's libraries inside already"
    for name in "${names[@]}"; do
        rm -rf -- "$(place_of "$name")"/convoy/convoy*
        at_host "$name" "mount -t tmpfs tmpfs '$runtime'"
    done
    ! launch "${settings[@]}" --steps "$steps" ||
        fail "the usual program runs without Swift" "${logs[@]}"
    grep -q "needs .*libswiftCore.*--static-swift-stdlib" "${logs[0]}" ||
        fail "launch.sh does not say what the usual program lacks" "${logs[@]}"
    CONVOY='' launch "${settings[@]}" --steps "$steps" ||
        fail "launch.sh ended with exit code $?" "${logs[@]}"
    follow 120 || fail "monitor.sh ended with exit code $?" "$directory/static.monitor" "${logs[@]}"
    require_hash "$run_dir"
    stop_run || fail "stop.sh ended with exit code $?" "${logs[@]}"
    require_none_left "after stop.sh"
    for name in "${names[@]}"; do at_host "$name" "umount '$runtime'"; done
}

# MARK: Launches that do not end

# launch_and_send SIGNAL COMMAND...: launches in a process group that gets the signal as soon as the
# command succeeds; when the launch was over before, ends its run.
launch_and_send() {
    local signal=$1 launcher deadline
    shift
    setsid env --default-signal=INT ip netns exec "$network" "$root/Scripts/launch.sh" \
        --cluster "$directory/cluster" --run-dir "$run" "${settings[@]}" --steps "$steps" \
        </dev/null >>"$directory/interrupted.launch" 2>&1 &
    launcher=$!
    until kill -0 -- "-$launcher" 2>/dev/null || has_ended "$launcher"; do sleep 0.02; done
    until "$@" || has_ended "$launcher"; do sleep 0.02; done
    kill -"$signal" -- "-$launcher" 2>/dev/null || true
    deadline=$((SECONDS + 120))
    # Hides the shell's report of a killed job.
    { until has_ended "$launcher" || ((SECONDS >= deadline)); do sleep 0.1; done; } 2>/dev/null
    has_ended "$launcher" || fail "a launch has not ended within 120 s" "${logs[@]}"
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
    # Removes the files that earlier parts have left there.
    rm -rf -- "$(place_of one)"/convoy/convoy*
    launch_and_send INT test -x "$(place_of one)/convoy/convoy"
    require_none_left "after a launch that was interrupted while it copied"
    launch_and_send INT test -s "$run_dir.pids"
    require_none_left "after a launch that was interrupted before its first process"
    launch_and_send INT lists head coordinator
    require_none_left "after a launch that was interrupted at its coordinator"
    launch_and_send INT lists one worker
    require_none_left "after a launch that was interrupted at its workers"
    # The processes of a killed launch go on until the next launch ends them.
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

if $quick; then
    captured
    hash=$(summary "$run_dir" weights_sha256)
    succeed "four hosts by ssh, keys, one cut off, nothing readable in $((captured >> 20)) MiB, \
weights_sha256 ${hash:0:16}, as convoy train"
    exit 0
fi
undisturbed "$directory/one-machine" "${settings[@]}" --steps "$steps"
if [[ -n $only ]]; then parts=("$only"); fi
for part in "${parts[@]}"; do
    echo "hosts: $part" >&2
    "$part"
done
succeed "four hosts by ssh: ${only:-keys, capture, IPv6, faults that the doctor names, launches \
interrupted and killed, the host of a server gone twice, a cut of 10 s, one-way loss, coordinator killed, \
another address, a host gone and replaced, stop and resume}; weights_sha256 as convoy train"
