#!/usr/bin/env bash
# Usage: Scripts/launch.sh [--run-dir DIR] [flags of convoy coordinator]
#        Scripts/launch.sh --cluster FILE ...     on other hosts: see launch-hosts.sh
#
# Starts a cluster on this machine that outlives the terminal: a coordinator, and as many servers
# and workers as the run asks for. It leaves everything in DIR (default: runs/ and the time) and the
# list of processes in DIR.pids, and ends as soon as all are started. Scripts/monitor.sh DIR follows
# the run, Scripts/stop.sh DIR ends it. A run in DIR that was interrupted goes on from its newest
# checkpoint; one whose coordinator alone is gone, or hangs, gets another. What an unfinished launch
# has left is ended first.
#
# CONVOY=PROGRAM starts that program and builds nothing.
set -euo pipefail

root=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." && pwd)
# shellcheck source=Scripts/processes.sh
source "$root/Scripts/processes.sh"

fail() {
    echo "launch: error: $1" >&2
    exit "${2:-65}"
}

for word in "$@"; do
    case $word in
    --cluster | --cluster=*) exec "$root/Scripts/launch-hosts.sh" "$@" ;;
    esac
done

run_dir=
flags=()
member_flags=()
worker_flags=()
while (($# > 0)); do
    case $1 in
    --run-dir)
        (($# > 1)) || fail "--run-dir: expected a directory" 64
        run_dir=$2
        shift
        ;;
    --run-dir=*) run_dir=${1#--run-dir=} ;;
    --keys)
        (($# > 1)) || fail "--keys: expected a directory" 64
        export CONVOY_KEYS=$2
        shift
        ;;
    --keys=*) export CONVOY_KEYS=${1#--keys=} ;;
    --insecure)
        flags+=("$1")
        member_flags+=("$1")
        ;;
    --stream-data | --data-root=* | --cache=* | --cache-bytes=*) worker_flags+=("$1") ;;
    --data-root | --cache | --cache-bytes)
        (($# > 1)) || fail "$1: expected a value" 64
        worker_flags+=("$1" "$2")
        shift
        ;;
    --resume | --fresh-members | --exit-with-parent | --log-file | --log-file=*)
        fail "$1: this script decides that itself" 64
        ;;
    *) flags+=("$1") ;;
    esac
    shift
done
run_dir=${run_dir:-runs/$(date +%Y%m%d-%H%M%S)-$$}
run_dir=${run_dir%/}
list=$run_dir.pids

if [[ -n ${CONVOY:-} ]]; then
    convoy=$CONVOY
else
    "$root/Scripts/setup.sh"
    swift build --package-path "$root" -c release --product convoy >&2
    convoy=$root/.build/release/convoy
fi

# One launch of a run at a time; the lock on the list goes with this process.
mkdir -p -- "$(dirname -- "$run_dir")"
exec 9>>"$list"
flock --nonblock 9 || fail "another launch of $run_dir is under way"

has_checkpoint() { compgen -G "$run_dir/checkpoints/step-????????*/state.json" >/dev/null; }

# Whether there is a coordinator that answers; one that hangs is ended by the one that takes over.
has_coordinator() {
    local status=0
    [[ -n $(running "$list" coordinator) ]] || return 1
    "$convoy" status "$run_dir" --timeout 5 >/dev/null 2>&1 || status=$?
    ((status != 69))
}

is_replacing=false
if [[ -n $(running "$list") ]]; then
    if [[ $(tail -n 1 "$list") == complete ]] && has_checkpoint && ! has_coordinator; then
        is_replacing=true
    elif [[ $(tail -n 1 "$list") == complete ]]; then
        fail "$run_dir runs already, in $(running "$list" | wc -l) processes listed in $list"
    else
        echo "launch: ending what an unfinished launch has left" >&2
        stop_processes "$list" 10 || true
    fi
fi

resume=()
if $is_replacing && [[ " ${flags[*]-} " == *" --change-settings "* ]]; then
    fail "--change-settings: the processes of $run_dir are at work with its settings; \
Scripts/stop.sh $run_dir first" 64
fi
if $is_replacing; then
    resume=(--resume)
elif has_checkpoint; then
    resume=(--resume --fresh-members)
    rm -f -- "$run_dir/endpoint"
elif grep -qx made "$list" && [[ -d $run_dir ]]; then
    # A launch that ended before the first checkpoint, in a directory that was not there or empty
    # before: only files of these names can be in it.
    rm -f -- "$run_dir"/{config.yaml,endpoint,journal.jsonl,ledger.jsonl,metrics.jsonl}{,.tmp} \
        "$run_dir"/lock "$run_dir"/logs/*.{jsonl,out}
    rm -rf -- "$run_dir"/checkpoints/*.tmp
    rm -f -- "$run_dir"/keys/{,allowed/}*.{public,secret}{,.tmp}
    rmdir -- "$run_dir"/keys/allowed "$run_dir"/keys 2>/dev/null || true
    rmdir -- "$run_dir"/{logs,checkpoints} "$run_dir" 2>/dev/null ||
        fail "$run_dir holds files of something else; choose another --run-dir"
fi

if $is_replacing; then
    # From here to the next `complete` the launch is an unfinished one.
    running "$list" >"$list.tmp"
    cat -- "$list.tmp" >"$list"
    rm -f -- "$list.tmp"
else
    : >"$list"
    if [[ -z $(ls -A -- "$run_dir" 2>/dev/null) ]]; then echo made >>"$list"; fi
fi
# The run directory must not exist before the coordinator has made it, so its output moves in later.
output=$run_dir.out
stop_unfinished() {
    local status=$?
    trap - EXIT
    if $is_replacing; then
        # Whoever was at work before stays.
        signal_all TERM "$list" coordinator
        echo complete >>"$list"
    else
        stop_processes "$list" 10 || true
    fi
    if [[ -s $output ]]; then cat -- "$output" >&2; fi
    rm -f -- "$output"
    if ((status == 0)); then status=70; fi
    exit "$status"
}
trap stop_unfinished EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# start NAME OUTPUT ARGUMENT...
start() {
    local name=$1 output=$2
    shift 2
    # A session of its own, so that neither Ctrl-C nor the end of the terminal reaches it.
    setsid "$convoy" "$@" </dev/null >>"$output" 2>&1 9>&- &
    local pid=$!
    echo "$name $pid $(process_start "$pid" || echo 0)" >>"$list"
    last_pid=$pid
}

# A number of the resolved configuration: setting SECTION KEY.
setting() {
    awk -v section="$1:" -v key="$2:" '
        /^[^ ]/ { inside = $1 == section }
        inside && $1 == key { print $2; exit }' "$run_dir/config.yaml"
}

# The coordinator replaces this file as a whole when it listens.
endpoint_file() { stat --format=%i "$run_dir/endpoint" 2>/dev/null || true; }

former=$(endpoint_file)
number=1
while [[ -e $run_dir/logs/coordinator-$number.jsonl ]]; do number=$((number + 1)); done
listen=(--listen 'tcp://127.0.0.1:*')
if [[ " ${flags[*]-} " == *" --listen"[\ =]* ]]; then listen=(); fi
rm -f -- "$output"
start coordinator "$output" coordinator "${flags[@]}" --run-dir "$run_dir" "${listen[@]}" \
    --log-file "$run_dir/logs/coordinator-$number.jsonl" "${resume[@]}"
coordinator=$last_pid
deadline=$((SECONDS + 120))
until [[ $(endpoint_file) != "$former" ]]; do
    if ! process_start "$coordinator" >/dev/null; then
        status=0
        wait "$coordinator" || status=$?
        exit "$status"
    fi
    ((SECONDS < deadline)) || fail "the coordinator did not begin to listen within 120 s" 70
    sleep 0.05
done
read -r endpoint <"$run_dir/endpoint"
mv -- "$output" "$run_dir/logs/coordinator-$number.out"

# Keys of the run's own.
if [[ -z ${CONVOY_KEYS:-} && -d $run_dir/keys && " ${member_flags[*]-} " != *" --insecure "* ]]; then
    export CONVOY_KEYS=$run_dir/keys
fi

servers=$(setting cluster servers)
workers=$(setting cluster workers)
threads=$(setting cluster threads)
for ((number = 1; number <= servers; number++)); do
    if $is_replacing; then break; fi
    start "server-$number" "$run_dir/logs/server-$number.out" server --coordinator "$endpoint" \
        "${member_flags[@]}" \
        --log-file "$run_dir/logs/server-$number.jsonl"
done
for ((number = 1; number <= workers; number++)); do
    if $is_replacing; then break; fi
    start "worker-$number" "$run_dir/logs/worker-$number.out" worker --coordinator "$endpoint" \
        "${member_flags[@]}" "${worker_flags[@]}" \
        --threads "$threads" --log-file "$run_dir/logs/worker-$number.jsonl"
done
echo complete >>"$list"
trap - EXIT INT TERM HUP

if $is_replacing; then
    what=" (another coordinator for the processes at work)"
else
    what=${resume:+ (going on from its newest checkpoint)}
fi
cat <<END
run directory $run_dir$what
coordinator   $endpoint, $servers servers, $workers workers of $threads threads
processes     $list
follow it     Scripts/monitor.sh $run_dir
end it        Scripts/stop.sh $run_dir
END
