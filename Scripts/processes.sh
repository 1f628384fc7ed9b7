#!/usr/bin/env bash
# Usage: source Scripts/processes.sh
#
# What launch.sh and stop.sh share: the list of the processes of a run, and how they are ended.
# RUN_DIR.pids has a line for each process, `NAME PID START`, and the last line `complete` once all
# were started. START is when the kernel says the process began, so that a number that was given to
# another process since is never taken for ours.

# When a process began, in clock ticks since boot; fails when it has ended.
process_start() {
    local stat
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    # The name before the last parenthesis may hold anything; then state is field 1, start field 20.
    local fields
    read -r -a fields <<<"${stat##*) }"
    [[ ${fields[0]} != Z && ${fields[0]} != X ]] || return 1
    echo "${fields[19]}"
}

is_running() { [[ $(process_start "$1") == "$2" ]]; }

# Lines `NAME PID START` of those in a list that run; $2 may be `members` (all but the coordinator)
# or `coordinator`.
running() {
    local name pid start
    [[ -f $1 ]] || return 0
    while read -r name pid start; do
        [[ -n ${start:-} ]] || continue
        [[ ${2:-} != members || $name != coordinator ]] || continue
        [[ ${2:-} != coordinator || $name == coordinator ]] || continue
        if is_running "$pid" "$start"; then echo "$name $pid $start"; fi
    done <"$1"
}

# Waits until none of a list runs; fails after so many seconds.
await_end() {
    local deadline=$((SECONDS + $2))
    while [[ -n $(running "$1") ]]; do
        ((SECONDS < deadline)) || return 1
        sleep 0.1
    done
}

# Sends a signal to those that run: signal_all SIGNAL LIST [members|coordinator].
signal_all() {
    local name pid start
    while read -r name pid start; do
        is_running "$pid" "$start" && kill -"$1" "$pid" 2>/dev/null
    done < <(running "$2" "${3:-}") || true
}

# Ends what a list names, within about $2 seconds: the coordinator is asked first, so that it can
# take a checkpoint and send the others home. Fails when somebody had to be killed.
stop_processes() {
    local list=$1 patience=$2 name pid start
    while read -r name pid start; do
        kill -TERM "$pid" 2>/dev/null || true
    done < <(running "$list" coordinator)
    if [[ -n $(running "$list" coordinator) ]] && await_end "$list" "$patience"; then
        return 0
    fi
    signal_all TERM "$list" members
    if await_end "$list" 5; then return 0; fi
    while read -r name pid start; do
        echo "$name (pid $pid) does not end; killing it" >&2
    done < <(running "$list")
    signal_all KILL "$list"
    await_end "$list" 10 || echo "some processes do not even end when killed" >&2
    return 1
}
