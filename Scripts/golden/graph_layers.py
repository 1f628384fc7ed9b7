"""Golden values of the layer kinds of graphs: outputs and gradients, by PyTorch in double.

Run from anywhere, with torch and numpy installed:   python3 Scripts/golden/graph_layers.py
Writes Tests/NeuralNetworkTests/Golden/graph_layers.{json,bin}, and numbers.{json,bin}: a few of
golden.py's `numbers`, `labels` and `picks`, for GoldenNumbers.swift. Deterministic, a few seconds.

A case has the settings `count` (records) and `training` (1, or 0 for inference with the running
statistics of `parameters`), and `base`, `scale`, `step` where they are not 0, 1, 0. Its records are
base + scale * u, rounded to multiples of `step`: `images("input", …)` of graph.py. Its parameters
and first running statistics are those that it lists. The gradient that comes in from above is
`numbers("outputGradient", …)`. Tensors:

    outputs                     [count, ...]
    inputGradient               [count, C, H, W]
    gradient.NAME.weight        and .bias, sums over the records
    statistics.NAME.running_*   after one update (training only)
"""

import torch

from golden import Writer, labels, numbers, picks
from graph import ACTIVATIONS, GraphModel, images


def one(kind, input_shape, **settings):
    return {"input": input_shape, "layers": [{kind: {**settings, "name": "a"}}]}


def conv(input_shape, **settings):
    return one("conv2d", input_shape, **settings)


def series(input_shape, **settings):
    return one("conv1d", input_shape, **settings)


def pool(input_shape, **settings):
    return one("max-pool2d", input_shape, **settings)


def average(input_shape, **settings):
    return one("average-pool2d", input_shape, **settings)


def chain(input_shape, *layers):
    return {"input": input_shape, "layers": [{kind: settings} for kind, settings in layers]}


def batch_norm(name, source=None, **settings):
    settings = {"epsilon": 1e-5, "momentum": 0.1, **settings, "name": name}
    return "batch-norm", {**settings, "from": source} if source else settings


def convolution(name, filters, kernel, source=None, **settings):
    settings = {"filters": filters, "kernel": kernel, "bias": False, **settings, "name": name}
    return "conv2d", {**settings, "from": source} if source else settings


RESIDUAL_DOWN = chain(
    [2, 5, 4],
    convolution("conv1", 4, 3, stride=2, padding=1),
    batch_norm("bn1"),
    ("relu", {}),
    convolution("conv2", 4, 3, padding=1),
    batch_norm("bn2"),
    convolution("downsample.0", 4, 1, "input", stride=2),
    batch_norm("downsample.1"),
    ("add", {"from": ["bn2", "downsample.1"], "name": "sum"}),
    ("relu", {}),
)
INVERTED_RESIDUAL = chain(
    [3, 4, 3],
    convolution("expand", 6, 1),
    batch_norm("bn1"),
    ("relu6", {}),
    convolution("depthwise", 6, 3, padding=1, groups=6),
    batch_norm("bn2"),
    ("relu6", {}),
    convolution("project", 3, 1),
    batch_norm("bn3"),
    ("add", {"from": ["input", "bn3"]}),
)

# Name -> (model, count, further settings of `case`).
CASES = {
    # Convolutions: explicit padding, no bias, dilation, groups.
    "conv-padding-1": (conv([3, 7, 7], filters=2, kernel=3, padding=1), 2),
    "conv-padding-1-relu": (conv([2, 5, 6], filters=3, kernel=3, padding=1, activation="relu"), 2),
    "conv-padding-1-stride-2": (conv([3, 6, 6], filters=4, kernel=3, stride=2, padding=1), 2),
    "conv-padding-1-stride-2-odd": (conv([2, 7, 5], filters=4, kernel=3, stride=2, padding=1), 2),
    "conv-padding-3-stride-2": (conv([3, 7, 6], filters=2, kernel=7, stride=2, padding=3), 2),
    "conv-padding-sides": (conv([2, 5, 4], filters=3, kernel=3, padding=[1, 0, 2, 1]), 2),
    "conv-padding-sides-stride-2": (
        conv([2, 6, 5], filters=3, kernel=3, stride=2, padding=[0, 0, 1, 1]), 2,
    ),
    "conv-padding-beyond-kernel": (conv([2, 3, 4], filters=2, kernel=3, padding=3), 2),
    "conv-padding-1-channels": (
        conv([8, 4, 5], filters=16, kernel=3, padding=1, bias=False), 1,
    ),
    "conv-padding-1-tiles": (conv([2, 4, 4], filters=3, kernel=3, padding=1, bias=False), 9),
    "conv-no-bias": (conv([3, 5, 4], filters=4, kernel=3, bias=False), 2),
    "conv-1x1-stride-2-no-bias": (conv([3, 6, 5], filters=5, kernel=1, stride=2, bias=False), 2),
    "conv-3x5-padding-sides": (
        conv([2, 5, 6], filters=3, kernel=[3, 5], stride=[1, 2], padding=[1, 2, 1, 2]), 2,
    ),
    "conv-dilation-2": (conv([2, 7, 6], filters=3, kernel=3, dilation=2), 2),
    "conv-dilation-2-padding-2": (conv([2, 6, 5], filters=3, kernel=3, dilation=2, padding=2), 2),
    "conv-dilation-2-same": (conv([2, 6, 5], filters=3, kernel=3, dilation=2, padding="same"), 2),
    "conv-dilation-2-stride-2-same": (
        conv([2, 7, 6], filters=2, kernel=3, stride=2, dilation=2, padding="same"), 2,
    ),
    "conv-dilation-3-stride-2": (
        conv([2, 7, 7], filters=2, kernel=2, stride=2, dilation=3, padding=1), 2,
    ),
    "conv-groups-2": (conv([4, 5, 4], filters=6, kernel=3, padding=1, groups=2), 2),
    "conv-groups-3-stride-2": (
        conv([6, 5, 6], filters=3, kernel=3, stride=2, padding=1, groups=3, bias=False), 2,
    ),
    "conv-groups-2-1x1": (conv([4, 3, 4], filters=4, kernel=1, groups=2), 2),
    "conv-all": (
        conv(
            [4, 7, 6], filters=6, kernel=3, stride=2, padding=[1, 0, 2, 1], dilation=2, groups=2,
            bias=False,
        ),
        2,
    ),
    "depthwise-3": (conv([3, 6, 5], filters=3, kernel=3, padding=1, groups=3), 2),
    "depthwise-3-no-bias": (
        conv([9, 3, 4], filters=9, kernel=3, padding=1, groups=9, bias=False), 1,
    ),
    "depthwise-3-stride-2": (
        conv([3, 7, 6], filters=3, kernel=3, stride=2, padding=1, groups=3), 2,
    ),
    "depthwise-5-stride-2": (
        conv([2, 7, 6], filters=2, kernel=5, stride=2, padding=2, groups=2), 2,
    ),
    "depthwise-7": (conv([2, 7, 7], filters=2, kernel=7, padding=3, groups=2), 2),
    "depthwise-dilation-2": (
        conv([3, 6, 5], filters=3, kernel=3, padding=2, dilation=2, groups=3), 2,
    ),
    "depthwise-multiplier-2": (conv([3, 5, 5], filters=6, kernel=3, padding=1, groups=3), 2),
    "depthwise-tiles": (conv([2, 3, 4], filters=2, kernel=3, padding=1, groups=2), 9),
    # Convolutions of series.
    "conv1d-valid": (series([3, 1, 11], filters=4, kernel=3), 2),
    "conv1d-padding-1": (series([3, 1, 10], filters=4, kernel=3, padding=1), 2),
    "conv1d-stride-2": (series([2, 1, 11], filters=3, kernel=5, stride=2, padding=2), 2),
    "conv1d-dilation-2": (series([2, 1, 12], filters=3, kernel=3, padding=2, dilation=2), 2),
    "conv1d-same-even": (series([2, 1, 11], filters=3, kernel=8, padding="same"), 2),
    "conv1d-same-stride-2": (
        series([2, 1, 11], filters=3, kernel=4, stride=2, padding="same"), 2,
    ),
    "conv1d-1": (series([5, 1, 7], filters=3, kernel=1, bias=False), 2),
    "conv1d-groups": (series([4, 1, 9], filters=6, kernel=3, padding=1, groups=2), 2),
    "conv1d-depthwise": (
        series([3, 1, 7], filters=3, kernel=3, padding=1, groups=3, bias=False), 9,
    ),
    "conv1d-all": (
        series([4, 1, 17], filters=2, kernel=3, stride=2, padding=1, dilation=3, groups=2), 2,
    ),
    # Pools.
    "max-pool-padding-1": (pool([3, 7, 6], size=3, stride=2, padding=1), 2),
    "max-pool-2-padding-1": (pool([2, 6, 5], size=2, padding=1), 2),
    "max-pool-3-stride-1-padding-1": (pool([2, 5, 5], size=3, stride=1, padding=1), 2),
    "max-pool-padding-sides": (pool([2, 6, 6], size=3, stride=2, padding=[0, 0, 1, 1]), 2),
    "max-pool-2x3-padding-1": (pool([2, 5, 6], size=[2, 3], stride=[1, 2], padding=1), 2),
    "max-pool-ties-padding-1": (pool([2, 7, 6], size=3, stride=2, padding=1), 2, {"step": 0.5}),
    "max-pool-subsample": (pool([3, 6, 5], size=1, stride=2), 2),
    "average-pool-2": (average([3, 6, 6], size=2, stride=2), 2),
    "average-pool-2-odd": (average([2, 7, 5], size=2, stride=2), 2),
    "average-pool-3-stride-1": (average([2, 6, 5], size=3, stride=1), 2),
    "average-pool-padding-1-counted": (
        average([3, 7, 6], size=3, stride=2, padding=1, **{"count-padding": True}), 2,
    ),
    "average-pool-padding-1": (
        average([3, 7, 6], size=3, stride=2, padding=1, **{"count-padding": False}), 2,
    ),
    "average-pool-2-padding-1-counted": (
        average([2, 6, 5], size=2, stride=2, padding=1, **{"count-padding": True}), 2,
    ),
    "average-pool-padding-sides-counted": (
        average([2, 5, 6], size=3, stride=2, padding=[0, 1, 1, 0], **{"count-padding": True}), 2,
    ),
    "average-pool-padding-sides": (
        average([2, 5, 6], size=3, stride=2, padding=[0, 1, 1, 0], **{"count-padding": False}), 2,
    ),
    "average-pool-same": (
        average([2, 6, 5], size=3, stride=2, padding="same", **{"count-padding": False}), 2,
    ),
    "average-pool-2x3": (average([2, 5, 6], size=[2, 3], stride=[1, 2]), 2),
    "average-pool-subsample": (average([3, 5, 6], size=1, stride=2), 2),
    "global-average-pool": (one("global-average-pool", [3, 7, 5]), 2),
    "global-average-pool-1x1": (one("global-average-pool", [3, 1, 1]), 9),
    "global-average-pool-dense": (
        chain([4, 3, 5], ("global-average-pool", {}), ("dense", {"units": 3, "name": "fc"})), 3,
    ),
    # Group and layer normalisation.
    "group-norm-1": (one("group-norm", [4, 3, 4], groups=1, epsilon=1e-5), 2),
    "group-norm-2": (one("group-norm", [4, 5, 3], groups=2, epsilon=1e-5), 2),
    "group-norm-channels": (one("group-norm", [3, 4, 4], groups=3, epsilon=1e-3), 2),
    "group-norm-1x1": (one("group-norm", [6, 1, 1], groups=2, epsilon=1e-5), 3),
    "group-norm-tiles": (one("group-norm", [4, 3, 3], groups=2, epsilon=1e-5), 9),
    "group-norm-offset": (one("group-norm", [4, 3, 3], groups=2, epsilon=1e-5), 2, {"base": 8}),
    "layer-norm": (one("layer-norm", [3, 4, 5], epsilon=1e-5), 2),
    "layer-norm-tiles": (one("layer-norm", [2, 3, 3], epsilon=1e-5), 9),
    "layer-norm-offset": (one("layer-norm", [3, 3, 3], epsilon=1e-3), 2, {"base": 8}),
    "layer-norm-vector": (
        chain([1, 3, 5], ("flatten", {}), ("layer-norm", {"epsilon": 1e-5, "name": "a"})), 3,
    ),
    # Wires.
    "add": (
        chain(
            [3, 4, 5],
            convolution("left", 3, 1, "input"),
            convolution("right", 3, 3, "input", padding=1),
            ("add", {"from": ["left", "right"]}),
        ),
        2,
    ),
    "add-input": (
        chain(
            [2, 3, 4],
            convolution("a", 2, 3, padding=1),
            ("add", {"from": ["a", "input"], "name": "sum"}),
            ("relu", {}),
        ),
        9,
    ),
    "add-twice": (chain([2, 3, 4], ("add", {"from": ["input", "input"]})), 2),
    "add-vectors": (
        chain(
            [2, 2, 3],
            ("flatten", {"name": "flat"}),
            ("dense", {"units": 5, "bias": False, "name": "left", "from": "flat"}),
            ("dense", {"units": 5, "name": "right", "from": "flat"}),
            ("add", {"from": ["left", "right"]}),
        ),
        3,
    ),
    "multiply": (
        chain(
            [3, 4, 4],
            convolution("a", 3, 1, "input"),
            ("multiply", {"from": ["input", "a"]}),
        ),
        2,
    ),
    "multiply-twice": (chain([2, 3, 4], ("multiply", {"from": ["input", "input"]})), 2),
    "multiply-gate-vector": (
        chain(
            [3, 4, 5],
            ("global-average-pool", {"name": "squeeze"}),
            ("dense", {"units": 3, "name": "excite"}),
            ("sigmoid", {"name": "gate"}),
            ("multiply", {"from": ["input", "gate"]}),
        ),
        2,
    ),
    "multiply-gate-1x1": (
        chain(
            [4, 3, 2],
            ("average-pool2d", {"size": [3, 2], "name": "squeeze"}),
            ("conv2d", {"filters": 2, "kernel": 1, "name": "down"}),
            ("relu", {}),
            ("conv2d", {"filters": 4, "kernel": 1, "name": "up"}),
            ("hard-sigmoid", {"name": "gate"}),
            ("multiply", {"from": ["input", "gate"]}),
        ),
        9,
    ),
    "concat": (
        chain(
            [3, 4, 5],
            convolution("left", 2, 1, "input"),
            convolution("right", 5, 3, "input", padding=1),
            ("concat", {"from": ["left", "right"]}),
        ),
        2,
    ),
    "concat-input": (
        chain(
            [2, 4, 3],
            convolution("a", 3, 3, padding=1),
            ("concat", {"from": ["a", "input", "a"], "name": "joined"}),
            convolution("b", 2, 1),
        ),
        9,
    ),
    "concat-vectors": (
        chain(
            [2, 3, 2],
            ("global-average-pool", {"name": "mean", "from": "input"}),
            ("flatten", {"name": "flat", "from": "input"}),
            ("concat", {"from": ["mean", "flat"]}),
        ),
        2,
    ),
    "pad-channels": (one("pad-channels", [3, 4, 3], before=2, after=2), 2),
    "pad-channels-after": (one("pad-channels", [2, 3, 4], before=0, after=3), 2),
    "pad-channels-before": (one("pad-channels", [2, 3, 3], before=1, after=0), 9),
    "shortcut-a": (
        chain(
            [4, 5, 4],
            convolution("a", 8, 3, stride=2, padding=1),
            ("max-pool2d", {"size": 1, "stride": 2, "name": "half", "from": "input"}),
            ("pad-channels", {"before": 2, "after": 2, "name": "shortcut"}),
            ("add", {"from": ["a", "shortcut"]}),
        ),
        2,
    ),
    "dense-no-bias": (
        chain([2, 2, 3], ("flatten", {}), ("dense", {"units": 7, "bias": False, "name": "a"})), 3,
    ),
    "readers": (
        chain(
            [2, 4, 4],
            convolution("stem", 3, 3, padding=1),
            convolution("left", 2, 1, "stem"),
            convolution("right", 2, 3, "stem", padding=1),
            ("max-pool2d", {"size": 3, "stride": 1, "padding": 1, "name": "pool", "from": "stem"}),
            ("concat", {"from": ["right", "stem", "left", "pool"], "name": "joined"}),
            ("global-average-pool", {}),
            ("dense", {"units": 4, "name": "fc"}),
        ),
        3,
    ),
    # Blocks with batch normalisation.
    "conv-batch-norm-relu": (
        chain(
            [2, 4, 3],
            convolution("conv", 3, 3, padding=1),
            batch_norm("bn"),
            ("relu", {}),
        ),
        9,
    ),
    "batch-norm-conv": (chain([2, 4, 4], batch_norm("bn"), convolution("conv", 3, 3)), 9),
    "batch-norm-twice": (chain([3, 3, 2], batch_norm("first"), batch_norm("second")), 5),
    "batch-norm-residual": (
        chain(
            [2, 4, 3],
            convolution("conv", 2, 3, padding=1),
            batch_norm("bn"),
            ("add", {"from": ["bn", "input"], "name": "sum"}),
            ("relu", {}),
        ),
        9,
    ),
    "batch-norm-readers": (
        chain(
            [2, 3, 4],
            batch_norm("bn"),
            ("relu", {"name": "act"}),
            convolution("conv", 2, 3, "act", padding=1),
            ("multiply", {"from": ["conv", "bn"], "name": "gated"}),
            ("add", {"from": ["gated", "act"]}),
        ),
        5,
    ),
    "residual-down-5": (RESIDUAL_DOWN, 5),
    "residual-down-17": (RESIDUAL_DOWN, 17),
    "residual-down-inference": (
        RESIDUAL_DOWN, 3, {"running": ["bn1", "bn2", "downsample.1"]},
    ),
    "inverted-residual": (INVERTED_RESIDUAL, 9),
    "batch-norm-series": (
        chain(
            [2, 1, 9],
            ("conv1d", {"filters": 3, "kernel": 3, "padding": 1, "bias": False, "name": "conv"}),
            batch_norm("bn"),
            ("relu", {}),
            ("global-average-pool", {}),
        ),
        9,
    ),
    "batch-norm-dense": (
        chain(
            [1, 2, 3],
            ("flatten", {}),
            ("dense", {"units": 4, "bias": False, "name": "dense"}),
            batch_norm("bn"),
            ("relu", {}),
        ),
        9,
    ),
    # Batch normalisation alone, in unusual settings.
    "batch-norm-settings": (
        chain([3, 3, 3], batch_norm("a", epsilon=1e-3, momentum=0.3)), 5,
    ),
    "batch-norm-offset": (chain([2, 3, 3], batch_norm("a")), 9, {"base": 8}),
    "batch-norm-small": (chain([2, 3, 3], batch_norm("a")), 5, {"scale": 2.0**-8}),
    "batch-norm-running": (
        chain([3, 3, 4], batch_norm("a")), 5, {"running": ["a"], "training": True},
    ),
    "batch-norm-inference": (chain([3, 3, 4], batch_norm("a")), 3, {"running": ["a"]}),
    "batch-norm-inference-9": (
        chain([2, 3, 3], batch_norm("a", epsilon=1e-3)), 9, {"running": ["a"]},
    ),
    "batch-norm-inference-vector": (
        chain([1, 2, 3], ("flatten", {}), batch_norm("a")), 3, {"running": ["a"]},
    ),
}

# Batch normalisation alone, at every count. One value a channel (vector, 1) is not PyTorch's: the
# output is the bias and the statistics stay.
for count in (1, 2, 5, 8, 9, 17):
    CASES[f"batch-norm-{count}"] = chain([2, 3, 3], batch_norm("a")), count
    CASES[f"batch-norm-vector-{count}"] = chain([1, 2, 2], ("flatten", {}), batch_norm("a")), count
    CASES[f"batch-norm-1x1-{count}"] = chain([3, 1, 1], batch_norm("a")), count

# Activations: over their bends, at multiples of 1/2 (with the bends themselves), and far out.
for kind in ACTIVATIONS:
    settings = [{"slope": 0.01}, {"slope": 0.25}] if kind == "leaky-relu" else [{}]
    for setting in settings:
        name = f"{kind}-{setting['slope']}" if setting.get("slope", 0.01) != 0.01 else kind
        CASES[name] = one(kind, [3, 4, 5], **setting), 1, {"scale": 8}
        CASES[f"{name}-bends"] = one(kind, [2, 4, 5], **setting), 1, {"scale": 8, "step": 0.5}
        CASES[f"{name}-far"] = one(kind, [2, 3, 3], **setting), 1, {"scale": 128}


def case(writer, name, spec, count, base=0, scale=1, step=0, running=(), training=None):
    training = not running if training is None else training
    overrides = {}
    for layer in running:
        overrides[f"{layer}.running_mean"] = 0, 0.5
        overrides[f"{layer}.running_var"] = 1, 0.5
    model = GraphModel(spec, overrides=overrides)
    x = torch.tensor(images("input", count, spec["input"], base, scale, step)).double()
    x.requires_grad_()
    y = model.forward(x, training)
    above = numbers("outputGradient", y.numel()).reshape(y.shape)
    y.backward(torch.tensor(above).double())
    tensors = {"outputs": y.detach().numpy(), "inputGradient": x.grad.numpy()}
    for key, value in model.trained().items():
        tensors[f"gradient.{key}"] = value.grad.numpy()
    for key, value in model.statistics.items():
        tensors[f"statistics.{key}"] = value.numpy()
    unusual = {"base": base, "scale": scale, "step": step}
    for key, usual in (("base", 0), ("scale", 1), ("step", 0)):
        if unusual[key] == usual:
            del unusual[key]
    writer.add(
        name, tensors, spec, model.parameters, count=count, training=int(training), **unusual
    )


def main():
    writer = Writer("graph_layers", compact=True)
    for name, (spec, count, *settings) in CASES.items():
        case(writer, name, spec, count, **(settings[0] if settings else {}))
    writer.write()

    writer = Writer("numbers", compact=True)
    for name, count, base, scale in [
        ("a", 5, 0, 1),
        ("layer1.0.bn1.weight", 40, 1, 0.25),
        ("outputGradient", 9, 8, 2.0**-8),
        ("records", 100, 0.1, 0.5),
    ]:
        tensors = {
            "values": numbers(name, count, base, scale),
            "halves": images(name, count, [], base, scale, 0.5),
            "labels": labels(count, 10),
            "picks": picks(count),
        }
        writer.add(name, tensors, count=count, base=base, scale=scale)
    writer.write()


if __name__ == "__main__":
    main()
