"""A model of Convoy as far as its weights need it: shapes, tensors, and the order of flat values."""

import json
import math
import re
from dataclasses import dataclass, field

import numpy as np

# The bounds of Convoy itself.
LARGEST_COUNT = 1 << 30
MOST_LAYERS = 4096
LONGEST_TEXT = 8 << 20

PREFIXES = {
    "conv2d": "conv", "conv1d": "conv", "max-pool2d": "pool", "average-pool2d": "pool",
    "global-average-pool": "pool", "batch-norm": "bn", "group-norm": "gn", "layer-norm": "ln",
    "pad-channels": "pad", "relu6": "relu6_",
}
ELEMENTWISE = {
    "relu", "relu6", "leaky-relu", "hard-sigmoid", "hard-swish", "sigmoid", "tanh", "silu", "gelu",
    "dropout",
}
TOKEN = re.compile(r'"[^"]*"|[+-]?\d[\d.eE+-]*|[A-Za-z][\w.-]*')


class Refusal(Exception):
    """What cannot be converted: one line with what, expected, found and what to do."""


@dataclass
class Node:
    """A layer with its shape. `order[i]` is the place in Keras of place i of a flat value; None
    where the two are equal."""

    name: str
    kind: str
    settings: dict
    inputs: list
    shape: list = None
    order: np.ndarray = None


@dataclass
class Unit:
    """A layer that has weights, with the shapes of its tensors by their suffix."""

    kind: str  # conv, depthwise, dense or batch-norm
    name: str
    inputs: list
    shapes: dict
    input_order: np.ndarray = None
    output_order: np.ndarray = None


@dataclass
class Model:
    text: str
    input_shape: list
    nodes: dict = field(default_factory=dict)
    units: list = field(default_factory=list)


def safe_name(name):
    """A name of Keras as Convoy allows it."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", name)[:100]


def count(shape):
    return math.prod(shape)


def parse_model(text, what):
    """Reads a model file in its canonical form, one layer a line, as `convoy models` prints it."""
    start = text.find("input: [")
    lines = text[start:].splitlines() if start >= 0 else []
    if len(lines) < 3 or lines[1] != "layers:":
        raise Refusal(
            f"{what}: expected a model as `convoy models NAME` prints it, found other text; "
            "write it with: convoy models NAME-OR-FILE > model.txt")
    if len(lines) - 2 > MOST_LAYERS:
        raise Refusal(f"{what}: expected at most {MOST_LAYERS} layers, found {len(lines) - 2}")
    try:
        shape = json.loads(lines[0].removeprefix("input: "))
        layers = [parse_layer(line) for line in lines[2:]]
    except (ValueError, RecursionError):
        raise Refusal(
            f"{what}: expected lines as `  - dense: {{units: 10}}`, found others; write the model "
            "with: convoy models NAME-OR-FILE > model.txt") from None
    if not (isinstance(shape, list) and len(shape) == 3 and all(is_side(side) for side in shape)):
        raise Refusal(f"{what}: input: expected [channels, height, width], found {shape}")
    model = Model("\n".join(lines) + "\n", shape)
    values = {"input": Node("input", "input", {}, [], shape)}
    counts, last = {}, "input"
    for kind, settings in layers:
        prefix = PREFIXES.get(kind, kind.replace("-", ""))
        counts[prefix] = counts.get(prefix, 0) + 1
        name = settings.get("name", f"{prefix}{counts[prefix]}")
        inputs = settings.get("from", [last])
        inputs = inputs if isinstance(inputs, list) else [inputs]
        if name in values or not all(source in values for source in inputs):
            raise Refusal(f"{what}: layer {name}: expected one name and earlier layers in from")
        node = Node(name, kind, settings, inputs)
        try:
            add(model, node, [values[source] for source in inputs])
        except (KeyError, TypeError, ValueError, IndexError, ZeroDivisionError, OverflowError):
            raise Refusal(
                f"{what}: layer {name} ({kind}): expected keys and shapes that fit, found "
                f"{settings} for {[values[source].shape for source in inputs]}") from None
        if not all(is_side(side) for side in node.shape) or count(node.shape) > LARGEST_COUNT:
            raise Refusal(f"{what}: layer {name}: expected a possible shape, found {node.shape}")
        values[name] = model.nodes[name] = node
        last = name
    return model


def is_side(value):
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= LARGEST_COUNT


def parse_layer(line):
    match = re.fullmatch(r"  - ([\w-]+): (\{.*\})", line)
    if not match:
        raise ValueError(line)

    def quoted(token):
        word = token[0]
        return f'"{word}"' if word[0].isalpha() and word not in ("true", "false") else word

    return match[1], json.loads(TOKEN.sub(quoted, match[2]))


def pair(value):
    return value if isinstance(value, list) else [value, value]


def moved(node, shape):
    """The height and width of what a kernel or a window gives."""
    settings = node.settings
    size = pair(settings["kernel"] if node.kind == "conv2d" else settings["size"])
    stride = pair(settings.get("stride", 1 if node.kind == "conv2d" else size))
    dilation = pair(settings.get("dilation", 1))
    padding = settings.get("padding", "valid")
    if padding == "same":
        return [-(-extent // step) for extent, step in zip(shape[1:], stride)]
    top, left, bottom, right = (
        [0] * 4 if padding == "valid" else padding if isinstance(padding, list) else [padding] * 4)
    return [
        (extent + more - apart * (side - 1) - 1) // step + 1
        for extent, more, apart, side, step in zip(
            shape[1:], (top + bottom, left + right), dilation, size, stride)
    ]


def add(model, node, inputs):
    """Works out a layer's shape and order, and notes it when it has weights."""
    settings, first = node.settings, inputs[0]
    shape = first.shape
    if node.kind == "conv2d":
        channels, height, width = shape
        groups, filters = settings.get("groups", 1), settings["filters"]
        node.shape = [filters, *moved(node, shape)]
        kind = "depthwise" if groups == channels and groups > 1 else "conv"
        note(model, node, kind, [filters, channels // groups, *pair(settings["kernel"])])
    elif node.kind == "dense":
        (size,) = shape
        node.shape = [settings["units"]]
        note(model, node, "dense", [settings["units"], size], first.order)
    elif node.kind == "batch-norm":
        node.shape, node.order = shape, first.order
        shapes = {name: [shape[0]] for name in ("weight", "bias", "running_mean", "running_var")}
        model.units.append(
            Unit("batch-norm", node.name, node.inputs, shapes, output_order=first.order))
    elif node.kind in ("max-pool2d", "average-pool2d"):
        node.shape = [shape[0], *moved(node, shape)]
    elif node.kind == "global-average-pool":
        channels, _, _ = shape
        node.shape = [channels]
    elif node.kind == "flatten":
        node.shape, node.order = [count(shape)], first.order
        if len(shape) == 3 and shape[0] > 1 and shape[1] * shape[2] > 1:
            channels, height, width = shape
            places = np.arange(count(shape)).reshape(height, width, channels)
            node.order = places.transpose(2, 0, 1).reshape(-1)
    elif node.kind == "pad-channels":
        before, after = settings.get("before", 0), settings.get("after", 0)
        node.shape = [before + shape[0] + after, *shape[1:]]
    elif node.kind == "concat":
        node.shape = [sum(value.shape[0] for value in inputs), *shape[1:]]
        if any(value.order is not None for value in inputs):
            starts = np.cumsum([0] + [value.shape[0] for value in inputs])
            node.order = np.concatenate([
                start + (np.arange(value.shape[0]) if value.order is None else value.order)
                for start, value in zip(starts, inputs)])
    elif node.kind in ("add", "multiply"):
        node.shape, node.order = shape, first.order
        for other in inputs[1:]:
            if not np.array_equal(other.order, first.order):
                raise Refusal(
                    f"layer {node.name}: expected inputs in one order, found a flattened image and "
                    "another value; Keras adds other elements than Convoy")
    elif node.kind in ELEMENTWISE:
        node.shape, node.order = shape, first.order
    else:
        raise Refusal(
            f"layer {node.name}: expected a kind that keras_weights.py converts, found {node.kind}")


def note(model, node, kind, shape, order=None):
    shapes = {"weight": shape}
    if node.settings.get("bias", True):
        shapes["bias"] = [shape[0]]
    if not all(is_side(side) for side in shape) or count(shape) > LARGEST_COUNT:
        raise Refusal(f"layer {node.name}: expected a possible weight, found {shape}")
    model.units.append(Unit(kind, node.name, node.inputs, shapes, input_order=order))
