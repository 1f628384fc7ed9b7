"""Writes a partitioned data set of random images: DIRECTORY TRAINING TEST [SIDE|CxHxW].

Plain Python: each partition is a safetensors file, an 8-byte length, a JSON header, the bytes.
"""

import hashlib
import json
import os
import random
import struct
import sys

CLASS_COUNT = 10
PARTITION_COUNT = 8


def write_partition(directory, name, count, shape, generator):
    """Writes one file; returns its line of the manifest."""
    images = generator.randbytes(count * shape[0] * shape[1] * shape[2])
    labels = [index % CLASS_COUNT for index in range(count)]
    header = {
        "images": {"dtype": "U8", "shape": [count, *shape], "data_offsets": [0, len(images)]},
        "labels": {
            "dtype": "I32",
            "shape": [count],
            "data_offsets": [len(images), len(images) + 4 * count],
        },
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    content = struct.pack("<Q", len(text)) + text + images + struct.pack(f"<{count}i", *labels)
    with open(os.path.join(directory, name), "wb") as file:
        file.write(content)
    return {
        "file": name,
        "records": count,
        "histogram": [labels.count(label) for label in range(CLASS_COUNT)],
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def main():
    """The arguments are the directory, the two record counts, and the images' shape, or the side of
    an image with three channels (32)."""
    directory, training_count, test_count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    sizes = [int(size) for size in (sys.argv[4] if len(sys.argv) > 4 else "32").split("x")]
    shape = sizes if len(sizes) == 3 else [3, sizes[0], sizes[0]]
    generator = random.Random(0)
    os.makedirs(directory, exist_ok=True)
    training = [
        write_partition(
            directory, f"training-{index}.safetensors", training_count // PARTITION_COUNT, shape,
            generator,
        )
        for index in range(PARTITION_COUNT)
    ]  # fmt: skip
    test = [write_partition(directory, "test-0.safetensors", test_count, shape, generator)]
    manifest = {
        "format": "convoy-partitions",
        "version": 1,
        "name": "random",
        "shape": shape,
        "dtype": "U8",
        "classes": CLASS_COUNT,
        "training": training,
        "test": test,
    }
    with open(os.path.join(directory, "manifest.json"), "w", encoding="utf-8") as file:
        json.dump(manifest, file)


main()
