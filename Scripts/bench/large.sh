#!/usr/bin/env bash
# Usage: Scripts/bench/large.sh [flags]
#
# Trains on a set that is larger than a worker's memory, and on the same set in memory, in turns:
# one worker whose partitions all stay in memory (--data-memory above the size of the set), and one
# that may keep --memory bytes of them and whose data files are dropped from the system's cache every
# two seconds, so that it reads a cold disk. Prints images a second from the 20th step on, the
# largest resident memory of the worker, the largest part of the set in the system's cache (it counts
# against the worker in a control group), the share of the compute threads' time that was spent on
# waiting for data, the time in which they opened partitions and compared their SHA-256 (both sides do
# that once), and the worker's processor time.
#
#   --gb N         size of the set in units of 10^9 bytes (8)
#   --partitions N training partitions (64)
#   --steps N      steps of 128 records (300)
#   --memory N     bytes of partitions that the second worker may keep (67108864)
#   --rounds N     turns of each (2)
#   --data DIR     where the set is made and kept; without it, it lies in a temporary directory
#   --quick        64 MB, 1 MiB, one round: to see whether all runs, not to quote
#
# Ends with 1 when the weights differ, and but with --quick also when the median rate is below 95 % of
# that in memory, the waits are 1 % or more, or memory and cache reach 500 MB. CONVOY=PROGRAM measures
# that program and builds nothing.
# shellcheck disable=SC2034,SC2154 # common.sh reads what is set here, and sets what is read
set -euo pipefail

bench=large
# shellcheck source=Scripts/bench/common.sh disable=SC1091
source "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/common.sh"

gb=8 partitions=64 steps=300 memory=67108864 rounds=2 data='' is_quick=''
megabytes=''
while (($# > 0)); do
    if [[ $1 == --quick ]]; then
        is_quick=yes megabytes=64 partitions=8 steps=60 memory=1048576 rounds=1
        shift
        continue
    fi
    (($# > 1)) || usage_error "$1: its value is missing"
    case $1 in
    --gb | --partitions | --steps | --memory | --rounds)
        [[ $2 =~ ^[1-9][0-9]{0,11}$ ]] ||
            usage_error "$1: expected a number from 1, found '$2'"
        printf -v "${1#--}" '%s' "$2"
        ;;
    --data) data=$2 ;;
    *) usage_error "$1: expected --gb, --partitions, --steps, --memory, --rounds, --data or --quick" ;;
    esac
    shift 2
done
megabytes=${megabytes:-$((gb * 1000))}
python=$(command -v python3) || fail "no python3, which makes the set"
prepare_convoy
machine
convoy_version
data=${data:-$directory/data}
mkdir -p -- "$data"

# Makes the set: bytes without a pattern, 3 x 56 x 56, labels 0 to 9 in turn.
"$python" - "$data" "$megabytes" "$partitions" <<'PYTHON'
import hashlib
import json
import os
import random
import struct
import sys

directory, megabytes, partitions = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
shape, classes, test = [3, 56, 56], 10, 1024
size = 3 * 56 * 56
total = megabytes * 1_000_000 // size
path = os.path.join(directory, "manifest.json")
if os.path.exists(path):
    with open(path, encoding="utf-8") as file:
        known = json.load(file)
    if [sum(e["records"] for e in known["training"]), len(known["training"])] == [total, partitions]:
        sys.exit()
    sys.exit(f"large: error: {directory} holds another set; give another --data")
noise = random.Random(1).randbytes(16 << 20)


def write(name, count, seed):
    labels = [record % classes for record in range(count)]
    header = json.dumps({
        "labels": {"dtype": "I32", "shape": [count], "data_offsets": [0, 4 * count]},
        "images": {"dtype": "U8", "shape": [count] + shape,
                   "data_offsets": [4 * count, (4 + size) * count]},
    }).encode()
    header += b" " * (-len(header) % 8)
    digest = hashlib.sha256()
    with open(os.path.join(directory, name), "wb") as file:
        def put(piece):
            digest.update(piece)
            file.write(piece)
        put(struct.pack("<Q", len(header)) + header)
        put(struct.pack(f"<{count}i", *labels))
        left = size * count
        while left > 0:
            start = (seed * 7919) % (8 << 20)
            piece = noise[start:start + min(left, 8 << 20)]
            put(piece)
            left -= len(piece)
            seed += 1
        file.flush()
        os.fsync(file.fileno())
    return {"file": name, "records": count, "sha256": digest.hexdigest(),
            "histogram": [labels.count(label) for label in range(classes)]}


cut = [total * index // partitions for index in range(partitions + 1)]
manifest = {
    "format": "convoy-partitions", "version": 1, "name": "large", "dtype": "U8", "shape": shape,
    "classes": classes, "test": [write("test-00000.safetensors", test, 1)],
    "training": [
        write(f"training-{index:05}.safetensors", cut[index + 1] - cut[index], 100 * index + 2)
        for index in range(partitions)],
}
with open(path + ".tmp", "w", encoding="utf-8") as file:
    json.dump(manifest, file)
os.rename(path + ".tmp", path)
PYTHON

cat >"$directory/run.yaml" <<YAML
data: {source: "partitions:$(realpath -- "$data")"}
training: {batch-size: 128, virtual-workers: 4, steps: $steps, checkpoint-every: 1000000}
cluster: {workers: 1, threads: $(nproc), servers: 1}
YAML

# Watches the worker of the run in directory $1 until the process $2 ends; drops the set from the
# system's cache every two seconds when $3 is "cold"; writes the largest resident memory and the
# largest part of the set in the system's cache, in bytes, and its processor time in seconds, and the share of
# time that other machines of the host took, in percent, to $1.peaks.
watch_worker() {
    "$python" - "$data" "$1" "$2" "$3" <<'PYTHON'
import os
import subprocess
import sys
import time

data, run, parent, mode = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
files = [os.open(os.path.join(data, name), os.O_RDONLY)
         for name in sorted(os.listdir(data)) if name.endswith(".safetensors")]
names = [os.path.join(data, name) for name in os.listdir(data) if name.endswith(".safetensors")]
peak = cached = ticks = 0


def stolen():
    """Returns the time that other machines of the host took, and all time, in ticks."""
    with open("/proc/stat", encoding="ascii") as file:
        times = list(map(int, file.readline().split()[1:9]))
    return times[7], sum(times)


start = stolen()
is_training = False


def alive():
    try:
        os.kill(parent, 0)
        return True
    except OSError:
        return False


def worker():
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{process}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
            if b"worker" in words and any(run.encode() in word for word in words):
                return process
        except OSError:
            pass
    return None


def resident(process):
    try:
        with open(f"/proc/{process}/status", encoding="ascii") as file:
            return next((1024 * int(line.split()[1]) for line in file
                         if line.startswith("VmHWM")), 0)
    except OSError:
        return 0


def processor(process):
    try:
        with open(f"/proc/{process}/stat", encoding="ascii") as file:
            return sum(map(int, file.read().rpartition(")")[2].split()[11:13]))
    except OSError:
        return 0


last, process = time.monotonic(), None
while alive():
    process = process or worker()
    peak = max(peak, resident(process)) if process else peak
    ticks = max(ticks, processor(process)) if process else ticks
    metrics = os.path.join(run, "metrics.jsonl")
    if mode == "cold" and time.monotonic() - last > (2 if is_training else 0.5):
        last = time.monotonic()
        # Before the first step every file is compared with its SHA-256; that is not measured.
        if is_training:
            lines = subprocess.run(
                ["fincore", "--bytes", "--noheadings", "--output", "RES"] + names,
                capture_output=True, text=True, check=False).stdout.split()
            cached = max(cached, sum(map(int, lines)))
        for file in files:
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    if not is_training and os.path.exists(metrics) and os.path.getsize(metrics) > 0:
        is_training = True
        start = stolen()
    time.sleep(0.1)
end = stolen()
with open(run + ".peaks", "w", encoding="ascii") as file:
    file.write(f"{peak} {cached} {ticks / os.sysconf('SC_CLK_TCK')} "
               f"{100 * (end[0] - start[0]) / max(1, end[1] - start[1]):.1f}\n")
PYTHON
}

# one NAME MEMORY MODE: a run; prints and keeps its figures.
one() {
    local run=$directory/run-$1 child peaks
    take_turn
    timeout --kill-after=5 3600 "$convoy" train --config "$directory/run.yaml" --run-dir "$run" \
        --data-memory "$2" </dev/null >"$run.log" 2>&1 &
    child=$!
    watch_worker "$run" "$child" "$3"
    wait "$child" || fail "$1: $(tail -n 3 -- "$run.log")"
    give_turn
    read -r -a peaks <"$run.peaks"
    "$python" - "$run" "${peaks[@]}" <<'PYTHON' | tee -a -- "$directory/${1%-*}.tsv"
import glob
import json
import sys

run, peak, cached = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
seconds, stolen = float(sys.argv[4]), sys.argv[5]
with open(run + "/metrics.jsonl", encoding="utf-8") as file:
    steps = [line for line in map(json.loads, file) if line["kind"] == "step"]
first = steps[20]
rate = sum(step["records"] for step in steps[21:]) / (steps[-1]["time"] - first["time"])
waits = {}
for path in glob.glob(run + "/logs/worker-*.jsonl"):
    with open(path, encoding="utf-8") as file:
        for line in map(json.loads, file):
            if "waited for data" in json.dumps(line):
                flat = {**line, **line.get("metadata", {})}
                waits = {key: flat[key] for key in flat if key.startswith("data.")}
print(f"{rate:.1f}\t{peak / 1e6:.0f}\t{cached / 1e6:.0f}\t{waits.get('data.wait-percent', '-')}"
      f"\t{waits.get('data.wait-ms', '-')}\t{waits.get('data.open-ms', '-')}"
      f"\t{seconds:.1f}\t{stolen}")
PYTHON
}

echo "turn: images/s, resident MB, cached MB, wait %, wait ms, opening ms, processor s, stolen %"
for ((round = 1; round <= rounds; round++)); do
    one "memory-$round" $((megabytes * 2000000)) warm
    one "disk-$round" "$memory" cold
    [[ $(summary "$directory/run-memory-$round" weights_sha256) == \
        "$(summary "$directory/run-disk-$round" weights_sha256)" ]] || fail "the weights differ" 1
done
echo "weights_sha256 $(summary "$directory/run-disk-1" weights_sha256) in both"
"$python" - "$directory" "${is_quick:-no}" <<'PYTHON'
import statistics
import sys


def column(name, place):
    with open(f"{sys.argv[1]}/{name}.tsv", encoding="ascii") as file:
        return [float(line.split()[place]) for line in file]


ratio = statistics.median(column("disk", 0)) / statistics.median(column("memory", 0))
wait = max(column("disk", 3))
memory = max(a + b for a, b in zip(column("disk", 1), column("disk", 2)))
print(f"from disk {100 * ratio:.1f} % of the rate in memory; waits {wait:.2f} %; "
      f"worker and cache {memory:.0f} MB")
sys.exit(0 if sys.argv[2] == "yes" or (ratio >= 0.95 and wait < 1 and memory < 500) else 1)
PYTHON
