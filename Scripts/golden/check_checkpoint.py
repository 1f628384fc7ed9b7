"""Compares PyTorch with Convoy on a trained checkpoint: same file, same records, the logits.

Run with torch, numpy and safetensors installed:

    convoy evaluate --checkpoint RUN_DIR --data SPEC --logits logits.safetensors
    python3 Scripts/golden/check_checkpoint.py RUN_DIR SPEC logits.safetensors

RUN_DIR may also be a checkpoint directory or a model.safetensors. SPEC is fashion-mnist, idx:DIR or
cifar10:DIR. The model is built from the file's metadata as a torch.nn.Module, and takes the file's
tensors as its state_dict as they are. Ends with 0 when no logit differs by more than 1e-4 and every
label is the same, with 1 otherwise.
"""

import argparse
import collections
import gzip
import json
import pathlib
import re
import sys

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import nn

from golden import pad_same, pair

FASHION_MNIST = "/usr/share/datasets/fashion-mnist"


def parse_model(text):
    """Reads the canonical form of a model file: flow mappings of numbers, words and pairs."""

    def quoted(flow):
        return json.loads(re.sub(r"[A-Za-z][\w-]*", r'"\g<0>"', flow))

    first, second, *lines = text.splitlines()
    if not first.startswith("input: ") or second != "layers:":
        sys.exit(f"not a model file in its canonical form: {first!r}")
    shape = json.loads(first.removeprefix("input: "))
    return shape, [
        (kind, quoted(settings))
        for kind, settings in (re.fullmatch(r"  - ([\w-]+): (.*)", line).groups() for line in lines)
    ]


class Same(nn.Module):
    """TensorFlow's `same` padding before a layer without padding."""

    def __init__(self, size, stride, fill):
        super().__init__()
        self.arguments = size, stride, fill

    def forward(self, x):
        return pad_same(x, *self.arguments)


def build(shape, layers):
    """An nn.Sequential whose parameters are named as Convoy names its tensors."""
    modules, counts = collections.OrderedDict(), collections.Counter()
    x = torch.zeros(1, *shape)

    def add(prefix, module):
        nonlocal x
        counts[prefix] += 1
        modules[f"{prefix}{counts[prefix]}"] = module
        x = module(x)

    for kind, settings in layers:
        size = pair(settings.get("kernel", settings.get("size", 1)))
        stride = pair(settings.get("stride", 1))
        if settings.get("padding") == "same":
            add("same", Same(size, stride, 0.0 if kind == "conv2d" else -float("inf")))
        if kind == "conv2d":
            add("conv", nn.Conv2d(x.shape[1], settings["filters"], size, stride))
        elif kind == "max-pool2d":
            add("pool", nn.MaxPool2d(size, stride))
        elif kind == "flatten":
            add("flatten", nn.Flatten())
        elif kind == "dense":
            add("dense", nn.Linear(x.shape[1], settings["units"]))
        elif kind == "dropout":
            add("dropout", nn.Dropout(settings["rate"]))
        elif kind != "relu":
            sys.exit(f"layer kind {kind} is not known here")
        if kind == "relu" or settings.get("activation") == "relu":
            add("relu", nn.ReLU())
    return nn.Sequential(modules)


def read_idx(path):
    """An IDX file of bytes, plain or gzip."""
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    if data[:3] != b"\x00\x00\x08":
        sys.exit(f"{path}: not an IDX file of bytes")
    shape = np.frombuffer(data, ">u4", data[3], 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)


def test_records(specification):
    """Images [N, C, H, W] and labels [N] of the test records, bytes."""
    kind, _, folder = specification.partition(":")
    folder = pathlib.Path(folder or FASHION_MNIST)
    if kind == "cifar10":
        inner = folder / "cifar-10-batches-bin"
        data = ((inner if inner.exists() else folder) / "test_batch.bin").read_bytes()
        rows = np.frombuffer(data, np.uint8).reshape(-1, 3073)
        return rows[:, 1:].reshape(-1, 3, 32, 32), rows[:, 0]
    if kind not in ("fashion-mnist", "idx"):
        sys.exit(f"data {specification}: expected fashion-mnist, idx:DIR or cifar10:DIR")

    def find(name):
        for path in (folder / name, folder / f"{name}.gz"):
            if path.exists():
                return read_idx(path)
        sys.exit(f"{folder / name}(.gz) is not there")

    return find("t10k-images-idx3-ubyte")[:, None], find("t10k-labels-idx1-ubyte")


def model_file(path):
    path = pathlib.Path(path)
    steps = [step for step in (path / "checkpoints").glob("step-*") if step.name[5:].isdigit()]
    if steps:
        path = max(steps, key=lambda step: int(step.name[5:]))
    return path / "model.safetensors" if path.is_dir() else path


def main():
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("checkpoint")
    arguments.add_argument("data")
    arguments.add_argument("logits")
    arguments.add_argument("--tolerance", type=float, default=1e-4)
    given = arguments.parse_args()

    torch.set_grad_enabled(False)
    path = model_file(given.checkpoint)
    with safetensors.safe_open(path, "pt") as file:
        metadata = file.metadata()
    model = build(*parse_model(metadata["model_file"])).eval()
    model.load_state_dict(safetensors.torch.load_file(path), strict=True)

    images, labels = test_records(given.data)
    expected = torch.cat(
        [
            model(torch.from_numpy(part.astype(np.float32) / np.float32(255)))
            for part in np.array_split(images, max(1, len(images) // 256))
        ]
    ).numpy()
    found = safetensors.torch.load_file(given.logits)
    logits = found["logits"].numpy()
    if logits.shape != expected.shape:
        sys.exit(f"{given.logits}: expected shape {expected.shape}, found {logits.shape}")
    difference = np.abs(logits.astype(np.float64) - expected)
    record, output = np.unravel_index(difference.argmax(), difference.shape)
    worst = difference[record, output]
    same_labels = np.array_equal(found["labels"].numpy(), labels)
    accuracy = (expected.argmax(1) == labels).mean()
    print(f"{path}: model {metadata['model']}, {len(labels)} records, accuracy {accuracy}")
    print(
        f"largest difference {worst:.3g} of at most {given.tolerance:g}, at record {record}, "
        f"output {output}: expected {expected[record, output]}, found {logits[record, output]}; "
        f"labels {'agree' if same_labels else 'DIFFER'}"
    )
    sys.exit(0 if worst <= given.tolerance and same_labels else 1)


if __name__ == "__main__":
    main()
