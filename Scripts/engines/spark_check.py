"""Checks the Python packages of Scripts/spark without a cluster.

    spark_check.py columns                   every kind of column, and bad ones
    spark_check.py directory IDX_DIR DIR     DIR has the records of IDX_DIR, in their order
"""

import json
import pathlib
import sys
import tempfile

import numpy as np
import pyarrow as pa

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from convoy_partitions.images import ImageFormat, decode_labels  # noqa: E402
from convoy_partitions.tensors import read_tensors, write_tensors  # noqa: E402

from fashion_parquet import read  # noqa: E402


def check_columns() -> None:
    """Every way to write the same three images of 2 x 4 x 5 gives the same array."""
    chw = np.random.default_rng(1).integers(0, 256, (3, 3, 4, 5), np.uint8)
    hwc = np.ascontiguousarray(chw.transpose(0, 2, 3, 1))
    planar, packed = ImageFormat((3, 4, 5)), ImageFormat((3, 4, 5), "hwc")
    structs = [
        {"origin": "", "height": 4, "width": 5, "nChannels": 3, "mode": 16,
         "data": image[:, :, ::-1].tobytes()}
        for image in hwc
    ]
    columns = [
        (planar, pa.array([image.tobytes() for image in chw], pa.binary())),
        (packed, pa.array([image.tobytes() for image in hwc], pa.large_binary())),
        (planar, pa.array(chw.reshape(3, -1).tolist(), pa.list_(pa.int32()))),
        (planar, pa.array(chw.reshape(3, -1).view(np.int8).tolist(), pa.list_(pa.int8()))),
        (planar, pa.array(chw.reshape(3, -1).tolist(), pa.list_(pa.uint8(), 60))),
        (ImageFormat(), pa.array(chw.tolist())),
        (ImageFormat(layout="hwc"), pa.array(hwc.tolist())),
        (ImageFormat(), pa.array(structs)),
    ]
    for format, column in columns:
        # A slice begins in the middle of Arrow's buffers.
        for begin in range(3):
            found = format.decode(column.slice(begin))
            assert found.dtype == np.uint8 and np.array_equal(found, chw[begin:]), column.type
    floats = ImageFormat().decode(pa.array(chw[:, 0].astype(np.float32).tolist(), None))
    assert floats.dtype == np.float32 and np.array_equal(floats, chw[:, :1]), floats.shape

    bad = [
        (planar, pa.array([b"x" * 59])),
        (planar, pa.array([b"x" * 60, b"x" * 61])),
        (planar, pa.array([b"x" * 60, None])),
        (planar, pa.array([[256] * 60])),
        (planar, pa.array([[-1] * 60])),
        (planar, pa.array([[1] * 59 + [None]])),
        (planar, pa.array(["text"])),
        (planar, pa.array([[[1, 2], [3]]])),
        (ImageFormat(), pa.array([b"x" * 60])),
        (ImageFormat((1, 4, 5)), pa.array(structs)),
        (ImageFormat(), pa.array([{**structs[0], "mode": 21}])),
        (ImageFormat(), pa.array([{"height": 4}])),
    ]
    for format, column in bad:
        require_refusal(lambda: format.decode(column), column)
    assert decode_labels(pa.array([0.0, 2.0])).tolist() == [0, 2]
    for column in (pa.array([-1]), pa.array([0.5]), pa.array([None, 1]), pa.array(["1"])):
        require_refusal(lambda: decode_labels(column), column)

    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/tensors"
        write_tensors(path, {"a": [chw[:1], chw[1:]], "b": [np.arange(3, dtype=np.int32)]})
        first, second = read_tensors(path, ["a", "b"])
        assert np.array_equal(first, chw) and second.tolist() == [0, 1, 2]


def require_refusal(decode, column: pa.Array) -> None:
    """`decode` must say what is wrong with the column."""
    try:
        decode()
    except ValueError as error:
        assert "column" in str(error), error
        return
    raise AssertionError(f"nothing was wrong with {column}")


def check_directory(idx: str, partitions: str) -> None:
    """A directory has the records of the IDX files, in their order."""
    directory = pathlib.Path(partitions)
    manifest = json.loads((directory / "manifest.json").read_text())
    for split, prefix in (("training", "train"), ("test", "t10k")):
        pieces = [
            read_tensors(str(directory / entry["file"]), ["images", "labels"])
            for entry in manifest[split]
        ]
        images, labels = (np.concatenate(part) for part in zip(*pieces))
        source = pathlib.Path(idx)
        assert images.tobytes() == read(source / f"{prefix}-images-idx3-ubyte")[16:]
        assert bytes(labels.astype(np.uint8)) == read(source / f"{prefix}-labels-idx1-ubyte")[8:]


if __name__ == "__main__":
    {"columns": check_columns, "directory": check_directory}[sys.argv[1]](*sys.argv[2:])
