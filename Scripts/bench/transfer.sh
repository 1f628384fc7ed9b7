#!/usr/bin/env bash
# Usage: Scripts/bench/transfer.sh [flags]
#
# Transfer learning from one half of Fashion-MNIST to the other: trains resnet20 on the classes 0 to
# 4, then a new last layer on the classes 5 to 9 behind the frozen trunk. Says whether frozen tensors
# keep their bits, how many bytes a step exchanges, how much faster the last layer trains on features
# that are computed once, and what accuracy PyTorch reaches in the same way.
#
#   --epochs N   epochs of the first half and of the second (3)
#   --torch      also trains the second half in PyTorch, in the environment of peers.sh
#   --quick      one epoch each: to see whether all runs, not to quote
#
# CONVOY=PROGRAM measures that program and builds nothing. Takes some six minutes on 2 cores.
# shellcheck disable=SC2034,SC2154 # common.sh reads what is set here, and sets what is read
set -euo pipefail

bench=transfer
# shellcheck source=Scripts/bench/common.sh disable=SC1091
source "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/common.sh"
# shellcheck source=Scripts/bench/peers/environments.sh disable=SC1091
source "$root/Scripts/bench/peers/environments.sh"

epochs=3
wants_torch=
while (($# > 0)); do
    case $1 in
    --torch) wants_torch=yes ;;
    --quick) epochs=1 ;;
    --epochs)
        (($# > 1)) || usage_error "$1: its value is missing"
        require_count --epochs "$2"
        epochs=$2
        shift
        ;;
    *) usage_error "$1: expected --epochs, --torch or --quick" ;;
    esac
    shift
done

[[ -z $wants_torch ]] || prepare_environment torch
prepare_convoy
find_python || python=$(command -v python3) || fail "no python3, which cuts the data set"
source_data=/usr/share/datasets/fashion-mnist
[[ -d $source_data ]] || fail "no $source_data; install dataset-fashion-mnist"

# The two halves as IDX files; the labels of each are 0 to 4.
"$python" - "$source_data" "$directory/data" <<'PYTHON'
import gzip, os, struct, sys

source, target = sys.argv[1:]
for split in ("train", "t10k"):
    images = gzip.open(f"{source}/{split}-images-idx3-ubyte.gz").read()[16:]
    labels = gzip.open(f"{source}/{split}-labels-idx1-ubyte.gz").read()[8:]
    for name, first in (("lower", 0), ("upper", 5)):
        records = [i for i, label in enumerate(labels) if first <= label < first + 5]
        os.makedirs(f"{target}/{name}", exist_ok=True)
        with open(f"{target}/{name}/{split}-images-idx3-ubyte", "wb") as file:
            file.write(struct.pack(">4I", 0x803, len(records), 28, 28))
            for i in records:
                file.write(images[784 * i : 784 * i + 784])
        with open(f"{target}/{name}/{split}-labels-idx1-ubyte", "wb") as file:
            file.write(struct.pack(">2I", 0x801, len(records)))
            file.write(bytes(labels[i] - first for i in records))
PYTHON

cat >"$directory/run.yaml" <<'YAML'
data:
  transformations: [{standardize: {mean: [0.2860], deviation: [0.3530]}}]
model: resnet20
training: {batch-size: 128, virtual-workers: 2, schedule: {name: cosine, warmup-epochs: 0.5}}
optimizer: {name: sgd, learning-rate: 0.1, momentum: 0.9, weight-decay: 0.0005}
YAML
frozen=(--freeze 'conv1.*' --freeze 'bn1.*' --freeze 'layer?.*')

train() { # NAME FLAGS...: sums and weights go through sockets, so that their bytes are counted
    local name=$1
    shift
    echo "$bench: $name" >&2
    "$convoy" train --config "$directory/run.yaml" --run-dir "$directory/$name" \
        --no-shared-memory "$@" >"$directory/$name.out" 2>&1 ||
        fail "$(tail -n 3 "$directory/$name.out")"
}

exchanged() { # NAME: bytes of sums and weights of all workers, a step
    local steps
    steps=$(summary "$directory/$1" steps)
    cat "$directory/$1"/logs/worker-*.jsonl | "$python" -c '
import json, sys
total = 0
for line in sys.stdin:
    entry = json.loads(line)
    if entry.get("message") == "exchanged":
        total += int(entry["net.sent-bytes"]) + int(entry["net.received-bytes"])
print(total / int(sys.argv[1]))' "$steps"
}

train lower --data "idx:$directory/data/lower" --epochs "$epochs"
train whole --data "idx:$directory/data/upper" --init "$directory/lower" --init-except 'fc.*' --steps 150
train upper --data "idx:$directory/data/upper" --init "$directory/lower" --init-except 'fc.*' \
    "${frozen[@]}" --epochs "$epochs"
"$convoy" features --checkpoint "$directory/lower" --node pool3 --data "idx:$directory/data/upper" \
    --output "$directory/features" >&2
sed -e '/transformations/d; /^data:/d; /^model:/d' "$directory/run.yaml" >"$directory/head.yaml"
mv -- "$directory/head.yaml" "$directory/run.yaml"
train head --data "partitions:$directory/features" --model "$directory/features/head.yaml" \
    --epochs "$epochs"

"$python" - "$directory" <<'PYTHON'
import glob, json, struct, sys


def tensors(run):
    path = sorted(glob.glob(f"{run}/checkpoints/step-*/model.safetensors"))[-1]
    with open(path, "rb") as file:
        data = file.read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    body = data[8 + length :]
    return {name: body[slice(*entry["data_offsets"])] for name, entry in header.items()}


lower, upper = tensors(f"{sys.argv[1]}/lower"), tensors(f"{sys.argv[1]}/upper")
same = [name for name in lower if lower[name] == upper[name]]
size = sum(len(upper[name]) for name in upper)
rest = sum(len(upper[name]) for name in upper if name not in same)
print(f"frozen tensors with equal bits: {len(same)} of {len(lower) - 2}")
print(f"share of the bytes that is trained: {rest / size:.5f}")
PYTHON
whole_bytes=$(exchanged whole)
upper_bytes=$(exchanged upper)
awk -v w="$whole_bytes" -v u="$upper_bytes" 'BEGIN {
    printf "bytes exchanged a step: %.0f whole, %.0f frozen, ratio %.5f\n", w, u, u / w }'
for name in lower whole upper head; do
    printf '%s: test accuracy %s, %s images/s\n' "$name" \
        "$(summary "$directory/$name" test_accuracy)" \
        "$(summary "$directory/$name" images_per_second)"
done
awk -v h="$(summary "$directory/head" images_per_second)" \
    -v u="$(summary "$directory/upper" images_per_second)" 'BEGIN {
    printf "head on features against frozen trunk: %.1f times the images/s\n", h / u }'
if [[ -n $wants_torch ]]; then
    trunk=$(find "$directory/lower/checkpoints" -name model.safetensors | sort | tail -n 1)
    "$cache/torch/bin/python" "$root/Scripts/bench/peers/torch_fashion.py" "$directory/data/upper" \
        --classes 5 --epochs "$epochs" --warmup 0.5 --trunk "$trunk"
fi
