"""Encoded pictures as arrays, with Pillow: converted, then resized."""

from __future__ import annotations

import io
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, UnidentifiedImageError, WebPImagePlugin  # noqa: F401  (registers WebP)

from .refusal import Refusal, first_line

FORMATS = ("PNG", "JPEG", "WEBP")
FILTERS = {
    "nearest": Image.Resampling.NEAREST, "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC,
}
LARGEST_FILE = 1 << 28
MOST_PIXELS = 1 << 26
_ORIENTATION = 274

# Formats are registered before threads ask for them.
Image.preinit()
# The limits here are those that count.
Image.MAX_IMAGE_PIXELS = None
warnings.simplefilter("ignore")


@dataclass
class PictureDecoder:
    """Decodes PNG, JPEG and WebP, as `Image.open(...).convert(mode).resize(size)` does."""

    size: tuple[int, int] | None = None
    """Height and width; None keeps each picture's own."""
    channels: int = 3
    filter: str = "bilinear"
    rotated: int = 0
    """Pictures so far with an EXIF orientation, which is ignored."""
    _pool: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(min(8, os.cpu_count() or 1)))

    def decode(self, pictures: list[bytes], places: list[str]) -> np.ndarray:
        """Pictures as uint8 [N, C, H, W]; `places` are for errors."""
        decoded = list(self._pool.map(self._decode, pictures, places))
        arrays = [array for array, _ in decoded]
        self.rotated += sum(is_rotated for _, is_rotated in decoded)
        for array, place in zip(arrays, places):
            if array.shape != arrays[0].shape:
                raise Refusal(
                    f"{place}: expected {arrays[0].shape[1]} x {arrays[0].shape[2]} pixels as "
                    f"{places[0]} has, found {array.shape[1]} x {array.shape[2]}; give --size HxW")
        return np.stack(arrays)

    def _decode(self, data: bytes, place: str) -> tuple[np.ndarray, bool]:
        if not 0 < len(data) <= LARGEST_FILE:
            raise Refusal(
                f"{place}: expected a picture of 1 to {LARGEST_FILE} bytes, found {len(data)}")
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                width, height = image.size
                if width * height > MOST_PIXELS:
                    raise Refusal(
                        f"{place}: expected at most {MOST_PIXELS} pixels, found {width} x {height}")
                if image.mode.startswith(("I", "F")):
                    raise Refusal(
                        f"{place}: expected 8 bits a channel, found mode {image.mode}, where "
                        "Pillow would clip; convert the pictures first")
                is_rotated = image.getexif().get(_ORIENTATION, 1) != 1
                converted = image.convert("L" if self.channels == 1 else "RGB")
        except UnidentifiedImageError:
            raise Refusal(
                f"{place}: expected a PNG, JPEG or WebP picture, found bytes that begin with "
                f"{data[:8].hex(' ')}") from None
        except Refusal:
            raise
        except Exception as error:  # Pillow raises many kinds for damaged files
            raise Refusal(
                f"{place}: expected a whole picture, found {first_line(error)}") from None
        if self.size is not None and converted.size != self.size[::-1]:
            converted = converted.resize(self.size[::-1], FILTERS[self.filter])
        pixels = np.asarray(converted)
        planes = pixels[np.newaxis] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
        return planes, is_rotated
