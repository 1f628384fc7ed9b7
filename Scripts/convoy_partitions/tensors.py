"""Safetensors files, as far as partitions and logits need them."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from typing import Iterable

import numpy as np

_NAMES = {"uint8": "U8", "int32": "I32", "float32": "F32"}
_TYPES = {name: np.dtype(numpy_name).newbyteorder("<") for numpy_name, name in _NAMES.items()}


def write_tensors(path: str, tensors: dict[str, list[np.ndarray]]) -> str:
    """Writes each tensor as the concatenation of its pieces along the first axis.

    Tensors are written in the order given; put wider element types first. The bytes are on the
    disk when this returns.

    Returns: SHA-256 of the file, in hexadecimal.
    """
    header: dict[str, object] = {}
    offset = 0
    for name, pieces in tensors.items():
        byte_count = sum(piece.nbytes for piece in pieces)
        header[name] = {
            "dtype": _NAMES[pieces[0].dtype.name],
            "shape": [sum(len(piece) for piece in pieces), *pieces[0].shape[1:]],
            "data_offsets": [offset, offset + byte_count],
        }
        offset += byte_count
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    digest = hashlib.sha256()
    with open(path, "xb") as file:

        def write(part: bytes | memoryview) -> None:
            file.write(part)
            digest.update(part)

        write(struct.pack("<Q", len(text)) + text)
        for pieces in tensors.values():
            for piece in pieces:
                write(np.ascontiguousarray(piece, piece.dtype.newbyteorder("<")).data)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def read_tensors(path: str, names: Iterable[str]) -> list[np.ndarray]:
    """Reads the named tensors of a file that this host has just had written."""
    with open(path, "rb") as file:
        (byte_count,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(byte_count))
        found = []
        for name in names:
            begin, end = header[name]["data_offsets"]
            file.seek(8 + byte_count + begin)
            values = np.frombuffer(file.read(end - begin), _TYPES[header[name]["dtype"]])
            found.append(values.reshape(header[name]["shape"]))
    return found
