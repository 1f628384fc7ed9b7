"""What the checks of own data share: running Convoy, run files, and the records of directories."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
from collections import Counter

import numpy as np

SCRIPTS = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(SCRIPTS))

from convoy_partitions.tensors import read_tensors  # noqa: E402


def fail(text: str) -> None:
    sys.exit(f"data_check: {text}")


class Convoy:
    """The program, with a cache of its own."""

    def __init__(self, program: str, directory: pathlib.Path) -> None:
        self.program, self.directory = program, pathlib.Path(directory)
        self.cache = self.directory / "cache"

    def environment(self, cache: pathlib.Path | None = None) -> dict[str, str]:
        return {**os.environ, "XDG_CACHE_HOME": str(cache or self.cache)}

    def run(self, *arguments, status: int | None = 0) -> subprocess.CompletedProcess:
        """Runs a command to its end; a status other than this one fails the check."""
        command = [self.program, *map(str, arguments)]
        result = subprocess.run(
            command, capture_output=True, timeout=300, check=False, env=self.environment())
        if status is not None and result.returncode != status:
            fail(f"{' '.join(command)}: expected exit code {status}, found {result.returncode}: "
                 f"{text_of(result.stdout)[-500:]}{text_of(result.stderr)[-500:]}")
        return result

    def listed(self, source: str, config: dict | None = None) -> list[list[str]]:
        """The lines of `convoy data list`: split, number, label, name."""
        flags = ["--config", self.config(config)] if config else []
        lines = text_of(self.run("data", "list", source, *flags).stdout).splitlines()
        rows = [line.split("\t", 3) for line in lines]
        bad = [line for line, row in zip(lines, rows) if len(row) != 4 or not row[1].isdigit()]
        if bad:
            fail(f"convoy data list {source}: expected SPLIT, NUMBER, LABEL and NAME between tabs, "
                 f"found {bad[0]!r}")
        return rows

    def partitioned(self, source: str, config: dict | None, output: str) -> pathlib.Path:
        """Writes a source as a partitioned directory, which must verify."""
        flags = ["--config", self.config(config)] if config else []
        place = self.directory / output
        self.run("partition", "--data", source, *flags, "--partitions", 4, "--output", place)
        self.run("verify", place)
        return place

    def config(self, data: dict) -> pathlib.Path:
        """A run file with a section `data`."""
        lines = [f"  {key}: {flow(value)}" for key, value in data.items()]
        text = "\n".join(["data:", *lines, ""])
        path = self.directory / f"run-{hashlib.sha256(text.encode()).hexdigest()[:12]}.yaml"
        path.write_text(text, encoding="utf-8")
        return path


def flow(value) -> str:
    """A value in YAML's flow style."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {flow(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, str) and not re.fullmatch(r"[a-z][a-z0-9-]*( [0-9]+%?)?", value):
        return json.dumps(value, ensure_ascii=False)
    return str(value).lower() if isinstance(value, bool) else str(value)


def text_of(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def manifest_of(directory) -> dict:
    return json.loads((pathlib.Path(directory) / "manifest.json").read_text(encoding="utf-8"))


def checksums(directory) -> list[tuple[str, str]]:
    """File and SHA-256 of each partition, in the manifest's order."""
    manifest = manifest_of(directory)
    return [(entry["file"], entry["sha256"])
            for split in ("training", "test") for entry in manifest[split]]


def records(directory, split: str) -> list[tuple[str | tuple, np.ndarray]]:
    """The records of a split: class name (or number, or targets) and values."""
    manifest, found = manifest_of(directory), []
    names = manifest.get("class_names")
    for entry in manifest[split]:
        path = str(pathlib.Path(directory) / entry["file"])
        if "targets" in manifest:
            images, answers = read_tensors(path, ["images", "targets"])
            found += [(tuple(row), image) for row, image in zip(answers.tolist(), images)]
        else:
            images, labels = read_tensors(path, ["images", "labels"])
            found += [(names[label] if names else str(label), image)
                      for label, image in zip(labels.tolist(), images)]
    return found


def same_records(what: str, found, expected) -> None:
    """Both must hold the same records, each as often; their order may differ."""
    def counted(entries) -> Counter:
        return Counter(
            (answer, values.dtype.name, values.shape, np.ascontiguousarray(values).tobytes())
            for answer, values in entries)

    one, two = counted(found), counted(expected)
    if one == two:
        print(f"{what}: {sum(one.values())} records, all equal", flush=True)
        return
    extra, missing = one - two, two - one
    sample = next(iter(extra), next(iter(missing), None))
    fail(f"{what}: {sum(one.values())} records, expected {sum(two.values())}; "
         f"{sum(extra.values())} are others, for instance {sample[0]!r}, {sample[1]} {sample[2]}; "
         f"{worst(extra, missing)}")


def worst(extra: Counter, missing: Counter) -> str:
    """The difference of a record to the nearest one that is missing."""
    best = None
    for answer, kind, shape, data in list(extra)[:1]:
        values = np.frombuffer(data, kind).astype(np.float64)
        for other in missing:
            if other[:3] == (answer, kind, shape):
                difference = np.abs(np.frombuffer(other[3], kind) - values).max()
                best = difference if best is None else min(best, difference)
    return "no record of its class and shape is missing" if best is None else (
        f"nearest one that is missing: {best:g} away")
