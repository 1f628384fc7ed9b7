#!/usr/bin/env bash
# Usage: source Scripts/hosts.sh
#
# What launch-hosts.sh, stop.sh and monitor.sh share: the hosts of a run, and how a command gets to
# them. RUN_DIR.hosts has, fields separated by tabs, a line for each host: its name, how it is
# reached (ssh's destination, or `-` for this machine), the directory of its processes (`-` where one
# is logged in), the executable, and `coordinator` or `members`; the last line is `complete` once
# all was started. The files of a run are on its hosts, below that directory.
#
# CONVOY_SSH=WORDS takes the place of ssh and its options; it is called as WORDS [USER@]HOST COMMAND,
# with standard input, and ends with 255 when it does not reach the host.

scripts=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")" && pwd)
read -r -a transport <<<"${CONVOY_SSH:-ssh -o BatchMode=yes -o ConnectTimeout=10 \
-o ServerAliveInterval=5 -o ServerAliveCountMax=3}"
# Hosts that are spoken to at the same time.
parallel_hosts=16
# What on_host needs to know of each host, by name.
# shellcheck disable=SC2034 # for those who source this
declare -A destinations=() directories=() executables=() parts=()
hosts=()

# A word as every shell of a host reads it.
quoted() { printf "'%s'" "${1//\'/\'\\\'\'}"; }

# Whether a name or an address is this machine's, as convoy doctor sees it.
is_here() {
    local own address found=false
    [[ $1 != localhost ]] || return 0
    own=" $(ip -o addr 2>/dev/null | awk '{ sub("/.*", "", $4); print $4 }' | tr '\n' ' ') "
    while read -r address; do
        found=true
        [[ $own == *" $address "* || $address == 127.* || $address == ::1 ]] || return 1
    done < <(getent ahosts "$1" | awk '{ print $1 }' | sort -u)
    $found
}

# Reads RUN_DIR.hosts; fails where there is none.
read_hosts() {
    local name destination directory executable part
    hosts=()
    while IFS=$'\t' read -r name destination directory executable part; do
        [[ -n ${part:-} ]] || continue
        hosts+=("$name")
        destinations[$name]=$destination
        directories[$name]=${directory#-}
        # shellcheck disable=SC2034
        executables[$name]=$executable
        parts[$name]=$part
    done <"$1"
    ((${#hosts[@]} > 0))
}

coordinator_host() {
    local host
    for host in "${hosts[@]}"; do
        if [[ ${parts[$host]} == coordinator ]]; then echo "$host"; fi
    done
}

# on_host SECONDS HOST VERB ARGUMENT... : what host.sh documents, with this standard input.
on_host() {
    local patience=$1 host=$2 word words=()
    shift 2
    for word in "${directories[$host]}" "$@"; do words+=("$(quoted "$word")"); done
    # Who has what it needs need not read to the end.
    text_for_host | to_shell "$patience" "$host" "exec bash -s -- ${words[*]}" ||
        return "${PIPESTATUS[1]}"
}

# The functions first, then what stands on standard input: bash reads no further than `exit`.
text_for_host() {
    cat -- "$scripts/processes.sh" "$scripts/host.sh"
    cat
}

# to_shell SECONDS HOST COMMAND: a line for the shell of the host.
to_shell() {
    local patience=$1 destination=${destinations[$2]} command=(sh -c "$3")
    if [[ $destination != - ]]; then command=("${transport[@]}" "$destination" "$3"); fi
    timeout --kill-after=5 "$patience" "${command[@]}"
}

# on_hosts FUNCTION: calls FUNCTION HOST for all of `hosts`, some at a time, without standard input.
# What each says comes when it is through, behind the host's name; the exit code is the highest. The
# answers are in `answers`/HOST.
on_hosts() {
    local host status worst=0 running=0
    for host in "${hosts[@]}"; do
        if ((running == parallel_hosts)); then
            wait -n || true
            running=$((running - 1))
        fi
        {
            status=0
            "$1" "$host" </dev/null >"$answers/$host" 2>"$answers/$host.errors" || status=$?
            echo "$status" >"$answers/$host.status"
        } &
        running=$((running + 1))
    done
    wait
    for host in "${hosts[@]}"; do
        { read -r status <"$answers/$host.status"; } 2>/dev/null || status=70
        sed "s/^/$host: /" "$answers/$host.errors" >&2
        case $status in
        124 | 137) echo "$host: error: no answer in time" >&2 ;;
        255) echo "$host: error: not reached over ssh" >&2 ;;
        esac
        if ((status > worst)); then worst=$status; fi
    done
    return "$worst"
}

# Ends what process $1 has started and that runs still, the youngest first; not the process.
end_descendants() {
    local child
    for child in $(pgrep --parent "$1" || true); do
        [[ $child != "$BASHPID" ]] || continue
        end_descendants "$child"
        kill -TERM "$child" 2>/dev/null || true
    done
}

# stop_hosts LIST SECONDS: ends the processes on all hosts, the coordinator first, and says how many
# ran. Fails when somebody had to be killed, or a host was not reached.
stop_hosts() {
    local list=$1 run_dir=${1%.hosts} patience=$2 status=0 head host count total=0
    local answers
    read_hosts "$list" || {
        echo 0
        return
    }
    answers=$(mktemp -d)
    local members=("${hosts[@]}")
    # shellcheck disable=SC2317 # on_hosts calls it
    stop_one() { on_host $((patience + 60)) "$1" stop "$run_dir" "$patience"; }
    head=$(coordinator_host)
    if [[ -n $head ]]; then
        hosts=("$head")
        on_hosts stop_one || status=1
    fi
    hosts=()
    for host in "${members[@]}"; do
        if [[ $host != "$head" ]]; then hosts+=("$host"); fi
    done
    # The coordinator has sent them home already.
    patience=5
    if ((${#hosts[@]} > 0)); then on_hosts stop_one || status=1; fi
    for host in "${members[@]}"; do
        count=$(tail -n 1 -- "$answers/$host" 2>/dev/null) || count=
        if [[ $count =~ ^[0-9]+$ ]]; then total=$((total + count)); fi
    done
    rm -rf -- "$answers"
    echo "$total"
    return "$status"
}
