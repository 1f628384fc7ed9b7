"""Golden values of pictures: files, resizes and fits, computed by Pillow.

Run from anywhere, with pillow==13.0.0 installed:   python3 Scripts/golden/pictures.py
Writes Tests/PicturesTests/Golden/{files,resizes}.txt. Deterministic for one version of Pillow.

files.txt    name, the file in base64, SHA-256 of convert("RGB") and of convert("L")
resizes.txt  height, width, channels, box, filter, new height, new width, SHA-256 of the pixels
"""

import base64
import hashlib
import io
from pathlib import Path

import PIL
from PIL import Image

PILLOW = "13.0.0"
DIRECTORY = Path(__file__).resolve().parents[2] / "Tests/PicturesTests/Golden"


def drawn(width: int, height: int, channels: int) -> Image.Image:
    """Returns a picture that the tests draw alike: curves, with steps and corners."""
    levels = bytearray()
    for y in range(height):
        for x in range(width):
            for c in range(channels):
                levels.append((3 * x * x + 7 * y + x * y + 53 * c + 11 * (x * y >> 3)) & 255)
    return Image.frombytes("L" if channels == 1 else "RGB", (width, height), bytes(levels))


def sha256(picture: Image.Image) -> str:
    return hashlib.sha256(picture.tobytes()).hexdigest()


def files() -> list[str]:
    picture = drawn(19, 13, 3).resize((19, 13), Image.Resampling.BOX)
    soft = drawn(5, 4, 3).resize((19, 13), Image.Resampling.BICUBIC)
    see_through = soft.copy()
    see_through.putalpha(drawn(19, 13, 1))
    exif = Image.Exif()
    exif[0x0112] = 6
    lines = []

    def add(name: str, source: Image.Image, kind: str, **options) -> None:
        memory = io.BytesIO()
        source.save(memory, kind, **options)
        data = memory.getvalue()
        with Image.open(io.BytesIO(data)) as opened:
            hashes = [sha256(opened.convert(mode)) for mode in ("RGB", "L")]
        lines.append(" ".join([name, base64.b64encode(data).decode(), *hashes]))

    for number, name in enumerate(("444", "422", "420")):
        add(f"jpeg-{name}", soft, "JPEG", quality=80, subsampling=number)
    add("jpeg-progressive", soft, "JPEG", quality=70, progressive=True)
    add("jpeg-grey", soft.convert("L"), "JPEG", quality=80)
    add("jpeg-cmyk", soft.convert("CMYK"), "JPEG", quality=80)
    add("jpeg-turned", soft, "JPEG", quality=80, exif=exif)
    add("png-rgb", picture, "PNG")
    add("png-turned", picture, "PNG", exif=exif)
    add("png-rgba", see_through, "PNG")
    add("png-grey", picture.convert("L"), "PNG")
    add("png-bit", picture.convert("1"), "PNG")
    add("png-grey-alpha", see_through.convert("LA"), "PNG")
    add("png-palette", picture.quantize(7), "PNG")
    add("png-palette-transparent", picture.quantize(16), "PNG", transparency=2)
    add("png-16-bit", Image.frombytes("I;16", (9, 13), picture.tobytes()[:234]), "PNG")
    add("webp-lossy", soft, "WEBP", quality=80)
    add("webp-lossless", picture, "WEBP", lossless=True)
    add("webp-alpha", see_through, "WEBP", lossless=True, exact=True)
    add("webp-turned", soft, "WEBP", quality=80, exif=exif)
    return lines


def resizes() -> list[str]:
    cases = [
        # Height and width of the source; top, left, height and width of the box; the new sides.
        ((37, 53), (0, 0, 37, 53), (16, 16)),
        ((37, 53), (0, 0, 37, 53), (64, 70)),
        ((37, 53), (0, 0, 37, 53), (37, 20)),
        ((37, 53), (0, 0, 37, 53), (5, 53)),
        ((37, 53), (3, 7, 21, 30), (24, 24)),
        ((37, 53), (36, 52, 1, 1), (3, 2)),
        # Here Pillow 13 runs the vertical pass first.
        ((90, 33), (0, 0, 90, 33), (11, 29)),
        ((1, 1), (0, 0, 1, 1), (4, 9)),
        ((5, 200), (0, 0, 5, 200), (1, 1)),
        ((200, 150), (0, 0, 200, 150), (67, 101)),
    ]
    lines = []
    for (height, width), (top, left, box_height, box_width), (new_height, new_width) in cases:
        for channels in (1, 3):
            source = drawn(width, height, channels)
            box = source.crop((left, top, left + box_width, top + box_height))
            for name in ("nearest", "box", "bilinear", "bicubic"):
                resized = box.resize((new_width, new_height), Image.Resampling[name.upper()])
                lines.append(
                    f"{height} {width} {channels} {top} {left} {box_height} {box_width} {name} "
                    f"{new_height} {new_width} {sha256(resized)}"
                )
    return lines


if __name__ == "__main__":
    if PIL.__version__ != PILLOW:
        raise SystemExit(f"expected Pillow {PILLOW}, found {PIL.__version__}")
    (DIRECTORY / "files.txt").write_text("\n".join(files()) + "\n")
    (DIRECTORY / "resizes.txt").write_text("\n".join(resizes()) + "\n")
