"""Checks own data of Convoy against other tools.

    data_check.py folders CONVOY DIR [torchvision]   images: against ImageFolder's rules, and PIL
    data_check.py tables CONVOY DIR [datasets]       to_partitions.py against what it was given
    data_check.py shards CONVOY DIR                  tar: against webdataset
    data_check.py windows CONVOY DIR                 series of csv: against NumPy's windows
    data_check.py arrays CONVOY DIR                  npy: against NumPy
    data_check.py killed CONVOY DIR TIMES            compiling at once, in threads, and killed
    data_check.py bad CONVOY DIR                     bad input, a line each

`torchvision` compares the rules with torchvision's ImageFolder itself; `datasets` also reads what
that package saves. Each prints a line a check, or says what failed and ends with 1.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time
import types

import numpy as np
from PIL import Image

import data_bad
from data_files import (
    SCRIPTS, Convoy, checksums, fail, manifest_of, records, same_records, text_of)

# The suffixes of torchvision/datasets/folder.py, as far as Convoy decodes them.
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
FILTERS = {
    "nearest": Image.Resampling.NEAREST, "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC,
}


def encoded(pixels: np.ndarray, kind: str = "PNG", **options) -> bytes:
    """A picture [H, W] or [H, W, C] as a file."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


def smooth(generator: np.random.Generator, height: int, width: int, channels: int = 3):
    """A picture that compresses: a few waves and a little noise."""
    rows, columns = np.mgrid[0:height, 0:width]
    planes = [
        127 + 90 * np.sin(rows * a + columns * b + c)
        for a, b, c in generator.uniform(0, 0.3, (channels, 3))]
    noise = generator.normal(0, 6, (height, width, channels))
    return np.clip(np.stack(planes, axis=-1) + noise, 0, 255).astype(np.uint8)


# MARK: Folders

def by_the_rules(
    root: pathlib.Path, with_hidden: bool = False
) -> tuple[list[str], list[tuple[str, int]]]:
    """Classes, and (path, class) of each picture, as ImageFolder finds them.

    Classes are the folders in `root`, and links to folders, in the order of their names. Within a
    class, the order is that of the paths of folders, as texts, and then that of the names of
    files. What counts is the suffix in lower case. Links are followed. ImageFolder takes hidden
    files and classes too, Convoy does not.
    """
    def counts(name: str) -> bool:
        return with_hidden or not name.startswith(".")

    classes = sorted(
        entry.name for entry in os.scandir(root) if entry.is_dir() and counts(entry.name))
    samples = []
    for label, name in enumerate(classes):
        for folder, _, files in sorted(os.walk(root / name, followlinks=True)):
            samples += [(os.path.join(folder, file), label) for file in sorted(files)
                        if file.lower().endswith(SUFFIXES) and counts(file)]
    return classes, samples


def image_folder(root: pathlib.Path):
    """torchvision's ImageFolder. Its extension in C++ is not needed and may not fit PyTorch's."""
    try:
        from torchvision.datasets.folder import ImageFolder
    except RuntimeError:
        place = pathlib.Path(importlib.util.find_spec("torchvision").origin).parent
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        for name, path in (("torchvision", place), ("torchvision.datasets", place / "datasets")):
            sys.modules[name] = types.ModuleType(name)
            sys.modules[name].__path__ = [str(path)]
        from torchvision.datasets.folder import ImageFolder
    return ImageFolder(str(root))


def make_folders(root: pathlib.Path, generator: np.random.Generator) -> None:
    """Three classes and more, with names whose order is easily got wrong."""
    names = {
        "a": ["9.png", "10.PNG", "z/1.jpg", "z-y/2.jpeg", "z/deep/3.png", "zz.WebP", "é.png",
              "e\u0301.png", "with space.JpEg", ".hidden.png", "._apple.jpg", "two.dots.png"],
        "a-b": ["1.png", "\U0001f600.png", "\uffee.png", "n" * 250 + ".png"],
        "B": ["1.jpg", "x/.png", "x/1.png"], "ä": ["1.webp"], ".hidden": ["1.png"],
    }  # fmt: skip
    for folder, files in names.items():
        for file in files:
            path = root / folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            height, width = generator.integers(8, 60, 2)
            channels = int(generator.choice([1, 3]))
            pixels = smooth(generator, height, width, channels)
            kind = {".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}.get(
                pathlib.Path(file.lower()).suffix, "PNG")
            path.write_bytes(encoded(pixels[:, :, 0] if channels == 1 else pixels, kind))
    for file in ("a/.DS_Store", "a/Thumbs.db", "a/notes.txt", "a/1.png.bak", "B/png", "top.png"):
        (root / file).write_bytes(b"no picture")
    (root / "B" / "link.png").symlink_to(root / "a" / "9.png")
    (root / "B" / "linked").symlink_to(root / "a" / "z")
    (root / "linked-class").symlink_to(root / "a-b")


def require_listed(what: str, found: list[list[str]], expected: list[tuple[str, int, str]],
                   classes: list[str]) -> None:
    """Rows of `convoy data list` must be (split, label, name), numbered within each split."""
    counts: dict[str, int] = {}
    for index, (row, (split, label, name)) in enumerate(zip(found, expected)):
        number = counts.get(split, 0)
        counts[split] = number + 1
        labels = (classes[label], str(label))
        if row[0] != split or int(row[1]) != number or row[2] not in labels or row[3] != name:
            fail(f"{what}: record {index}: expected {split}, {number}, {labels[0]!r}, {name!r}, "
                 f"found {row}")
    if len(found) != len(expected):
        fail(f"{what}: expected {len(expected)} records, found {len(found)}")
    print(f"{what}: {len(found)} records in the same order", flush=True)


def folders(convoy: Convoy, directory: pathlib.Path, reference: str = "") -> None:
    generator = np.random.default_rng(7)
    root = directory / "tree"
    make_folders(root, generator)
    classes, samples = by_the_rules(root)
    if reference == "torchvision":
        theirs = image_folder(root)
        if (theirs.classes, theirs.samples) != by_the_rules(root, with_hidden=True):
            fail("ImageFolder: other samples than by the rules that are written down here")
        print(f"ImageFolder: {len(theirs.samples)} samples, as by the rules", flush=True)
    expected = [("training", label, os.path.relpath(path, root)) for path, label in samples]
    size = {"size": [24, 20], "channels": 3, "filter": "bilinear", "fit": "stretch"}
    found = convoy.listed(f"images:{root}", {"image": size})
    require_listed("images:", found, expected, classes)

    for channels, name in ((3, "bilinear"), (1, "bicubic"), (3, "box"), (1, "nearest")):
        image = {**size, "channels": channels, "filter": name}
        output = convoy.partitioned(f"images:{root}", {"image": image}, f"{name}-{channels}")
        if manifest_of(output).get("class_names") != classes:
            fail(f"class_names: expected {classes}, found {manifest_of(output).get('class_names')}")
        same_records(
            f"{name}, {channels} channels", records(output, "training"),
            [(classes[label], pil_record(path, channels, name)) for path, label in samples])

    split = directory / "split"
    for folder, test in (("train", False), ("val", True)):
        for label in ("no", "yes"):
            (split / folder / label).mkdir(parents=True)
            for number in range(2 if test else 3):
                pixels = smooth(generator, 9, 7)
                (split / folder / label / f"{number}.png").write_bytes(encoded(pixels))
    expected = []
    for folder, split_name in (("train", "training"), ("val", "test")):
        names, found_samples = by_the_rules(split / folder)
        expected += [(split_name, label, os.path.relpath(path, split))
                     for path, label in found_samples]
    require_listed(
        "train and val", convoy.listed(f"images:{split}", {"image": size}), expected, names)


def pil_record(path: str, channels: int, name: str) -> np.ndarray:
    """[C, 24, 20] of a file, as PIL converts and resizes it."""
    with Image.open(path) as image:
        image = image.convert("L" if channels == 1 else "RGB").resize((20, 24), FILTERS[name])
    pixels = np.asarray(image)
    return pixels[np.newaxis] if channels == 1 else pixels.transpose(2, 0, 1)


# MARK: Tables

def convert(*arguments, status: int = 0) -> str:
    """Runs to_partitions.py in this process, for speed; returns its output, or its one line of an
    error."""
    import to_partitions

    out, error, found = io.StringIO(), io.StringIO(), 0
    handler, former = signal.getsignal(signal.SIGTERM), sys.argv
    sys.argv = ["to_partitions.py", *map(str, arguments)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
            to_partitions.main()
    except SystemExit as end:
        found = end.code
    finally:
        sys.argv = former
        signal.signal(signal.SIGTERM, handler)
    lines = error.getvalue().strip().splitlines()
    if found != status or (status != 0 and len(lines) != 1):
        fail(f"to_partitions.py {' '.join(map(str, arguments))}: expected {status} and a line, "
             f"found {found}: {out.getvalue()}{error.getvalue()}")
    return out.getvalue() if status == 0 else lines[0]


def tables(convoy: Convoy, directory: pathlib.Path, reference: str = "") -> None:
    import h5py
    import pyarrow as pa
    import pyarrow.parquet as pq

    generator = np.random.default_rng(3)
    count, (height, width) = 90, (9, 7)
    pixels = generator.integers(0, 256, (count, height, width, 3), np.uint8)
    pixels[50:60] = pixels[10:20]  # copies, which must stay on one side of the split
    labels = np.sort(generator.integers(0, 3, count))
    names = ["apfel", "birne", "żurawina"]
    planes = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
    named = [(names[label], plane) for label, plane in zip(labels, planes)]
    plain = [(str(label), plane) for label, plane in zip(labels, planes)]

    def checked(what, expected, *arguments, splits=("training",)):
        output = directory / f"out-{len(os.listdir(directory))}"
        convert(*arguments, "--output", output)
        convoy.run("verify", output)
        found = [record for split in splits for record in records(output, split)]
        same_records(what, found, expected)
        return output

    def table(name, group=20, **columns):
        path = directory / name
        pq.write_table(pa.table(columns), path, row_group_size=group)
        return path

    texts = [names[label] for label in labels]
    files = [encoded(picture) for picture in pixels]
    encoded_path = table("encoded.parquet", image=files, label=texts)
    first = checked("Parquet, encoded pictures, texts", named, "--parquet", encoded_path)
    again = checked("Parquet, once more", named, "--parquet", encoded_path)
    if checksums(first) != checksums(again):
        fail("to_partitions.py: expected equal files from equal input, found others")
    histograms = [entry["histogram"] for entry in manifest_of(first)["training"]]
    if len(histograms) != 8 or max(map(sum, histograms)) - min(map(sum, histograms)) > 1:
        fail(f"to_partitions.py: expected 8 partitions of equal size, found {histograms}")
    structs = [{"bytes": file, "path": None} for file in files]
    split = checked(
        "structs of bytes and path, split by content", named, "--parquet",
        table("struct.parquet", picture=structs, kind=texts),
        "--image", "picture", "--label", "kind", "--test", "0.3", splits=("training", "test"))
    sides = [{values.tobytes() for _, values in records(split, side)}
             for side in ("training", "test")]
    if not sides[1] or sides[0] & sides[1]:
        fail("to_partitions.py --test: expected copies on one side, found them on both, or no test")
    fixed = pa.array(pixels.reshape(count, -1).tolist(), pa.list_(pa.uint8(), height * width * 3))
    checked("fixed-size lists", plain, "--parquet",
            table("fixed.parquet", image=fixed, label=pa.array(labels, pa.int64())),
            "--shape", f"3x{height}x{width}", "--layout", "hwc", "--partitions", 3)
    floats = planes[:, 0].astype(np.float32) / 7
    checked("nested lists of floats", [(str(label), plane[np.newaxis])
                                       for label, plane in zip(labels, floats)],
            "--parquet", table("nested.parquet", image=floats.tolist(), label=labels))
    numbers = generator.normal(size=(count, 3)).astype(np.float32)
    columns = {name: pa.array(numbers[:, index]) for index, name in enumerate("abc")}
    checked("columns and targets",
            [((row[1],), row[[0, 2]].reshape(2, 1, 1)) for row in numbers],
            "--parquet", table("columns.parquet", **columns), "--features", "a,c", "--target", "b")
    series = generator.normal(size=(count, 2, 16)).astype(np.float32)
    checked("columns of series", [(str(label), row[:, np.newaxis])
                                  for label, row in zip(labels, series)],
            "--parquet", table("series.parquet", x=series[:, 0].tolist(), y=series[:, 1].tolist(),
                               label=labels), "--features", "x,y")
    resized = [
        (name, np.asarray(Image.fromarray(picture).convert("L").resize(
            (5, 6), Image.Resampling.BICUBIC))[np.newaxis])
        for (name, _), picture in zip(named, pixels)]
    checked("resized", resized, "--parquet", encoded_path, "--size", "6x5", "--channels", "1",
            "--filter", "bicubic")

    hdf5 = directory / "set.h5"
    with h5py.File(hdf5, "w") as file:
        file["images"], file["deep/y"] = pixels, labels.astype(np.int16)
        file["names"] = np.array(texts, object)
        file["numbers"] = numbers
        file["elsewhere"] = h5py.ExternalLink("other.h5", "/images")
    checked("HDF5", plain, "--hdf5", hdf5, "--labels", "deep/y", "--layout", "hwc")
    checked("HDF5, texts", named, "--hdf5", hdf5, "--labels", "names", "--layout", "hwc")

    arrow = directory / "saved"
    save_arrow(arrow, pa.table({"image": structs, "label": labels}), names, 61)
    checked("Arrow of Hugging Face", named, "--hf", arrow, splits=("training", "test"))
    parquet = directory / "hub" / "data"
    parquet.mkdir(parents=True)
    for part, (begin, end) in (("train-0", (0, 40)), ("train-1", (40, 61)), ("test-0", (61, 90))):
        pq.write_table(pa.table({"image": structs[begin:end], "label": texts[begin:end]}),
                       parquet / f"{part}.parquet")
    output = checked("Parquet of Hugging Face", named, "--hf", directory / "hub",
                     splits=("training", "test"))
    same_records("its test split", records(output, "test"), named[61:])
    if reference == "datasets":
        real_datasets(directory, pixels, labels, names, named, checked)

    bad_tables(directory, table, files, texts, labels, numbers, hdf5)
    interrupted(directory, encoded_path)


def save_arrow(directory: pathlib.Path, table, names: list[str], training: int) -> None:
    """What save_to_disk of the package datasets writes, as far as it is read."""
    import pyarrow as pa

    features = {"label": {"names": names, "_type": "ClassLabel"}, "image": {"_type": "Image"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    table = table.replace_schema_metadata(metadata)
    for split, part in (("train", table.slice(0, training)), ("test", table.slice(training))):
        (directory / split).mkdir(parents=True)
        file = "data-00000-of-00001.arrow"
        with pa.OSFile(str(directory / split / file), "wb") as out:
            with pa.ipc.new_stream(out, table.schema) as writer:
                writer.write_table(part, max_chunksize=16)
        state = {"_data_files": [{"filename": file}], "_split": split}
        (directory / split / "state.json").write_text(json.dumps(state))
    (directory / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}))


def real_datasets(directory, pixels, labels, names, named, checked) -> None:
    """The package datasets saves and converts; what it wrote must be read."""
    os.environ["HF_DATASETS_OFFLINE"] = "1"
    import datasets

    datasets.disable_progress_bars()
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=names)})
    whole = datasets.Dataset.from_dict(
        {"image": [Image.fromarray(picture) for picture in pixels], "label": labels.tolist()},
        features=features)
    parts = whole.train_test_split(0.3, seed=1)
    parts.save_to_disk(directory / "real")
    checked("datasets, save_to_disk", named, "--hf", directory / "real",
            splits=("training", "test"))
    whole.save_to_disk(directory / "real-one", num_shards=3)
    checked("datasets, one split in three files", named, "--hf", directory / "real-one")
    (directory / "real-parquet").mkdir()
    parts["train"].to_parquet(directory / "real-parquet" / "train-00000-of-00001.parquet")
    parts["test"].to_parquet(directory / "real-parquet" / "validation-00000-of-00001.parquet")
    checked("datasets, to_parquet", named, "--hf", directory / "real-parquet",
            splits=("training", "test"))
    arrays = datasets.Dataset.from_dict(
        {"image": pixels[:, :, :, 0].tolist(), "label": labels.tolist()},
        features=datasets.Features(
            {"image": datasets.Array2D(pixels.shape[1:3], "uint8"),
             "label": datasets.ClassLabel(names=names)}))
    arrays.save_to_disk(directory / "real-arrays")
    checked("datasets, Array2D", [(name, plane[:1]) for name, plane in named],
            "--hf", directory / "real-arrays")


def bad_tables(directory, table, files, texts, labels, numbers, hdf5) -> None:
    """What to_partitions.py refuses: the name, the flags, a text of its line, the exit code."""
    holes = numbers.copy()
    holes[17, 1] = np.nan
    endless = numbers.copy()
    endless[3, 0] = np.inf
    good = directory / "encoded.parquet"
    half = [*files[:30], files[30][:len(files[30]) // 2], *files[31:]]
    gif = [*files[:5], encoded(np.zeros((9, 7), np.uint8), "GIF"), *files[6:]]
    torn = directory / "torn.parquet"
    torn.write_bytes(good.read_bytes()[:-100])
    (directory / "text.parquet").write_text("no Parquet at all")
    (directory / "empty").mkdir()
    (directory / "full").mkdir()
    (directory / "full" / "file").write_text("")
    (directory / "escape").mkdir()
    state = {"_data_files": [{"filename": "../struct.parquet"}]}
    (directory / "escape" / "state.json").write_text(json.dumps(state))
    wide = encoded(np.zeros((9, 8, 3), np.uint8))

    def bad(name, **columns):
        return ["--parquet", table(f"bad-{name}.parquet", **columns)]

    cases = [
        ("NaN", [*bad("nan", a=holes[:, 0], b=holes[:, 1], label=labels), "--features", "a,b"],
         "row 17: expected finite numbers, found NaN", 65),
        ("infinite", [*bad("inf", a=endless[:, 0], label=labels), "--features", "a"],
         "found inf", 65),
        ("NaN target", [*bad("target", a=holes[:, 0], b=holes[:, 1]), "--features", "a",
                        "--target", "b"], "column b, row 17", 65),
        ("NaN in an image", bad("image", image=[[[0.5, float("nan")]]] * 3, label=[0, 1, 0]),
         "found NaN", 65),
        ("null label", bad("null", image=files[:3], label=["a", None, "b"]), "row 1", 65),
        ("empty label", bad("blank", image=files[:3], label=["a", "", "b"]), "1024 bytes", 65),
        ("fractions as labels", bad("half", image=files[:2], label=[0.5, 1.0]), "--target", 65),
        ("null picture", bad("none", image=[files[0], None], label=[0, 1]), "row 1", 65),
        ("half a picture", bad("cut", image=half, label=texts), "row 30", 65),
        ("a GIF", bad("gif", image=gif, label=texts), "PNG, JPEG or WebP", 65),
        ("other size", bad("size", image=[*files[:4], wide], label=texts[:5]), "--size", 65),
        ("other size later", bad("late", image=[*files[:70], wide], label=texts[:71]), "--size",
         65),
        ("16 bits", bad("deep", image=[encoded(np.zeros((4, 4), np.uint16))], label=[0]),
         "8 bits", 65),
        ("values above 255", bad("big", image=[[[256]]], label=[0]), "0 to 255", 65),
        ("ragged", bad("ragged", image=[[[1, 2], [3]]], label=[0]), "equally many", 65),
        ("flat", bad("flat", image=[[1, 2, 3]], label=[0]), "shape", 65),
        ("no column", ["--parquet", good, "--image", "photo"], "found image, label", 65),
        ("no file", ["--parquet", directory / "missing*.parquet"], "found none", 65),
        ("torn", ["--parquet", torn], "torn.parquet", 65),
        ("no Parquet", ["--parquet", directory / "text.parquet"], "text.parquet", 65),
        ("no HDF5", ["--hdf5", good], "expected an HDF5 file", 65),
        ("no data set", ["--hdf5", hdf5, "--labels", "label"], "expected a data set", 65),
        ("a link", ["--hdf5", hdf5, "--images", "elsewhere", "--labels", "deep/y"], "a link", 65),
        ("nothing of Hugging Face", ["--hf", directory / "empty"], "found neither", 65),
        ("a way out", ["--hf", directory / "escape"], "names of at most", 65),
        ("no test split twice", ["--hf", directory / "saved", "--test", "0.1"], "--test", 65),
        ("a full directory", ["--parquet", good, "--output", directory / "full"], "empty", 65),
        ("a fraction of 1", ["--parquet", good, "--test", "1"], "between 0 and 1", 64),
        ("a fraction of NaN", ["--parquet", good, "--test", "nan"], "between 0 and 1", 64),
        ("no partitions", ["--parquet", good, "--partitions", "0"], "1 to 4096", 64),
        ("an unknown flag", ["--parquet", good, "--fast"], "--fast", 64),
        ("no source", [], "required", 64),
    ]
    for name, flags, mention, status in cases:
        output = [] if "--output" in flags else ["--output", directory / "never"]
        line = convert(*flags, *output, status=status)
        if mention not in line or os.path.exists(directory / "never"):
            fail(f"to_partitions.py, {name}: expected {mention!r} and no output, found {line!r}")
    left = [name for name in os.listdir(directory) if name.startswith(".")]
    if left:
        fail(f"to_partitions.py: expected nothing beside its outputs, found {left}")
    print(f"to_partitions.py: {len(cases)} kinds of bad input, a line each", flush=True)


def interrupted(directory: pathlib.Path, source: pathlib.Path) -> None:
    """SIGTERM leaves nothing behind, and no signal half a directory."""
    many = directory / "many"
    many.mkdir()
    for number in range(400):
        (many / f"{number}.parquet").symlink_to(source)
    output = directory / "interrupted"
    for kind in (signal.SIGTERM, signal.SIGKILL):
        process = subprocess.Popen(
            [sys.executable, SCRIPTS / "to_partitions.py", "--parquet", f"{many}/*.parquet",
             "--output", output], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if any(name.startswith(".interrupted") for name in os.listdir(directory)):
                break
            time.sleep(0.01)
        process.send_signal(kind)
        process.wait(60)
        left = [name for name in os.listdir(directory) if name.startswith(".")]
        if output.exists() or (kind == signal.SIGTERM and left):
            fail(f"to_partitions.py, {kind.name}: expected no output, found {left or output}")
        for name in left:
            shutil.rmtree(directory / name)
    print("to_partitions.py: nothing half done after SIGTERM and SIGKILL", flush=True)


# MARK: Shards

def shards(convoy: Convoy, directory: pathlib.Path) -> None:
    import webdataset

    generator = np.random.default_rng(5)
    kinds = {"png": "PNG", "jpg": "JPEG", "webp": "WEBP"}
    with webdataset.ShardWriter(str(directory / "set-%04d.tar"), maxcount=17, verbose=0) as out:
        for number in range(60):
            suffix = list(kinds)[number % 3]
            picture = encoded(smooth(generator, 24, 20), kinds[suffix])
            out.write({"__key__": f"part.{number % 2}/record{number:03d}", suffix: picture,
                       "cls": ["ok", "defect", "ünknown"][number % 3 if number > 2 else 0],
                       "json": {"number": number}, "seg.png": b"left out"})
    expected = []
    for sample in opened_shards(directory, "set"):
        key = next(key for key in kinds if key in sample)
        with Image.open(io.BytesIO(sample[key])) as image:
            pixels = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
        expected.append((sample["cls"].decode("utf-8").strip(), pixels))
    image = {"image": {"size": [24, 20], "channels": 3}}
    source = f"tar:{directory}/set-*.tar"
    found = [row[2] for row in convoy.listed(source, image)]
    classes = sorted({label for label, _ in expected})
    wanted = [label for label, _ in expected]
    if found not in (wanted, [str(classes.index(label)) for label in wanted]):
        fail(f"tar: expected the labels in the order of webdataset, {wanted[:4]} ..., found "
             f"{found[:4]} ...")
    output = convoy.partitioned(source, image, "shards")
    same_records("tar, pictures", records(output, "training"), expected)

    with webdataset.TarWriter(str(directory / "series.tar")) as out:
        for number in range(20):
            series = generator.normal(size=(3, 1, 40)).astype(np.float32)
            out.write({"__key__": f"{number}", "npy": series, "cls": number % 4})
    expected = [
        (sample["cls"].decode().strip(), np.load(io.BytesIO(sample["npy"])))
        for sample in opened_shards(directory, "series")]
    output = convoy.partitioned(f"tar:{directory}/series.tar", None, "series")
    same_records("tar, series", records(output, "training"), expected)


def opened_shards(directory: pathlib.Path, name: str):
    import webdataset

    paths = sorted(map(str, directory.glob(f"{name}*.tar")))
    return webdataset.WebDataset(paths, shardshuffle=False, empty_check=False)


# MARK: Series and arrays

def windows(convoy: Convoy, directory: pathlib.Path) -> None:
    generator = np.random.default_rng(11)
    length, stride = 128, 64
    lines, by_last, by_majority = ["time,x,y,activity,subject"], [], []
    for subject in range(5):
        count = [640, 128, 127, 511, 1000][subject]
        values = generator.normal(size=(count, 2)).astype(np.float32)
        runs = generator.integers(40, 200, 40)
        activity = np.repeat(generator.integers(0, 3, 40), runs)[:count]
        # The text of a float32 that parses back to it, as NumPy prints it.
        lines += [f"{row},{x},{y},act-{a},s{subject}"
                  for row, ((x, y), a) in enumerate(zip(values, activity))]
        if count < length:
            continue
        view = np.lib.stride_tricks.sliding_window_view(values, length, axis=0)[::stride]
        labels = np.lib.stride_tricks.sliding_window_view(activity, length)[::stride]
        for window, label in zip(view, labels):
            counts = np.sort(np.bincount(label, minlength=3))
            if counts[-1] == counts[-2]:
                fail("the windows of this check have a tie; choose another seed")
            record = np.ascontiguousarray(window)[:, np.newaxis]
            by_last.append((f"act-{label[-1]}", record))
            by_majority.append((f"act-{np.bincount(label).argmax()}", record))
    path = directory / "watch.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    series = {"columns": ["x", "y"], "label": "activity", "by": "subject", "length": length,
              "stride": stride}
    for name, extra, expected in (("last row", {}, by_last),
                                  ("majority", {"label-at": "majority"}, by_majority)):
        config = {"source": f"csv:{path}", "series": {**series, **extra}}
        output = convoy.partitioned(f"csv:{path}", config, f"windows-{name.split()[0]}")
        same_records(f"windows, label by {name}", records(output, "training"), expected)
    config = {"source": f"csv:{path}", "series": series, "split": {"test": 0.4, "by": "series"}}
    output = convoy.partitioned(f"csv:{path}", config, "windows-split")
    sides = [records(output, split) for split in ("training", "test")]
    same_records("windows, split by series", sides[0] + sides[1], by_last)
    rows = [{row.tobytes() for _, window in side for row in window[0].reshape(-1, 1)}
            for side in sides]
    if rows[0] & rows[1]:
        fail("split by series: expected no row of a series on both sides, found some")


def arrays(convoy: Convoy, directory: pathlib.Path) -> None:
    """Arrays that NumPy saves, in each type and version that is converted."""
    generator = np.random.default_rng(13)
    pixels = generator.integers(0, 256, (30, 3, 8, 6), np.uint8)
    numbers = generator.normal(size=(30, 3, 40)).astype(np.float32)
    labels = generator.integers(0, 4, 30)
    labels[:4] = range(4)
    wide = numbers.astype(np.float64) / 3
    cases = [
        ("uint8", pixels, labels.astype(np.uint8), (1, 0), pixels),
        ("channels last", np.ascontiguousarray(pixels.transpose(0, 2, 3, 1)), labels, (1, 0),
         pixels),
        ("float32", numbers, labels.astype(np.int32), (2, 0), numbers[:, np.newaxis]),
        ("float64", wide, labels, (3, 0), wide.astype(np.float32)[:, np.newaxis]),
        ("series", numbers[:, :, np.newaxis], labels, (1, 0), numbers[:, :, np.newaxis]),
        ("columns", numbers[:, :, 0], labels, (1, 0), numbers[:, :, :1, np.newaxis]),
    ]
    for name, images, answers, version, expected in cases:
        place = directory / name.replace(" ", "-")
        place.mkdir()
        for split, part in (("train", slice(0, 20)), ("test", slice(20, 30))):
            for suffix, values in (("x", images[part]), ("y", answers[part])):
                with open(place / f"{split}_{suffix}.npy", "wb") as file:
                    np.lib.format.write_array(file, values, version)
        (place / "classes.txt").write_text("a\nb\nc\nd\n")
        output = convoy.partitioned(f"npy:{place}", None, f"npy-{name.replace(' ', '-')}")
        for split, part in (("training", slice(0, 20)), ("test", slice(20, 30))):
            same_records(
                f"npy, {name}, {split}", records(output, split),
                [("abcd"[label], image) for label, image in zip(answers[part], expected[part])])


# MARK: Compiling that is disturbed

def killed(convoy: Convoy, directory: pathlib.Path, times: str = "10") -> None:
    generator = np.random.default_rng(17)
    root = directory / "pictures"
    patterns = [encoded(smooth(generator, 480, 640), "JPEG", quality=85) for _ in range(8)]
    for number in range(600):
        path = root / f"class{number // 100}" / f"{number:04d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        # Each file has content of its own: a comment behind the start of the image.
        comment = f"record {number}".encode()
        path.write_bytes(
            patterns[number % 8][:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big")
            + comment + patterns[number % 8][2:])
    image = {"image": {"size": [64, 64], "channels": 3, "fit": "crop"}}
    flags = ["--data", f"images:{root}", "--config", str(convoy.config(image)),
             "--partitions", "8"]

    def started(name: str, cache: pathlib.Path, *extra: str) -> subprocess.Popen:
        return subprocess.Popen(
            [convoy.program, "partition", *flags, *extra, "--output", str(directory / name)],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=convoy.environment(cache))

    def finished(process: subprocess.Popen, name: str) -> list[tuple[str, str]]:
        error = process.communicate(timeout=300)[1]
        if process.returncode != 0:
            fail(f"{name}: expected exit code 0, found {process.returncode}: "
                 f"{text_of(error)[-300:]}")
        return checksums(directory / name)

    begin = time.monotonic()
    expected = finished(started("alone", directory / "cache-alone"), "alone")
    seconds = time.monotonic() - begin
    has_threads = b"--threads" in convoy.run("partition", "--help").stdout
    for count in (1, 2, 3):
        cache = directory / f"cache-{count}"
        processes = [started(f"at-once-{count}-{i}", cache) for i in range(count)]
        for index, process in enumerate(processes):
            if finished(process, f"at-once-{count}-{index}") != expected:
                fail(f"{count} processes at once: expected the partitions of one, found others")
        if has_threads:
            name = f"threads-{count}"
            cache = directory / f"cache-{name}"
            if finished(started(name, cache, "--threads", str(count)), name) != expected:
                fail(f"{count} threads: expected the partitions of one process, found others")
        else:
            name = f"cores-{count}"
            cores = ",".join(map(str, sorted(os.sched_getaffinity(0))[:count]))
            process = subprocess.Popen(
                ["taskset", "--cpu-list", cores, convoy.program, "partition", *flags, "--output",
                 str(directory / name)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                env=convoy.environment(directory / f"cache-{name}"))
            if finished(process, name) != expected:
                fail(f"{count} cores: expected the partitions of one process, found others")
    print(f"compiled by 1, 2 and 3 {'threads' if has_threads else 'cores'} and processes at once: "
          "the same SHA-256", flush=True)

    moments, hits = random.Random(23), 0
    for trial in range(int(times)):
        cache = directory / f"cache-killed-{trial}"
        for attempt in range(1 + trial % 3):
            process = started(f"killed-{trial}-{attempt}", cache)
            try:
                process.wait(moments.uniform(0, seconds))
            except subprocess.TimeoutExpired:
                hits += 1
            process.kill()
            process.communicate()
            require_whole(cache)
        if finished(started(f"after-{trial}", cache), f"after-{trial}") != expected:
            fail(f"after kill -9, trial {trial}: expected the same partitions, found others")
        require_whole(cache, is_there=True)
        shutil.rmtree(cache)
    if hits == 0:
        fail(f"{times} kills: expected one in the middle of compiling, found none; it takes "
             f"{seconds:.2f} s")
    print(f"compiled after {hits} kills in {times} trials: the same SHA-256, and nothing cached "
          "that is not whole", flush=True)


def require_whole(cache: pathlib.Path, is_there: bool = False) -> None:
    """Each compiled set in the cache that has a manifest must be whole."""
    import hashlib

    manifests = list((cache / "convoy" / "data").glob("*/manifest.json"))
    if is_there and len(manifests) != 1:
        fail(f"{cache}/convoy/data: expected one compiled set, found {len(manifests)}")
    for manifest in manifests:
        for file, checksum in checksums(manifest.parent):
            path = manifest.parent / file
            found = hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "no file"
            if found != checksum:
                fail(f"{path}: expected SHA-256 {checksum} as its manifest says, found {found}")


def bad(convoy: Convoy, directory: pathlib.Path) -> None:
    data_bad.check(convoy, directory)


def main() -> None:
    checks = {"folders": folders, "tables": tables, "shards": shards, "windows": windows,
              "arrays": arrays, "killed": killed, "bad": bad}
    name, program, place, *rest = sys.argv[1:]
    directory = pathlib.Path(place).resolve()
    directory.mkdir(parents=True, exist_ok=True)
    checks[name](Convoy(program, directory), directory, *rest)


if __name__ == "__main__":
    main()
