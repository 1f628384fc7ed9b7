#!/usr/bin/env bash
# Usage: Scripts/chaos.sh [flags] [-- flags of convoy train]
#
# Trains on this machine while processes of the run are killed (kill -9), stopped (SIGSTOP, for good
# or until SIGCONT) and slowed at random, its network is cut and its disk hangs or is full at times.
# Compares the result with that of an undisturbed run with equal settings.
#
#   --roles LIST          roles to kill and stop: worker,server,coordinator
#   --kill-every SECONDS  mean time from one kill to the next; 0 for none (2)
#   --kills N             the number of kills; fewer are a failure (as many as there is time for)
#   --stop-every SECONDS  mean time from one stop to the next; 0 for none (0)
#   --stop-for SECONDS    how long a process stays stopped (1)
#   --stops N             the number of stops; fewer are a failure (as many as there is time for)
#   --for-good PERCENT    the percentage of stops that last until the process is ended (0)
#   --slow-every SECONDS  mean time until a process gets a fifth of the time for as long as a stop
#                         lasts; 0 for none (0)
#   --disk-every SECONDS  mean time until the run directory's disk hangs or is full, alternately, for
#                         as long as a stop lasts; 0 for none (0)
#   --cut-every SECONDS   mean time until all connections of the run are cut for as long as a stop
#                         lasts; 0 for none (0); needs root, for a network namespace of the run
#   --seed S              decides times and victims (1)
#   --all-at-once         each kill hits everything, convoy train too, and the run goes on with
#                         convoy train --resume and other numbers of workers and servers;
#                         --kills is 1 by default, and --roles and --stop-every have no effect
#   --expect HASH         the expected weights_sha256; no undisturbed run is trained then
#   --run-dir DIR         the run directory (runs/chaos- and the time); that of the undisturbed run is
#                         DIR-undisturbed, and outputs go to DIR.out and DIR-undisturbed.out
#   --within SECONDS      a run that takes longer is killed and is a failure (900)
#
# Prints a line a fault and a table. Ends with 0 only when the run ended by itself and well, with
# the hash of the undisturbed run, every record once an epoch (convoy verify) and no process left.
# Otherwise ends with 1, and all files stay. A seed always gives the same times and draws; which
# process a draw hits depends on the processes that are alive then.
#
# CONVOY=PROGRAM starts that program and builds nothing.
set -euo pipefail

root=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." && pwd)
# shellcheck source=Scripts/faults.sh
source "$root/Scripts/faults.sh"

usage_error() {
    echo "chaos: error: $1" >&2
    exit 64
}

roles=worker,server,coordinator
kill_every=2
stop_every=0
stop_for=1
stops=
for_good=0
slow_every=0
disk_every=0
cut_every=0
kills=
seed=1
expect=
run_dir=
within=900
is_all_at_once=false
flags=()
while (($# > 0)); do
    case $1 in
    --all-at-once)
        is_all_at_once=true
        shift
        continue
        ;;
    --)
        shift
        flags=("$@")
        break
        ;;
    -*) (($# > 1)) || usage_error "$1: unknown, or its value is missing" ;;
    *) usage_error "$1: unexpected; flags of convoy train come after --" ;;
    esac
    case $1 in
    --roles) roles=$2 ;;
    --kill-every) kill_every=$2 ;;
    --stop-every) stop_every=$2 ;;
    --stop-for) stop_for=$2 ;;
    --kills) kills=$2 ;;
    --stops) stops=$2 ;;
    --for-good) for_good=$2 ;;
    --slow-every) slow_every=$2 ;;
    --disk-every) disk_every=$2 ;;
    --cut-every) cut_every=$2 ;;
    --seed) seed=$2 ;;
    --expect) expect=$2 ;;
    --run-dir) run_dir=$2 ;;
    --within) within=$2 ;;
    *) usage_error "$1: unknown" ;;
    esac
    shift 2
done

# Prints the milliseconds of $2, the seconds given with flag $1.
milliseconds() {
    [[ $2 =~ ^[0-9]+(\.[0-9]+)?$ ]] || usage_error "$1: expected seconds, found $2"
    awk -v seconds="$2" 'BEGIN { printf "%d", seconds * 1000 }'
}
kill_every=$(milliseconds --kill-every "$kill_every")
stop_every=$(milliseconds --stop-every "$stop_every")
stop_for=$(milliseconds --stop-for "$stop_for")
slow_every=$(milliseconds --slow-every "$slow_every")
disk_every=$(milliseconds --disk-every "$disk_every")
cut_every=$(milliseconds --cut-every "$cut_every")
for value in "${kills:-0}" "${stops:-0}" "$for_good"; do
    [[ $value =~ ^[0-9]{1,6}$ ]] || usage_error "expected a whole number, found $value"
done
((for_good <= 100)) || usage_error "--for-good: expected 0 to 100 percent, found $for_good"
[[ $seed =~ ^[0-9]{1,9}$ ]] || usage_error "--seed: expected a number below 10^9, found $seed"
[[ $within =~ ^[1-9][0-9]*$ ]] || usage_error "--within: expected whole seconds, found $within"
[[ $kills =~ ^[0-9]*$ ]] || usage_error "--kills: expected a number, found $kills"
[[ $expect =~ ^([0-9a-f]{64})?$ ]] || usage_error "--expect: expected 64 digits, found $expect"
[[ $roles =~ ^(worker|server|coordinator)(,(worker|server|coordinator))*$ ]] ||
    usage_error "--roles: expected some of worker,server,coordinator, found $roles"
for flag in "${flags[@]}"; do
    case $flag in
    --run-dir* | --resume*) usage_error "$flag: this script decides that itself" ;;
    esac
done
if $is_all_at_once; then kills=${kills:-1}; fi
IFS=, read -r -a roles <<<"$roles"
run_dir=$(realpath --canonicalize-missing -- "${run_dir:-runs/chaos-$(date +%Y%m%d-%H%M%S)-$$}")
undisturbed=$run_dir-undisturbed

if [[ -n ${CONVOY:-} ]]; then
    convoy=$CONVOY
else
    "$root/Scripts/setup.sh"
    swift build --package-path "$root" -c release --product convoy >&2
    convoy=$root/.build/release/convoy
fi
mkdir -p -- "${run_dir%/*}"

train=
train_start=
# The end of this script ends all processes that it started, stopped ones too.
clean_up() {
    [[ -z $train ]] || kill_family "$train" "$train_start"
    [[ -z $faulty ]] || rm -rf -- "$faulty"
    [[ -z $network ]] || ip netns delete "$network"
}
faulty=
network=
trap clean_up EXIT
trap 'exit 130' INT TERM

# Starts convoy train with the given flags; its output goes to $1.
start_train() {
    local output=$1
    shift
    local faults=()
    if [[ -n $faulty ]]; then
        faults=(FAULTY_DISK="$run_dir/" FAULTY_DISK_STATE="$faulty/disk"
            LD_PRELOAD="$faulty/faulty_disk.so")
    fi
    # `ip netns exec` becomes the program, so its number is the program's.
    local prefix=()
    if [[ -n $network ]]; then prefix=(ip netns exec "$network"); fi
    "${prefix[@]}" env "${faults[@]}" "$convoy" train "$@" </dev/null >>"$output" 2>&1 &
    train=$!
    train_start=$(process_start "$train") || true
}

now() { echo $((${EPOCHREALTIME/./} / 1000)); }

# Draws a number below $1 from the seed into `drawn`, equal on every machine.
random_state=$((seed * 2654435761 % 4294967296))
draw() {
    random_state=$((random_state * 6364136223846793005 + 1442695040888963407))
    random_state=$((random_state & 0x7fffffffffffffff))
    drawn=$(((random_state >> 33) % $1))
}

# Puts the time of the next fault of a kind, with mean distance $1, into `due`: 0 to twice $1 from
# now.
plan_next() {
    draw $((2 * $1 + 1))
    due=$(($(now) + drawn))
}

declare -A kill_count=() stop_count=() good_count=()
total_kills=0
total_stops=0
total_good=0
total_slow=0
total_disk=0
slowed=() # DEADLINE PID START of who gets a fifth of the time
total_cuts=0
disk_until=0
cut_until=0
stopped=() # DEADLINE PID START of who is to go on
failures=()

tell() {
    printf '%9.3f s  step %-7s %-5s %-11s pid %s\n' \
        "$(($(now) - begin))e-3" "$(last_step "$run_dir")" "$1" "$2" "$3"
}

# Kills (KILL) or stops (STOP) one running process of the chosen roles; fails when there is none.
harm() {
    local signal=$1 candidates=() role pid start line
    for role in "${roles[@]}"; do
        while read -r line; do
            [[ -z $line ]] || candidates+=("$line")
        done < <(children "$train" "$role" | sort)
    done
    ((${#candidates[@]} > 0)) || return 1
    # The role is drawn first, then the process, so that many workers do not protect the
    # coordinator.
    local present=()
    mapfile -t present < <(printf '%s\n' "${candidates[@]%% *}" | uniq)
    draw "${#present[@]}"
    local chosen=${present[drawn]} of_role=()
    for line in "${candidates[@]}"; do
        [[ $line != "$chosen "* ]] || of_role+=("$line")
    done
    draw "${#of_role[@]}"
    read -r role pid start <<<"${of_role[drawn]}"
    signal_process "$signal" "$pid" "$start" || return 1
    if [[ $signal == KILL ]]; then
        kill_count[$role]=$((${kill_count[$role]:-0} + 1))
        total_kills=$((total_kills + 1))
        tell kill "$role" "$pid"
    else
        stop_count[$role]=$((${stop_count[$role]:-0} + 1))
        total_stops=$((total_stops + 1))
        draw 100
        if ((drawn < for_good)); then
            good_count[$role]=$((${good_count[$role]:-0} + 1))
            total_good=$((total_good + 1))
            tell hang "$role" "$pid"
        else
            stopped+=("$(($(now) + stop_for)) $pid $start")
            tell stop "$role" "$pid"
        fi
    fi
}

# Gives one running process of the run only a fifth of the time for a while.
slow_down() {
    local present=() role pid start
    mapfile -t present < <(children "$train" | sort)
    ((${#present[@]} > 0)) || return 1
    draw "${#present[@]}"
    read -r role pid start <<<"${present[drawn]}"
    slowed+=("$(($(now) + stop_for)) $pid $start")
    total_slow=$((total_slow + 1))
    tell slow "$role" "$pid"
}

# Lets the slowed processes run for 12.5 ms, then stops them until the next turn: a fifth of the time.
turn_slowed() {
    local entry deadline pid start rest=()
    for entry in "${slowed[@]}"; do
        read -r deadline pid start <<<"$entry"
        signal_process CONT "$pid" "$start" || continue
        if (($(now) < deadline)); then rest+=("$entry"); fi
    done
    slowed=("${rest[@]}")
    ((${#slowed[@]} > 0)) || return 0
    sleep 0.0125
    for entry in "${slowed[@]}"; do
        read -r deadline pid start <<<"$entry"
        signal_process STOP "$pid" "$start" || true
    done
}

# Makes the disk hang, or full, for a while.
spoil_disk() {
    local kind=block
    ((total_disk % 2 == 0)) || kind=full
    : >"$faulty/disk.$kind"
    disk_until=$(($(now) + stop_for))
    total_disk=$((total_disk + 1))
    tell disk "$kind" -
}

mend_disk() { rm -f -- "$faulty/disk.block" "$faulty/disk.full"; }

# Cuts all connections of the run for a while: nothing arrives, and no process is told.
cut_network() {
    ip -n "$network" link set lo down
    cut_until=$(($(now) + stop_for))
    total_cuts=$((total_cuts + 1))
    tell cut network -
}

# Continues the processes that were stopped long enough.
let_go_on() {
    local entry deadline pid start rest=()
    for entry in "${stopped[@]}"; do
        read -r deadline pid start <<<"$entry"
        if (($(now) >= deadline)); then
            signal_process CONT "$pid" "$start" || true
        else
            rest+=("$entry")
        fi
    done
    stopped=("${rest[@]}")
}

# Kills convoy train and all its children, then resumes with other numbers of workers and servers.
workers=
servers=
harm_all() {
    local family=() line
    mapfile -t family < <(children "$train")
    ((${#family[@]} > 0)) && is_running "$train" "$train_start" || return 1
    kill_family "$train" "$train_start"
    for line in "${family[@]%% *}" train; do
        kill_count[$line]=$((${kill_count[$line]:-0} + 1))
    done
    total_kills=$((total_kills + 1))
    tell kill everything "$train and ${#family[@]} more"
    line=$(left_over "$run_dir" 10)
    [[ -z $line ]] || failures+=("processes were left: ${line//$'\n'/ }")
    local before="$workers $servers"
    while [[ "$workers $servers" == "$before" ]]; do
        draw 3
        workers=$((drawn + 1))
        draw 3
        servers=$drawn
    done
    start_train "$run_dir.out" --resume "$run_dir" --workers "$workers" --servers "$servers"
    tell go-on "$workers workers," "$train, $servers servers"
}

# A run whose last checkpoint met a full disk ends with 65, and goes on once there is room again.
resume_with_room() {
    [[ -n $faulty ]] && tail -n 3 "$run_dir.out" | grep -q 'No space left' || return 1
    mend_disk
    disk_until=0
    start_train "$run_dir.out" --resume "$run_dir"
    tell go-on "with room" "$train"
}

# Disturbs the run until it ends for good; puts its exit code into `code`.
disturb() {
    while true; do
        disturb_once
        ((code == 65)) || break
        resume_with_room || break
    done
}

disturb_once() {
    local next_kill=0 next_stop=0 next_slow=0 next_disk=0 next_cut=0 deadline=$((SECONDS + within))
    while is_running "$train" "$train_start"; do
        if ((SECONDS >= deadline)); then
            failures+=("the run did not end within $within s")
            kill_family "$train" "$train_start"
            break
        fi
        let_go_on
        turn_slowed
        if ((disk_until > 0 && $(now) >= disk_until)); then
            mend_disk
            disk_until=0
        fi
        if ((cut_until > 0 && $(now) >= cut_until)); then
            ip -n "$network" link set lo up
            cut_until=0
        fi
        # Faults begin with the first line of the metrics: before it the run has nothing to lose.
        if ((next_kill == 0)); then
            if [[ -s $run_dir/metrics.jsonl ]]; then
                plan_next $((kill_every > 0 ? kill_every : 1))
                next_kill=$due
                plan_next $((stop_every > 0 ? stop_every : 1))
                next_stop=$due
                plan_next $((slow_every > 0 ? slow_every : 1))
                next_slow=$due
                plan_next $((disk_every > 0 ? disk_every : 1))
                next_disk=$due
                plan_next $((cut_every > 0 ? cut_every : 1))
                next_cut=$due
            fi
        else
            if ((kill_every > 0 && $(now) >= next_kill)) &&
                [[ -z $kills || $total_kills -lt $kills ]]; then
                if $is_all_at_once; then harm_all || true; else harm KILL || true; fi
                plan_next "$kill_every"
                next_kill=$due
            fi
            if ((slow_every > 0 && $(now) >= next_slow)); then
                slow_down || true
                plan_next "$slow_every"
                next_slow=$due
            fi
            if ((disk_every > 0 && disk_until == 0 && $(now) >= next_disk)); then
                spoil_disk
                plan_next "$disk_every"
                next_disk=$due
            fi
            if ((cut_every > 0 && cut_until == 0 && $(now) >= next_cut)); then
                cut_network
                plan_next "$cut_every"
                next_cut=$due
            fi
            if ((stop_every > 0 && $(now) >= next_stop)) && ! $is_all_at_once &&
                [[ -z $stops || $total_stops -lt $stops ]]; then
                harm STOP || true
                plan_next "$stop_every"
                next_stop=$due
            fi
        fi
        sleep 0.05
    done
    code=0
    wait "$train" || code=$?
    train=
}

if [[ -z $expect ]]; then
    begin=$(now)
    start_train "$undisturbed.out" "${flags[@]}" --run-dir "$undisturbed"
    wait "$train" || {
        code=$?
        echo "chaos: error: the undisturbed run failed with exit code $code:" >&2
        tail -n 3 "$undisturbed.out" >&2
        exit "$code"
    }
    train=
    expect=$(summary "$undisturbed" weights_sha256)
    undisturbed_seconds=$((($(now) - begin + 500) / 1000))
    echo "undisturbed: $(summary "$undisturbed" steps) steps in $undisturbed_seconds s," \
        "weights_sha256 $expect"
fi

if ((disk_every > 0)); then
    faulty=$(mktemp -d)
    clang -shared -fPIC -O1 -o "$faulty/faulty_disk.so" "$root/Scripts/bench/faulty_disk.c" -ldl ||
        usage_error "--disk-every: clang, which comes with Swift, is needed and fails"
fi
if ((cut_every > 0)); then
    network=convoy-chaos-$$
    ip netns add "$network" || {
        network=
        usage_error "--cut-every: a network namespace cannot be made; it needs root and iproute2"
    }
    ip -n "$network" link set lo up
fi
begin=$(now)
start_train "$run_dir.out" "${flags[@]}" --run-dir "$run_dir"
disturb
seconds=$((($(now) - begin + 500) / 1000))

((code == 0)) || failures+=("exit code $code, expected 0; see $run_dir.out")
found=$(summary "$run_dir" weights_sha256)
[[ $found == "$expect" ]] || failures+=("weights_sha256 ${found:-none}, expected $expect")
verified=$("$convoy" verify "$run_dir" 2>&1) || failures+=("convoy verify: ${verified##*$'\n'}")
steps=$(summary "$run_dir" steps)
lines=0
if [[ -f $run_dir/ledger.jsonl ]]; then lines=$(wc -l <"$run_dir/ledger.jsonl"); fi
[[ $lines == "$steps" ]] || failures+=("the ledger has $lines steps, expected ${steps:-some}")
left=$(left_over "$run_dir" 5)
[[ -z $left ]] || failures+=("processes are left: ${left//$'\n'/ }")
if [[ -n $kills ]] && ((total_kills < kills)); then
    failures+=("$total_kills kills of $kills: the run was over; give it more steps")
fi

if [[ -n $stops ]] && ((total_stops < stops)); then
    failures+=("$total_stops stops of $stops: the run was over; give it more steps")
fi

printf '\n| role | kill -9 | SIGSTOP | of these for good |\n|---|---|---|---|\n'
all_kills=0
for role in coordinator server worker train; do
    [[ $role != train ]] || $is_all_at_once || continue
    printf '| %s | %d | %d | %d |\n' "$role" "${kill_count[$role]:-0}" \
        "${stop_count[$role]:-0}" "${good_count[$role]:-0}"
    all_kills=$((all_kills + ${kill_count[$role]:-0}))
done
printf '| in all | %d | %d | %d |\n\n' "$all_kills" "$total_stops" "$total_good"
if ((total_slow + total_disk + total_cuts > 0)); then
    echo "$total_slow processes slowed down, $total_disk times the disk hung or was full," \
        "$total_cuts times the network was cut"
fi
echo "seed $seed, ${steps:-no} steps in $seconds s${undisturbed_seconds:+" (undisturbed" \
"$undisturbed_seconds s)"}, weights_sha256 ${found:-none}"
if ((${#failures[@]} > 0)); then
    printf 'chaos: FAILED: %s\n' "${failures[@]}"
    echo "everything of the run is in $run_dir"
    exit 1
fi
echo "all equal: hash, ledger ($lines steps), exit code 0, no process left"
