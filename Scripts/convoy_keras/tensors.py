"""Safetensors files of fp32 tensors."""

import json
import math
import os
import struct

import numpy as np

from .model import Refusal

LONGEST_HEADER = 100_000_000


def write(path, tensors, metadata):
    """Writes tensors by name, in their order. The file is whole or not there."""
    header, offset = {"__metadata__": metadata}, 0
    for name, array in tensors.items():
        header[name] = {
            "dtype": "F32", "shape": list(array.shape),
            "data_offsets": [offset, offset + 4 * array.size],
        }
        offset += 4 * array.size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    temporary = path + ".tmp"
    with open(temporary, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for array in tensors.values():
            out.write(np.ascontiguousarray(array, "<f4").tobytes())
    os.replace(temporary, path)


def read(path):
    """Returns the tensors by name, and the metadata."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else LONGEST_HEADER + 1
        if length > min(LONGEST_HEADER, size - 8):
            raise Refusal(f"{path}: expected a safetensors file, found other bytes")
        try:
            header = json.loads(file.read(length))
            metadata = header.pop("__metadata__", {})
            entries = {
                name: (entry["dtype"], entry["shape"], *entry["data_offsets"])
                for name, entry in header.items()
            }
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise Refusal(f"{path}: expected a safetensors file, found a malformed header") from None
        tensors, place = {}, 8 + length
        for name, (dtype, shape, begin, end) in entries.items():
            whole = isinstance(shape, list) and all(
                type(number) is int and number >= 0 for number in [*shape, begin, end])
            if dtype != "F32" or not whole or end - begin != 4 * math.prod(shape):
                raise Refusal(f"{path}: tensor {name}: expected fp32 of its shape, found {dtype} {shape}")
            if begin > end or place + end > size:
                raise Refusal(f"{path}: tensor {name}: expected it in the file, found a torn file")
            file.seek(place + begin)
            tensors[name] = np.frombuffer(file.read(end - begin), "<f4").reshape(shape)
    return tensors, metadata if isinstance(metadata, dict) else {}
