#!/usr/bin/env bash
# Usage: source Scripts/bench/common.sh
#
# Functions that the benchmark scripts share: the measured program, a temporary directory, child
# processes with a deadline, turns, and a description of the machine. Set before sourcing:
#
#   bench  the script's name, for its errors
#
# Environment: CONVOY=PROGRAM measures that program and builds nothing. BENCH_LOCK=FILE holds an
# exclusive lock (flock) on FILE during each measurement; between measurements other scripts may
# run.

root=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/../.." && pwd)

# shellcheck disable=SC2154 # the sourcing script sets it
usage_error() {
    echo "$bench: error: $1" >&2
    exit 64
}

fail() {
    echo "$bench: error: $1" >&2
    exit "${2:-69}"
}

# require_count FLAG VALUE: requires a whole number of at least 1.
require_count() {
    [[ $2 =~ ^[1-9][0-9]{0,6}$ ]] || usage_error "$1: expected a number from 1, found '$2'"
}

# Builds convoy unless CONVOY names one; puts the program's path into `convoy`.
prepare_convoy() {
    if [[ -n ${CONVOY:-} ]]; then
        convoy=$(command -v -- "$CONVOY") || fail "CONVOY=$CONVOY is no program" 64
        convoy=$(realpath -- "$convoy")
    else
        "$root/Scripts/setup.sh"
        swift build --package-path "$root" -c release --product convoy >&2
        convoy=$root/.build/release/convoy
    fi
}

directory=$(mktemp -d)

# Ends the children that still run, and waits for them. All of them run under `timeout`, which
# passes the signal on to its process group.
end_children() {
    local running
    mapfile -t running < <(jobs -rp)
    ((${#running[@]} > 0)) || return 0
    kill -TERM "${running[@]}" 2>/dev/null || true
    wait "${running[@]}" 2>/dev/null || true
}

clean_up() {
    end_children
    rm -rf -- "$directory"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

children=()
# Starts a program in the background that is ended after $1 seconds; its output goes to file $2.
start_child() {
    local seconds=$1 output=$2
    shift 2
    timeout --kill-after=5 "$seconds" "$@" </dev/null >"$output" 2>&1 &
    children+=($!)
}

# Waits for all children; when one fails, ends the others and fails.
await_children() {
    local code=0 ended
    while ((${#children[@]} > 0)); do
        wait -n -p ended "${children[@]}" || code=$?
        if ((code != 0)); then
            end_children
            break
        fi
        forget_child "$ended"
    done
    children=()
    return "$code"
}

forget_child() {
    local child kept=()
    for child in "${children[@]}"; do
        if ((child != $1)); then kept+=("$child"); fi
    done
    children=("${kept[@]}")
}

if [[ -n ${BENCH_LOCK:-} ]]; then exec {lock_descriptor}>>"$BENCH_LOCK"; fi
take_turn() { if [[ -n ${BENCH_LOCK:-} ]]; then flock "$lock_descriptor"; fi; }
give_turn() { if [[ -n ${BENCH_LOCK:-} ]]; then flock --unlock "$lock_descriptor"; fi; }

# Prints one line: processor, cores, memory, system.
machine() {
    local model memory system
    model=$(sed -n '0,/^model name[^:]*: */s///p' /proc/cpuinfo)
    memory=$(awk '/^MemTotal:/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo)
    # shellcheck source=/dev/null
    system=$(. /etc/os-release && echo "$PRETTY_NAME")
    # nproc obeys OMP_NUM_THREADS, which the peers have.
    echo "${model:-unknown processor}, $(nproc --all) cores, $memory, $system, Linux $(uname -r)"
}

# Prints the version that was measured and the commit it was built from; the commit of a program
# that CONVOY names is unknown.
convoy_version() {
    local commit=
    if [[ -z ${CONVOY:-} ]]; then
        commit=$(git -C "$root" describe --always --dirty 2>/dev/null) || commit=
    fi
    echo "$("$convoy" --version)${commit:+ ($commit)}"
}

# Prints the value of field $2 of the summary in run directory $1.
summary() { sed -n "s/^ *\"$2\": \"\{0,1\}\([^\",]*\).*/\1/p" "$1/summary.json" 2>/dev/null; }
