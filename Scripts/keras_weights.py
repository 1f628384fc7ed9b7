#!/usr/bin/env python3
"""Converts weights between files of Keras and safetensors files of Convoy.

Usage: keras_weights.py to-convoy FILE OUTPUT.safetensors [--model MODEL] [--yaml FILE.yaml]
       keras_weights.py to-keras CHECKPOINT OUTPUT [--like FILE] [--model MODEL]

FILE is a `.keras`, a `.weights.h5`, or an `.h5` or `.hdf5` of an older Keras. to-convoy makes the
model from the configuration in FILE (Sequential and functional models of convolutions, batch
normalisation, dense layers, pools, sums and activations), and --yaml writes it as a model file. Names of
tensors are then the names of Keras' layers, and `convoy train --init` and `convoy evaluate` take
OUTPUT. With --model they are the names of that model: the text of `convoy models NAME > MODEL`, or a
model.safetensors of Convoy. A `.weights.h5` has no configuration, so it needs --model.

CHECKPOINT is a model.safetensors of Convoy. to-keras writes a copy of FILE with its weights, which
keeps everything else of FILE; without --like, a `.weights.h5` that Keras' load_weights takes for a
model with equal layers.

Layers are matched by name where all names are equal; otherwise class by class in their order, where
all shapes must be equal. Numbers are fp32. Kernels [h, w, in, out] become [out, in, h, w], those of
depthwise convolutions [h, w, c, m] become [c * m, 1, h, w], matrices [in, out] become [out, in]. The
first dense layer after a flattened image reads (c, h, w) in place of (h, w, c).

Needs h5py and numpy alone. Nothing in a file is executed. Ends with 65 and one line for a file that
cannot be converted.
"""

import argparse
import sys

import numpy as np

from convoy_keras import files, tensors
from convoy_keras.config import Conversion
from convoy_keras.model import LONGEST_TEXT, Refusal, count, parse_model, safe_name

# For each suffix of Convoy, the variable of Keras and the value where Keras has none.
NORMALIZATION = {
    "weight": ("gamma", 1.0), "bias": ("beta", 0.0), "running_mean": ("moving_mean", None),
    "running_var": ("moving_variance", None),
}


class Part:
    """A layer of Keras, or a half of a separable one, in the terms of Convoy."""

    def __init__(self, kind, name, variables):
        self.kind, self.name, self.variables = kind, name, variables


def parts(layers):
    """The layers of Keras as parts, in their order."""
    kinds = {"Conv2D": "conv", "Dense": "dense", "DepthwiseConv2D": "depthwise"}
    for layer in layers:
        data = layer.variables
        if layer.cls == "BatchNormalization":
            found = {suffix: data.get(role) for suffix, (role, _) in NORMALIZATION.items()}
            yield Part("batch-norm", layer.name, found)
        elif layer.cls == "SeparableConv2D":
            yield Part("depthwise", layer.name + ".depthwise", {"weight": data["depthwise_kernel"]})
            yield Part(
                "conv", layer.name + ".pointwise",
                {"weight": data["pointwise_kernel"], "bias": data.get("bias")})
        else:
            weight = data["depthwise_kernel" if layer.cls == "DepthwiseConv2D" else "kernel"]
            yield Part(kinds[layer.cls], layer.name, {"weight": weight, "bias": data.get("bias")})


def matched(model, keras, what):
    """Pairs of a unit of the model and a part of the Keras file."""
    layers = keras.layers()
    found = list(parts(layers))
    by_name = {safe_name(part.name): part for part in found}
    if len(by_name) == len(found) and set(by_name) == {unit.name for unit in model.units}:
        return [(unit, by_name[unit.name]) for unit in model.units]
    units = list(model.units)
    classes = {layer.cls for layer in layers}
    if "SeparableConv2D" in classes and not keras.is_ordered:
        if "DepthwiseConv2D" in classes:
            raise Refusal(
                f"{what}: expected a configuration, since it has DepthwiseConv2D and SeparableConv2D, "
                "found weights alone; give a .keras file")
        units, found = by_separable(units, found)
    pairs = []
    for kind in ("conv", "depthwise", "dense", "batch-norm"):
        ours = [unit for unit in units if unit.kind == kind]
        theirs = [part for part in found if part.kind == kind]
        if len(ours) != len(theirs):
            raise Refusal(
                f"{what}: expected {len(ours)} layers of kind {kind}, as the model has, found "
                f"{len(theirs)}; is it another model?")
        pairs += zip(ours, theirs)
    order = {unit.name: place for place, unit in enumerate(model.units)}
    return sorted(pairs, key=lambda entry: order[entry[0].name])


def by_separable(units, found):
    """Puts the convolutions that read depthwise ones, and the halves of separable ones, first."""
    depthwise = {unit.name for unit in units if unit.kind == "depthwise"}

    def is_half(unit):
        return unit.kind == "conv" and unit.inputs[0] not in depthwise

    return (
        sorted(units, key=is_half),
        sorted(found, key=lambda part: part.kind == "conv" and not part.name.endswith(".pointwise")),
    )


def keras_shape(unit, suffix):
    """The shape that Keras has for a tensor of the model."""
    shape = unit.shapes[suffix]
    if suffix != "weight" or unit.kind == "batch-norm":
        return tuple(shape)
    if unit.kind == "dense":
        return (shape[1], shape[0])
    filters, inputs, height, width = shape
    return (height, width, inputs, filters)


def check(pairs, what):
    """Requires equal shapes of all tensors before any of them is read. Returns the tensors as
    (unit, suffix, data set), the last None where Keras has a constant."""
    found = []
    for unit, part in pairs:
        extra = [key for key, data in part.variables.items() if data is not None and key not in unit.shapes]
        if extra:
            raise Refusal(
                f"{what}: layer {part.name}: expected no {extra[0]}, since {unit.name} of the model has "
                "none, found one; leave bias: false out of the model")
        for suffix in unit.shapes:
            data = part.variables.get(suffix)
            name = f"{unit.name}.{suffix}"
            if data is None and (unit.kind != "batch-norm" or NORMALIZATION[suffix][1] is None):
                raise Refusal(
                    f"{what}: layer {part.name}: expected {suffix} for {name}, found none; give the "
                    "model's layer bias: false")
            expected = keras_shape(unit, suffix)
            if data is not None and part.kind == "depthwise" and suffix == "weight":
                # [h, w, c, m] has c * m filters.
                height, width, channels, times = data.shape if len(data.shape) == 4 else (0, 0, 0, 0)
                shape = (height, width, 1, channels * times)
            else:
                shape = None if data is None else data.shape
            if shape is not None and shape != expected:
                raise Refusal(
                    f"{what}: layer {part.name}: expected shape {list(expected)} for {name}, found "
                    f"{list(data.shape)}; is it another model?")
            found.append((unit, part, suffix, data))
    return found


def to_convoy(unit, part, suffix, data):
    """The tensor of the model from a variable of Keras."""
    if data is None:
        return np.full(unit.shapes[suffix], NORMALIZATION[suffix][1], "<f4")
    try:
        value = np.asarray(data[()], "<f4")
    except files.DAMAGE as error:
        raise Refusal(
            f"layer {part.name}: expected numbers, found {files.first_line(error)}") from None
    if unit.kind == "batch-norm":
        return value if unit.output_order is None else value[unit.output_order]
    if suffix != "weight":
        return value
    if unit.kind == "dense":
        return (value if unit.input_order is None else value[unit.input_order]).T
    if part.kind == "depthwise":
        return value.transpose(2, 3, 0, 1).reshape(unit.shapes[suffix])
    return value.transpose(3, 2, 0, 1)


def to_keras(unit, kind, suffix, value, shape):
    """The variable of Keras from a tensor of the model."""
    if unit.kind == "batch-norm" and unit.output_order is not None:
        result = np.empty_like(value)
        result[unit.output_order] = value
        return result
    if suffix != "weight" or unit.kind == "batch-norm":
        return value
    if unit.kind == "dense":
        result = np.empty(shape, "<f4")
        result[slice(None) if unit.input_order is None else unit.input_order] = value.T
        return result
    if kind == "depthwise":
        height, width, channels, times = shape
        return value.reshape(channels, times, height, width).transpose(2, 3, 0, 1)
    return value.transpose(2, 3, 1, 0)


def read_model(path):
    """The model of a text of `convoy models`, or of a safetensors file of Convoy."""
    with open(path, "rb") as file:
        start = file.read(LONGEST_TEXT + 1)
    if start[8:9] == b"{":
        return parse_model(str(tensors.read(path)[1].get("model_file", "")), path)
    if len(start) > LONGEST_TEXT:
        raise Refusal(f"{path}: expected at most {LONGEST_TEXT} bytes, found more")
    return parse_model(start.decode("utf-8", "replace"), path)


def convert_to_convoy(options):
    keras = files.KerasFile(options.file)
    notes = []
    if options.model:
        model = read_model(options.model)
    elif keras.config is None:
        raise Refusal(
            f"{options.file}: expected a configuration or --model, found weights alone; write the "
            "model with: convoy models NAME > model.txt")
    else:
        conversion = Conversion(keras.config, keras.version, options.file)
        text = conversion.yaml()
        model, notes = parse_model(text, options.file), conversion.notes
    found = check(matched(model, keras, options.file), options.file)
    values = {f"{u.name}.{suffix}": to_convoy(u, part, suffix, data) for u, part, suffix, data in found}
    name = options.output.split("/")[-1].removesuffix(".safetensors")
    tensors.write(options.output, values, {"model": name, "model_file": model.text})
    if options.yaml:
        with open(options.yaml, "w", encoding="utf-8") as out:
            out.write(model.text)
    for note in notes:
        print(f"note: {note}")
    total = sum(value.size for value in values.values())
    print(f"{options.output}: {len(values)} tensors, {total} numbers")


def convert_to_keras(options):
    weights, metadata = tensors.read(options.file)
    if options.model:
        model = read_model(options.model)
    else:
        model = parse_model(str(metadata.get("model_file", "")), options.file)
    for unit in model.units:
        for suffix, shape in unit.shapes.items():
            name = f"{unit.name}.{suffix}"
            if name not in weights or list(weights[name].shape) != shape:
                found = list(weights[name].shape) if name in weights else "none"
                raise Refusal(f"{options.file}: tensor {name}: expected shape {shape}, found {found}")
    if options.like:
        fill(model, weights, options)
    else:
        write_new(model, weights, options.output)
    print(f"{options.output}: {sum(count(s) for u in model.units for s in u.shapes.values())} numbers")


def fill(model, weights, options):
    keras = files.KerasFile(options.like, writes_to=options.output)
    for unit, part, suffix, data in check(matched(model, keras, options.like), options.like):
        value = weights[f"{unit.name}.{suffix}"]
        if data is not None:
            data[...] = to_keras(unit, part.kind, suffix, value, data.shape).astype(data.dtype)
        elif not np.all(value == NORMALIZATION[suffix][1]):
            raise Refusal(
                f"{options.like}: layer {part.name}: expected {unit.name}.{suffix} to be "
                f"{NORMALIZATION[suffix][1]} everywhere, since Keras has no such variable, found others")
    keras.commit()


def write_new(model, weights, output):
    prefixes = {
        "conv": "conv2d", "depthwise": "depthwise_conv2d", "dense": "dense",
        "batch-norm": "batch_normalization",
    }
    counts, arrays = {}, {}
    for unit in model.units:
        prefix = prefixes[unit.kind]
        number = counts[prefix] = counts.get(prefix, -1) + 1
        name = f"{prefix}_{number}" if number else prefix
        arrays[name] = []
        for suffix in unit.shapes:
            shape = keras_shape(unit, suffix)
            if unit.kind == "depthwise" and suffix == "weight":
                times = depth_multiplier(model, unit)
                shape = (shape[0], shape[1], shape[3] // times, times)
            value = weights[f"{unit.name}.{suffix}"]
            arrays[name].append(to_keras(unit, unit.kind, suffix, value, shape))
    files.write_new(output, arrays)


def depth_multiplier(model, unit):
    settings = model.nodes[unit.name].settings
    return settings["filters"] // settings["groups"]


def main():
    parser = argparse.ArgumentParser(description="Weights of Keras for Convoy, and back.")
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("to-convoy")
    two = commands.add_parser("to-keras")
    for command in (one, two):
        command.add_argument("file")
        command.add_argument("output")
        command.add_argument("--model", help="the text of `convoy models NAME`, or a model.safetensors")
    one.add_argument("--yaml", help="where to write the model file")
    two.add_argument("--like", help="the Keras file to copy")
    options = parser.parse_args()
    try:
        (convert_to_convoy if options.command == "to-convoy" else convert_to_keras)(options)
    except Refusal as error:
        print(f"keras_weights: {error}", file=sys.stderr)
        sys.exit(65)
    except OSError as error:
        print(f"keras_weights: {error.filename}: {error.strerror or error}", file=sys.stderr)
        sys.exit(65)


if __name__ == "__main__":
    main()
