"""Data sets of an HDF5 file as a source.

Links to other files, virtual data sets and filters that are plug-ins are refused, so a file reads
nothing but itself and runs nothing.
"""

from __future__ import annotations

import os
from typing import Iterator

# No plug-in of HDF5 is loaded; the library asks for this when it starts.
os.environ["HDF5_PLUGIN_PRELOAD"] = "::"

import h5py  # noqa: E402
import numpy as np  # noqa: E402

from .images import pixel_values  # noqa: E402
from .records import (  # noqa: E402
    PICTURE_ROW_COUNT, Batch, Meaning, place_of, require_finite, rows_a_batch)
from .refusal import Refusal, first_line  # noqa: E402

DAMAGE = (OSError, RuntimeError, ValueError, KeyError, TypeError, MemoryError, AttributeError)


class HDF5Source:
    """Two data sets with a row a record: numbers, or files of pictures as bytes, and labels or
    targets."""

    class_names: list[str] | None = None

    def __init__(self, path: str, meaning: Meaning) -> None:
        self.path, self.meaning = path, meaning

    def batches(self) -> Iterator[Batch]:
        try:
            file = h5py.File(self.path, "r")
        except DAMAGE as error:
            if isinstance(error, OSError) and error.errno:
                raise Refusal(
                    f"{self.path}: cannot be read: {os.strerror(error.errno)}") from None
            raise Refusal(
                f"{self.path}: expected an HDF5 file, found {first_line(error)}") from None
        with file:
            images = self._data(file, self.meaning.image)
            answers = [self._data(file, name) for name in self.meaning.answers]
            for data, name in zip(answers, self.meaning.answers):
                if len(data) != len(images):
                    raise Refusal(
                        f"{self.path}: {name}: expected {len(images)} rows as "
                        f"{self.meaning.image} has, found {len(data)}")
            yield from self._read(images, answers)

    def _read(self, images: h5py.Dataset, answers: list[h5py.Dataset]) -> Iterator[Batch]:
        is_encoded = images.dtype.kind == "O"
        width = images.dtype.itemsize * int(np.prod(images.shape[1:], dtype=np.int64))
        rows = PICTURE_ROW_COUNT if is_encoded else rows_a_batch(width)
        for first in range(0, len(images), rows):
            end = min(len(images), first + rows)
            place = place_of(self.path, first, end - first)
            try:
                values = images[first:end]
                found = [
                    data.asstr()[first:end] if h5py.check_string_dtype(data.dtype)
                    else data[first:end] for data in answers]
            except DAMAGE as error:
                raise Refusal(f"{place}: expected records, found {first_line(error)}") from None
            yield Batch(
                self._pictures(values, first) if is_encoded else self._images(values, first),
                self._answers(found, first), place)

    def _pictures(self, values: np.ndarray, first: int) -> np.ndarray:
        places = [f"{self.path}: {self.meaning.image}, row {first + i}" for i in range(len(values))]
        files = [value if isinstance(value, bytes) else np.asarray(value, np.uint8).tobytes()
                 for value in values]
        return self.meaning.decoder.decode(files, places)

    def _images(self, values: np.ndarray, first: int) -> np.ndarray:
        what = self.meaning.image
        place = f"{self.path}: {what}, from row {first}"
        if values.dtype.kind == "f":
            with np.errstate(over="ignore"):
                pixels = values.astype(np.float32)
            require_finite(pixels, self.path, what, first)
        elif values.dtype.kind in "iub":
            # Truth values are 0 and 1; signed bytes are what they say, other than Spark's.
            narrow = {"b": np.uint8, "i": np.int64}.get(values.dtype.kind, values.dtype)
            pixels = values.astype(narrow)
            try:
                pixels = pixel_values(pixels)
            except ValueError as error:
                raise Refusal(f"{place}: {first_line(error)}") from None
        else:
            raise Refusal(f"{place}: expected numbers, found {values.dtype}")
        try:
            arranged = self.meaning.format.arranged(pixels)
        except ValueError as error:
            raise Refusal(f"{place}: {first_line(error)}") from None
        shape = self.meaning.format.shape
        if shape is not None and arranged.shape[1:] != shape:
            raise Refusal(
                f"{place}: expected shape {list(shape)}, found {list(arranged.shape[1:])}")
        return np.ascontiguousarray(arranged)

    def _answers(self, found: list[np.ndarray], first: int) -> np.ndarray:
        if not self.meaning.targets:
            labels = found[0]
            return labels.reshape(len(labels)) if labels.size == len(labels) else labels
        columns = []
        for name, values in zip(self.meaning.targets, found):
            if values.dtype.kind not in "fiub":
                raise Refusal(f"{self.path}: {name}: expected numbers, found {values.dtype}")
            with np.errstate(over="ignore"):
                column = values.reshape(len(values), -1).astype(np.float32)
            require_finite(column, self.path, name, first)
            columns.append(column)
        return np.concatenate(columns, axis=1)

    def _data(self, file: h5py.File, name: str) -> h5py.Dataset:
        """A data set of this file; links to elsewhere are refused."""
        data = file
        for part in filter(None, name.split("/")):
            link = data.get(part, getlink=True) if isinstance(data, h5py.Group) else None
            if not isinstance(link, h5py.HardLink):
                names = ", ".join(list(data)[:12]) if isinstance(data, h5py.Group) else "data"
                raise Refusal(
                    f"{self.path}: expected a data set {name!r}, found "
                    f"{'a link' if link is not None else names or 'nothing'}")
            data = data[part]
        if not isinstance(data, h5py.Dataset) or data.ndim < 1 or len(data) < 1:
            raise Refusal(
                f"{self.path}: {name}: expected a data set with a row a record, found none")
        if data.is_virtual or data.external:
            raise Refusal(
                f"{self.path}: {name}: expected data in this file, found them elsewhere")
        return data
