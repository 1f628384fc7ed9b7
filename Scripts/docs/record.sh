#!/usr/bin/env bash
# Usage: Scripts/docs/record.sh
#
# Records a run in which a worker is killed with kill -9, prints the recording, and writes it to
# Scripts/docs/figures/kill.txt, from which draw.py draws the terminal in the README. CONVOY=PROGRAM
# starts that program and builds nothing.
set -euo pipefail

root=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/../.." && pwd)
if [[ -z ${CONVOY:-} ]]; then
    "$root/Scripts/setup.sh"
    swift build --package-path "$root" -c release --product convoy >&2
    CONVOY=$root/.build/release/convoy
fi
place=$(mktemp -d)
train=
clean_up() {
    [[ -z $train ]] || kill "$train" 2>/dev/null || true
    rm -rf -- "$place"
}
trap clean_up EXIT
cd -- "$place"

began=${EPOCHREALTIME/./}
# Puts the time since the start before each line; text beyond 96 characters goes to a further line.
stamp() {
    local line passed part indent
    while IFS= read -r line; do
        passed=$(((${EPOCHREALTIME/./} - began) / 10000))
        indent=
        while IFS= read -r part; do
            printf '%d.%02d %s%s\n' $((passed / 100)) $((passed % 100)) "$indent" "$part"
            indent="    "
        done < <(fold --spaces --width 96 <<<"${line//$place/\~}")
    done
}
echo "> convoy train --epochs 1 --run-dir runs/first" | stamp >>recording
"$CONVOY" train --epochs 1 --run-dir runs/first </dev/null > >(stamp >>recording) 2>&1 &
train=$!
until [[ $(grep -c step "runs/first/metrics.jsonl" 2>/dev/null) -gt 300 ]]; do sleep 0.05; done
victim=$(pgrep --parent "$train" --full ' worker ' | head -n 1)
echo "! another window: kill -9 $victim" | stamp >>recording
kill -KILL "$victim"
wait "$train"
train=
sleep 0.2
{
    echo "terminal A worker is killed with kill -9; the run goes on and ends with the usual hash"
    echo "columns 100"
    cat recording
} >"$root/Scripts/docs/figures/kill.txt"
cat recording
