"""Arrow columns of images and labels as arrays.

Shapes: images become [N, C, H, W], labels [N]. Whole numbers become uint8 and must be 0 to 255
(Convoy divides them by 255); floats become float32 and reach the network as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# Of Spark's image schema: OpenCV's types with 8 bits a channel, 1, 3 and 4 channels.
_OPENCV_TYPES = {0: 1, 16: 3, 24: 4}


@dataclass(frozen=True)
class ImageFormat:
    """What one value of an image column means.

    A binary value is the pixels, a byte each. An array is pixels too, flat or nested. A struct is
    Spark's image schema, as `spark.read.format("image")` gives it.
    """

    shape: tuple[int, int, int] | None = None
    """[C, H, W]; needed for binary values and flat arrays."""
    layout: str = "chw"
    """Order of the pixels: chw, or hwc where the channels of a pixel lie side by side."""

    def decode(self, column: pa.Array) -> np.ndarray:
        """The images of a column, as [N, C, H, W]."""
        if isinstance(column, pa.ExtensionArray):
            column = column.storage
        if column.null_count > 0:
            raise ValueError(f"image column: expected no nulls, found {column.null_count}")
        kind = column.type
        if pa.types.is_struct(kind):
            images = _image_structs(column)
        elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            images = self.arranged(_binary_rows(column))
        elif _is_list(kind):
            images = self.arranged(list_rows(column))
        else:
            raise ValueError(f"image column: expected binary, array or struct, found {kind}")
        if self.shape is not None and images.shape[1:] != self.shape:
            raise ValueError(
                f"image column: expected shape {self.shape}, found {images.shape[1:]}"
            )
        return np.ascontiguousarray(images)

    def arranged(self, rows: np.ndarray) -> np.ndarray:
        """[N, values] or nested [N, H, W], [N, a, b, c] as [N, C, H, W]."""
        if rows.ndim == 2:
            if self.shape is None:
                raise ValueError("image column: flat values need the shape C,H,W to be given")
            channels, height, width = self.shape
            if rows.shape[1] != channels * height * width:
                raise ValueError(
                    f"image column: expected {channels * height * width} values "
                    f"({channels} x {height} x {width}), found {rows.shape[1]}"
                )
            plane = (channels, height, width) if self.layout == "chw" else (height, width, channels)
            rows = rows.reshape(-1, *plane)
        elif rows.ndim == 3:
            return rows[:, np.newaxis]
        elif rows.ndim != 4:
            raise ValueError(f"image column: arrays are nested {rows.ndim - 1} deep, at most 3")
        return rows if self.layout == "chw" else rows.transpose(0, 3, 1, 2)


def _binary_rows(column: pa.Array) -> np.ndarray:
    """[N, byte count] of values that are equally long."""
    wide = column.cast(pa.large_binary())
    first, count = wide.offset, len(wide)
    offsets = np.frombuffer(wide.buffers()[1], np.int64)[first : first + count + 1]
    _equal(np.diff(offsets), "bytes")
    pixels = np.frombuffer(wide.buffers()[2] or b"", np.uint8)[offsets[0] : offsets[-1]]
    return pixels.reshape(count, -1)


def _is_list(kind: pa.DataType) -> bool:
    return (
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def list_rows(column: pa.Array) -> np.ndarray:
    """[N, a, b, ...] of arrays that are nested regularly; [N] of plain numbers."""
    dimensions = [len(column)]
    while _is_list(column.type):
        if column.null_count > 0:
            raise ValueError("image column: expected no nulls, found one inside an array")
        dimensions.append(_equal(pc.list_value_length(column).to_numpy(), "values"))
        column = column.flatten()
    if column.null_count > 0:
        raise ValueError("image column: expected no nulls, found one inside an array")
    if pa.types.is_floating(column.type):
        values = column.to_numpy(zero_copy_only=False).astype(np.float32)
    elif pa.types.is_integer(column.type):
        values = pixel_values(column.to_numpy(zero_copy_only=False))
    else:
        raise ValueError(f"image column: expected arrays of numbers, found {column.type}")
    return values.reshape(dimensions)


def pixel_values(values: np.ndarray) -> np.ndarray:
    """Whole numbers as uint8."""
    # Spark's ByteType is signed, so that a byte above 127 is a negative number there.
    if values.dtype == np.int8:
        return values.view(np.uint8)
    _require_bytes(values)
    return values.astype(np.uint8)


def _require_bytes(values: np.ndarray) -> None:
    if values.size > 0 and not (0 <= values.min() and values.max() <= 255):
        raise ValueError(
            "image column: expected whole numbers from 0 to 255, found "
            f"{values.min()} to {values.max()}; give floats for other ranges"
        )


def _equal(lengths: np.ndarray, what: str) -> int:
    """The length that all rows have."""
    if len(lengths) == 0:
        return 0
    if lengths.min() != lengths.max():
        raise ValueError(
            f"image column: expected rows with equally many {what}, found "
            f"{lengths.min()} to {lengths.max()}"
        )
    return int(lengths[0])


def _image_structs(column: pa.StructArray) -> np.ndarray:
    """Spark's image schema: bytes in the order height, width, channel, with blue first."""
    try:
        fields = {
            name: column.field(name).to_numpy(zero_copy_only=False)
            for name in ("height", "width", "nChannels", "mode")
        }
        data = column.field("data")
    except KeyError as error:
        raise ValueError(
            "image column: expected a struct with height, width, nChannels, mode and data, "
            f"found {column.type}"
        ) from error
    height, width, channels, mode = (_equal(values, name) for name, values in fields.items())
    if _OPENCV_TYPES.get(mode) != channels:
        raise ValueError(
            f"image column: expected 8-bit images of 1, 3 or 4 channels, found mode {mode}"
        )
    rows = _binary_rows(data)
    if rows.shape[1] != height * width * channels:
        raise ValueError(
            f"image column: expected {height * width * channels} bytes, found {rows.shape[1]}"
        )
    images = rows.reshape(-1, height, width, channels).transpose(0, 3, 1, 2)
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[channels]
    return images[:, order]


def decode_labels(column: pa.Array) -> np.ndarray:
    """The labels of a column, as int32 from 0."""
    if column.null_count > 0:
        raise ValueError(f"label column: expected no nulls, found {column.null_count}")
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise ValueError(f"label column: expected numbers, found {column.type}")
    values = column.to_numpy(zero_copy_only=False)
    whole = values.astype(np.int32)
    if not np.array_equal(whole, values):
        raise ValueError("label column: expected whole numbers of 32 bits")
    if whole.size > 0 and whole.min() < 0:
        raise ValueError(f"label column: expected classes from 0, found {whole.min()}")
    return whole
