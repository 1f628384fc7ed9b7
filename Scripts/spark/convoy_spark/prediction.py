"""Predictions as columns of a DataFrame, computed by convoy on the executors."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from typing import Callable, Iterator

import numpy as np
import pyarrow as pa
from pyspark import Broadcast
from pyspark.sql import DataFrame
from pyspark.sql.types import ArrayType, FloatType, IntegerType, StructType

from convoy_partitions.images import ImageFormat
from convoy_partitions.tensors import read_tensors, write_tensors

from .processes import find_convoy

# A batch of Spark's is 10,000 rows unless spark.sql.execution.arrow.maxRecordsPerBatch says more.
_SECONDS_A_BATCH = 600


def predict(
    frame: DataFrame,
    checkpoint: str,
    *,
    image: str = "image",
    format: ImageFormat = ImageFormat(),
    convoy: str = "convoy",
) -> DataFrame:
    """Appends `prediction` (the class) and `probabilities` (of all classes) to a DataFrame.

    Args:
        checkpoint: a checkpoint's directory on the driver; executors are sent its weights.
        convoy: the program, at the same path on every host unless `ship` has sent it.

    Nothing is computed before the result is used.
    """
    with open(os.path.join(checkpoint, "model.safetensors"), "rb") as file:
        model = frame.sparkSession.sparkContext.broadcast(file.read())
    schema = StructType(list(frame.schema.fields))
    schema = schema.add("prediction", IntegerType()).add("probabilities", ArrayType(FloatType()))
    return frame.mapInArrow(_predictor(model, image, format, convoy), schema)


def _predictor(
    model: Broadcast, image: str, format: ImageFormat, convoy: str
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        program = find_convoy(convoy)
        with tempfile.TemporaryDirectory(prefix="convoy-") as directory:
            with open(os.path.join(directory, "model.safetensors"), "xb") as file:
                file.write(model.value)
            for batch in batches:
                if batch.num_rows == 0:
                    continue
                images = format.decode(batch.column(batch.schema.get_field_index(image)))
                yield _append(batch, _probabilities(_logits(images, directory, program)))

    return run


def _append(batch: pa.RecordBatch, probabilities: np.ndarray) -> pa.RecordBatch:
    classes = pa.array(probabilities.argmax(axis=1), pa.int32())
    ends = np.arange(len(probabilities) + 1, dtype=np.int32) * probabilities.shape[1]
    lists = pa.ListArray.from_arrays(ends, pa.array(probabilities.ravel(), pa.float32()))
    return pa.RecordBatch.from_arrays(
        [*batch.columns, classes, lists], [*batch.schema.names, "prediction", "probabilities"]
    )


def _probabilities(logits: np.ndarray) -> np.ndarray:
    """The softmax of each row."""
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def _logits(images: np.ndarray, directory: str, program: str) -> np.ndarray:
    """What the network answers, by `convoy evaluate` on a partitioned directory of these images."""
    with tempfile.TemporaryDirectory(dir=directory) as batch:
        # Nobody knows the labels, and convoy's loss is not looked at.
        digest = write_tensors(
            os.path.join(batch, "images.safetensors"),
            {"labels": [np.zeros(len(images), np.int32)], "images": [images]},
        )
        entry = {
            "file": "images.safetensors", "records": len(images), "histogram": [len(images)],
            "sha256": digest,
        }
        manifest = {
            "format": "convoy-partitions", "version": 1, "name": "prediction",
            "shape": list(images.shape[1:]), "dtype": "U8" if images.dtype == np.uint8 else "F32",
            "classes": 1, "training": [entry], "test": [entry],
        }
        with open(os.path.join(batch, "manifest.json"), "x", encoding="utf-8") as file:
            json.dump(manifest, file)
        logits = os.path.join(batch, "logits.safetensors")
        done = subprocess.run(
            [
                program, "evaluate", "--checkpoint", os.path.join(directory, "model.safetensors"),
                "--data", f"partitions:{batch}", "--logits", logits,
            ],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            timeout=_SECONDS_A_BATCH, check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"convoy evaluate: exit code {done.returncode}: {done.stderr}")
        return read_tensors(logits, ["logits"])[0]
