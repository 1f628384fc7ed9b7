"""What a source gives, and what its columns mean."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Iterator, Protocol

import numpy as np

from .images import ImageFormat
from .pictures import PictureDecoder
from .refusal import Refusal

# Records are read in batches of at most so many bytes and so many rows.
BATCH_BYTE_COUNT = 1 << 25
BATCH_ROW_COUNT = 4096
# Pictures without a common size are decoded so many at a time.
PICTURE_ROW_COUNT = 64


@dataclass(frozen=True)
class Meaning:
    """Which columns, or data sets of HDF5, hold what."""

    image: str = "image"
    features: tuple[str, ...] = ()
    """Columns of numbers that make a record in place of an image."""
    label: str = "label"
    targets: tuple[str, ...] = ()
    """Columns of numbers to predict in place of a label."""
    format: ImageFormat = field(default_factory=ImageFormat)
    decoder: PictureDecoder = field(default_factory=PictureDecoder)

    @property
    def inputs(self) -> tuple[str, ...]:
        return self.features or (self.image,)

    @property
    def answers(self) -> tuple[str, ...]:
        return self.targets or (self.label,)

    @property
    def columns(self) -> list[str]:
        return list(dict.fromkeys([*self.inputs, *self.answers]))


@dataclass(frozen=True)
class Batch:
    """Some records in the order of their source."""

    images: np.ndarray
    """[N, C, H, W], uint8 or float32."""
    answers: np.ndarray
    """Labels [N] of any kind, or targets [N, D] float32."""
    place: str
    """The file and rows, for errors."""


class Source(Protocol):
    """One file, or several files that follow one another."""

    class_names: list[str] | None
    """Names of the classes where the source has them; known once `batches` has begun."""

    def batches(self) -> Iterator[Batch]:
        """Reads the records."""


def rows_a_batch(row_byte_count: float) -> int:
    """How many rows of so many bytes are read at a time."""
    return max(1, min(BATCH_ROW_COUNT, int(BATCH_BYTE_COUNT // max(1, row_byte_count))))


def place_of(path: str, first: int, count: int) -> str:
    """File and rows, counted from 0, for errors."""
    return f"{path}: row {first}" if count == 1 else f"{path}: rows {first} to {first + count - 1}"


def require_finite(values: np.ndarray, path: str, what: str, first: int) -> None:
    """Refuses numbers that are none; `first` is the number of the first row."""
    if values.dtype.kind != "f":
        return
    bad = ~np.isfinite(values).reshape(len(values), -1)
    if bad.any():
        row = int(np.flatnonzero(bad.any(axis=1))[0])
        value = values.reshape(len(values), -1)[row][bad[row]][0]
        raise Refusal(
            f"{path}: {what}, row {first + row}: expected finite numbers, found "
            f"{'NaN' if np.isnan(value) else value}; leave the row out or put a number in")
