#!/usr/bin/env bash
# Usage: Scripts/host.sh DIRECTORY VERB [ARGUMENT...]
#
# What launch.sh, stop.sh and monitor.sh do on one host of a cluster. They send this text, behind
# that of processes.sh, to a `bash -s` of the host, so that a host needs nothing but ssh, bash and
# what is in every Debian. DIRECTORY is where the host's processes run (empty: where one is logged
# in). RUN_DIR is the run's name on all hosts, from there; beside it lie RUN_DIR.pids, the list of
# processes (see processes.sh; its first line is `launch` and the launch's number) and RUN_DIR.node,
# the keys of this host.
#
#   look EXECUTABLE SUM        `ready EXECUTABLE` where a program with this SHA-256 is, `wanted PLACE`
#                              where one may be put; EXECUTABLE counts where DIRECTORY is empty
#   receive PLACE SUM          a program from standard input, as PLACE/convoy-SUM and PLACE/convoy
#   state RUN_DIR              `running NAME` for each process; `checkpoint` when there is one
#   prepare RUN_DIR LAUNCH     ends what an earlier launch has left, and begins a list
#   join RUN_DIR LAUNCH        goes on with the list that is there
#   put RUN_DIR NAME           a file from standard input, as RUN_DIR.NAME
#   keys RUN_DIR               a keys directory from standard input, a tar file
#   coordinator RUN_DIR LAUNCH EXECUTABLE MODE FLAG...
#                              starts it (MODE: new, resume, replace), says where it listens
#   members RUN_DIR LAUNCH EXECUTABLE MEMBER...
#                              starts those that do not run; MEMBER is its name, its role and its
#                              flags, separated by tabs
#   stop RUN_DIR SECONDS       ends all, removes list and keys; 1 when somebody had to be killed
#
# shellcheck disable=SC2317 # verbs are called by their names
set -euo pipefail

fail() {
    echo "error: $1" >&2
    exit "${2:-65}"
}

# Longest wait for the list's lock, which is held for moments.
lock_patience=20

with_lock() {
    local list=$1
    shift
    exec 9>>"$list.lock"
    flock --wait "$lock_patience" 9 || fail "$list is in use" 70
    local status=0
    "$@" || status=$?
    exec 9>&-
    return "$status"
}

# A launch that was given up has no list, and what it still sends comes too late.
require_launch() {
    [[ -f $1 && $(head -n 1 -- "$1") == "launch $2" ]] || fail "this launch was given up" 70
}

missing_libraries() {
    local names
    names=$(ldd -- "$1" 2>/dev/null | awk '/not found/ { print $1 }' | sort -u | tr '\n' ' ')
    [[ -n $names ]] || return 0
    local advice="apt-get install libzmq5 libdnnl2 zlib1g"
    if [[ $names == *libswift* || $names == *Foundation* ]]; then
        advice="a program built with --static-swift-stdlib needs none of Swift's; otherwise $advice"
    fi
    fail "$1 needs ${names% }, not on this host (Debian: $advice)"
}

has_sum() { [[ -f $1 && -x $1 && $(sha256sum <"$1") == "$2 "* ]]; }

look() {
    local executable=$1 sum=$2 place
    if [[ -n $directory ]]; then executable=$directory/convoy; fi
    if has_sum "$executable" "$sum"; then
        missing_libraries "$executable"
        echo "ready $executable"
        return
    fi
    place=${directory:-$HOME/convoy}
    if [[ -e $place/convoy && ! -L $place/convoy ]]; then
        fail "$place/convoy is another program, which was not put there by launch.sh; remove it, \
or name another directory="
    fi
    if has_sum "$place/convoy" "$sum"; then
        missing_libraries "$place/convoy"
        echo "ready $place/convoy"
    else
        echo "wanted $place"
    fi
}

receive() {
    local place=$1 sum=$2 name temporary
    name=convoy-${sum:0:16}
    mkdir -p -- "$place" || fail "cannot make $place"
    temporary=$(mktemp -- "$place/.convoy.XXXXXX") || fail "cannot write in $place"
    # shellcheck disable=SC2064 # the name of now
    trap "rm -f -- '$temporary'" EXIT
    cat >"$temporary" || fail "cannot write in $place; is the disk full?"
    [[ $(sha256sum <"$temporary") == "$sum "* ]] || fail "the program did not arrive as a whole"
    chmod 755 -- "$temporary"
    missing_libraries "$temporary"
    mv -f -- "$temporary" "$place/$name"
    trap - EXIT
    ln -sfn -- "$name" "$place/.convoy.link.$$"
    mv -fT -- "$place/.convoy.link.$$" "$place/convoy"
    # The last three stay.
    local old
    find "$place" -maxdepth 1 -type f -name 'convoy-????????????????' -printf '%T@ %p\n' |
        sort -rn | tail -n +4 | while read -r _ old; do rm -f -- "$old"; done
    echo "ready $place/convoy"
}

has_checkpoint() { compgen -G "$1/checkpoints/step-????????*/state.json" >/dev/null; }

state() {
    running "$1.pids" | awk '{ print "running " $1 }'
    if has_checkpoint "$1"; then echo checkpoint; fi
}

prepare() {
    local run_dir=$1 list=$1.pids
    mkdir -p -- "$(dirname -- "$run_dir")"
    begin_list() {
        if [[ -n $(running "$list") ]]; then
            echo "ending what an earlier launch has left" >&2
            stop_processes "$list" 10 || true
        fi
        # A coordinator that ended before the first checkpoint has left nothing of value, in a directory
        # that was not there or empty before.
        if [[ -e $run_dir/config.yaml ]] && ! has_checkpoint "$run_dir"; then
            { grep -qx made "$list" && remove_unbegun "$run_dir"; } ||
                fail "$run_dir holds files of something else; choose another --run-dir"
        fi
        local made=()
        if [[ -z $(ls -A -- "$run_dir" 2>/dev/null) ]] || grep -qx made "$list" 2>/dev/null; then
            made=(made)
        fi
        printf '%s\n' "launch $launch" "${made[@]}" >"$list"
    }
    local launch=$2
    with_lock "$list" begin_list
}

# Removes what a run without a checkpoint has written.
remove_unbegun() {
    rm -f -- "$1"/{config.yaml,endpoint,journal.jsonl,ledger.jsonl,metrics.jsonl}{,.tmp} \
        "$1"/{lock,summary.json} "$1"/logs/*.{jsonl,out}
    rm -rf -- "$1"/checkpoints/*.tmp
    if [[ -d $1/checkpoints ]]; then rmdir -- "$1/checkpoints" 2>/dev/null || return 1; fi
    if [[ -d $1/logs ]]; then rmdir -- "$1/logs" 2>/dev/null || return 1; fi
    rmdir -- "$1" 2>/dev/null
}

join() {
    local run_dir=$1 list=$1.pids launch=$2
    mkdir -p -- "$(dirname -- "$run_dir")"
    keep_running() {
        { echo "launch $launch" && { grep -x made "$list" || true; } && running "$list"; } >"$list.new"
        cat -- "$list.new" >"$list"
        rm -f -- "$list.new"
    }
    with_lock "$list" keep_running
}

put() {
    (
        umask 077
        cat >"$1.$2"
    )
}

# Processes at work look at whom to let in at any moment, so each file is replaced as a whole.
keys() {
    (
        local place=$1.node name
        umask 077
        rm -rf -- "$place.next"
        mkdir -- "$place.next"
        tar -x --no-same-owner --no-same-permissions -f - -C "$place.next"
        mkdir -p -- "$place/allowed"
        (cd -- "$place.next" && find . -type f) | while IFS= read -r name; do
            mv -f -- "$place.next/$name" "$place/$name"
            echo "$name"
        done >"$place.names"
        (cd -- "$place" && find . -type f) | { grep -vxFf "$place.names" || true; } |
            while IFS= read -r name; do rm -f -- "$place/$name"; done
        rm -rf -- "$place.next" "$place.names"
    )
}

# start_one RUN_DIR LAUNCH EXECUTABLE NAME OUTPUT ARGUMENT...
start_one() {
    local run_dir=$1 launch=$2 executable=$3 name=$4 output=$5
    shift 5
    require_launch "$run_dir.pids" "$launch"
    if [[ -d $run_dir.node ]]; then export CONVOY_KEYS=$run_dir.node; fi
    # A session of its own: the end of the connection does not reach it.
    setsid "$executable" "$@" </dev/null >>"$output" 2>&1 9>&- &
    local pid=$!
    echo "$name $pid $(process_start "$pid" || echo 0)" >>"$run_dir.pids"
}

# The coordinator replaces this file as a whole when it listens.
endpoint_file() { stat --format=%i "$1/endpoint" 2>/dev/null || true; }

coordinator() {
    local run_dir=$1 launch=$2 executable=$3 mode=$4 output=$1.out number=1 former deadline
    local resume=()
    shift 4
    case $mode in
    replace) resume=(--resume) ;;
    resume)
        resume=(--resume --fresh-members)
        rm -f -- "$run_dir/endpoint"
        ;;
    esac
    while [[ -e $run_dir/logs/coordinator-$number.jsonl ]]; do number=$((number + 1)); done
    former=$(endpoint_file "$run_dir")
    rm -f -- "$output"
    with_lock "$run_dir.pids" start_one "$run_dir" "$launch" "$executable" coordinator "$output" \
        coordinator "$@" --run-dir "$run_dir" \
        --log-file "$run_dir/logs/coordinator-$number.jsonl" "${resume[@]}"
    deadline=$((SECONDS + 120))
    until [[ $(endpoint_file "$run_dir") != "$former" ]]; do
        if [[ -z $(running "$run_dir.pids" coordinator) ]]; then
            cat -- "$output" >&2
            rm -f -- "$output"
            fail "the coordinator has ended"
        fi
        ((SECONDS < deadline)) || fail "the coordinator did not begin to listen within 120 s" 70
        sleep 0.05
    done
    mv -- "$output" "$run_dir/logs/coordinator-$number.out"
    head -n 1 -- "$run_dir/endpoint"
}

members() {
    local run_dir=$1 launch=$2 executable=$3 member name role flags deadline
    local started=() words=()
    shift 3
    mkdir -p -- "$run_dir/logs"
    for member in "$@"; do
        IFS=$'\t' read -r name role flags <<<"$member"
        [[ -z $(running "$run_dir.pids" | grep -- "^$name " || true) ]] || continue
        IFS=$'\t' read -r -a words <<<"$flags"
        : >"$run_dir/logs/$name.out"
        with_lock "$run_dir.pids" start_one "$run_dir" "$launch" "$executable" "$name" \
            "$run_dir/logs/$name.out" "$role" "${words[@]}" --log-file "$run_dir/logs/$name.jsonl"
        started+=("$name")
    done
    # What is wrong with a flag, a key or an address shows at once.
    sleep 0.5
    for name in "${started[@]}"; do
        if [[ -z $(running "$run_dir.pids" | grep -- "^$name " || true) &&
            -s $run_dir/logs/$name.out ]]; then
            cat -- "$run_dir/logs/$name.out" >&2
            fail "$name has ended"
        fi
        echo "started $name"
    done
}

stop() {
    local run_dir=$1 patience=$2 list=$1.pids status=0 count
    [[ -f $list ]] || {
        rm -rf -- "$run_dir.node"
        echo 0
        return
    }
    end_all() {
        count=$(running "$list" | wc -l)
        stop_processes "$list" "$patience" || status=1
        # From here no start of this launch finds its list.
        rm -f -- "$list"
        rm -rf -- "$run_dir.node"
        echo "$count"
    }
    with_lock "$list" end_all
    rm -f -- "$list.lock"
    return "$status"
}

directory=$1
verb=$2
shift 2
if [[ -n $directory && -d $directory ]]; then
    cd -- "$directory"
elif [[ -n $directory && $verb != look && $verb != receive ]]; then
    fail "there is no directory $directory"
fi
case $verb in
look | receive | state | prepare | join | put | keys | coordinator | members | stop)
    "$verb" "$@"
    exit
    ;;
*) fail "$verb: not known" 64 ;;
esac
