"""Convoy on a Spark cluster: DataFrames in, a trained model and predictions out.

`write_partitions` turns DataFrames into a partitioned directory, from the executors; `train` runs
a coordinator beside the driver and the workers in a barrier stage; `predict` appends predictions
to a DataFrame. Call `ship` once, so that executors have this package.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

from pyspark.sql import SparkSession

from .images import ImageFormat
from .partitions import write_partitions
from .prediction import predict
from .training import ClusterSettings, TrainingResult, train

__all__ = [
    "ClusterSettings",
    "ImageFormat",
    "TrainingResult",
    "predict",
    "ship",
    "train",
    "write_partitions",
]


def ship(spark: SparkSession, convoy: str | None = None) -> None:
    """Sends this package to every executor, present and future.

    Args:
        convoy: the program, if it shall be sent too; the libraries it needs are not.
    """
    if convoy is not None:
        spark.sparkContext.addFile(convoy)
    package = os.path.dirname(os.path.abspath(__file__))
    # Executors that start later fetch it then, so it stays until this process ends.
    directory = tempfile.mkdtemp(prefix="convoy-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    staging = os.path.join(directory, "staging")
    shutil.copytree(
        package,
        os.path.join(staging, os.path.basename(package)),
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    archive = shutil.make_archive(os.path.join(directory, "convoy_spark"), "zip", staging)
    spark.sparkContext.addPyFile(archive)
