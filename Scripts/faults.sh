#!/usr/bin/env bash
# Usage: source Scripts/faults.sh
#
# What chaos.sh and bench/recovery.sh share: they start `convoy train` and do harm to its children.
# A process is known by its number and by when it began, so that nobody else's is ever hit.

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

# Lines `ROLE PID START` of the running children of process $1; with $2, of that role only.
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

# Sends signal $1 to process $2 that began at $3; fails when it has ended.
signal_process() { is_running "$2" "$3" && kill -"$1" "$2" 2>/dev/null; }

# Numbers of all processes that write into the logs of run directory $1.
processes_of() {
    local directory
    for directory in /proc/[0-9]*; do
        if { tr '\0' '\n' <"$directory/cmdline"; } 2>/dev/null | grep -qF -- "$1/logs/"; then
            echo "${directory#/proc/}"
        fi
    done
}

# Numbers of the processes of run directory $1 that are there after $2 seconds still.
left_over() {
    local deadline=$((SECONDS + $2)) found
    while found=$(processes_of "$1") && [[ -n $found ]]; do
        ((SECONDS < deadline)) || break
        sleep 0.2
    done
    echo "$found"
}

# Ends process $1, which began at $2, and its children, stopped ones too, all with one call.
kill_family() {
    local pid start numbers=()
    if is_running "$1" "$2"; then numbers=("$1"); fi
    while read -r _ pid start; do numbers+=("$pid"); done < <(children "$1")
    ((${#numbers[@]} > 0)) || return 0
    kill -KILL "${numbers[@]}" 2>/dev/null || true
    { wait "$1"; } 2>/dev/null || true
}

# The value of a field of run directory $1's summary.
summary() { sed -n "s/^ *\"$2\": \"\{0,1\}\([^\",]*\).*/\1/p" "$1/summary.json" 2>/dev/null; }

# The last step that run directory $1's metrics tell of; they are written about once a second.
last_step() {
    tail -n 1 "$1/metrics.jsonl" 2>/dev/null | sed -n 's/.*"step":\([0-9]*\).*/\1/p'
}
