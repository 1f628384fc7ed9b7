#!/usr/bin/env bash
# Usage: Scripts/bench/solar.sh [flags]
#
# From a folder of pictures to a trained network to predictions on files: fetches the solar cells
# (Scripts/fetch-solar.sh), trains Cluster/solar.yaml, and asks `convoy predict` about the files of
# the test split, whose accuracy must be that of the run. Then trains the same network on the same
# split in PyTorch, pictures decoded by Pillow, and prints both mean accuracies and their difference
# in points. Ends with 1 when Convoy is more than a point behind.
#
#   --seeds N      seeds 1 to N (3); with one, the two differ by chance alone by more than a point
#   --data DIR     where the pictures are, or are put (data/solar)
#   --epochs N     in place of those of Cluster/solar.yaml
#   --no-torch     leaves PyTorch out
#   --quick        one seed, three epochs: to see whether all runs, not to quote; compares nothing
#
# CONVOY=PROGRAM measures that program and builds nothing.
# shellcheck disable=SC2034,SC2154 # common.sh reads what is set here, and sets what is read
set -euo pipefail

bench=solar
# shellcheck source=Scripts/bench/common.sh disable=SC1091
source "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/common.sh"
# shellcheck source=Scripts/bench/peers/environments.sh disable=SC1091
source "$root/Scripts/bench/peers/environments.sh"

config=$root/Cluster/solar.yaml
seeds=3
data=data/solar
epochs=$(sed -n 's/^ *epochs: *\([0-9]*\).*/\1/p' "$config")
wants_torch=yes
is_quick=
while (($# > 0)); do
    case $1 in
    --no-torch)
        wants_torch=
        shift
        continue
        ;;
    --quick)
        is_quick=yes seeds=1 epochs=3
        shift
        continue
        ;;
    esac
    (($# > 1)) || usage_error "$1: its value is missing"
    case $1 in
    --seeds)
        require_count --seeds "$2"
        seeds=$2
        ;;
    --epochs)
        require_count --epochs "$2"
        epochs=$2
        ;;
    --data) data=$2 ;;
    *) usage_error "$1: expected --seeds, --data, --epochs, --no-torch or --quick" ;;
    esac
    shift 2
done

[[ -z $wants_torch ]] || prepare_environment torch
prepare_convoy
python=$(command -v python3) || fail "no python3, which reads the predictions"
"$root/Scripts/fetch-solar.sh" "$data" >&2
data=$(realpath -- "$data")
machine
convoy_version

cd -- "$root" # the run file names the model file from here
list=$directory/list.tsv
"$convoy" data list "images:$data" --config "$config" >"$list" || fail "convoy data list"
"$convoy" models Cluster/models/solar.yaml >"$directory/model.txt" || fail "convoy models"

# Compares the test files' predictions with their folders; prints the accuracy.
predicted_accuracy() {
    "$python" - "$data" "$list" "$1" <<'PYTHON'
import csv
import os
import sys

data, listed, predictions = sys.argv[1:]
with open(listed, encoding="utf-8") as file:
    rows = [line.rstrip("\n").split("\t", 3) for line in file]
expected = {
    os.path.realpath(f"{data}/{row[3]}"): row[3].split("/")[0] for row in rows if row[0] == "test"
}
classes = set(expected.values())
with open(predictions, encoding="utf-8", newline="") as file:
    found = list(csv.reader(file))[1:]
right = seen = 0
for path, *cells in found:
    label = expected.get(os.path.realpath(path))
    if label is None:
        continue
    # The first class that a line names is the likeliest one.
    seen += 1
    right += label == next((cell for cell in cells if cell in classes), None)
if seen != len(expected):
    sys.exit(f"expected predictions for {len(expected)} files, found {seen}")
print(right / seen)
PYTHON
}

convoy_accuracies=() torch_accuracies=()
for ((seed = 1; seed <= seeds; seed++)); do
    run=$directory/run-$seed
    echo "$bench: seed $seed" >&2
    take_turn
    "$convoy" train --config "$config" --data "images:$data" --seed "$seed" --epochs "$epochs" \
        --run-dir "$run" </dev/null >"$run.out" 2>&1 || fail "$(tail -n 3 "$run.out")"
    give_turn
    accuracy=$(summary "$run" test_accuracy)
    convoy_accuracies+=("$accuracy")
    "$convoy" predict --checkpoint "$run" "$data/defect" "$data/ok" --format csv \
        >"$directory/predictions.csv" || fail "convoy predict"
    predicted=$(predicted_accuracy "$directory/predictions.csv") ||
        fail "the predictions of convoy predict" 1
    awk -v a="$accuracy" -v p="$predicted" 'BEGIN { d = a - p; exit !(d < 1e-6 && d > -1e-6) }' ||
        fail "seed $seed: convoy predict is right for $predicted of the test files, the run for \
$accuracy of the test records" 1
    echo "seed $seed: Convoy $accuracy, $(summary "$run" images_per_second) images/s;" \
        "convoy predict the same on files"
    [[ -n $wants_torch ]] || continue
    take_turn
    "$cache/torch/bin/python" "$root/Scripts/bench/peers/torch_solar.py" "$data" "$list" \
        "$directory/model.txt" --seed "$seed" --epochs "$epochs" >"$directory/torch.out" ||
        fail "torch_solar.py"
    give_turn
    last=$(tail -n 1 "$directory/torch.out")
    accuracy=$(sed -n 's/.*"test_accuracy": \([0-9.]*\).*/\1/p' <<<"$last")
    torch_accuracies+=("$accuracy")
    echo "seed $seed: PyTorch $accuracy," \
        "$(sed -n 's/.*"images_per_second": \([0-9]*\).*/\1/p' <<<"$last") images/s"
done

mean() { printf '%s\n' "$@" | awk '{ sum += $1 } END { printf "%.4f", sum / NR }'; }
ours=$(mean "${convoy_accuracies[@]}")
if [[ -z $wants_torch ]]; then
    echo "Convoy $ours, mean of $seeds seeds, $epochs epochs"
    exit 0
fi
theirs=$(mean "${torch_accuracies[@]}")
awk -v o="$ours" -v t="$theirs" -v n="$seeds" -v e="$epochs" -v quick="$is_quick" 'BEGIN {
    points = 100 * (o - t)
    printf "Convoy %s, PyTorch %s, difference %+.2f points; means of %d seeds, %d epochs\n",
        o, t, points, n, e
    exit quick == "" && points < -1
}'
