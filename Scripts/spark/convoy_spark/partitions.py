"""Writes DataFrames as a partitioned directory, from the executors.

Every Spark partition becomes one safetensors file, which its task writes under a temporary name;
the driver sees counts and checksums only, gives the files of the tasks that succeeded their names
and writes the manifest last. A task that runs twice therefore leaves nothing wrong.
"""

from __future__ import annotations

import os
from typing import Callable, Iterator

import numpy as np
import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql import DataFrame, Row

from convoy_partitions.directory import FORMAT, write_manifest
from convoy_partitions.images import ImageFormat, decode_labels
from convoy_partitions.tensors import write_tensors

_SCHEMA = (
    "partition long, file string, records long, histogram array<long>, sha256 string, "
    "shape array<int>, dtype string"
)


def write_partitions(
    training: DataFrame,
    test: DataFrame,
    directory: str,
    *,
    image: str = "image",
    label: str = "label",
    format: ImageFormat = ImageFormat(),
    classes: int | None = None,
    name: str = "spark",
) -> dict:
    """Writes both splits and, last of all, the manifest.

    Args:
        directory: a path that the driver and every executor see; empty or not there yet.
        classes: number of classes; the highest label + 1 if it is not given.

    Returns: the manifest.

    A partition is held in memory once by the task that writes it. Order and partitions of the
    records are those of the DataFrames; they decide the order of training, so sort them if two
    directories are to be the same.
    """
    directory = os.path.abspath(directory)
    os.makedirs(directory, exist_ok=True)
    if os.listdir(directory):
        raise FileExistsError(f"{directory}: expected an empty directory; give another one")
    pieces = {
        split: _write_split(frame, split, directory, image, label, format)
        for split, frame in (("training", training), ("test", test))
    }
    every = pieces["training"] + pieces["test"]
    for split, rows in pieces.items():
        if not rows:
            raise ValueError(f"{split} DataFrame: expected at least one record, found none")
    shape, dtype = _common([(tuple(row.shape), row.dtype) for row in every])
    found = max(len(row.histogram) for row in every)
    if classes is None:
        classes = found
    elif found > classes:
        raise ValueError(f"label column: expected 0 to {classes - 1}, found {found - 1}")
    manifest = {
        **FORMAT,
        "name": name,
        "shape": list(shape),
        "dtype": dtype,
        "classes": classes,
    }
    for split, rows in pieces.items():
        manifest[split] = [_commit(row, split, number, directory, classes)
                           for number, row in enumerate(rows)]
    for leftover in os.listdir(directory):
        if leftover.endswith(".tmp"):
            os.unlink(os.path.join(directory, leftover))
    write_manifest(manifest, directory)
    return manifest


def _write_split(
    frame: DataFrame, split: str, directory: str, image: str, label: str, format: ImageFormat
) -> list[Row]:
    """Runs the writing tasks; a row for each partition that is not empty, in order."""
    rows = (
        frame.select(image, label)
        .mapInArrow(_writer(split, directory, format), _SCHEMA)
        .collect()
    )
    return sorted(rows, key=lambda row: row.partition)


def _writer(
    split: str, directory: str, format: ImageFormat
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def write(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        images: list[np.ndarray] = []
        labels: list[np.ndarray] = []
        for batch in batches:
            if batch.num_rows > 0:
                images.append(format.decode(batch.column(0)))
                labels.append(decode_labels(batch.column(1)))
        if not images:
            return
        shape, _ = _common([(piece.shape[1:], piece.dtype.name) for piece in images])
        context = TaskContext.get()
        assert context is not None, "only tasks of Spark write partitions"
        partition, attempt = context.partitionId(), context.taskAttemptId()
        file = f".{split}-{partition}-{attempt}.tmp"
        # Labels first: their elements are the wider ones, or as wide.
        digest = write_tensors(
            os.path.join(directory, file), {"labels": labels, "images": images}
        )
        row = {
            "partition": partition,
            "file": file,
            "records": sum(len(piece) for piece in labels),
            "histogram": np.bincount(np.concatenate(labels)).tolist(),
            "sha256": digest,
            "shape": list(shape),
            "dtype": "U8" if images[0].dtype == np.uint8 else "F32",
        }
        yield pa.RecordBatch.from_pylist([row], schema=_ARROW_SCHEMA)

    return write


_ARROW_SCHEMA = pa.schema(
    [
        ("partition", pa.int64()),
        ("file", pa.string()),
        ("records", pa.int64()),
        ("histogram", pa.list_(pa.int64())),
        ("sha256", pa.string()),
        ("shape", pa.list_(pa.int32())),
        ("dtype", pa.string()),
    ]
)


def _common(kinds: list[tuple]) -> tuple:
    """What shape and element type all images have."""
    different = sorted(set(kinds))
    if len(different) != 1:
        raise ValueError(
            f"image column: expected images of one shape and type, found {different[:4]}"
        )
    return different[0]


def _commit(row: Row, split: str, number: int, directory: str, classes: int) -> dict:
    """Gives a file its name; returns its line of the manifest."""
    file = f"{split}-{number:05d}.safetensors"
    os.rename(os.path.join(directory, row.file), os.path.join(directory, file))
    histogram = list(row.histogram) + [0] * (classes - len(row.histogram))
    return {
        "file": file, "records": row.records, "histogram": histogram, "sha256": row.sha256,
    }
