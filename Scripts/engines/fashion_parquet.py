"""Writes Fashion-MNIST from its IDX files as Parquet: fashion_parquet.py IDX_DIR OUTPUT_DIR.

OUTPUT_DIR gets train.parquet and test.parquet with the columns `record` (its number), `image` (784
bytes) and `label`, in four files each.
"""

import gzip
import pathlib
import sys

import pyarrow as pa
import pyarrow.parquet as pq

IMAGE_BYTE_COUNT = 28 * 28


def read(path: pathlib.Path) -> bytes:
    """The bytes of an IDX file, compressed or not."""
    return path.read_bytes() if path.exists() else gzip.open(f"{path}.gz").read()


def main() -> None:
    source, target = map(pathlib.Path, sys.argv[1:])
    for split, prefix in (("train", "train"), ("test", "t10k")):
        images = read(source / f"{prefix}-images-idx3-ubyte")[16:]
        labels = read(source / f"{prefix}-labels-idx1-ubyte")[8:]
        directory = target / f"{split}.parquet"
        directory.mkdir(parents=True)
        count = len(labels) // 4
        for part in range(4):
            records = range(part * count, (part + 1) * count)
            rows = [images[i * IMAGE_BYTE_COUNT : (i + 1) * IMAGE_BYTE_COUNT] for i in records]
            table = pa.table(
                {
                    "record": pa.array(records, pa.int64()),
                    "image": pa.array(rows, pa.binary()),
                    "label": pa.array(labels[records.start : records.stop], pa.int32()),
                }
            )
            pq.write_table(table, directory / f"part-{part}.parquet")


if __name__ == "__main__":
    main()
