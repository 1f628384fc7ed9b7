"""Bad input for own data: what it is, how it is made, and the text of the one line that names it.

Each case must end within 10 s in 2 GB of address space, with exit code 65 and one line on standard
error that has the name of the file and one of the texts; or, where nothing is wrong, with 0.
"""

from __future__ import annotations

import io
import os
import pathlib
import resource
import shutil
import signal
import struct
import subprocess
import time
import zlib
from dataclasses import dataclass, field
from typing import Callable

import numpy as np
from PIL import Image

from data_files import SCRIPTS, Convoy, fail, manifest_of, records, text_of

SECONDS = 10
ADDRESS_SPACE = 2 << 30
IMAGE = {"size": [32, 32], "channels": 3}
SERIES = {"columns": ["x", "y"], "label": "activity", "by": "subject", "length": 8, "stride": 4}


@dataclass
class Case:
    """`make` gets a directory of its own. It returns nothing for a case of pictures, whose folder
    has good ones already; otherwise the source, or the source and more of `data`."""

    name: str
    make: Callable[[pathlib.Path], object]
    texts: tuple[str, ...] = ()
    """One of them must stand in the line; none where nothing is wrong."""
    file: str = ""
    """What must stand in the line too."""
    data: dict = field(default_factory=dict)
    count: int | None = None
    """The number of training records where nothing is wrong."""
    before: tuple[str, ...] = ()
    """What runs the program."""


def good_folders(root: pathlib.Path) -> None:
    generator = np.random.default_rng(1)
    for label in ("defect", "ok"):
        (root / label).mkdir(parents=True)
        for number in range(3):
            pixels = generator.integers(0, 256, (20, 16, 3), np.uint8)
            Image.fromarray(pixels).save(root / label / f"good{number}.png")


# MARK: Pictures

def file(name: str, content) -> Callable[[pathlib.Path], None]:
    def make(root: pathlib.Path) -> None:
        data = content() if callable(content) else content
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)

    return make


def picture(kind: str, size=(64, 48), mode="RGB", **options) -> bytes:
    pixels = np.random.default_rng(2).integers(0, 256, (size[1], size[0], 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(out, kind, **options)
    return out.getvalue()


def half(kind: str, **options) -> bytes:
    data = picture(kind, **options)
    return data[:len(data) // 2]


def chunk(name: bytes, data: bytes, crc: int | None = None) -> bytes:
    crc = zlib.crc32(name + data) if crc is None else crc
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", crc)


def png(width: int, height: int, data: bytes, crc: int | None = None, depth: int = 8) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data, crc)
            + chunk(b"IEND", b""))


def png_bomb() -> bytes:
    """65,535 x 65,535 pixels in 100 KB."""
    return png(65_535, 65_535, zlib.compress(bytes(100_000_000), 9)[:100_000])


def scan_bomb() -> bytes:
    """A progressive JPEG whose last scan comes 1,000 times."""
    out = io.BytesIO()
    Image.linear_gradient("L").resize((1600, 1600)).save(out, "JPEG", progressive=True)
    data = out.getvalue()
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * 1000 + data[-2:]


def huge_jpeg() -> bytes:
    """65,500 x 65,500 pixels according to its header."""
    data = bytearray(picture("JPEG", mode="L"))
    place = data.index(b"\xff\xc0")
    data[place + 5:place + 9] = struct.pack(">HH", 65_500, 65_500)
    return bytes(data)


def deep_png() -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.full((8, 8), 4096, np.uint16)).save(out, "PNG")
    return out.getvalue()


def link(name: str, target: str) -> Callable[[pathlib.Path], None]:
    return lambda root: (root / name).symlink_to(target)


def raw_name(root: pathlib.Path) -> None:
    path = os.path.join(os.fsencode(root), b"ok", b"\xff\xfe.png")
    with open(path, "wb") as out:
        out.write(picture("PNG"))


def forbidden(name: str) -> Callable[[pathlib.Path], None]:
    def make(root: pathlib.Path) -> None:
        (root / name).write_bytes(picture("PNG"))
        (root / name).chmod(0)

    return make


def one_class(root: pathlib.Path) -> None:
    shutil.rmtree(root / "ok")


def test_class(root: pathlib.Path) -> None:
    for split, labels in (("train", ("defect", "ok")), ("test", ("defect", "new", "ok"))):
        for label in labels:
            file(f"{split}/{label}/1.png", picture("PNG"))(root)
    shutil.rmtree(root / "ok")
    shutil.rmtree(root / "defect")


def several_bad(count: int) -> Callable[[pathlib.Path], None]:
    def make(root: pathlib.Path) -> None:
        for number in range(count):
            (root / "ok" / f"bad{number}.jpg").write_bytes(half("JPEG"))

    return make


# Root reads what it may not, unless it goes without these capabilities.
POWERLESS = () if os.geteuid() != 0 else (
    "setpriv", "--inh-caps", "-dac_override,-dac_read_search", "--bounding-set",
    "-dac_override,-dac_read_search")
BAD = "ok/bad.jpg"
PICTURES = [
    Case("half a JPEG", file(BAD, lambda: half("JPEG")), ("truncated", "ends"), BAD),
    Case("half a progressive JPEG", file(BAD, lambda: half("JPEG", progressive=True)),
         ("truncated", "ends"), BAD),
    Case("half a PNG", file("ok/bad.png", lambda: half("PNG")), ("truncated", "ends"), "bad.png"),
    Case("half a WebP", file("ok/bad.webp", lambda: half("WEBP")), ("truncated", "ends", "length"),
         "bad.webp"),
    Case("0 bytes", file(BAD, b""), ("empty", "0 bytes", "bytes"), BAD),
    Case("JPEG with bytes behind its end", file(BAD, lambda: picture("JPEG") + b"junk" * 50),
         count=7),
    Case("PNG with a wrong CRC", file("ok/bad.png", lambda: png(
        8, 8, zlib.compress(bytes(72)), crc=1)), ("CRC", "checksum"), "bad.png"),
    Case("PNG with too few pixels", file("ok/bad.png", lambda: png(
        8, 8, zlib.compress(bytes(30)))), ("pixels", "data", "truncated", "ends"), "bad.png"),
    Case("PNG bomb", file("ok/bad.png", png_bomb), ("pixels",), "bad.png"),
    Case("JPEG of 65,500 x 65,500", file(BAD, huge_jpeg), ("pixels",), BAD),
    Case("JPEG of 1,000 scans", file(BAD, scan_bomb), ("scans", "progression"), BAD),
    Case("GIF named .jpg", file(BAD, lambda: picture("GIF", mode="L")), ("GIF", "JPEG"), BAD),
    Case("HEIC named .jpg", file(BAD, b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(500)),
         ("HEIC", "JPEG"), BAD),
    Case("PNG named .jpg", file(BAD, lambda: picture("PNG")), count=7),
    Case("16 bits", file("ok/bad.png", deep_png), ("16",), "bad.png"),
    Case("16 bits, scaled", file("ok/bad.png", deep_png), count=7,
         data={"image": {**IMAGE, "sixteen-bit": "scale"}}),
    Case("name of 255 bytes", file(f"ok/{'n' * 251}.png", lambda: picture("PNG")), count=7),
    Case("name that is not UTF-8", raw_name, count=7),
    Case("loop of links", link("ok/loop", "../ok"), ("loop", "link"), "loop"),
    Case("link to itself", link("ok/self.png", "self.png"), ("link", "symbolic", "loop"),
         "self.png"),
    Case("link to nothing", link("ok/gone.png", "nothing"), ("No such file",), "gone.png"),
    Case("a pipe", lambda root: os.mkfifo(root / "ok" / "pipe.png"), ("regular", "pipe", "file"),
         "pipe.png"),
    Case("a directory named .png", lambda root: (root / "ok" / "folder.png").mkdir(), count=6),
    Case("no permission", forbidden("ok/bad.png"), ("Permission denied",), "bad.png",
         before=POWERLESS),
    Case(".DS_Store and Thumbs.db", lambda root: [
        (root / name).write_bytes(b"x") for name in ("ok/.DS_Store", "ok/Thumbs.db")], count=6),
    Case("empty class", lambda root: (root / "none").mkdir(), ("class", "pictures"), "none"),
    Case("class in the test split alone", test_class, ("class",), "new"),
    Case("1 x 1", file("ok/small.png", lambda: picture("PNG", (1, 1))), count=7),
    Case("one class", one_class, count=3),
    Case("no class", lambda root: [shutil.rmtree(root / name) for name in ("ok", "defect")],
         ("class", "folder", "pictures")),
    Case("no directory", lambda root: f"images:{root}/missing", ("No such file",), "missing"),
    Case("2 bad, 2 skipped", several_bad(2), count=6,
         data={"image": {**IMAGE, "bad-records": "skip 2"}}),
    Case("3 bad, 2 skipped", several_bad(3), ("bad-records", "skip"), "bad",
         data={"image": {**IMAGE, "bad-records": "skip 2"}}),
    Case("3 bad of 9, 10 % skipped", several_bad(3), ("bad-records", "skip"), "bad",
         data={"image": {**IMAGE, "bad-records": "skip 10%"}}),
    Case("nothing left after the filter", lambda root: None, ("filter", "record"),
         data={"image": IMAGE, "filter": {"min-size": [64, 64]}}),
    Case("a label that is unknown", lambda root: None, ("scratch",),
         data={"image": IMAGE, "labels": {"drop": ["scratch"]}}),
    Case("a group in no name", lambda root: None, ("group", "module"),
         data={"image": IMAGE, "split": {"test": 0.2, "group": "module-(\\d+)"}}),
    Case("a test split of everything", lambda root: None, ("test",),
         data={"image": IMAGE, "split": {"test": 1.0, "by": "hash"}}),
]


# MARK: Series

def csv(text: str | bytes, name: str = "bad.csv", **series) -> Callable[[pathlib.Path], object]:
    def make(root: pathlib.Path):
        (root / name).write_bytes(text.encode() if isinstance(text, str) else text)
        return f"csv:{root}/{name}", {"series": {**SERIES, **series}}

    return make


def rows(count: int = 40, subjects: int = 2, change: dict[int, str] | None = None,
         head: str = "x,y,activity,subject", end: str = "\n") -> str:
    lines = [head]
    for number in range(count):
        subject = number * subjects // count
        lines.append((change or {}).get(
            number, f"{number / 8},{-number / 4},act{number // 20},s{subject}"))
    return end.join(lines) + end


QUOTED = rows(change={3: '"0.375","-0.75","act0","s0"', 4: '0.5,"-1",act0,"s0"'})
TABLES = [
    Case("CSV as it should be", csv(rows()), count=8),
    Case("CRLF", csv(rows(end="\r\n")), count=8),
    Case("BOM", csv("\ufeff" + rows()), count=8),
    Case("quotes", csv(QUOTED), count=8),
    Case("no line end at its end", csv(rows().rstrip("\n")), count=8),
    Case("missing field", csv(rows(change={7: "1,2,act0"})), ("9", "field"), "bad.csv"),
    Case("field too many", csv(rows(change={7: "1,2,3,act0,s0"})), ("9", "field"), "bad.csv"),
    Case("gap", csv(rows(change={7: ",2,act0,s0"})), ("9", "number"), "bad.csv"),
    Case("comma decimals", csv(rows(change={7: '"0,5",2,act0,s0'})), ("0,5",), "bad.csv"),
    Case("NaN", csv(rows(change={7: "nan,2,act0,s0"})), ("nan", "NaN"), "bad.csv"),
    Case("infinite", csv(rows(change={7: "1e999,2,act0,s0"})), ("1e999", "inf"), "bad.csv"),
    Case("text in a column of numbers", csv(rows(change={7: "1,fast,act0,s0"})), ("fast",),
         "bad.csv"),
    Case("all-NaN channel", csv(rows(change={i: f"{i},,act0,s0" for i in range(40)})),
         ("2", "number"), "bad.csv"),
    Case("header again", csv(rows(change={20: "x,y,activity,subject"})), ("22", "x"), "bad.csv"),
    Case("header without a column", csv(rows(head="x,z,activity,subject")), ("'y'", "y"),
         "bad.csv"),
    Case("a column twice", csv(rows(head="x,x,activity,subject")), ("x",), "bad.csv"),
    Case("header alone", csv("x,y,activity,subject\n"), ("record", "row", "window"), "bad.csv"),
    Case("empty CSV", csv(""), ("header", "empty"), "bad.csv"),
    Case("a quote without end", csv(rows(change={7: '1,2,"act0,s0'})), ("quot",), "bad.csv"),
    Case("NUL", csv(rows(change={7: "1\0,2,act0,s0"})), ("9", "number"), "bad.csv"),
    Case("not UTF-8", csv(rows(change={7: "1,2,NAME,s0"}).encode().replace(b"NAME", b"\xff\xfe")),
         ("UTF-8",), "bad.csv"),
    Case("a line of 100 MB", csv(rows() + "1" * 100_000_000), ("bytes", "long"), "bad.csv"),
    Case("windows longer than the series", csv(rows(), length=21), ("21", "length"), "bad.csv"),
    Case("stride 0", csv(rows(), stride=0), ("stride",)),
    Case("split by window", csv(rows()), ("series", "time"),
         data={"split": {"test": 0.5, "by": "hash"}}),
    Case("no CSV file", lambda root: f"csv:{root}/missing.csv", ("No such file",), "missing.csv"),
]


# MARK: Arrays

def arrays(**changes) -> Callable[[pathlib.Path], object]:
    def make(root: pathlib.Path):
        generator = np.random.default_rng(3)
        files = {"train_x": generator.normal(size=(8, 2, 16)).astype(np.float32),
                 "train_y": np.arange(8, dtype=np.int32) % 2,
                 "test_x": generator.normal(size=(4, 2, 16)).astype(np.float32),
                 "test_y": np.arange(4, dtype=np.int32) % 2, **changes}
        for name, content in files.items():
            if isinstance(content, bytes):
                (root / f"{name}.npy").write_bytes(content)
            elif content is not None:
                np.save(root / f"{name}.npy", content, allow_pickle=True)
        return f"npy:{root}"

    return make


def npy(header: str, data: bytes = b"", version: int = 1) -> bytes:
    text = header.encode("latin-1")
    text += b" " * (-(10 + len(text) + 1) % 64) + b"\n"
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text + data


def nan_array() -> np.ndarray:
    values = np.zeros((8, 2, 16), np.float32)
    values[5, 1, 3] = np.nan
    return values


FLOATS = "{'descr': '<f4', 'fortran_order': False, 'shape': %s, }"
ARRAYS = [
    Case("arrays as they should be", arrays(), count=8),
    Case("F order", arrays(train_x=np.asfortranarray(np.ones((8, 2, 16), np.float32))),
         ("ortran", "order"), "train_x.npy"),
    Case("objects", arrays(train_x=np.array([[1], None] * 4, object)), ("object", "|O"),
         "train_x.npy"),
    Case("records", arrays(train_x=np.zeros(8, [("a", "f4")])), ("descr", "type", "float"),
         "train_x.npy"),
    Case("complex", arrays(train_x=np.zeros((8, 2, 16), np.complex64)), ("<c8",), "train_x.npy"),
    Case("NaN in an array", arrays(train_x=nan_array()), ("NaN", "nan", "finite"), "train_x.npy"),
    Case("half an array", arrays(train_x=npy(FLOATS % "(8, 2, 16)", bytes(500))),
         ("truncated", "bytes", "ends"), "train_x.npy"),
    Case("bytes behind an array", arrays(train_x=npy(FLOATS % "(8, 2, 16)", bytes(1100))),
         ("bytes",), "train_x.npy"),
    Case("no NPY file", arrays(train_x=b"PK\x03\x04" + bytes(100)), ("NPY", "NumPy", "numpy"),
         "train_x.npy"),
    Case("header without end", arrays(train_x=b"\x93NUMPY\x02\0\xff\xff\xff\xff{"),
         ("header",), "train_x.npy"),
    Case("header that is code", arrays(train_x=npy("__import__('os').abort()")), ("header",),
         "train_x.npy"),
    Case("header of brackets", arrays(train_x=npy("(" * 60_000)), ("header",), "train_x.npy"),
    Case("version 9", arrays(train_x=npy(FLOATS % "(8, 2, 16)", bytes(1024), 9)), ("version",),
         "train_x.npy"),
    Case("negative shape", arrays(train_x=npy(FLOATS % "(8, -2, 16)")), ("shape", "dimension"),
         "train_x.npy"),
    Case("shape of 2^64", arrays(train_x=npy(FLOATS % f"({1 << 62}, 2, 16)")),
         ("shape", "dimension", "bytes", "records"), "train_x.npy"),
    Case("other count of labels", arrays(train_y=np.zeros(7, np.int32)), ("7",), "train_y.npy"),
    Case("negative label", arrays(train_y=np.full(8, -1, np.int32)), ("-1",), "train_y.npy"),
    Case("labels with a fraction", arrays(train_y=np.full(8, 0.5)), ("0.5", "integers", "whole"),
         "train_y.npy"),
    Case("no labels", arrays(train_y=None), ("train_y",)),
    Case("no records", arrays(train_x=np.zeros((0, 2, 16), np.float32),
                              train_y=np.zeros(0, np.int32)), ("record", "shape"), "train"),
    Case("test of another shape", arrays(test_x=np.zeros((4, 2, 17), np.float32)), ("shape", "17"),
         "test_x.npy"),
]


# MARK: Running them

def check(convoy: Convoy, directory: pathlib.Path) -> None:
    failed = []
    for kind, cases in (("pictures", PICTURES), ("tables", TABLES), ("arrays", ARRAYS)):
        for number, case in enumerate(cases):
            problem = problem_of(convoy, directory / f"{kind}-{number}", case)
            if problem:
                failed.append(case.name)
                print(f"{case.name}: {problem}", flush=True)
        print(f"bad input, {kind}: {len(cases)} cases", flush=True)
    for extra in (full_disk, changed_while_read, changed_before_resume):
        problem = extra(convoy, directory / extra.__name__)
        if problem:
            failed.append(extra.__name__)
            print(f"{extra.__name__}: {problem}", flush=True)
    if failed:
        fail(f"{len(failed)} cases went wrong: {', '.join(failed)}")


def problem_of(convoy: Convoy, root: pathlib.Path, case: Case) -> str | None:
    root.mkdir(parents=True)
    is_picture = case in PICTURES
    if is_picture:
        good_folders(root)
    made = case.make(root)
    source, data = (made if isinstance(made, tuple) else
                    (made if isinstance(made, str) else f"images:{root}",
                     {"image": IMAGE} if is_picture else {}))
    data = {**data, **case.data}
    output = root.with_name(root.name + "-out")
    result = limited(convoy, root, source, data, output, case.before)
    if isinstance(result, str):
        return result
    error = text_of(result.stderr).strip().splitlines()
    if case.texts:
        if result.returncode != 65 or len(error) != 1:
            return f"expected 65 and a line, found {result.returncode} and {error[-3:]}"
        if case.file not in error[0] or not any(text in error[0] for text in case.texts):
            return f"expected {case.file!r} and one of {case.texts}, found {error[0]!r}"
        left = list(root.with_name(root.name + "-cache").glob("convoy/data/*/manifest.json"))
        if left or output.exists():
            return f"expected no output, found {left or output}"
        return None
    if result.returncode != 0:
        return f"expected 0, found {result.returncode} and {error[-3:]}"
    found = sum(entry["records"] for entry in manifest_of(output)["training"])
    return None if found == case.count else f"expected {case.count} records, found {found}"


def limited(convoy: Convoy, root: pathlib.Path, source: str, data: dict, output: pathlib.Path,
            before=(), environment=None):
    """Partitions a source within the limits. Returns the result, or what went wrong."""
    command = [*before, convoy.program, "partition", "--data", source, "--partitions", "2",
               "--output", str(output)]
    if data:
        command += ["--config", str(convoy.config(data))]
    cache = root.with_name(root.name + "-cache")
    begin = time.monotonic()
    try:
        result = subprocess.run(
            command, capture_output=True, timeout=SECONDS, check=False,
            env={**convoy.environment(cache), **(environment or {})},
            preexec_fn=lambda: resource.setrlimit(
                resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE)))
    except subprocess.TimeoutExpired:
        return f"expected an end within {SECONDS} s, found none"
    result.seconds = time.monotonic() - begin
    return result


def full_disk(convoy: Convoy, root: pathlib.Path) -> str | None:
    """The cache's disk is full: a line, and nothing that counts as compiled."""
    good_folders(root)
    compiler = shutil.which("clang") or shutil.which("cc")
    library = root.with_name("faulty_disk.so")
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", library, SCRIPTS / "bench" / "faulty_disk.c",
         "-ldl"], check=True, timeout=60)
    state = root.with_name("faulty_disk")
    pathlib.Path(f"{state}.full").touch()
    cache = root.with_name(root.name + "-cache")
    cache.mkdir()
    output = root.with_name(root.name + "-out")
    result = limited(
        convoy, root, f"images:{root}", {"image": IMAGE}, output,
        environment={"LD_PRELOAD": str(library), "FAULTY_DISK": str(cache),
                     "FAULTY_DISK_STATE": str(state)})
    if isinstance(result, str):
        return result
    error = text_of(result.stderr).strip().splitlines()
    if result.returncode != 65 or len(error) != 1 or "space" not in error[0]:
        return f"expected 65 and a line with 'space', found {result.returncode} and {error[-3:]}"
    if list(cache.glob("convoy/data/*/manifest.json")):
        return "expected nothing in the cache, found a manifest"
    return None


def changed_while_read(convoy: Convoy, root: pathlib.Path) -> str | None:
    """A file gets other bytes while the folder is compiled: its name, or one of both contents."""
    generator = np.random.default_rng(4)
    for label in ("a", "z"):
        (root / label).mkdir(parents=True)
    for number in range(300):
        pixels = generator.integers(0, 256, (120, 160, 3), np.uint8)
        Image.fromarray(pixels).save(root / "a" / f"{number:03d}.jpg")
    last = root / "z" / "last.png"
    contents = [np.full((32, 32, 3), value, np.uint8) for value in (10, 200)]
    Image.fromarray(contents[0]).save(last)
    other = io.BytesIO()
    Image.fromarray(contents[1]).save(other, "PNG")
    for trial in range(5):
        cache, output = (root.with_name(f"{root.name}-{kind}-{trial}") for kind in ("cache", "out"))
        process = subprocess.Popen(
            [convoy.program, "partition", "--data", f"images:{root}", "--config",
             str(convoy.config({"image": IMAGE})), "--partitions", "2", "--output", str(output)],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=convoy.environment(cache))
        time.sleep(0.03 * trial)  # where in the run it falls does not matter
        last.write_bytes(other.getvalue())
        error = text_of(process.communicate(timeout=60)[1]).strip().splitlines()
        if process.returncode == 65:
            if len(error) != 1 or "last.png" not in error[0]:
                return f"expected a line with last.png, found {error[-3:]}"
        elif process.returncode != 0:
            return f"expected 0 or 65, found {process.returncode} and {error[-3:]}"
        else:
            found = [values for name, values in records(output, "training") if name == "z"]
            if len(found) != 1 or not any(
                    np.array_equal(found[0], content.transpose(2, 0, 1)) for content in contents):
                return "expected one of the two pictures, found another"
        Image.fromarray(contents[0]).save(last)
    return None


def changed_before_resume(convoy: Convoy, root: pathlib.Path) -> str | None:
    """A run whose folder was changed does not go on."""
    good_folders(root)
    run = root.with_name(root.name + "-run")
    process = subprocess.Popen(
        [convoy.program, "train", "--data", f"images:{root}", "--config",
         str(convoy.config({"image": IMAGE, "partitions": 2})), "--batch-size", "4",
         "--virtual-workers", "2",
         "--workers", "1", "--epochs", "1000000", "--checkpoint-every", "5", "--run-dir", str(run)],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=convoy.environment())
    deadline = time.monotonic() + 60
    while not list(run.glob("checkpoints/step-*/state.json")):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            return f"expected a checkpoint, found {text_of(process.communicate()[1])[-300:]}"
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    (root / "ok" / "good0.png").write_bytes((root / "ok" / "good1.png").read_bytes())
    result = convoy.run("train", "--resume", run, status=None)
    error = text_of(result.stderr).strip().splitlines()
    if result.returncode != 65 or not error or "data" not in error[-1]:
        return f"expected 65 and a line about the data, found {result.returncode} and {error[-3:]}"
    return None
