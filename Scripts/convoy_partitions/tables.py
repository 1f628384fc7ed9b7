"""Tables of Arrow as sources: Parquet files, and data sets of Hugging Face.

A Parquet file is read a row group at a time, an Arrow file a record batch at a time, and both in
batches of bounded size.
"""

from __future__ import annotations

import glob
import json
import os
import re
from typing import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .images import list_rows
from .records import (
    PICTURE_ROW_COUNT, Batch, Meaning, place_of, require_finite, rows_a_batch)
from .refusal import Refusal, first_line

MOST_FILES = 100_000
LARGEST_JSON = 64 << 20
DAMAGE = (pa.ArrowException, OSError, ValueError, KeyError, TypeError, MemoryError)
# Words of Hugging Face for the splits, in names of files.
SPLIT_WORDS = {
    "training": {"train", "training"}, "test": {"test", "testing", "eval", "evaluation"},
    "validation": {"validation", "valid", "val", "dev"},
}


class ParquetSource:
    """Parquet files, in the order of their paths."""

    def __init__(self, paths: list[str], meaning: Meaning) -> None:
        self.paths, self.meaning = paths, meaning
        self.class_names: list[str] | None = None

    def batches(self) -> Iterator[Batch]:
        for path in self.paths:
            with opened(path, open_parquet) as file:
                self.class_names = class_names(file.schema_arrow, self.meaning) or self.class_names
                require_columns(path, file.schema_arrow, self.meaning)
                yield from converted(path, self._pieces(file), self.meaning)

    def _pieces(self, file: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
        for group in range(file.num_row_groups):
            metadata = file.metadata.row_group(group)
            rows = rows_a_batch(metadata.total_byte_size / max(1, metadata.num_rows))
            yield from file.iter_batches(
                rows, row_groups=[group], columns=self.meaning.columns, use_threads=False)


class ArrowSource:
    """Arrow files, as Hugging Face's save_to_disk writes them."""

    def __init__(self, paths: list[str], meaning: Meaning) -> None:
        self.paths, self.meaning = paths, meaning
        self.class_names: list[str] | None = None

    def batches(self) -> Iterator[Batch]:
        for path in self.paths:
            with opened(path, pa.memory_map) as memory:
                try:
                    reader = pa.ipc.open_stream(memory)
                except DAMAGE as error:
                    raise Refusal(
                        f"{path}: expected a stream of Arrow, found {first_line(error)}") from None
                self.class_names = class_names(reader.schema, self.meaning) or self.class_names
                require_columns(path, reader.schema, self.meaning)
                yield from converted(path, iter(reader), self.meaning)


def open_parquet(path: str) -> pq.ParquetFile:
    # Pages are read as they are needed, not a row group's at once.
    return pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20)


def opened(path: str, open_file):
    """Opens a file; says in one line why it cannot be opened."""
    try:
        return open_file(path)
    except DAMAGE as error:
        if isinstance(error, OSError) and error.errno:
            raise Refusal(f"{path}: cannot be read: {os.strerror(error.errno)}") from None
        kind = "a Parquet file" if open_file is open_parquet else "a file of Arrow"
        raise Refusal(f"{path}: expected {kind}, found {first_line(error)}") from None


def require_columns(path: str, schema: pa.Schema, meaning: Meaning) -> None:
    for name in meaning.columns:
        if schema.names.count(name) != 1:
            raise Refusal(
                f"{path}: expected a column {name!r}, found "
                f"{', '.join(schema.names[:12]) or 'none at all'}; name another one")


def class_names(schema: pa.Schema, meaning: Meaning) -> list[str] | None:
    """The names that Hugging Face's ClassLabel gives the classes."""
    text = (schema.metadata or {}).get(b"huggingface", b"")
    if meaning.targets or len(text) > LARGEST_JSON:
        return None
    try:
        names = json.loads(text)["info"]["features"][meaning.label]["names"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    is_list = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return names if is_list and names else None


def converted(
    path: str, pieces: Iterator[pa.RecordBatch], meaning: Meaning
) -> Iterator[Batch]:
    """The records of a file's record batches."""
    first = 0
    while True:
        try:
            piece = next(pieces, None)
        except DAMAGE as error:
            raise Refusal(
                f"{path}: after row {first}: expected records, found {first_line(error)}") from None
        if piece is None:
            return
        # What a slice of a batch takes is not known for each kind of column; the mean is.
        rows = rows_a_batch(piece.nbytes / max(1, piece.num_rows))
        if not meaning.features and is_encoded(piece.column(meaning.image).type, meaning):
            rows = min(rows, PICTURE_ROW_COUNT)
        for begin in range(0, piece.num_rows, rows):
            part = piece.slice(begin, rows)
            yield Batch(
                inputs_of(part, meaning, path, first), answers_of(part, meaning, path, first),
                place_of(path, first, part.num_rows))
            first += part.num_rows


def is_encoded(kind: pa.DataType, meaning: Meaning) -> bool:
    """Whether values of an image column are files of pictures."""
    if pa.types.is_struct(kind):
        return {field.name for field in kind} >= {"bytes", "path"}
    is_binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    return is_binary and meaning.format.shape is None


def inputs_of(batch: pa.RecordBatch, meaning: Meaning, path: str, first: int) -> np.ndarray:
    if meaning.features:
        return features_of(batch, meaning, path, first)
    column = batch.column(meaning.image)
    if not is_encoded(column.type, meaning):
        place = place_of(path, first, batch.num_rows)
        try:
            images = meaning.format.decode(column)
        except ValueError as error:
            raise Refusal(f"{place}: {first_line(error)}") from None
        require_finite(images, path, f"column {meaning.image}", first)
        return images
    if pa.types.is_struct(column.type):
        column = column.field("bytes")
    places = [f"{path}: row {first + row}" for row in range(len(column))]
    if column.null_count > 0:
        row = column.is_null().to_pylist().index(True)
        raise Refusal(
            f"{places[row]}: expected the picture in column {meaning.image}, found none; a data "
            "set that has only the paths of its pictures must be saved with them")
    if not (pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)):
        raise Refusal(
            f"{path}: column {meaning.image}: expected bytes, found {column.type}")
    return meaning.decoder.decode(column.to_pylist(), places)


def numbers_of(batch: pa.RecordBatch, name: str, path: str, first: int) -> np.ndarray:
    """A column of numbers, or of lists of numbers, as float32 [N, ...]."""
    column = batch.column(name)
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    place = place_of(path, first, batch.num_rows)
    if column.null_count > 0:
        row = first + column.is_null().to_pylist().index(True)
        raise Refusal(f"{path}: column {name}, row {row}: expected a number, found none")
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        with np.errstate(over="ignore"):
            values = column.to_numpy(zero_copy_only=False).astype(np.float32)
    elif pa.types.is_nested(kind):
        try:
            flat = column
            while pa.types.is_nested(flat.type):
                flat = flat.flatten()
            if not pa.types.is_floating(flat.type):
                column = column.cast(floating(kind))
            values = list_rows(column)
        except (ValueError, pa.ArrowException, AttributeError, TypeError) as error:
            text = first_line(error).removeprefix("image column: ")
            raise Refusal(f"{place}: column {name}: {text}") from None
    else:
        raise Refusal(f"{place}: column {name}: expected numbers, found {kind}")
    require_finite(values, path, f"column {name}", first)
    return values


def floating(kind: pa.DataType) -> pa.DataType:
    """A nested list type with 64-bit floats for its numbers."""
    return pa.list_(floating(kind.value_type)) if pa.types.is_nested(kind) else pa.float64()


def features_of(batch: pa.RecordBatch, meaning: Meaning, path: str, first: int) -> np.ndarray:
    """Columns of numbers as [N, columns, 1, 1]; columns of series as [N, columns, 1, T]."""
    columns = [numbers_of(batch, name, path, first) for name in meaning.features]
    lengths = {column.shape[1:] for column in columns}
    if len(lengths) != 1 or len(min(lengths)) > 1:
        found = ", ".join(
            f"{name} {list(column.shape[1:]) or 'one number'}"
            for name, column in list(zip(meaning.features, columns))[:8])
        raise Refusal(
            f"{place_of(path, first, batch.num_rows)}: expected a number in each column, or series "
            f"of one length, found {found}")
    return np.stack([column.reshape(len(column), 1, -1) for column in columns], axis=1)


def answers_of(batch: pa.RecordBatch, meaning: Meaning, path: str, first: int) -> np.ndarray:
    if meaning.targets:
        columns = [numbers_of(batch, name, path, first) for name in meaning.targets]
        return np.concatenate([column.reshape(len(column), -1) for column in columns], axis=1)
    column = batch.column(meaning.label)
    place = place_of(path, first, batch.num_rows)
    if column.null_count > 0:
        row = first + column.is_null().to_pylist().index(True)
        raise Refusal(
            f"{path}: column {meaning.label}, row {row}: expected a label, found none")
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if not (
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
        or pa.types.is_string(kind) or pa.types.is_large_string(kind)
    ):
        raise Refusal(
            f"{place}: column {meaning.label}: expected whole numbers or texts, found {kind}")
    return column.to_numpy(zero_copy_only=False)


# MARK: Where the files are

def parquet_files(patterns: list[str]) -> list[str]:
    """The files of names and patterns, in the order of their paths."""
    paths: set[str] = set()
    for pattern in patterns:
        found = [pattern] if os.path.exists(pattern) else glob.glob(pattern, recursive=True)
        found = [path for path in found if not os.path.basename(path).startswith(("_", "."))]
        if not found:
            raise Refusal(f"{pattern}: expected Parquet files, found none; check the path")
        for path in found:
            if os.path.isdir(path):
                raise Refusal(
                    f"{path}: expected a file, found a directory; write '{path}/*.parquet', or "
                    "--hf for a directory with train and test")
        paths.update(found)
    if len(paths) > MOST_FILES:
        raise Refusal(f"{patterns[0]}: expected at most {MOST_FILES} files, found {len(paths)}")
    return sorted(paths)


def hugging_face(
    directory: str, meaning: Meaning
) -> tuple[dict[str, ArrowSource | ParquetSource], list[str]]:
    """The sources of a directory for each split that it has, and notes about what is left out.

    The splits are those of save_to_disk, or named in the paths of Parquet files; a validation split
    serves as the test split where there is none.
    """
    if not os.path.isdir(directory):
        raise Refusal(f"{directory}: expected a directory of a data set, found none")
    dictionary = os.path.join(directory, "dataset_dict.json")
    if os.path.exists(dictionary):
        names = json_of(dictionary).get("splits")
        if not isinstance(names, list) or not all(is_plain_name(name) for name in names):
            raise Refusal(f"{dictionary}: expected the names of splits, found {str(names)[:80]}")
        files = {name: arrow_files(os.path.join(directory, name)) for name in names}
        kind = ArrowSource
    elif os.path.exists(os.path.join(directory, "state.json")):
        files, kind = {"train": arrow_files(directory)}, ArrowSource
    else:
        paths = [
            path for path in glob.glob(os.path.join(glob.escape(directory), "**"), recursive=True)
            if path.endswith(".parquet")]
        if not paths:
            raise Refusal(
                f"{directory}: expected what save_to_disk writes, or Parquet files, found neither")
        files, kind = {}, ParquetSource
        for path in parquet_files([*paths]):
            files.setdefault(split_word(os.path.relpath(path, directory)), []).append(path)
    notes = []
    splits: dict[str, list[str]] = {}
    for name, paths in files.items():
        split = split_of(name) or ("training" if len(files) == 1 else None)
        if split is None:
            notes.append(f"left out {name or 'files that name no split'} ({len(paths)} files)")
        else:
            splits.setdefault(split, []).extend(paths)
    validation = splits.pop("validation", None)
    if validation and "test" in splits:
        notes.append(f"left out the validation split ({len(validation)} files)")
    elif validation:
        splits["test"] = validation
        notes.append("the validation split is the test split")
    if "training" not in splits:
        raise Refusal(
            f"{directory}: expected a split train, found {', '.join(sorted(files)) or 'none'}")
    return {split: kind(paths, meaning) for split, paths in splits.items()}, notes


def split_of(name: str) -> str | None:
    return next((split for split, words in SPLIT_WORDS.items() if name in words), None)


def split_word(path: str) -> str:
    """The word of a path that names a split; the last one counts. Empty when there is none."""
    words = re.split(r"[^a-z]+", path.lower())
    return next((word for word in reversed(words) if split_of(word)), "")


def is_plain_name(name: object) -> bool:
    return isinstance(name, str) and name not in ("", ".", "..") and os.path.basename(name) == name


def arrow_files(directory: str) -> list[str]:
    path = os.path.join(directory, "state.json")
    listed = json_of(path).get("_data_files")
    try:
        names = [entry["filename"] for entry in listed]
    except (TypeError, KeyError):
        names = [None]
    if len(names) > MOST_FILES or not all(is_plain_name(name) for name in names):
        raise Refusal(
            f"{path}: expected the names of at most {MOST_FILES} files in _data_files, found "
            "others")
    return [os.path.join(directory, name) for name in names]


def json_of(path: str) -> dict:
    try:
        with open(path, "rb") as file:
            content = json.loads(file.read(LARGEST_JSON))
    except (ValueError, RecursionError) as error:
        raise Refusal(f"{path}: expected JSON, found {first_line(error)}") from None
    if not isinstance(content, dict):
        raise Refusal(f"{path}: expected a mapping, found {type(content).__name__}")
    return content
