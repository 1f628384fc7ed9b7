#!/usr/bin/env bash
# Usage: source Scripts/engines/common.sh NAME
#
# Functions that the checks of engines share: the program, a temporary directory, packages, waiting.
# The program is CONVOY, or else the release build, or else `convoy` in PATH. Downloads are kept in
# CONVOY_CACHE (default: convoy in the user's cache directory). KEEP=1 keeps the temporary
# directory.
#
# A script that sources this may define `stop_engine`, which is called once at the end in any case.

engine=$1
engines=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")" && pwd)
root=$(cd -- "$engines/../.." && pwd)
cache=${CONVOY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/convoy}
directory=$(mktemp -d -t "convoy-$engine-XXXXXX")
# Other users may have to read it, as with a mount or a unit.
chmod 755 "$directory"

# fail MESSAGE [FILE...]: ends the check; also shows the last lines of the files.
fail() {
    local message=$1 file
    shift
    for file in "$@"; do
        [[ ! -s $file ]] || { echo "--- ${file##*/}:" && tail -n 25 -- "$file"; } >&2
    done
    echo "$engine: FAILED: $message" >&2
    exit 1
}

succeed() { echo "ok: $engine: $1 ($SECONDS s)"; }

clean_up() {
    local status=$?
    trap - EXIT
    if declare -F stop_engine >/dev/null; then stop_engine || true; fi
    if [[ -n ${KEEP:-} ]]; then
        echo "$engine: everything is in $directory" >&2
    else
        rm -rf -- "$directory"
    fi
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

find_convoy() {
    local candidate
    for candidate in "${CONVOY:-}" "$root/.build/release/convoy" "$(command -v convoy || true)"; do
        [[ -n $candidate && -x $candidate ]] || continue
        realpath -- "$candidate"
        return
    done
    fail "no convoy: give CONVOY=PROGRAM, or swift build -c release --product convoy"
}

# need_packages PACKAGE...: installs the Debian packages that are missing.
need_packages() {
    local package missing=() as_root=()
    for package in "$@"; do
        # shellcheck disable=SC2016 # dpkg-query expands the field, not the shell
        [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null) \
            == installed ]] || missing+=("$package")
    done
    ((${#missing[@]} > 0)) || return 0
    if ((EUID != 0)); then as_root=(sudo); fi
    local install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive timeout 300
        apt-get install --yes --quiet --no-install-recommends "${missing[@]}")
    echo "$engine: installing ${missing[*]}" >&2
    "${install[@]}" </dev/null >"$directory/apt.out" 2>&1 || {
        "${as_root[@]}" timeout 120 apt-get update --quiet </dev/null >>"$directory/apt.out" 2>&1 &&
            "${install[@]}" </dev/null >>"$directory/apt.out" 2>&1
    } || fail "apt-get could not install ${missing[*]}" "$directory/apt.out"
}

# need_python NAME REQUIREMENT...: makes a virtual environment in the cache; its Python into
# `python`.
need_python() {
    local place=$cache/$1
    shift
    python=$place/bin/python
    [[ ! -f $place/complete || $(<"$place/complete") != "$*" ]] || return 0
    echo "$engine: installing $* in $place" >&2
    python3 -c 'import ensurepip, venv' 2>/dev/null || need_packages python3-venv
    rm -rf -- "$place"
    mkdir -p -- "${place%/*}"
    { python3 -m venv "$place" && timeout 300 "$python" -m pip install --quiet "$@"; } \
        </dev/null >"$directory/pip.out" 2>&1 ||
        fail "pip could not install $*" "$directory/pip.out"
    echo "$*" >"$place/complete"
}

# wait_for SECONDS WHAT COMMAND...: waits until the command succeeds.
wait_for() {
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" 2>/dev/null; do
        ((SECONDS < deadline)) || fail "$what did not happen in time" "${logs[@]}"
        sleep 0.1
    done
}

# Prints the value of a field of run directory $1's summary.
summary() { sed -n "s/^ *\"$2\": \"\{0,1\}\([^\",]*\).*/\1/p" "$1/summary.json"; }

# reached RUN_DIR STEP: whether the metrics have reached this step.
reached() {
    local step
    step=$(tail -n 1 "$1/metrics.jsonl" 2>/dev/null | sed -n 's/.*"step":\([0-9]*\).*/\1/p')
    ((${step:-0} >= $2))
}

# Prints the numbers of the processes with role $1 for the coordinator of run directory $2.
processes_of() {
    local endpoint process
    { read -r endpoint <"$2/endpoint"; } 2>/dev/null || return 0
    for process in /proc/[0-9]*; do
        if { tr '\0' ' ' <"$process/cmdline"; } 2>/dev/null |
            grep -q -- "^[^ ]*convoy $1 .*--coordinator $endpoint "; then
            echo "${process#/proc/}"
        fi
    done
}

# Whether process $1 has ended, even when it was not waited for yet.
has_ended() { [[ ! -e /proc/$1/stat || $(<"/proc/$1/stat") == *") Z "* ]]; }

# have_workers COUNT: whether the run of `run_dir` has this number of workers.
have_workers() { (($(processes_of worker "$run_dir" | wc -l) == $1)); }

# Prints the number of the coordinator's process of run directory $1.
coordinator_of() { pgrep --full -- "^[^ ]*convoy coordinator .*--run-dir $1 "; }

# Prints a TCP port of this machine at which no process listens.
free_port() {
    local port
    while port=$((RANDOM % 20000 + 12000)); do
        # A refused connection shows that the port is free.
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then break; fi
    done
    echo "$port"
}

# undisturbed RUN_DIR FLAGS...: trains on this machine; puts the weights_sha256 into `expected`.
undisturbed() {
    local run_dir=$1
    shift
    timeout 600 "$convoy" train --run-dir "$run_dir" "$@" </dev/null >"$run_dir.out" 2>&1 ||
        fail "convoy train ended with exit code $?" "$run_dir.out"
    expected=$(summary "$run_dir" weights_sha256)
}

# require_hash RUN_DIR: requires that the run's weights_sha256 is `expected`.
require_hash() {
    local found
    found=$(summary "$1" weights_sha256) || fail "$1 has no summary" "${logs[@]}"
    [[ -n $expected && $found == "$expected" ]] ||
        fail "weights_sha256 $found, expected $expected" "${logs[@]}"
}

logs=()
expected=
convoy=$(find_convoy)
