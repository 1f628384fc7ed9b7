#!/usr/bin/env bash
# Usage: Scripts/fetch-series.sh [DIR]
#
# Puts four sets of series into DIR (data/series), each a directory for `npy:`:
#   trace          faults of a power plant, simulated: 100 + 100 series of 275 values, 4 classes
#   gunpoint       a hand's path with and without a gun: 50 + 150 series of 150 values, 2 classes
#   basicmotions   accelerometer and gyroscope of a watch: 40 + 40 series of 6 x 100 values, 4 classes
#   italypowerdemand   a day's power demand: 67 + 1029 series of 24 values, 2 classes
# with train_x.npy, test_x.npy (float32 [N, channels, 1, time]), train_y.npy, test_y.npy (int32 [N],
# from 0) and classes.txt, a class a line. Then:   convoy train --config Cluster/trace.yaml
#
# Trace comes from the package tslearn 0.10.0 (0.4 MB), the others from aeon 1.6.0 (6 MB), both on
# PyPI; nothing of them is executed. The series are those of the UCR and UEA archives
# (timeseriesclassification.com). Needs Python 3, without NumPy. DIR is whole or not there.
set -euo pipefail

# shellcheck source=Scripts/fetch-wheel.sh
source "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/fetch-wheel.sh" fetch-series

directory=${1:-data/series}
checksum=e1f52ec3778a97ec46e096390c3d578777315b6332d3ec78a95e64df112200c5
sets="trace, gunpoint, basicmotions and italypowerdemand"

if ! start_directory "$directory" "$checksum"; then
    echo "$directory is there already: $sets, of the UCR and UEA archives"
    exit 0
fi
fetch_wheel tslearn 0.10.0 793ebbb13ba68cb3fb67b8f6c9a3d7eb2a0ff21a8879f22f47f32b359d6abbbc 1
tslearn=$wheel
fetch_wheel aeon 1.6.0 d05227086706f80111ac5fee8de4d5d3115bb3bcfd1c786c8629393055816409 6
aeon=$wheel

python3 - "$tslearn" "$aeon" "$unfinished" <<'PYTHON' || fail "the series cannot be unpacked" 65
import array
import ast
import io
import pathlib
import sys
import zipfile

tslearn, aeon, target = sys.argv[1:]
target = pathlib.Path(target)


def read_npy(data):
    """Shape and values of an NPY file of version 1 in C order."""
    assert data[:8] == b"\x93NUMPY\x01\x00", data[:8]
    start = 10 + int.from_bytes(data[8:10], "little")
    header = ast.literal_eval(data[10:start].decode("latin-1"))
    assert not header["fortran_order"]
    values = array.array({"<f8": "d", "<i8": "q"}[header["descr"]], data[start:])
    if sys.byteorder == "big":
        values.byteswap()
    return header["shape"], values


def write_npy(path, description, kind, shape, values):
    """An NPY file of version 1, as NumPy writes it."""
    text = f"{{'descr': '{description}', 'fortran_order': False, 'shape': {shape}, }}"
    text = text.ljust(-(-(10 + len(text) + 1) // 64) * 64 - 11) + "\n"
    values = array.array(kind, values)
    assert values.itemsize == 4
    if sys.byteorder == "big":
        values.byteswap()
    with open(path, "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode("latin-1"))
        file.write(values.tobytes())


def write(name, classes, splits):
    """A set from (split, shape, values, labels)."""
    directory = target / name
    directory.mkdir()
    for split, shape, values, labels in splits:
        write_npy(directory / f"{split}_x.npy", "<f4", "f", shape, values)
        write_npy(directory / f"{split}_y.npy", "<i4", "i", f"({len(labels)},)", labels)
    (directory / "classes.txt").write_text("\n".join(classes) + "\n", encoding="utf-8")


def read_ts(text):
    """Classes, shape, values and labels of a .ts file: a series a line, channels between colons,
    the class at its end."""
    head, _, body = text.partition("@data")
    line = next(line for line in head.splitlines() if line.lower().startswith("@classlabel true"))
    classes, values, labels, shapes = line.split()[2:], [], [], set()
    for line in body.split("\n"):
        if not line.strip():
            continue
        *channels, label = line.strip().split(":")
        rows = [[float(number) for number in channel.split(",")] for channel in channels]
        shapes.add((len(rows), *{len(row) for row in rows}))
        labels.append(classes.index(label))
        values += [number for row in rows for number in row]
    ((channels, length),) = shapes
    return classes, (len(labels), channels, 1, length), values, labels


with zipfile.ZipFile(tslearn) as wheel:
    cached = wheel.read("tslearn/.cached_datasets/Trace.npz")
with zipfile.ZipFile(io.BytesIO(cached)) as archive:
    splits = []
    for split in ("train", "test"):
        # [N, time, 1], which has the order of [N, 1, 1, time]; classes count from 1.
        (count, length, _), values = read_npy(archive.read(f"X_{split}.npy"))
        _, labels = read_npy(archive.read(f"y_{split}.npy"))
        splits.append((split, (count, 1, 1, length), values, [label - 1 for label in labels]))
    write("trace", ["1", "2", "3", "4"], splits)

with zipfile.ZipFile(aeon) as wheel:
    for name in ("GunPoint", "BasicMotions", "ItalyPowerDemand"):
        splits = []
        for split in ("train", "test"):
            path = f"aeon/datasets/data/{name}/{name}_{split.upper()}.ts"
            classes, *parts = read_ts(wheel.read(path).decode("utf-8"))
            splits.append((split, *parts))
        write(name.lower(), classes, splits)
PYTHON
finish_directory "$directory" "$checksum"
echo "$directory is complete: $sets, of the UCR and UEA archives"
