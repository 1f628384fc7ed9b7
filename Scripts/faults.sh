#!/usr/bin/env bash
# Usage: source Scripts/faults.sh
#
# Functions that chaos.sh and bench/recovery.sh share: both start `convoy train` and disturb its
# children. A process is known by its number and its start time, so that no other process is ever
# hit.

# Prints when process $1 began, in clock ticks since boot; fails when it has ended.
process_start() {
    local stat
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    # The name before the last parenthesis may hold anything; after it state is field 1, start field
    # 20.
    local fields
    read -r -a fields <<<"${stat##*) }"
    [[ ${fields[0]} != Z && ${fields[0]} != X ]] || return 1
    echo "${fields[19]}"
}

is_running() { [[ $(process_start "$1") == "$2" ]]; }

# Prints lines `ROLE PID START` of the running children of process $1, with $2 of that role only.
children() {
    local pid start words
    for pid in $(pgrep --parent "$1" || true); do
        start=$(process_start "$pid") || continue
        words=()
        mapfile -d '' -t words 2>/dev/null <"/proc/$pid/cmdline" || continue
        case ${words[1]:-} in
        coordinator | server | worker)
            [[ -n ${2:-} && $2 != "${words[1]}" ]] || echo "${words[1]} $pid $start"
            ;;
        esac
    done
}

# Sends signal $1 to process $2, which began at $3; fails when it has ended.
signal_process() { is_running "$2" "$3" && kill -"$1" "$2" 2>/dev/null; }

# Prints the numbers of all processes that write into the logs of run directory $1.
processes_of() {
    local directory
    for directory in /proc/[0-9]*; do
        if { tr '\0' '\n' <"$directory/cmdline"; } 2>/dev/null | grep -qF -- "$1/logs/"; then
            echo "${directory#/proc/}"
        fi
    done
}

# Prints the numbers of the processes of run directory $1 that are left after $2 seconds.
left_over() {
    local deadline=$((SECONDS + $2)) found
    while found=$(processes_of "$1") && [[ -n $found ]]; do
        ((SECONDS < deadline)) || break
        sleep 0.2
    done
    echo "$found"
}

# Ends process $1, which began at $2, and its children, stopped ones too, with one call.
kill_family() {
    local pid start numbers=()
    if is_running "$1" "$2"; then numbers=("$1"); fi
    while read -r _ pid start; do numbers+=("$pid"); done < <(children "$1")
    ((${#numbers[@]} > 0)) || return 0
    kill -KILL "${numbers[@]}" 2>/dev/null || true
    { wait "$1"; } 2>/dev/null || true
}

# Prints the value of a field of run directory $1's summary.
summary() { sed -n "s/^ *\"$2\": \"\{0,1\}\([^\",]*\).*/\1/p" "$1/summary.json" 2>/dev/null; }

# Prints the last step in run directory $1's metrics, which are written about once a second.
last_step() {
    tail -n 1 "$1/metrics.jsonl" 2>/dev/null | sed -n 's/.*"step":\([0-9]*\).*/\1/p'
}
