"""Golden values of what surrounds an update: clipping, decay without 1-D tensors, averaged weights.

Run from anywhere, with torch and numpy installed:   python3 Scripts/golden/updates.py
Writes Tests/NeuralNetworkTests/Golden/updates.{json,bin}. Deterministic, a second or two; PyTorch
computes in double.

`clip-…`: the gradients are the parameters of the case, by name, in the file's order of their
`offset`. Settings: `max`, `norm` (of all gradients together) and `factor` = min(1, max / (norm +
1e-6)), by which clip_grad_norm_ multiplies. Tensor "clipped.NAME" has the elements `picks(count)`
of the clipped gradient.

`decay-1d-…` and `ema-…`: 33 weights in two tensors, a matrix [4, 5] named "matrix" and a vector
[13] named "vector", both parameters of the case. The gradient of step t (from 1) is
`numbers("step<t>", 33)`, the matrix first. "step1", "step2", "step10" hold the 33 weights, the
matrix first. In `decay-1d-…` only the matrix decays.

`ema-…` has plain SGD, and the averages after steps 1, 2 and 10. "ema<t>" starts from the initial
weights: ema <- decay * ema + (1 - decay) * w. "torch<t>" is torch.optim.swa_utils.AveragedModel
with get_ema_multi_avg_fn, whose first update copies the weights after step 1.
"""

import math

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from golden import Parameter, Writer, numbers, picks

SHAPES = {"matrix": (4, 5), "vector": (13,)}
CLIPS = {
    "clip-small": ({"a": (3, 4), "b": (5,)}, 1.0, 1.0),
    "clip-not": ({"a": (3, 4), "b": (5,)}, 1.0, 100.0),
    "clip-blocks": ({"a": (37, 61), "b": (61,), "c": (8, 4, 3, 3), "d": (1,)}, 4.0, 2.5),
    "clip-zero": ({"a": (7,)}, 0.0, 1.0),
    "clip-tiny": ({"a": (1030,), "b": (6,)}, 2.0**-12, 2.0**-10),
}
OPTIMIZERS = {
    "sgd": (torch.optim.SGD, dict(lr=0.1, weight_decay=0.05)),
    "momentum": (torch.optim.SGD, dict(lr=0.1, momentum=0.9, weight_decay=0.05)),
    "nesterov": (
        torch.optim.SGD, dict(lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.05),
    ),
    "adamw": (torch.optim.AdamW, dict(lr=0.02, eps=1e-8, weight_decay=0.2)),
}
STEPS = (1, 2, 10)


class Weights(torch.nn.Module):
    """The matrix and the vector."""

    def __init__(self):
        super().__init__()
        self.start = {name: Parameter(shape, 0, 1) for name, shape in SHAPES.items()}
        for name, parameter in self.start.items():
            value = torch.tensor(parameter.values(name)).double()
            self.register_parameter(name, torch.nn.Parameter(value))

    def set_gradients(self, step):
        flat, start = torch.tensor(numbers(f"step{step}", 33)).double(), 0
        for parameter in self.parameters():
            parameter.grad = flat[start : start + parameter.numel()].reshape(parameter.shape)
            start += parameter.numel()

    def flat(self):
        return np.concatenate([p.detach().numpy().reshape(-1) for p in self.parameters()])


def clips(writer):
    for name, (shapes, scale, limit) in CLIPS.items():
        start = {key: Parameter(shape, 0, scale) for key, shape in shapes.items()}
        parameters = []
        for key, parameter in start.items():
            gradient = torch.tensor(parameter.values(key)).double()
            parameters.append(torch.nn.Parameter(torch.zeros_like(gradient)))
            parameters[-1].grad = gradient
        norm = torch.nn.utils.clip_grad_norm_(parameters, limit).item()
        tensors = {}
        for key, parameter in zip(start, parameters):
            flat = parameter.grad.numpy().reshape(-1)
            tensors[f"clipped.{key}"] = flat[picks(flat.size)]
        writer.add(
            name, tensors, None, start,
            max=limit, norm=norm, factor=min(1.0, limit / (norm + 1e-6)),
        )


def decays(writer):
    for name, (kind, given) in OPTIMIZERS.items():
        weights = Weights()
        optimizer = kind(
            [
                {"params": [weights.matrix]},
                {"params": [weights.vector], "weight_decay": 0.0},
            ],
            **given,
        )
        tensors = {}
        for step in range(1, 11):
            weights.set_gradients(step)
            optimizer.step()
            if step in STEPS:
                tensors[f"step{step}"] = weights.flat()
        settings = {
            "learning-rate": given["lr"],
            "momentum": given.get("momentum", 0),
            "nesterov": int(given.get("nesterov", False)),
            "weight-decay": given["weight_decay"],
            "epsilon": given.get("eps", 0),
            "beta1": 0.9,
            "beta2": 0.999,
        }
        writer.add(f"decay-1d-{name}", tensors, None, weights.start, **settings)


def averages(writer):
    for decay in (0.9, 0.999):
        weights = Weights()
        averaged = AveragedModel(weights, multi_avg_fn=get_ema_multi_avg_fn(decay))
        average = start = weights.flat()
        optimizer = torch.optim.SGD(weights.parameters(), lr=0.5)
        tensors = {}
        for step in range(1, 11):
            weights.set_gradients(step)
            optimizer.step()
            averaged.update_parameters(weights)
            first = weights.flat() if step == 1 else first
            average = decay * average + (1 - decay) * weights.flat()
            if step in STEPS:
                tensors[f"step{step}"] = weights.flat()
                tensors[f"ema{step}"] = average
                tensors[f"torch{step}"] = averaged.module.flat()
        # PyTorch's average is ours but for the first update, whose trace fades.
        trace = decay**10 * (first - start)
        assert np.allclose(average + trace, averaged.module.flat(), rtol=0, atol=1e-14)
        writer.add(
            f"ema-{decay}", tensors, None, weights.start, **{"decay": decay, "learning-rate": 0.5}
        )


def main():
    writer = Writer("updates", compact=True)
    clips(writer)
    decays(writer)
    averages(writer)
    writer.write()


if __name__ == "__main__":
    main()
