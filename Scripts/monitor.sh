#!/usr/bin/env bash
# Usage: Scripts/monitor.sh [--every N] [--once | --logs] [RUN_DIR]
#
# Follows a run (RUN_DIR: the newest in runs/): the table of `convoy status` once, then a line an
# epoch, a line every N steps (100; 0 for none), and the warnings and errors of every process. Ends
# when the run has ended, with the run's exit code, or with 69 when no coordinator has answered for
# two minutes; with --once it shows what there is and ends, with --logs nothing but warnings and
# errors until it is stopped. The coordinator writes the figures of steps once a heartbeat.
#
# A run on the hosts of a cluster file is followed where it is: this script goes there over ssh, to
# the coordinator's host for the run, to the others for their logs, whose lines begin with the host.
#
# CONVOY=PROGRAM asks with that program, in place of the one built here. Without any it shows what
# the files say, and does not notice when the run is gone.
set -euo pipefail
export LC_ALL=C

fail() {
    echo "monitor: error: $1" >&2
    exit "${2:-65}"
}

# Empty on a host, which gets this text on standard input; MONITOR_PULSE is set there.
root=
if [[ -n ${BASH_SOURCE[0]:-} ]]; then
    root=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." && pwd)
fi
convoy=${CONVOY:-$root/.build/release/convoy}
# How long a run may be without a coordinator: so long its members wait for another one.
patience=120
every=100
once=false
logs_only=false
run_dir=
options=()
while (($# > 0)); do
    case $1 in
    --every)
        every=${2:-}
        [[ $every =~ ^[0-9]+$ ]] || fail "--every: expected a number of steps" 64
        options+=("$1" "$2")
        shift
        ;;
    --once)
        once=true
        options+=("$1")
        ;;
    --logs)
        logs_only=true
        options+=("$1")
        ;;
    -*) fail "$1: not known" 64 ;;
    *) run_dir=${1%/} ;;
    esac
    shift
done
if [[ -z $run_dir ]]; then
    newest=
    for candidate in runs/*/ runs/*.hosts; do
        candidate=${candidate%/}
        if [[ -e $candidate && (-z $newest || $candidate -nt $newest) ]]; then
            newest=$candidate
            run_dir=${candidate%.hosts}
        fi
    done
fi

# Follows a run on other hosts; every second they say a dot, so that they notice our end.
follow_hosts() {
    local host status=0 head followers=()
    # shellcheck source=Scripts/hosts.sh
    source "$root/Scripts/hosts.sh"
    read_hosts "$run_dir.hosts" || fail "$run_dir.hosts lists no hosts"
    head=$(coordinator_host)
    # monitor_on HOST OPTION...
    monitor_on() {
        local host=$1 word line="exec env MONITOR_PULSE=1"
        line+=" CONVOY=$(quoted "${executables[$host]}")"
        line+=" CONVOY_KEYS_OF=$(quoted "$run_dir.node") bash -s --"
        shift
        for word in "$@" "$run_dir"; do line+=" $(quoted "$word")"; done
        if [[ -n ${directories[$host]} ]]; then
            line="cd $(quoted "${directories[$host]}") && $line"
        fi
        to_shell 0 "$host" "$line" <"$root/Scripts/monitor.sh" |
            grep --line-buffered -vx '\.' || return "${PIPESTATUS[0]}"
    }
    trap 'end_descendants $$' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    for host in "${hosts[@]}"; do
        if [[ $host == "$head" ]] || $once; then continue; fi
        monitor_on "$host" --logs 2>/dev/null | sed -u "s/^/$host: /" &
        followers+=($!)
    done
    if ! $logs_only; then
        monitor_on "$head" "${options[@]}" || status=$?
        # What the others have said last.
        if ! $once; then sleep 2; fi
    elif ((${#followers[@]} > 0)); then
        wait
    fi
    exit "$status"
}
if [[ -f $run_dir.hosts && -z ${MONITOR_PULSE:-} ]]; then follow_hosts; fi

if [[ -n ${MONITOR_PULSE:-} && -d ${CONVOY_KEYS_OF:-} ]]; then
    export CONVOY_KEYS=$CONVOY_KEYS_OF
fi
[[ -d ${run_dir:-runs} ]] || fail "$run_dir is not there"
[[ -n $run_dir && -f $run_dir/config.yaml ]] || $logs_only ||
    fail "${run_dir:-runs} is no run directory: it has no config.yaml"

# Values of one line of JSON without nesting, as Convoy writes it.
# shellcheck disable=SC2016 # a program for awk
json='
function text(name,    start, rest, value, character) {
    start = index($0, "\"" name "\":\"")
    if (!start) return ""
    rest = substr($0, start + length(name) + 4)
    while (rest != "" && (character = substr(rest, 1, 1)) != "\"") {
        if (character == "\\") { rest = substr(rest, 2); character = substr(rest, 1, 1) }
        value = value character
        rest = substr(rest, 2)
    }
    return value
}
function number(name,    start, rest) {
    start = index($0, "\"" name "\":")
    if (!start) return "?"
    rest = substr($0, start + length(name) + 3)
    sub(/[,}].*/, "", rest)
    return rest
}
'
# shellcheck disable=SC2016
metrics=$json'
text("kind") == "epoch" {
    printf "epoch %d  step %d  train loss %.4f  train accuracy %.4f  test loss %.4f  ", \
        number("epoch"), number("step"), number("train_loss"), number("train_accuracy"), \
        number("test_loss")
    printf "test accuracy %.4f  %d images/s\n", number("test_accuracy"), \
        number("images_per_second")
}
text("kind") == "step" && every > 0 && number("step") % every == 0 {
    printf "epoch %d  step %d  loss %.4f  accuracy %.4f\n", number("epoch"), number("step"), \
        number("loss"), number("accuracy")
}'
# shellcheck disable=SC2016
warnings=$json'
text("level") ~ /^(warning|error|critical)$/ {
    line = text("level") ": " name ": " text("message")
    split("peer.name reason error.detail train.step server.shards", keys, " ")
    for (i = 1; i in keys; i++) {
        if (text(keys[i]) != "") line = line "  " keys[i] "=" text(keys[i])
    }
    print line
}'

# Whole lines that were added to a file since it was last read: added FILE
declare -A offsets=()
added() {
    local file=$1 offset=${offsets[$1]:-0} size
    size=$(stat --format=%s "$file" 2>/dev/null) || size=0
    # Shorter than before: the run was taken up at an earlier step.
    if ((size < offset)); then offset=0; fi
    lines=
    if ((size > offset)); then
        lines=$(
            tail --bytes=+$((offset + 1)) "$file" | head --bytes=$((size - offset)) || true
            echo .
        )
        lines=${lines%.}
        # The last line may still be being written.
        if [[ $lines == *$'\n'* ]]; then lines=${lines%"${lines##*$'\n'}"}; else lines=; fi
    fi
    offsets[$file]=$((offset + ${#lines}))
}

show_new() {
    if ! $logs_only; then
        added "$run_dir/metrics.jsonl"
        if [[ -n $lines ]]; then awk -v every="$every" "$metrics" <<<"$lines"; fi
    fi
    local log name
    for log in "$run_dir"/logs/*.jsonl; do
        [[ -f $log ]] || continue
        added "$log"
        name=${log##*/}
        if [[ -n $lines ]]; then awk -v name="${name%.jsonl}" "$warnings" <<<"$lines"; fi
    done
}

# A summary older than the endpoint is that of an earlier part of the run.
has_ended() {
    [[ -f $run_dir/summary.json && ! $run_dir/endpoint -nt $run_dir/summary.json ]]
}

can_ask=false
if command -v -- "$convoy" >/dev/null; then can_ask=true; fi
if $can_ask && ! $logs_only && ! has_ended; then
    # Healthy or not, the table says it; a coordinator that does not answer is no error yet.
    "$convoy" status "$run_dir" || true
fi

# Asks every 10 s whether there is a coordinator.
last_sign=$SECONDS
last_asked=$SECONDS
check_life() {
    local status=0
    ((SECONDS - last_asked >= 10)) || return 0
    last_asked=$SECONDS
    "$convoy" status "$run_dir" --timeout 2 >/dev/null 2>&1 || status=$?
    if ((status != 69)); then last_sign=$SECONDS; fi
    ((SECONDS - last_sign < patience)) ||
        fail "$run_dir: no coordinator has answered for $patience s; the run is gone" 69
}

while true; do
    ended=false
    if ! $logs_only && has_ended; then ended=true; fi
    show_new
    if $ended; then
        # shellcheck disable=SC2016
        awk "$json"'{ $0 = all $0; all = $0 }
            { gsub(/": /, "\":") }
            END { printf "ended at step %d: %s  test accuracy %s  weights_sha256 %s\n", \
                number("steps"), text("reason"), number("test_accuracy"), text("weights_sha256")
                exit number("exit_code") }' "$run_dir/summary.json"
        exit
    fi
    if $once; then break; fi
    if $can_ask && ! $logs_only; then check_life; fi
    if [[ -n ${MONITOR_PULSE:-} ]]; then echo .; fi
    sleep 1
done
