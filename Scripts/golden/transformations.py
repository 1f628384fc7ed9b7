"""Digests of what Pillow does to pictures, for Tests/PartitionsTests/PillowTests.swift.

Run from anywhere, with pillow and numpy installed:   python3 Scripts/golden/transformations.py
Prints a line a case: name, and the first 16 digits of the SHA-256 of the planar bytes [C, H, W] of
all results of the case, one after another. Seen equal with Pillow 13.0.0 on x86-64.

Byte i of a picture of planar bytes is (31 i i + 17 i) / 8 modulo 256, rounded down.
"""

import hashlib

import numpy as np
from PIL import Image, ImageEnhance

FACTORS = [0.0, 0.3, 0.5, 0.8, 1.0, 1.2, 1.75, 3.1]
SIZES = [(23, 17), (10, 12), (40, 31), (1, 1), (23, 5), (64, 17)]
FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


def picture(channels, height, width):
    i = np.arange(channels * height * width, dtype=np.int64)
    planar = ((i * i * 31 + i * 17) // 8 % 256).astype(np.uint8).reshape(channels, height, width)
    if channels == 1:
        return Image.fromarray(planar[0])
    return Image.fromarray(np.ascontiguousarray(planar.transpose(1, 2, 0)))


def planar(image):
    array = np.asarray(image)
    return (array if array.ndim == 2 else array.transpose(2, 0, 1)).tobytes()


def show(name, results):
    print(name, hashlib.sha256(b"".join(map(planar, results))).hexdigest()[:16])


def main():
    kinds = {
        "brightness": ImageEnhance.Brightness,
        "contrast": ImageEnhance.Contrast,
        "saturation": ImageEnhance.Color,
    }
    for name, kind in kinds.items():
        show(name, [kind(picture(3, 23, 17)).enhance(factor) for factor in FACTORS])
    show("contrast-grey", [
        ImageEnhance.Contrast(picture(1, 23, 17)).enhance(factor) for factor in FACTORS
    ])
    show("grey", [picture(3, 23, 17).convert("L")])
    for name, chosen in FILTERS.items():
        show(f"resize-{name}", [
            picture(3, 23, 17).resize((width, height), chosen) for height, width in SIZES
        ])


if __name__ == "__main__":
    main()
