#!/usr/bin/env python3
"""Trains a Convoy model on Parquet data with a Spark cluster, and predicts with it.

    spark-submit --master spark://HOST:7077 Scripts/spark/convoy_on_spark.py \\
        --convoy /opt/convoy/bin/convoy --train train.parquet --test test.parquet \\
        --image image --label label --shape 1,28,28 \\
        --partitions /shared/fashion --run-dir /shared/runs/fashion \\
        --predictions /shared/predictions.parquet -- --epochs 2 --model cnn

Writes the DataFrames as a partitioned directory, trains in a barrier stage, and writes the test
records with predictions. Without --train the directory that is there is used. What comes after --
are flags of `convoy coordinator`. Needs PySpark 3.4 or later, PyArrow and NumPy on every host.
"""

from __future__ import annotations

import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from pyspark.sql import DataFrame, SparkSession, functions  # noqa: E402

import convoy_spark  # noqa: E402
from convoy_spark import ClusterSettings, ImageFormat  # noqa: E402


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--train", metavar="PARQUET", help="training records; --partitions is written from them")
    add("--test", metavar="PARQUET", help="test records; a share of --train if not given")
    add("--test-fraction", type=float, default=0.1, help="that share (0.1)")
    add("--image", default="image", help="column: binary, array, or struct of Spark's images")
    add("--label", default="label", help="column: whole numbers from 0")
    add("--shape", type=shape, metavar="C,H,W", help="of binary images and flat arrays")
    add("--layout", choices=["chw", "hwc"], default="chw", help="order of their pixels")
    add("--classes", type=int, help="number of classes (the highest label + 1)")
    add("--partition-count", type=int, help="cut the training records into so many partitions")
    add("--order-by", metavar="COLUMN", help="sort by it, so that the order can be repeated")
    add("--partitions", metavar="DIR", required=True, help="the partitioned directory")
    add("--run-dir", metavar="DIR", required=True, help="a run that is there goes on")
    add("--predictions", metavar="PARQUET", help="write the test records with predictions there")
    add("--workers", type=int, help="workers, a task each (as many as fit)")
    add("--servers", type=int, default=1, help="parameter servers (1)")
    add("--threads", type=int, help="compute threads of a worker (spark.task.cpus)")
    add("--convoy", default=os.environ.get("CONVOY", "convoy"), help="the program, on every host")
    add("--ship-convoy", action="store_true", help="send the program to the executors")
    add("--address", help="where the coordinator listens (the driver's address)")
    add("--keys", default=os.environ.get("CONVOY_KEYS"), help="directory of keys on every host")
    add("--insecure", action="store_true", help="go without keys beyond this machine")
    add("flags", nargs="*", help="flags of convoy coordinator, after --")
    return parser.parse_args()


def shape(text: str) -> tuple[int, int, int]:
    numbers = tuple(int(part) for part in text.split(","))
    if len(numbers) != 3 or min(numbers) < 1:
        raise argparse.ArgumentTypeError(f"expected C,H,W, each at least 1, found {text}")
    return numbers


def ordered(frame: DataFrame, column: str | None, count: int | None) -> DataFrame:
    """The records in as many partitions, in an order that can be repeated if a column gives it."""
    if column is None:
        return frame if count is None else frame.repartition(count)
    count = count or frame.rdd.getNumPartitions()
    return frame.repartitionByRange(count, column).sortWithinPartitions(column)


def main() -> None:
    options = arguments()
    spark = SparkSession.builder.appName("convoy").getOrCreate()
    convoy_spark.ship(spark, options.convoy if options.ship_convoy else None)
    format = ImageFormat(options.shape, options.layout)
    test = spark.read.parquet(options.test) if options.test else None
    if options.train:
        training = spark.read.parquet(options.train)
        if test is None:
            share = options.test_fraction
            training, test = training.randomSplit([1 - share, share], seed=1)
        manifest = convoy_spark.write_partitions(
            ordered(training, options.order_by, options.partition_count),
            ordered(test, options.order_by, None),
            options.partitions,
            image=options.image,
            label=options.label,
            format=format,
            classes=options.classes,
        )
        files = len(manifest["training"]) + len(manifest["test"])
        print(f"{options.partitions}: {files} partitions")
    result = convoy_spark.train(
        spark,
        f"partitions:{os.path.abspath(options.partitions)}",
        options.run_dir,
        options.flags,
        ClusterSettings(
            workers=options.workers,
            servers=options.servers,
            threads=options.threads,
            convoy=options.convoy,
            address=options.address,
            keys=options.keys,
            is_insecure=options.insecure,
        ),
    )
    print(f"checkpoint {result.checkpoint}")
    print(f"restarts {result.restarts}")
    if options.predictions and test is not None:
        predicted = convoy_spark.predict(
            test, result.checkpoint, image=options.image, format=format, convoy=options.convoy
        )
        predicted.drop(options.image).write.parquet(options.predictions)
        written = spark.read.parquet(options.predictions)
        is_right = functions.col("prediction") == functions.col(options.label)
        print(f"predictions {written.count()}, right {written.where(is_right).count()}")
    spark.stop()


if __name__ == "__main__":
    main()
