"""What the golden scripts share: inputs, models in PyTorch, Convoy's random numbers, files.

A golden file is a pair. NAME.json lists cases, each with the model (as JSON, which is YAML too),
its settings and where its tensors lie; NAME.bin holds the tensors, float32, little-endian. Inputs
are not stored: both sides compute them, with `values` or with `numbers`. Nothing here depends on
time or a random state. What is computed in float32 (optimizers.py, training.py) has other last bits
with another PyTorch or another processor; what is computed in double keeps its bits but where a
value lies next to the middle of two floats.

In the compact files (graph_layers, losses, updates, schedules, networks) a case may also list its
`parameters`: name, shape, base and scale, from which both sides compute base + scale * u with
`numbers`. GoldenNumbers.swift is the Swift side.
"""

import json
import math
import pathlib

import numpy as np
import torch
import torch.nn.functional as F

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "Tests" / "NeuralNetworkTests" / "Golden"
torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)


def values(count, salt):
    """Numbers in [-1, 1), multiples of 2^-23: a hash of their index."""
    h = (np.arange(count, dtype=np.uint64) * 2654435761 + salt * 0x9E3779B9) % (1 << 32)
    h ^= h >> 16
    h = (h * 0x45D9F3B) % (1 << 32)
    h ^= h >> 16
    return ((h >> 8).astype(np.float64) * 2.0**-23 - 1).astype(np.float32)


def name_hash(name):
    """32-bit FNV-1a of a name in UTF-8."""
    h = 0x811C9DC5
    for byte in name.encode():
        h = ((h ^ byte) * 0x01000193) % (1 << 32)
    return h


def words(name, count):
    """64 scattered bits for each of the first `count` elements of the tensor `name`.

    Element i of a tensor is mix64(name_hash(name) << 32 | i), mix64 being SplitMix64's first
    output. So a number depends on a tensor's name and on the element's place in it, on nothing else.
    """
    z = np.arange(count, dtype=np.uint64) + np.uint64(name_hash(name) << 32)
    z += np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def numbers(name, count, base=0.0, scale=1.0):
    """base + scale * u in float32, with u in [-1, 1) a multiple of 2^-23.

    u is the upper 24 bits of `words`. `scale` is a power of two, so the product is exact and only
    the sum rounds, once.
    """
    u = (words(name, count) >> np.uint64(40)).astype(np.float64) * 2.0**-23 - 1
    return np.float32(base) + np.float32(scale) * u.astype(np.float32)


def labels(count, classes):
    """The label of record i: the word i of "labels" modulo the number of classes."""
    return [int(word) % classes for word in words("labels", count)]


def picks(count, most=24):
    """The elements that are stored of a large tensor: at most `most`, evenly spaced."""
    return [i * count // most for i in range(most)] if count > most else list(range(count))


class Parameter:
    """A tensor that a case starts from: `values` is base + scale * u, from `numbers`."""

    def __init__(self, shape, base, scale):
        self.shape, self.base, self.scale = tuple(shape), float(base), float(scale)

    def values(self, name):
        flat = numbers(name, math.prod(self.shape), self.base, self.scale)
        return flat.reshape(self.shape)

    def json(self):
        return {"shape": list(self.shape), "base": short(self.base), "scale": short(self.scale)}


def short(number):
    """The number as an integer where it is one: fewer characters in a file."""
    return int(number) if number == int(number) else number


def flow(value):
    """A model as YAML in one line, with words as they are."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def power_of_two(limit):
    """The largest power of two that is at most `limit`."""
    return 2.0 ** math.floor(math.log2(limit))


class Writer:
    """Collects cases and writes the pair of files."""

    def __init__(self, name, compact=False):
        self.name, self.cases, self.blocks, self.offset = name, [], [], 0
        self.compact = compact

    def add(self, name, tensors, model=None, parameters=None, **settings):
        places = {}
        for key, value in tensors.items():
            array = np.ascontiguousarray(np.asarray(value), dtype="<f4")
            places[key] = {"offset": self.offset, "count": int(array.size)}
            self.blocks.append(array.reshape(-1))
            self.offset += int(array.size)
        text = "" if not model else flow(model) if self.compact else json.dumps(model)
        case = {"name": name, "model": text, "settings": settings, "tensors": places}
        if parameters:
            case["parameters"] = {key: value.json() for key, value in parameters.items()}
        self.cases.append(case)

    def write(self):
        FOLDER.mkdir(parents=True, exist_ok=True)
        with open(FOLDER / f"{self.name}.json", "w") as file:
            if self.compact:
                file.write("[\n" + ",\n".join(map(self.line, self.cases)) + "\n]\n")
            else:
                json.dump(self.cases, file, indent=1, sort_keys=True)
                file.write("\n")
        np.concatenate(self.blocks).tofile(FOLDER / f"{self.name}.bin")
        print(f"{self.name}: {len(self.cases)} cases, {4 * self.offset} bytes")

    @staticmethod
    def line(case):
        return json.dumps(case, separators=(",", ":"), sort_keys=True)


def pair(value):
    return tuple(value) if isinstance(value, list) else (value, value)


def pad_same(x, size, stride, fill):
    """TensorFlow's `same`: ceil(input / stride) outputs, the odd cell at the bottom and right."""
    amounts = []
    for axis in (1, 0):
        length, k, s = x.shape[2 + axis], size[axis], stride[axis]
        total = max((-(-length // s) - 1) * s + k - length, 0)
        amounts += [total // 2, total - total // 2]
    return F.pad(x, amounts, value=fill)


class Model:
    """A model file in PyTorch, with its parameters as leaf tensors in Convoy's slot order."""

    def __init__(self, model, dtype, salt=2):
        self.model, self.names, self.shapes = model, [], []
        self.parameters = []
        self.forward(torch.zeros(1, *model["input"], dtype=dtype), shapes_only=True)
        total = sum(math.prod(shape) for shape in self.shapes)
        flat, start = values(total, salt), 0
        for name, shape in zip(self.names, self.shapes):
            count = math.prod(shape)
            part = flat[start : start + count].reshape(shape)
            scale = np.float32(0.1)
            if name.endswith("weight"):
                field = math.prod(shape[2:])
                scale = np.float32(math.sqrt(6 / ((shape[0] + shape[1]) * field)))
            self.parameters.append(torch.tensor(part * scale).to(dtype).requires_grad_())
            start += count

    def forward(self, x, masks=None, shapes_only=False):
        """`masks` maps a layer's index to dropout's mask; without it dropout does nothing."""
        counts, rest = {}, list(self.parameters)

        def parameters(prefix, shape):
            counts[prefix] = counts.get(prefix, 0) + 1
            if not shapes_only:
                return rest.pop(0), rest.pop(0)
            self.names += [f"{prefix}{counts[prefix]}.weight", f"{prefix}{counts[prefix]}.bias"]
            self.shapes += [tuple(shape), (shape[0],)]
            return torch.zeros(*shape, dtype=x.dtype), torch.zeros(shape[0], dtype=x.dtype)

        for index, layer in enumerate(self.model["layers"]):
            ((kind, settings),) = layer.items()
            if kind == "conv2d":
                size, stride = pair(settings["kernel"]), pair(settings.get("stride", 1))
                weight, bias = parameters("conv", (settings["filters"], x.shape[1], *size))
                if settings.get("padding") == "same":
                    x = pad_same(x, size, stride, 0.0)
                x = F.conv2d(x, weight, bias, stride)
            elif kind == "max-pool2d":
                size = pair(settings["size"])
                stride = pair(settings.get("stride", settings["size"]))
                if settings.get("padding") == "same":
                    x = pad_same(x, size, stride, -math.inf)
                x = F.max_pool2d(x, size, stride)
            elif kind == "dense":
                weight, bias = parameters("dense", (settings["units"], x.shape[1]))
                x = F.linear(x, weight, bias)
            elif kind == "flatten":
                x = torch.flatten(x, 1)
            elif kind == "dropout" and masks is not None:
                x = x * masks(index, x)
            if kind == "relu" or settings.get("activation") == "relu":
                x = F.relu(x)
        return x

    def flat(self, tensors):
        return np.concatenate([t.detach().numpy().reshape(-1) for t in tensors] or [np.zeros(0)])


# Convoy's random numbers, from their definition: Philox4x32-10 keyed by (seed, purpose) and counted
# from (first, second).

MASK32, MASK64 = (1 << 32) - 1, (1 << 64) - 1


def mix64(value):
    z = (value + 0x9E3779B97F4A7C15) & MASK64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK64
    return z ^ (z >> 31)


def philox(key, low, high):
    x = [low & MASK32, low >> 32, high & MASK32, high >> 32]
    k0, k1 = key & MASK32, key >> 32
    for _ in range(10):
        p0, p1 = x[0] * 0xD2511F53, x[2] * 0xCD9E8D57
        x = [(p1 >> 32) ^ x[1] ^ k0, p1 & MASK32, (p0 >> 32) ^ x[3] ^ k1, p0 & MASK32]
        k0, k1 = (k0 + 0x9E3779B9) & MASK32, (k1 + 0xBB67AE85) & MASK32
    return x


def uniforms(count, seed, purpose, first, second):
    key = mix64(seed ^ mix64(purpose))
    high = mix64(mix64(first) ^ ((second + 0x9E3779B97F4A7C15) & MASK64))
    words = [word for low in range(-(-count // 4)) for word in philox(key, low, high)]
    return [(word >> 8) * 2.0**-24 for word in words[:count]]


def dropout_mask(count, rate, seed, epoch, record, layer_index):
    numbers = uniforms(count, seed, 4, (mix64(epoch) + layer_index) & MASK64, record)
    kept = np.float32(1 / (1 - rate))
    return np.array([kept if u >= rate else 0 for u in numbers], dtype=np.float32)
