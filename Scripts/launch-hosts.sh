#!/usr/bin/env bash
# Usage: Scripts/launch.sh --cluster FILE [--run-dir DIR] [--keys DIR | --insecure] [--force]
#            [--data-root DIR | --stream-data | --cache DIR | --cache-bytes N]...
#            [flags of convoy coordinator]
#
# Starts a run on the hosts of a cluster file (Cluster/hosts.example) over ssh, and ends as soon as
# all processes are started: they outlive the connection and the terminal.
#
#   1. Every host is asked for the executable; where it has another or none, it gets this one, in
#      `directory=` or ~/convoy, as convoy-SUM with a link `convoy` to it.
#   2. convoy doctor --cluster: an error ends the launch, unless --force; a warning is shown.
#   3. Every host gets its keys, from --keys DIR (a directory a host, as convoy keygen --nodes makes
#      it, or one for all), or else from DIR.keys, which is made. Each has its own secret, the
#      coordinator's public key, and whom it lets in, if anybody connects to it.
#   4. Coordinator, servers, workers are started, so many as the file says.
#
# DIR (default: runs/ and the time) is the run directory on the coordinator's host, from where its
# processes run, and where the other hosts write their logs; here DIR.hosts says which hosts take
# part. Scripts/monitor.sh DIR follows the run, Scripts/stop.sh DIR ends it. The files of --config,
# --model and --init are copied to the coordinator's host. Data-set paths are those of the hosts.
#
# Once more for the same DIR: a run that was interrupted goes on from its newest checkpoint; one whose
# coordinator is gone gets another; processes that are gone, and those of hosts that are new in the
# file, are started. What an unfinished launch has left is ended first.
#
# CONVOY=PROGRAM starts that program and builds nothing. Otherwise one is built with Swift's libraries
# inside, which hosts without Swift can run. CONVOY_SSH: see hosts.sh.
set -euo pipefail

root=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." && pwd)
# shellcheck source=Scripts/hosts.sh
source "$root/Scripts/hosts.sh"

fail() {
    echo "launch: error: $1" >&2
    exit "${2:-65}"
}

cluster=
run_dir=
keys=${CONVOY_KEYS:-}
is_forced=false
is_insecure=false
data=fashion-mnist
flags=()
worker_flags=()
# Files of this machine that the coordinator reads: flag and path in turn.
files=()
# Reads `--flag VALUE` or `--flag=VALUE` into `value`, and how many words that were into `taken`.
value_of() {
    taken=1
    if [[ $1 == *=* ]]; then
        value=${1#*=}
    else
        (($# > 1)) || fail "$1: expected a value" 64
        value=$2
        taken=2
    fi
}
while (($# > 0)); do
    taken=1
    flag=${1%%=*}
    case $flag in
    --cluster) value_of "$@" && cluster=$value ;;
    --run-dir) value_of "$@" && run_dir=$value ;;
    --keys) value_of "$@" && keys=$value ;;
    --force) is_forced=true ;;
    --insecure) is_insecure=true ;;
    --config | --model | --init)
        value_of "$@"
        # A model may be a name.
        if [[ -f $value ]]; then files+=("$flag" "$value"); else flags+=("$flag" "$value"); fi
        ;;
    --data)
        value_of "$@"
        data=$value
        flags+=("$flag" "$value")
        ;;
    --stream-data) worker_flags+=("$flag") ;;
    --data-root | --cache | --cache-bytes)
        value_of "$@"
        worker_flags+=("$flag" "$value")
        ;;
    --workers | --servers | --threads | --listen | --announce)
        fail "$flag: the cluster file says that" 64
        ;;
    --resume | --fresh-members | --exit-with-parent | --log-file)
        fail "$flag: this script decides that itself" 64
        ;;
    *) flags+=("$1") ;;
    esac
    shift "$taken"
done
[[ -n $cluster ]] || fail "--cluster: expected a file" 64
[[ -f $cluster ]] || fail "$cluster is not there"
! $is_insecure || [[ -z $keys ]] || fail "--keys and --insecure exclude each other" 64
run_dir=${run_dir:-runs/$(date +%Y%m%d-%H%M%S)-$$}
run_dir=${run_dir%/}
list=$run_dir.hosts
launch=$(date +%s)-$$-$RANDOM
# A data set that the run file names.
if [[ " ${flags[*]-} " != *" --data "* ]]; then
    for ((index = 0; index < ${#files[@]}; index += 2)); do
        [[ ${files[index]} == --config ]] || continue
        found=$(sed -n 's/^ *\(data: *{\)\{0,1\} *source: *\([^,} #]*\).*/\2/p' \
            "${files[index + 1]}" | head -n 1)
        data=${found:-$data}
    done
fi

if [[ -n ${CONVOY:-} ]]; then
    convoy=$(realpath -- "$(command -v -- "$CONVOY")") || fail "CONVOY=$CONVOY is no program"
else
    "$root/Scripts/setup.sh"
    swift build --package-path "$root" --scratch-path "$root/.build/static" -c release \
        --product convoy --static-swift-stdlib >&2
    convoy=$(realpath -- "$root/.build/static/release/convoy")
fi
sum=$(sha256sum <"$convoy")
sum=${sum%% *}

# One launch of a run at a time; the lock on the list goes with this process.
mkdir -p -- "$(dirname -- "$run_dir")"
exec 9>>"$list"
flock --nonblock 9 || fail "another launch of $run_dir is under way"
is_complete=false
if [[ $(tail -n 1 -- "$list") == complete ]]; then is_complete=true; fi
former=$(cat -- "$list")

answers=$(mktemp -d)
# Hosts where processes may be, from the time on when the first is prepared.
is_begun=false
give_up() {
    local status=$?
    trap - EXIT
    trap '' INT TERM HUP
    end_descendants $$
    if $is_begun; then
        echo "launch: ending what was started" >&2
        # Whoever was at work before a launch that completed one stays.
        if $is_complete; then
            echo complete >>"$list"
        elif stop_hosts "$list" 10 >/dev/null; then
            : >"$list"
        fi
    fi
    if [[ ! -s $list ]]; then rm -f -- "$list"; fi
    rm -rf -- "$answers"
    if ((status == 0)); then status=70; fi
    exit "$status"
}
trap give_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# MARK: Hosts

plan=$("$convoy" doctor --cluster "$cluster" --print-plan) || exit
# Words for each process of a host, in the order of the plan.
declare -A processes=() addresses=()
server_count=0
worker_count=0
port=
# next_number HOST ROLE: how many processes of this role the host has so far, and one.
next_number() { echo $(($(grep -o " $2-" <<<"${processes[$1]}" | wc -l) + 1)); }
while IFS=$'\t' read -r role number host user address listen_port threads directory; do
    if [[ -z ${destinations[$host]:-} ]]; then
        hosts+=("$host")
        directories[$host]=${directory#-}
        addresses[$host]=${address#-}
        parts[$host]=members
        processes[$host]=
        if is_here "$host"; then
            destinations[$host]=-
        elif [[ $user == - ]]; then
            destinations[$host]=$host
        else
            destinations[$host]=$user@$host
        fi
    fi
    case $role in
    coordinator)
        parts[$host]=coordinator
        port=$listen_port
        ;;
    # Numbered within the host, so that they keep their names when the file gets other hosts.
    server)
        server_count=$number
        processes[$host]+=" server-$(next_number "$host" server)"
        ;;
    worker)
        worker_count=$number
        processes[$host]+=" worker-$(next_number "$host" worker):$threads"
        ;;
    esac
done <<<"$plan"
head=$(coordinator_host)
all_hosts=("${hosts[@]}")

write_list() {
    local host
    {
        echo "launch $launch"
        for host in "${all_hosts[@]}"; do
            printf '%s\t%s\t%s\t%s\t%s\n' "$host" "${destinations[$host]}" \
                "${directories[$host]:--}" "${executables[$host]}" "${parts[$host]}"
        done
        # Hosts that are not in the file any more may be at work still.
        if $is_complete; then
            awk -F '\t' -v hosts=" ${all_hosts[*]} " \
                'NF == 5 && !index(hosts, " " $1 " ")' <<<"$former"
        fi
    } >"$list.new"
    # In place: the lock is on this file.
    cat -- "$list.new" >"$list"
    rm -f -- "$list.new"
}

# on_hosts with the answer's last line of each host, `ready ...` for instance, into `answer`.
declare -A answer=()
ask() {
    local status=0 host
    on_hosts "$1" || status=$?
    for host in "${hosts[@]}"; do answer[$host]=$(tail -n 1 -- "$answers/$host"); done
    return "$status"
}
lost_if_unreached() { (($1 == 124 || $1 == 137 || $1 == 255)) && echo 69 || echo 65; }

# Also hosts that were left out of the file since, or have another directory now.
if [[ -s $list ]] && ! $is_complete; then
    echo "launch: ending what an unfinished launch has left" >&2
    stop_former() {
        destinations=() directories=() executables=() parts=()
        stop_hosts "$list" 10 >/dev/null
    }
    (stop_former) || true
fi

# MARK: Executables

look_at() { on_host 60 "$1" look "$convoy" "$sum"; }
status=0
ask look_at || status=$?
((status == 0)) || fail "not all hosts can be used" "$(lost_if_unreached "$status")"
wanting=()
for host in "${hosts[@]}"; do
    executables[$host]=${answer[$host]#* }
    if [[ ${answer[$host]} == wanted\ * ]]; then
        wanting+=("$host")
        executables[$host]=${answer[$host]#wanted }/convoy
    fi
    # Copies run where they lie, unless the file says where.
    if [[ ${executables[$host]} != "$convoy" ]]; then
        directories[$host]=${executables[$host]%/convoy}
    fi
done
if ((${#wanting[@]} > 0)); then
    echo "launch: copying $convoy to ${wanting[*]}" >&2
    send_to() { on_host 900 "$1" receive "${directories[$1]}" "$sum" <"$convoy"; }
    hosts=("${wanting[@]}")
    on_hosts send_to || fail "not all hosts have taken the program" "$(lost_if_unreached $?)"
    hosts=("${all_hosts[@]}")
fi

# MARK: What is there

state_of() { on_host 60 "$1" state "$run_dir"; }
on_hosts state_of || fail "not all hosts can be used" "$(lost_if_unreached $?)"
is_at_work() { grep -qx "running $2" "$answers/$1"; }
missing=()
for host in "${hosts[@]}"; do
    for process in ${processes[$host]}; do
        is_at_work "$host" "${process%:*}" || missing+=("${process%:*}")
    done
done
mode=new
if $is_complete && is_at_work "$head" coordinator; then
    ((${#missing[@]} > 0)) || fail "$run_dir runs already, on the hosts listed in $list"
    mode=fill
elif grep -qx checkpoint "$answers/$head"; then
    mode=resume
    if $is_complete && ((${#missing[@]} < server_count + worker_count)); then mode=replace; fi
fi
if [[ $mode == replace || $mode == fill ]] &&
    [[ " ${flags[*]-} " == *" --change-settings "* ]]; then
    fail "--change-settings: the processes of $run_dir are at work with its settings; \
Scripts/stop.sh $run_dir first" 64
fi
if [[ $mode == new || $mode == resume ]]; then is_complete=false; fi

# MARK: Preflight

# The file with the directories that were found out.
cp -- "$cluster" "$answers/cluster"
for host in "${hosts[@]}"; do
    [[ -n ${directories[$host]} ]] || continue
    awk -v host="$host" -v place="${directories[$host]}" '
        $1 == host && $0 !~ /[ \t]directory=/ { $2 = $2 " directory=" place }
        { print }' "$answers/cluster" >"$answers/cluster.next"
    mv -- "$answers/cluster.next" "$answers/cluster"
done
# At work the coordinator has its port, and whoever joins is looked at when it does.
if [[ $mode == new || $mode == resume ]]; then
    status=0
    "$convoy" doctor --cluster "$answers/cluster" --data "$data" --ssh "${transport[*]}" \
        >"$answers/doctor" 2>&1 || status=$?
    cat -- "$answers/doctor" >&2
    if ((status != 0)) && ! { $is_forced && ((status == 65)); }; then
        fail "convoy doctor found what would make the run fail; --force tries it all the same" \
            "$status"
    fi
fi

# MARK: Keys

# The name of a host's keys: convoy keygen takes no addresses.
node_of() {
    if [[ $1 == *:* || $1 =~ ^[0-9.]+$ ]]; then echo "host-${1//:/-}"; else echo "$1"; fi
}

if ! $is_insecure; then
    keys=${keys:-$run_dir.keys}
    if [[ ! -f $keys/node.secret ]]; then
        nodes=$(node_of "$head")
        for host in "${hosts[@]}"; do
            if [[ $host != "$head" ]]; then nodes+=,$(node_of "$host"); fi
        done
        # Hosts that have keys keep them.
        "$convoy" keygen --output "$keys" --nodes "$nodes" --add >/dev/null
    fi
fi

# What one host needs, as a tar file.
keys_for() {
    local source place=$answers/keys-$1
    source=$keys/$(node_of "$1")
    if [[ -f $keys/node.secret ]]; then source=$keys; fi
    mkdir -m 700 -- "$place" "$place/allowed"
    cp -- "$source"/{node.secret,node.public,coordinator.public} "$place"
    # Workers connect to servers, and to one another where they hold parameters or relay.
    cp -- "$source"/allowed/*.public "$place/allowed"
    chmod 600 -- "$place"/*.* "$place"/allowed/* 2>/dev/null || true
    tar -c -f - -C "$place" .
}

# MARK: Start

write_list
is_begun=true
prepare_one() {
    local verb=prepare
    if $is_complete; then verb='join'; fi
    on_host 90 "$1" "$verb" "$run_dir" "$launch" || return
    if ! $is_insecure; then keys_for "$1" | on_host 60 "$1" keys "$run_dir"; fi
}
on_hosts prepare_one || fail "not all hosts could be prepared" "$(lost_if_unreached $?)"

security=()
if $is_insecure; then security=(--insecure); fi
# host:port, in brackets for IPv6
at() { if [[ $1 == *:* ]]; then echo "[$1]:$2"; else echo "$1:$2"; fi; }
endpoint=tcp://$(at "${addresses[$head]:-$head}" "$port")
if [[ $mode != fill ]]; then
    for ((index = 0; index < ${#files[@]}; index += 2)); do
        name=${files[index]#--}-$(basename -- "${files[index + 1]}")
        on_host 300 "$head" put "$run_dir" "$name" <"${files[index + 1]}"
        flags+=("${files[index]}" "$run_dir.$name")
    done
    on_host 180 "$head" coordinator "$run_dir" "$launch" "${executables[$head]}" "$mode" \
        --workers "$worker_count" --servers "$server_count" --listen "$endpoint" \
        "${security[@]}" "${flags[@]}" </dev/null >"$answers/endpoint" ||
        fail "the coordinator does not start on $head" "$(lost_if_unreached $?)"
    endpoint=$(tail -n 1 -- "$answers/endpoint")
fi
members_of() {
    local process name role words members=()
    for process in ${processes[$1]}; do
        name=${process%:*}
        role=${name%-*}
        words=(--coordinator "$endpoint" "${security[@]}")
        if [[ -n ${addresses[$1]} ]]; then words+=(--bind "${addresses[$1]}"); fi
        if [[ $role == worker ]]; then
            words+=(--threads "${process#*:}" "${worker_flags[@]}")
        fi
        members+=("$(IFS=$'\t' && echo "$name"$'\t'"$role"$'\t'"${words[*]}")")
    done
    ((${#members[@]} > 0)) || return 0
    on_host 120 "$1" members "$run_dir" "$launch" "${executables[$1]}" "${members[@]}"
}
on_hosts members_of || fail "not all processes could be started" "$(lost_if_unreached $?)"
echo complete >>"$list"
trap - EXIT INT TERM HUP
started=$(cat -- "${all_hosts[@]/#/$answers/}" | grep -c '^started ' || true)
rm -rf -- "$answers"

case $mode in
new) what= ;;
resume) what=" (going on from its newest checkpoint)" ;;
replace) what=" (another coordinator, and $started processes for those that were gone)" ;;
fill) what=" ($started processes for those that were gone)" ;;
esac
cat <<END
run directory $run_dir on $head${directories[$head]:+, in ${directories[$head]}}$what
coordinator   $endpoint, $server_count servers, $worker_count workers on ${#all_hosts[@]} hosts
hosts         $list
follow it     Scripts/monitor.sh $run_dir
end it        Scripts/stop.sh $run_dir
END
