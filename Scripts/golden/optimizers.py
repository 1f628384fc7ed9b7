"""Golden values of the optimizers: ten steps of torch.optim on a vector of 33 weights.

Run from anywhere, with torch and numpy installed:   python3 Scripts/golden/optimizers.py
Writes Tests/NeuralNetworkTests/Golden/optimizers.{json,bin}. Deterministic. Step t's gradient sum
is `values(33, 10 + t)` times 8, over 8 samples; all in float32.
"""

import numpy as np
import torch

from golden import Writer, values

COUNT = 33
CASES = {
    "sgd": (torch.optim.SGD, dict(lr=0.1)),
    "sgd-decay": (torch.optim.SGD, dict(lr=0.1, weight_decay=0.02)),
    "momentum": (torch.optim.SGD, dict(lr=0.1, momentum=0.9)),
    "nesterov": (torch.optim.SGD, dict(lr=0.1, momentum=0.8, nesterov=True)),
    "nesterov-decay": (
        torch.optim.SGD, dict(lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01),
    ),
    "adam": (torch.optim.Adam, dict(lr=0.001, eps=1e-7)),
    "adam-decay": (
        torch.optim.Adam, dict(lr=0.01, betas=(0.8, 0.99), eps=1e-5, weight_decay=0.03),
    ),
    "adamw": (torch.optim.AdamW, dict(lr=0.001, eps=1e-7)),
    "adamw-decay": (
        torch.optim.AdamW, dict(lr=0.02, betas=(0.85, 0.97), eps=1e-8, weight_decay=0.2),
    ),
}


def main():
    writer = Writer("optimizers")
    for name, (kind, numbers) in CASES.items():
        weights = torch.tensor(values(COUNT, 9)).requires_grad_()
        optimizer = kind([weights], **numbers)
        tensors = {}
        for step in range(1, 11):
            weights.grad = torch.tensor(values(COUNT, 10 + step))
            optimizer.step()
            if step in (1, 2, 10):
                tensors[f"step{step}"] = weights.detach().numpy().copy()
        for key, value in optimizer.state[weights].items():
            if torch.is_tensor(value) and value.numel() == COUNT:
                tensors[key] = value.numpy()
        settings = {
            "learning-rate": numbers["lr"],
            "momentum": numbers.get("momentum", 0),
            "nesterov": 1 if numbers.get("nesterov") else 0,
            "weight-decay": optimizer.defaults["weight_decay"],
            "epsilon": numbers.get("eps", 0),
            "beta1": numbers.get("betas", (0.9, 0.999))[0],
            "beta2": numbers.get("betas", (0.9, 0.999))[1],
        }
        writer.add(name, tensors, **settings)
    writer.write()


if __name__ == "__main__":
    main()
