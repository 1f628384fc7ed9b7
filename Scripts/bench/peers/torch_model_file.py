"""A model of Convoy as PyTorch's modules, from what `convoy models NAME|FILE` prints.

That is a table with a line a node, whose first word is its name, then figures, then the model file
with every composite written out. Series [C, 1, T] are computed as [C, T], as in PyTorch.
"""

import math

import torch
import torch.nn.functional as F
import yaml
from torch import nn

ACTIVATIONS = {
    "relu6": nn.ReLU6, "hard-swish": nn.Hardswish, "hard-sigmoid": nn.Hardsigmoid,
    "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "silu": nn.SiLU, "gelu": nn.GELU,
}  # fmt: skip


WRITABLE = ("conv1d", "conv2d", "batch-norm", "group-norm", "layer-norm", "add", "dense")


def _pair(value):
    return tuple(value) if isinstance(value, list) else (value, value)


def _number(settings, key, default):
    """A number; PyYAML takes one without a point, such as 1e-05, for text."""
    return float(settings.get(key, default))


class _Padded(nn.Module):
    """A convolution or a pool behind padding that PyTorch's module has no argument for."""

    def __init__(self, module, padding, size, stride, dilation, fill):
        super().__init__()
        self.module, self.padding, self.fill = module, padding, fill
        self.size, self.stride, self.dilation = size, stride, dilation

    def forward(self, x):
        amounts = self.padding
        if amounts == "same":
            amounts = []
            for length, k, s, d in zip(x.shape[2:], self.size, self.stride, self.dilation):
                total = max((-(-length // s) - 1) * s + d * (k - 1) + 1 - length, 0)
                amounts = [total // 2, total - total // 2] + amounts
        return self.module(F.pad(x, amounts, value=self.fill))


def _window(make, settings, size, stride, dilation, fill=0.0):
    """Makes a module with the padding of a model file; `make` gets PyTorch's padding."""
    padding = settings.get("padding", "valid")
    if padding == "valid":
        return make(0)
    if isinstance(padding, int):
        return make(padding)
    if isinstance(padding, list):
        top, left, bottom, right = padding
        if top == bottom and left == right:
            return make((top, left)[-len(size) :])
        amounts = [left, right] + ([top, bottom] if len(size) > 1 else [])
        return _Padded(make(0), amounts, size, stride, dilation, fill)
    if all(s == 1 and d * (k - 1) % 2 == 0 for k, s, d in zip(size, stride, dilation)):
        return make(tuple(d * (k - 1) // 2 for k, d in zip(size, dilation)))
    return _Padded(make(0), "same", size, stride, dilation, fill)


class ModelFile(nn.Module):
    """The network of a model; its input is [N, C, H, W]."""

    def __init__(self, path):
        super().__init__()
        with open(path, encoding="utf-8") as file:
            text = file.read()
        names = [line.split()[0] for line in text.split("\n\n")[0].splitlines()[1:]]
        model = yaml.safe_load(text[text.index("\ninput:") :])
        self.shape = model["input"]
        self.is_series = len(self.shape) == 3 and self.shape[1] == 1
        self.steps, self.layers = [], nn.ModuleList()
        last = "input"
        readers, kinds = {}, {}
        for name, layer in zip(names, model["layers"], strict=True):
            ((kind, settings),) = layer.items()
            inputs = settings.get("from") or [last]
            inputs = inputs if isinstance(inputs, list) else [inputs]
            for source in inputs:
                readers[source] = readers.get(source, 0) + 1
            self.steps.append([kind, settings, name, inputs])
            kinds[name] = kind
            last = name
        with torch.no_grad():
            x = torch.zeros(2, *self.shape)
            values = {"input": x.squeeze(2) if self.is_series else x}
            for kind, settings, name, inputs in self.steps:
                # ReLU may write over its input where only it reads that, and the gradient of what
                # made it does not.
                alone = readers[inputs[0]] == 1 and kinds.get(inputs[0]) in WRITABLE
                module = self._module(kind, settings, values[inputs[0]], alone)
                self.layers.append(module)
                values[name] = self._run(module, kind, [values[i].clone() for i in inputs])
        # A value is forgotten once its last reader has run.
        self.plan = []
        for index, (kind, _, name, inputs) in enumerate(self.steps):
            later = {i for step in self.steps[index + 1 :] for i in step[3]}
            self.plan.append((kind, name, inputs, [i for i in set(inputs) if i not in later]))

    def _module(self, kind, s, x, alone):
        channels, series = x.shape[1], x.dim() == 3
        if kind in ACTIVATIONS:
            return ACTIVATIONS[kind]()
        if kind == "relu":
            return nn.ReLU(inplace=alone)
        if kind == "leaky-relu":
            return nn.LeakyReLU(_number(s, "slope", 0.01))
        if kind == "dense":
            return self._with_activation(
                nn.Linear(channels, s["units"], bias=s.get("bias", True)), s
            )
        if kind in ("conv1d", "conv2d"):
            is_flat = kind == "conv1d" or series
            size, stride = _pair(s["kernel"]), _pair(s.get("stride", 1))
            dilation = _pair(s.get("dilation", 1))
            if is_flat:
                size, stride, dilation = size[-1:], stride[-1:], dilation[-1:]
            make = nn.Conv1d if is_flat else nn.Conv2d
            module = _window(
                lambda padding: make(
                    channels, s["filters"], size, stride, padding, dilation, s.get("groups", 1),
                    s.get("bias", True),
                ),
                s, size, stride, dilation,
            )  # fmt: skip
            return self._with_activation(module, s)
        if kind in ("max-pool2d", "average-pool2d"):
            size, stride = _pair(s["size"]), _pair(s.get("stride", s["size"]))
            if series:
                size, stride = size[-1:], stride[-1:]
            is_maximum = kind == "max-pool2d"
            makers = [[nn.AvgPool2d, nn.AvgPool1d], [nn.MaxPool2d, nn.MaxPool1d]]
            maker = makers[is_maximum][series]
            fill = -math.inf if is_maximum else 0.0
            ones = (1,) * len(size)
            return _window(lambda p: maker(size, stride, p), s, size, stride, ones, fill)
        if kind == "batch-norm":
            maker = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d}[x.dim()]
            return maker(channels, _number(s, "epsilon", 1e-5), _number(s, "momentum", 0.1))
        if kind == "group-norm":
            return nn.GroupNorm(s["groups"], channels, _number(s, "epsilon", 1e-5))
        if kind == "layer-norm":
            return nn.LayerNorm(x.shape[1:], _number(s, "epsilon", 1e-5))
        if kind == "flatten":
            return nn.Flatten()
        if kind == "dropout":
            return nn.Dropout(_number(s, "rate", 0.5))
        if kind == "pad-channels":
            return nn.ZeroPad2d((0, 0) * (x.dim() - 2) + (s["before"], s["after"]))
        if kind in ("add", "multiply", "concat", "global-average-pool"):
            return nn.Identity()
        raise ValueError(f"no module for {kind}")

    @staticmethod
    def _with_activation(module, s):
        if s.get("activation") == "relu":
            return nn.Sequential(module, nn.ReLU(inplace=True))
        return module

    @staticmethod
    def _run(module, kind, inputs):
        if kind == "add":
            return sum(inputs[1:], inputs[0])
        if kind == "multiply":
            x, gate = inputs
            return x * gate.reshape(*gate.shape, *[1] * (x.dim() - gate.dim()))
        if kind == "concat":
            return torch.cat(inputs, 1)
        if kind == "global-average-pool":
            return inputs[0].flatten(2).mean(2)
        if kind == "pad-channels":
            return F.pad(inputs[0], module.padding)
        return module(inputs[0])

    def forward(self, x):
        values = {"input": x.squeeze(2) if self.is_series else x}
        for module, (kind, name, inputs, done) in zip(self.layers, self.plan):
            values[name] = x = self._run(module, kind, [values[i] for i in inputs])
            for value in done:
                del values[value]
        return x
