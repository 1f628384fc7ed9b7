"""Convoy on a Spark cluster: DataFrames in, a trained model and predictions out.

`write_partitions` turns DataFrames into a partitioned directory, from the executors; `train` runs
a coordinator beside the driver and the workers in a barrier stage; `predict` appends predictions
to a DataFrame. Call `ship` once, so that executors have this package.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import shutil
import sys
import tempfile

from pyspark.sql import SparkSession

# The package of columns and files lies in Scripts, or beside this one where `ship` put both.
if importlib.util.find_spec("convoy_partitions") is None:
    sys.path.append(
        os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import convoy_partitions  # noqa: E402
from convoy_partitions.images import ImageFormat  # noqa: E402

from .partitions import write_partitions  # noqa: E402
from .prediction import predict  # noqa: E402
from .training import ClusterSettings, TrainingResult, train  # noqa: E402

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
    """Sends this package, and what it needs of ours, to every executor, present and future.

    Args:
        convoy: the program, if it shall be sent too; the libraries it needs are not.
    """
    if convoy is not None:
        spark.sparkContext.addFile(convoy)
    # Executors that start later fetch it then, so it stays until this process ends.
    directory = tempfile.mkdtemp(prefix="convoy-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    staging = os.path.join(directory, "staging")
    for file in (__file__, convoy_partitions.__file__):
        package = os.path.dirname(os.path.abspath(file))
        shutil.copytree(
            package,
            os.path.join(staging, os.path.basename(package)),
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    archive = shutil.make_archive(os.path.join(directory, "convoy_spark"), "zip", staging)
    spark.sparkContext.addPyFile(archive)
