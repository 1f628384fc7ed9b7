"""Model files with branches, in PyTorch: a plain interpreter of `input:` and `layers:`.

Each layer kind is one function of (settings, inputs), written with torch.nn.functional. Parameters
and statistics are leaf tensors with the layer's name in front, computed by `numbers` from their
names.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F

from golden import Parameter, pair, power_of_two

ACTIVATIONS = {
    "relu": lambda x, s: F.relu(x),
    "relu6": lambda x, s: F.relu6(x),
    "leaky-relu": lambda x, s: F.leaky_relu(x, s.get("slope", 0.01)),
    "hard-swish": lambda x, s: F.hardswish(x),
    "hard-sigmoid": lambda x, s: F.hardsigmoid(x),
    "sigmoid": lambda x, s: torch.sigmoid(x),
    "tanh": lambda x, s: torch.tanh(x),
    "silu": lambda x, s: F.silu(x),
    "gelu": lambda x, s: F.gelu(x),
}


def sides(padding, shape, size, stride, dilation=1):
    """Padding as a model file has it, as [top, left, bottom, right].

    `same` is TensorFlow's: ceil(input / stride) outputs, the odd cell at the bottom and right.
    """
    if padding == "valid":
        return [0, 0, 0, 0]
    if isinstance(padding, list):
        return padding
    if padding != "same":
        return [padding] * 4
    before, after = [], []
    for length, k, s in zip(shape, size, stride):
        total = max((-(-length // s) - 1) * s + dilation * (k - 1) + 1 - length, 0)
        before.append(total // 2)
        after.append(total - total // 2)
    return before + after


def pad(x, amounts, fill):
    top, left, bottom, right = amounts
    return F.pad(x, (left, right, top, bottom), value=fill)


class GraphModel:
    """A model file. `parameters` lists what it holds; `tensors` are the leaf tensors, by name.

    With `training` a batch normalisation takes the statistics of the batch and `statistics` gets
    the running ones after one update; without, it takes the running ones.
    """

    def __init__(self, model, dtype=torch.float64, overrides=None, initial=None):
        self.model, self.dtype = model, dtype
        self.parameters, self.tensors, self.statistics = {}, {}, {}
        self.overrides = overrides or {}
        self.initial = initial or {}
        with torch.no_grad():
            self.forward(torch.zeros(2, *model["input"], dtype=dtype), training=True)
        self.statistics = {}

    def tensor(self, name, shape, base, scale, trained=True):
        if name not in self.tensors:
            parameter = Parameter(shape, *self.overrides.get(name, (base, scale)))
            self.parameters[name] = parameter
            value = self.initial[name] if name in self.initial else parameter.values(name)
            self.tensors[name] = torch.tensor(value).to(self.dtype).requires_grad_(trained)
        return self.tensors[name]

    def trained(self):
        return {name: value for name, value in self.tensors.items() if value.requires_grad}

    def weight(self, name, shape):
        """Uniform, at most as wide as He's: ±√(6 / fan-in) rounded down to a power of two."""
        return self.tensor(
            f"{name}.weight", shape, 0, power_of_two(math.sqrt(6 / math.prod(shape[1:])))
        )

    def bias(self, name, settings, count):
        if not settings.get("bias", True):
            return None
        return self.tensor(f"{name}.bias", (count,), 0, 0.125)

    def affine(self, name, shape):
        return (
            self.tensor(f"{name}.weight", shape, 1, 0.5),
            self.tensor(f"{name}.bias", shape, 0, 0.5),
        )

    def forward(self, x, training=True):
        """The output of the last layer; every layer's output is in `values` by the layer's name."""
        self.values = {"input": x}
        for index, layer in enumerate(self.model["layers"]):
            ((kind, settings),) = layer.items()
            name = settings.get("name", f"#{index}")
            source = settings.get("from")
            sources = source if isinstance(source, list) else [source] if source else []
            inputs = [self.values[key] for key in sources] or [x]
            x = self.apply(kind, settings, name, inputs, training)
            self.values[name] = x
        return x

    def apply(self, kind, s, name, inputs, training):
        x = inputs[0]
        if kind in ACTIVATIONS:
            return ACTIVATIONS[kind](x, s)
        if kind == "add":
            return sum(inputs[1:], x)
        if kind == "multiply":
            gate = inputs[1]
            return x * gate.reshape(*gate.shape, *[1] * (x.dim() - gate.dim()))
        if kind == "concat":
            return torch.cat(inputs, 1)
        if kind == "pad-channels":
            return F.pad(x, (0, 0, 0, 0, s["before"], s["after"]))
        if kind == "flatten":
            return torch.flatten(x, 1)
        if kind == "global-average-pool":
            return x.mean((2, 3))
        method = getattr(self, kind.replace("-", "_"))
        return method(x, s, name, training) if kind == "batch-norm" else method(x, s, name)

    def dense(self, x, s, name):
        weight = self.weight(name, (s["units"], x.shape[1]))
        return F.linear(x, weight, self.bias(name, s, s["units"]))

    def conv2d(self, x, s, name):
        size, stride = pair(s["kernel"]), pair(s.get("stride", 1))
        dilation, groups = s.get("dilation", 1), s.get("groups", 1)
        weight = self.weight(name, (s["filters"], x.shape[1] // groups, *size))
        amounts = sides(s.get("padding", "valid"), x.shape[2:], size, stride, dilation)
        bias = self.bias(name, s, s["filters"])
        y = F.conv2d(pad(x, amounts, 0.0), weight, bias, stride, 0, dilation, groups)
        return F.relu(y) if s.get("activation") == "relu" else y

    def conv1d(self, x, s, name):
        size, stride = s["kernel"], s.get("stride", 1)
        dilation, groups = s.get("dilation", 1), s.get("groups", 1)
        weight = self.weight(name, (s["filters"], x.shape[1] // groups, size))
        padding = s.get("padding", "valid")
        _, left, _, right = sides(padding, x.shape[2:], (1, size), (1, stride), dilation)
        bias = self.bias(name, s, s["filters"])
        series = F.pad(x.squeeze(2), (left, right))
        return F.conv1d(series, weight, bias, stride, 0, dilation, groups).unsqueeze(2)

    def window(self, x, s):
        size = pair(s["size"])
        stride = pair(s.get("stride", s["size"]))
        return size, stride, sides(s.get("padding", "valid"), x.shape[2:], size, stride)

    def max_pool2d(self, x, s, name):
        size, stride, amounts = self.window(x, s)
        return F.max_pool2d(pad(x, amounts, -math.inf), size, stride)

    def average_pool2d(self, x, s, name):
        """Where padding does not count, the divisor is the number of cells inside the image."""
        size, stride, amounts = self.window(x, s)
        mean = F.avg_pool2d(pad(x, amounts, 0.0), size, stride)
        if s.get("count-padding", True):
            return mean
        return mean / F.avg_pool2d(pad(torch.ones_like(x), amounts, 0.0), size, stride)

    def batch_norm(self, x, s, name, training):
        count = x.shape[1]
        weight, bias = self.affine(name, (count,))
        mean = self.tensor(f"{name}.running_mean", (count,), 0, 0, trained=False)
        var = self.tensor(f"{name}.running_var", (count,), 1, 0, trained=False)
        epsilon, momentum = s.get("epsilon", 1e-5), s.get("momentum", 0.1)
        if not training:
            return F.batch_norm(x, mean, var, weight, bias, False, momentum, epsilon)
        mean, var = mean.clone(), var.clone()
        self.statistics[f"{name}.running_mean"] = mean
        self.statistics[f"{name}.running_var"] = var
        if x.numel() == count:
            # One value a channel: PyTorch refuses it. The value is its own mean, the output is the
            # bias, and the running statistics stay.
            return (x - x) * weight.reshape(1, -1, *[1] * (x.dim() - 2)) + bias.reshape(
                1, -1, *[1] * (x.dim() - 2)
            )
        return F.batch_norm(x, mean, var, weight, bias, True, momentum, epsilon)

    def group_norm(self, x, s, name):
        weight, bias = self.affine(name, (x.shape[1],))
        return F.group_norm(x, s["groups"], weight, bias, s.get("epsilon", 1e-5))

    def layer_norm(self, x, s, name):
        weight, bias = self.affine(name, tuple(x.shape[1:]))
        return F.layer_norm(x, x.shape[1:], weight, bias, s.get("epsilon", 1e-5))


def images(name, count, shape, base=0.0, scale=1.0, step=None):
    """Records of a case in float32. `step` rounds them to its multiples, to make ties."""
    x = Parameter((count, *shape), base, scale).values(name)
    if step:
        x = np.round(x / np.float32(step)) * np.float32(step) + np.float32(0)
    return x
