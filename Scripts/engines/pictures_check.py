"""Compares the pixels of Sources/CPictures with Pillow's, for files of all kinds: 0 levels apart.

    pictures_check.py TOOL DIRECTORY [PICTURE...]

TOOL is Tests/PictureBits, compiled. The files are written into DIRECTORY, from pictures that are
drawn here and from the PICTUREs. Needs Pillow and nothing else; 8-bit files that Pillow cannot
write are written here. Prints a line, or what differs, and then ends with 1.
"""

import random
import re
import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

from PIL import Image, ImageOps

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}
# Height and width: smaller, larger, one of each, the least, one side as it is.
SHAPES = [(32, 32), (224, 224), (17, 91), (301, 40), (1, 1), (None, 77)]
SIXTEEN_REFUSE, SIXTEEN_SCALE, SIXTEEN_CLIP = 0, 1, 2
MOST_PIXELS = 178956970


class Tool:
    """The program that decodes: one process, a line a command."""

    def __init__(self, path: str) -> None:
        self.process = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, command: str, data: bytes = b"") -> tuple[str, bytes]:
        """Returns the first line of the answer, and the bytes behind it."""
        self.process.stdin.write(command.encode() + b"\n" + data)
        self.process.stdin.flush()
        line = self.process.stdout.readline().decode(errors="replace").rstrip("\n")
        if not line:
            sys.exit(f"the tool ended at: {command}")
        if not line.startswith("ok ") or command.startswith("probe"):
            return line, b""
        height, width, channels = map(int, line.split()[1:4])
        return line, self.process.stdout.read(height * width * channels)

    def end(self) -> None:
        self.process.stdin.close()
        if code := self.process.wait(60):
            sys.exit(f"the tool ended with {code}")

    def decode(self, path, mode, filter="bilinear", fit=0, turned=0, alpha=0, sixteen=0,
               size=(0, 0), planar=0, most=MOST_PIXELS):
        channels = {"L": 1, "RGB": 3, None: 0}[mode]
        number = list(FILTERS).index(filter)
        return self.ask(
            f"decode {channels} {number} {fit} {turned} {alpha} {sixteen} {size[0]} {size[1]} "
            f"{planar} {most} {path}")


class Check:
    def __init__(self, tool: Tool, directory: Path) -> None:
        self.tool, self.directory = tool, directory
        self.count = 0
        self.faults: list[str] = []

    def same(self, what: str, answer: tuple[str, bytes], expected: Image.Image) -> None:
        """Notes a fault unless the answer is this picture."""
        self.count += 1
        line, found = answer
        width, height = expected.size
        wanted = expected.tobytes()
        if line != f"ok {height} {width} {len(expected.getbands())}":
            self.faults.append(f"{what}: {line}, expected {expected.size} {expected.mode}")
        elif found != wanted:
            distances = [abs(a - b) for a, b in zip(found, wanted)]
            differing = sum(1 for distance in distances if distance)
            self.faults.append(
                f"{what}: {differing} of {len(distances)} bytes differ, by up to {max(distances)}")

    def refused(self, what: str, answer: tuple[str, bytes], *words: str) -> None:
        """Notes a fault unless the answer is an error with these words."""
        self.count += 1
        line = answer[0]
        if not line.startswith("error ") or not all(word in line for word in words):
            self.faults.append(f"{what}: {line!r}, expected an error with {words}")

    def require(self, what: str, holds: bool, found) -> None:
        self.count += 1
        if not holds:
            self.faults.append(f"{what}: {found}")


# Pictures to write.


def drawn(width: int, height: int, seed: int) -> Image.Image:
    """Returns an RGB picture with soft areas, edges and noise, from a seed."""
    chance = random.Random(seed)
    soft = Image.frombytes("RGB", (9, 7), chance.randbytes(189))
    picture = soft.resize((width, height), Image.Resampling.BICUBIC)
    noise = Image.frombytes("RGB", (width, height), chance.randbytes(3 * width * height))
    picture = Image.blend(picture, noise, 0.15)
    box = (width // 4, height // 5, width // 2 + 1, height // 2 + 1)
    picture.paste((250, 20, 60), box)
    return picture


def with_alpha(picture: Image.Image, seed: int) -> Image.Image:
    chance = random.Random(seed)
    alpha = Image.frombytes("L", (5, 4), chance.randbytes(20)).resize(picture.size)
    picture = picture.copy()
    picture.putalpha(alpha)
    return picture


# PNG kinds that Pillow cannot write: any depth, interlaced, with transparent colours.


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def filtered(raw: bytes, previous: bytes, kind: int, step: int) -> bytes:
    out = bytearray([kind])
    for i, value in enumerate(raw):
        left = raw[i - step] if i >= step else 0
        up = previous[i]
        corner = previous[i - step] if i >= step else 0
        guess = left + up - corner
        nearest = min((abs(guess - left), 0, left), (abs(guess - up), 1, up),
                      (abs(guess - corner), 2, corner))[2]
        out.append((value - (0, left, up, (left + up) // 2, nearest)[kind]) & 255)
    return bytes(out)


def packed(numbers: list[int], bits: int) -> bytes:
    if bits == 16:
        return struct.pack(f">{len(numbers)}H", *numbers)
    out, per_byte = bytearray(), 8 // bits
    for i in range(0, len(numbers), per_byte):
        byte = 0
        for j, number in enumerate(numbers[i : i + per_byte]):
            byte |= number << (8 - bits * (j + 1))
        out.append(byte)
    return bytes(out)


def png(width, height, bits, kind, rows, interlaced=False, before=(), seed=0) -> bytes:
    """Returns a PNG; `rows` are lists of numbers, `before` are chunks before the pixels."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[kind]
    step = max(1, bits * channels // 8)
    chance, stream = random.Random(seed), bytearray()
    passes = [(0, 0, 1, 1)]
    if interlaced:
        passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4),
                  (1, 0, 2, 2), (0, 1, 1, 2)]
    for left, top, across, down in passes:
        if left >= width:
            continue
        previous = None
        for y in range(top, height, down):
            numbers = []
            for x in range(left, width, across):
                numbers += rows[y][x * channels : (x + 1) * channels]
            raw = packed(numbers, bits)
            stream += filtered(raw, previous or bytes(len(raw)), chance.randrange(5), step)
            previous = raw
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, int(interlaced))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
            + b"".join(chunk(name, data) for name, data in before)
            + chunk(b"IDAT", zlib.compress(bytes(stream))) + chunk(b"IEND", b""))


def write_pngs(directory: Path) -> list[Path]:
    """Writes PNGs of every kind, depth and order, with and without transparent colours."""
    paths = []
    for kind, depths in {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16),
                         6: (8, 16)}.items():
        channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[kind]
        for bits in depths:
            for interlaced in (False, True):
                for variant in range(2 if kind in (4, 6) else 3):
                    seed = 1000 * kind + 10 * bits + 2 * variant + interlaced
                    chance = random.Random(seed)
                    width, height = chance.choice([(1, 1), (7, 5), (33, 18), (20, 41)])
                    if variant == 0:
                        width, height = 37, 29
                    top = 1 << bits
                    rows = [[chance.randrange(top) for _ in range(width * channels)]
                            for _ in range(height)]
                    before = []
                    if kind == 3:
                        # The last variant has indices beyond its palette.
                        entries = top if variant < 2 else max(1, top // 2)
                        before.append((b"PLTE", chance.randbytes(3 * entries)))
                        if variant == 1:
                            before.append((b"tRNS", chance.randbytes(max(1, entries // 2))))
                    elif kind == 0 and variant == 1:
                        before.append((b"tRNS", struct.pack(">H", rows[0][0])))
                    elif kind == 2 and variant == 1:
                        before.append((b"tRNS", struct.pack(">3H", *rows[0][:3])))
                    order = "adam7" if interlaced else "plain"
                    path = directory / f"kind{kind}-{bits}bit-{order}-{variant}.png"
                    path.write_bytes(png(width, height, bits, kind, rows, interlaced, before, seed))
                    paths.append(path)
    return paths


def write_jpegs(tool: Tool, directory: Path, name: str, picture: Image.Image) -> list[Path]:
    """Writes JPEGs of every subsampling, progressive, grey and of four colours."""
    paths = []

    def path(kind: str) -> Path:
        paths.append(directory / f"{name}-{kind}.jpg")
        return paths[-1]

    for subsampling, text in enumerate(("444", "422", "420")):
        for progressive in (False, True):
            kind = f"{text}{'-progressive' if progressive else ''}"
            picture.save(path(kind), quality=60 + 12 * subsampling, subsampling=subsampling,
                         progressive=progressive)
    picture.save(path("fine"), quality=98, subsampling=0, optimize=True)
    picture.save(path("rgb"), quality=90, keep_rgb=True)
    grey = picture.convert("L")
    grey.save(path("grey"), quality=80)
    grey.save(path("grey-progressive"), quality=40, progressive=True)
    picture.convert("CMYK").save(path("cmyk"), quality=85)
    picture.convert("CMYK").save(path("cmyk-progressive"), quality=70, progressive=True)
    # Those that Pillow does not write.
    width, height = picture.size
    inks = ImageOps.invert(picture.convert("RGB")).convert("RGB")
    four = Image.merge("CMYK", (*inks.split(), picture.convert("L")))
    for kind, across, down, progressive, restart, arithmetic, source in (
        ("440", 1, 2, 0, 0, 0, picture), ("440-progressive", 1, 2, 1, 0, 0, picture),
        ("411", 4, 1, 0, 0, 0, picture), ("420-restart", 2, 2, 0, 3, 0, picture),
        ("420-restart-progressive", 2, 2, 1, 2, 0, picture), ("ycck", 1, 1, 0, 0, 0, four),
        ("ycck-420", 2, 2, 1, 0, 0, four), ("arithmetic", 2, 2, 0, 0, 1, picture),
    ):
        # Pillow reads arithmetic codes only where the whole file fits into its buffer.
        if arithmetic and width * height > 10000:
            continue
        channels = len(source.getbands())
        line, _ = tool.ask(
            f"jpeg {width} {height} {channels} 75 {across} {down} {progressive} {restart} "
            f"{arithmetic} {path(kind)}", source.tobytes())
        if line != "ok 0 0 0":
            sys.exit(f"{kind}: {line}")
    return paths


def write_others(directory: Path, name: str, picture: Image.Image, seed: int) -> list[Path]:
    """Writes PNGs as Pillow has them, and WebPs."""
    paths = []

    def save(source: Image.Image, kind: str, suffix: str, **options) -> None:
        paths.append(directory / f"{name}-{kind}.{suffix}")
        source.save(paths[-1], **options)

    see_through = with_alpha(picture, seed)
    save(picture, "rgb", "png")
    save(see_through, "rgba", "png")
    save(picture.convert("L"), "grey", "png")
    save(picture.convert("1"), "bit", "png")
    save(see_through.convert("LA"), "grey-alpha", "png")
    for colours in (2, 4, 16, 200):
        save(picture.quantize(colours), f"palette-{colours}", "png")
    save(picture.quantize(64), "palette-transparent", "png", transparency=3)
    save(picture, "transparent-colour", "png", transparency=picture.getpixel((0, 0)))
    wide = picture.convert("L").convert("I").point(lambda level: level * 257).convert("I;16")
    save(wide, "grey-16bit", "png")
    for quality in (30, 90):
        save(picture, f"lossy-{quality}", "webp", quality=quality)
    save(see_through, "lossy-alpha", "webp", quality=70)
    save(picture, "lossless", "webp", lossless=True)
    save(see_through, "lossless-alpha", "webp", lossless=True, exact=True)
    save(picture.convert("L"), "grey", "webp", quality=80)
    save(picture.quantize(16).convert("RGB"), "lossless-palette", "webp", lossless=True)
    return paths


# Checks.


def reference(path: Path, mode: str) -> Image.Image:
    with Image.open(path) as picture:
        return picture.convert(mode)


def is_wide_grey(path: Path) -> bool:
    with Image.open(path) as picture:
        return picture.mode == "I;16"


def check_decoding(check: Check, paths: list[Path]) -> None:
    for path in paths:
        wide = is_wide_grey(path)
        for mode in ("RGB", "L"):
            sixteen = SIXTEEN_CLIP if wide else SIXTEEN_REFUSE
            answer = check.tool.decode(path, mode, sixteen=sixteen)
            check.same(f"{path.name} {mode}", answer, reference(path, mode))
        with Image.open(path) as picture:
            line, _ = check.tool.ask(f"probe {path}")
            sides = "width {} height {} ".format(*picture.size)
            check.require(f"{path.name}: the probe", sides in line, line)
        if wide:
            check.refused(path.name, check.tool.decode(path, "L"), "grey PNG of 16 bits")
            with Image.open(path) as picture:
                high = Image.frombytes("L", picture.size, picture.tobytes()[1::2])
            check.same(f"{path.name} scaled", check.tool.decode(path, "L", sixteen=SIXTEEN_SCALE),
                       high)


def in_planes(picture: Image.Image) -> bytes:
    return b"".join(band.tobytes() for band in picture.split())


def check_resizing(check: Check, paths: list[Path], seed: int) -> None:
    """Filters by shapes, of the whole picture and of a box of it."""
    chance = random.Random(seed)
    for path in paths:
        sixteen = SIXTEEN_CLIP if is_wide_grey(path) else SIXTEEN_REFUSE
        for mode in ("RGB", "L"):
            source = reference(path, mode)
            for number, (name, filter) in enumerate(FILTERS.items()):
                for height, width in SHAPES:
                    height = height or source.height
                    what = f"{path.name} {mode} {name} to {height}x{width}"
                    answer = check.tool.decode(path, mode, name, sixteen=sixteen,
                                               size=(height, width))
                    check.same(what, answer, source.resize((width, height), filter))
                    left = chance.randrange(source.width)
                    top = chance.randrange(source.height)
                    right = chance.randrange(left, source.width) + 1
                    bottom = chance.randrange(top, source.height) + 1
                    if sixteen:
                        continue
                    line, found = check.tool.ask(
                        f"box {len(source.getbands())} {number} {top} {left} {bottom - top} "
                        f"{right - left} {height} {width} {path}")
                    cut = source.crop((left, top, right, bottom)).resize((width, height), filter)
                    check.require(f"{what} of box {left, top, right, bottom}",
                                  found == in_planes(cut), line)


def torchvision(picture: Image.Image, size: int, filter) -> Image.Image:
    """What torchvision's Resize(size) and CenterCrop(size) make of a picture."""
    short, long = sorted(picture.size)
    other = int(size * long / short)
    width, height = (size, other) if picture.width <= picture.height else (other, size)
    whole = picture.resize((width, height), filter)
    top, left = round((height - size) / 2.0), round((width - size) / 2.0)
    return whole.crop((left, top, left + size, top + size))


def check_fit(check: Check, pictures: list[Image.Image]) -> None:
    for index, picture in enumerate(pictures):
        path = check.directory / f"fit-{index}.png"
        picture.save(path)
        for size in (1, 7, 32, 65, 224):
            for name, filter in FILTERS.items():
                wanted = torchvision(picture, size, filter)
                answer = check.tool.decode(path, "RGB", name, fit=1, size=(size, size))
                check.same(f"{picture.size} cropped to {size} {name}", answer, wanted)
        line, found = check.tool.decode(path, "RGB", fit=1, size=(48, 48), planar=1)
        wanted = torchvision(picture, 48, Image.Resampling.BILINEAR)
        check.require(f"{picture.size} in planes", found == in_planes(wanted), line)


def check_turning(check: Check, picture: Image.Image) -> None:
    for orientation in range(10):
        exif = Image.Exif()
        exif[0x0112] = orientation
        for suffix in ("jpg", "png", "webp"):
            path = check.directory / f"turned-{orientation}.{suffix}"
            picture.save(path, exif=exif.tobytes())
            what = f"{suffix} with orientation {orientation}"
            check.same(what, check.tool.decode(path, "RGB"), reference(path, "RGB"))
            with Image.open(path) as opened:
                turned = ImageOps.exif_transpose(opened).convert("RGB")
            check.same(f"{what} applied", check.tool.decode(path, "RGB", turned=1), turned)
            line, _ = check.tool.ask(f"probe {path}")
            known = orientation if 1 <= orientation <= 8 else 1
            check.require(f"{what}: the probe", f" orientation {known} " in line, line)


def check_alpha(check: Check, paths: list[Path]) -> None:
    """Pictures on black and on white, against Pillow's paste with a mask."""
    for path in paths:
        with Image.open(path) as picture:
            if picture.mode not in ("RGBA", "LA", "P") and "transparency" not in picture.info:
                continue
            # Pillow compares a transparent colour of other depths with numbers of 8 bits.
            if "transparency" in picture.info and re.search("kind[02]-(2|4|16)bit", path.name):
                continue
            whole = picture.convert("RGBA")
        for code, ground in ((1, 0), (2, 255)):
            laid = Image.new("RGB", whole.size, (ground,) * 3)
            laid.paste(whole.convert("RGB"), mask=whole.getchannel("A"))
            for mode in ("RGB", "L"):
                answer = check.tool.decode(path, mode, alpha=code)
                check.same(f"{path.name} {mode} on {ground}", answer, laid.convert(mode))


def check_bad_files(check: Check, picture: Image.Image) -> None:
    directory = check.directory

    def refused(name: str, data: bytes, *words: str, **options) -> None:
        path = directory / name
        path.write_bytes(data)
        check.refused(name, check.tool.decode(path, "RGB", **options), *words)

    def saved(name: str, **options) -> bytes:
        path = directory / name
        picture.save(path, **options)
        return path.read_bytes()

    kinds = {
        "a.jpg": saved("a.jpg", quality=90), "b.jpg": saved("b.jpg", progressive=True),
        "a.png": saved("a.png"), "a.webp": saved("a.webp"),
        "b.webp": saved("b.webp", lossless=True),
    }
    for name, data in kinds.items():
        for part in (1, 2, 3, 4, 12, 20, len(data) // 2, len(data) - 3):
            refused(f"cut-{part}-{name}", data[:part], "error")
        path = directory / f"junk-{name}"
        path.write_bytes(data + b"\0trailing junk\xff\xd8")
        check.same(path.name, check.tool.decode(path, "RGB"), reference(path, "RGB"))
    refused("gif.jpg", b"GIF89a" + bytes(99), "found a GIF")
    for name, suffix in (("a GIF", "gif"), ("a BMP", "bmp"), ("a TIFF", "tiff"),
                         ("a JPEG 2000", "jp2"), ("a PPM", "ppm"), ("an icon (ICO)", "ico")):
        path = directory / f"picture.{suffix}"
        picture.save(path)
        refused(f"{suffix}.jpg", path.read_bytes(), f"found {name}")
    refused("animated.webp", animated(picture, directory), "an animated WebP")
    broken = bytearray(kinds["a.png"])
    broken[60] ^= 1
    refused("bit.png", bytes(broken), "error")
    path = directory / "scans.jpg"
    grey = picture.convert("L")
    check.tool.ask(f"jpeg {grey.width} {grey.height} 1 90 1 1 2 0 0 {path}", grey.tobytes())
    check.refused(path.name, check.tool.decode(path, "L"), "a JPEG of few scans")
    check.refused("a bound of pixels", check.tool.decode(directory / "a.png", "L", most=3071),
                  "expected at most 3071 pixels, found 64 by 48 pixels")
    path = directory / "png.jpg"
    path.write_bytes(kinds["a.png"])
    check.same("a PNG named .jpg", check.tool.decode(path, "RGB"), picture)


def animated(picture: Image.Image, directory: Path) -> bytes:
    path = directory / "film.webp"
    picture.save(path, save_all=True, append_images=[ImageOps.mirror(picture)])
    return path.read_bytes()


def main() -> None:
    warnings.simplefilter("ignore")
    tool, directory = Tool(sys.argv[1]), Path(sys.argv[2])
    check = Check(tool, directory)
    given = [Path(name) for name in sys.argv[3:]]
    sources = [("drawn", drawn(97, 61, 1)), ("small", drawn(16, 16, 2)), ("odd", drawn(35, 103, 3)),
               ("least", drawn(1, 1, 4)), ("thin", drawn(3, 40, 5))]
    for path in given:
        with Image.open(path) as picture:
            sources.append((path.stem, picture.convert("RGB")))
    paths = write_pngs(directory)
    for index, (name, picture) in enumerate(sources):
        paths += write_jpegs(tool, directory, name, picture)
        paths += write_others(directory, name, picture, index)
    check_decoding(check, paths + given)
    check_alpha(check, paths)
    resized = [directory / "drawn-420.jpg", directory / "odd-grey.png", directory / "thin-rgb.png",
               directory / "least-rgb.png", directory / "small-lossy-90.webp"]
    check_resizing(check, resized + given + (paths[::37] if given else []), 7)
    check_fit(check, [drawn(50, 50, 1), drawn(101, 67, 2), drawn(66, 101, 3), drawn(7, 224, 4),
                      drawn(224, 33, 5), drawn(3, 2, 6)])
    check_turning(check, drawn(21, 13, 8))
    check_bad_files(check, drawn(64, 48, 9))
    tool.end()
    for fault in check.faults[:20]:
        print(fault, file=sys.stderr)
    if check.faults:
        sys.exit(f"{len(check.faults)} of {check.count} comparisons differ")
    print(f"{check.count} comparisons with Pillow {Image.__version__} of "
          f"{len(paths) + len(given)} files, 0 levels apart")


if __name__ == "__main__":
    main()
