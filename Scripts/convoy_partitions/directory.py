"""A partitioned directory that grows record by record and appears whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile

import numpy as np

from .labels import ClassTable
from .refusal import Refusal
from .tensors import write_tensors

FORMAT = {"format": "convoy-partitions", "version": 1}
MOST_PARTITIONS = 4096
MOST_ELEMENTS = 1 << 28
LONGEST_SIDE = 65_535
MOST_TARGETS = 65_536
# Records are copied into a partition's file in pieces of at most so many bytes.
_PIECE_BYTE_COUNT = 1 << 24
_DTYPES = {"U8": np.dtype("uint8"), "F32": np.dtype("<f4")}
SPLITS = ("training", "test")


def write_manifest(manifest: dict, directory: str) -> None:
    """Writes manifest.json, whole or not at all."""
    path = os.path.join(directory, "manifest.json")
    with open(path + ".tmp", "x", encoding="utf-8") as file:
        json.dump(manifest, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    os.rename(path + ".tmp", path)


class PartitionedDirectory:
    """Takes records in batches and spreads them over partitions.

    Of any N records that follow one another, each of N partitions gets one: which one, a keyed hash
    of the record's number decides. So partitions are equally large, and a source that is sorted by
    class gives each its share of every class. The order is that of the source alone.

    Records wait in plain files in a directory beside the output, so that memory does not grow with
    their number; `finish` makes partitions of them and gives the directory its name.
    """

    def __init__(self, output: str, partition_count: int) -> None:
        """Requires that `output` is missing or an empty directory."""
        self.output = os.path.abspath(output)
        if os.path.lexists(self.output) and not (
            os.path.isdir(self.output) and not os.listdir(self.output)
        ):
            raise Refusal(f"{output}: expected an empty directory or none; give another one")
        self.partition_count = partition_count
        parent, name = os.path.split(self.output)
        os.makedirs(parent, exist_ok=True)
        self._directory = tempfile.mkdtemp(prefix=f".{name}.", dir=parent)
        self._counts = {split: [0] * partition_count for split in SPLITS}
        self._totals = dict.fromkeys(SPLITS, 0)
        self.shape: tuple[int, ...] | None = None
        self.dtype: str | None = None
        self.target_count: int | None = None

    def __enter__(self) -> PartitionedDirectory:
        return self

    def __exit__(self, *error: object) -> None:
        shutil.rmtree(self._directory, ignore_errors=True)

    def add(self, split: str, images: np.ndarray, answers: np.ndarray, place: str) -> None:
        """Adds records to a split.

        Args:
            images: [N, C, H, W], uint8 or float32.
            answers: provisional numbers of classes [N] int32, or targets [N, D] float32.
            place: where the records come from, for errors.
        """
        if len(images) == 0:
            return
        self._check(images, answers, place)
        owners = _owners(self._totals[split], len(images), self.partition_count)
        self._totals[split] += len(images)
        for owner in np.unique(owners):
            members = np.flatnonzero(owners == owner)
            self._counts[split][owner] += len(members)
            for kind, values in (("images", images), ("answers", answers)):
                with open(self._spool(split, owner, kind), "ab") as file:
                    little = values.dtype.newbyteorder("<")
                    file.write(np.ascontiguousarray(values[members], little).data)

    def count(self, split: str) -> int:
        """The number of records of a split so far."""
        return self._totals[split]

    def finish(self, name: str, classes: ClassTable | None) -> dict:
        """Writes the partitions and the manifest, and gives the directory its name.

        Args:
            classes: what the provisional numbers mean; None for targets.

        Returns: the manifest.
        """
        if self.shape is None or self._totals["training"] == 0:
            raise Refusal("expected at least one training record, found none")
        manifest: dict = {
            **FORMAT, "name": name, "shape": list(self.shape), "dtype": self.dtype,
            "classes": 0 if classes is None else classes.count,
        }
        if classes is None:
            manifest["targets"] = self.target_count
        elif classes.names is not None:
            manifest["class_names"] = classes.names
        for split in SPLITS:
            manifest[split] = [
                self._write(split, owner, classes)
                for owner, count in enumerate(self._counts[split]) if count > 0
            ]
            # Numbers of files have no gaps where partitions stayed empty.
            for number, entry in enumerate(manifest[split]):
                file = f"{split}-{number:05d}.safetensors"
                os.rename(self._path(entry["file"]), self._path(file))
                entry["file"] = file
        write_manifest(manifest, self._directory)
        os.chmod(self._directory, 0o777 & ~_umask())
        # An empty directory gives way; one that got files meanwhile does not.
        os.rename(self._directory, self.output)
        return manifest

    def _check(self, images: np.ndarray, answers: np.ndarray, place: str) -> None:
        shape = tuple(images.shape[1:])
        dtype = "U8" if images.dtype == np.uint8 else "F32"
        if self.shape is None:
            elements = int(np.prod(shape, dtype=np.int64))
            if not all(1 <= side <= LONGEST_SIDE for side in shape) or elements > MOST_ELEMENTS:
                raise Refusal(
                    f"{place}: expected records [C, H, W] with sides of 1 to {LONGEST_SIDE} and at "
                    f"most {MOST_ELEMENTS} values, found {list(shape)}")
            self.shape, self.dtype = shape, dtype
            if answers.ndim == 2:
                self.target_count = answers.shape[1]
                if not 1 <= self.target_count <= MOST_TARGETS:
                    raise Refusal(
                        f"{place}: expected 1 to {MOST_TARGETS} targets, found "
                        f"{self.target_count}")
        if (shape, dtype) != (self.shape, self.dtype):
            raise Refusal(
                f"{place}: expected records {list(self.shape)} of {self.dtype} as before, found "
                f"{list(shape)} of {dtype}; encoded pictures get one size with --size HxW")
        if answers.ndim == 2 and answers.shape[1] != self.target_count:
            raise Refusal(
                f"{place}: expected {self.target_count} targets as before, found "
                f"{answers.shape[1]}")

    def _path(self, file: str) -> str:
        return os.path.join(self._directory, file)

    def _spool(self, split: str, owner: int, kind: str) -> str:
        return self._path(f"{split}-{owner}.{kind}")

    def _write(self, split: str, owner: int, classes: ClassTable | None) -> dict:
        count = self._counts[split][owner]
        images, answers = (self._spool(split, owner, kind) for kind in ("images", "answers"))
        pixels = np.memmap(images, _DTYPES[self.dtype], "r", shape=(count, *self.shape))
        step = max(1, _PIECE_BYTE_COUNT // (pixels.nbytes // count))
        pieces = [pixels[begin:begin + step] for begin in range(0, count, step)]
        entry: dict = {"file": f"{split}-{owner}.tmp", "records": count}
        if classes is None:
            targets = np.fromfile(answers, "<f4").reshape(count, -1).astype(np.float32)
            tensors = {"targets": [targets], "images": pieces}
        else:
            labels = classes.final(np.fromfile(answers, "<i4"))
            entry["histogram"] = np.bincount(labels, minlength=classes.count).tolist()
            tensors = {"labels": [labels], "images": pieces}
        # Labels first: their elements are the wider ones, or as wide.
        entry["sha256"] = write_tensors(self._path(entry["file"]), tensors)
        del pixels, pieces, tensors
        os.unlink(images)
        os.unlink(answers)
        return entry


def _owners(first: int, count: int, partition_count: int) -> np.ndarray:
    """The partitions of records `first` to `first + count`: in each stretch of `partition_count`
    records, the places of their numbers in the order of a hash."""
    begin = first // partition_count
    end = -(-(first + count) // partition_count)
    numbers = np.arange(begin * partition_count, end * partition_count, dtype=np.uint64)
    hashes = _mixed(numbers).reshape(-1, partition_count)
    places = np.argsort(np.argsort(hashes, axis=1, kind="stable"), axis=1, kind="stable")
    skipped = first - begin * partition_count
    return places.reshape(-1)[skipped:skipped + count]


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """Numbers of 64 bits as SplitMix64 mixes them, after Steele, Lea and Flood, OOPSLA 2014."""
    with np.errstate(over="ignore"):
        z = (numbers + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def is_test(images: np.ndarray, fraction: float) -> np.ndarray:
    """Which records belong to the test split [N]: those whose content's SHA-256, read as a fraction
    of its range, lies below `fraction`. Copies of a record are on one side."""
    limit = round(fraction * (1 << 64))
    rows = np.ascontiguousarray(images).reshape(len(images), -1)
    return np.array(
        [int.from_bytes(hashlib.sha256(row.data).digest()[:8], "big") < limit for row in rows],
        bool)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
