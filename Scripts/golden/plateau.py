"""Golden values of reductions on a plateau: torch.optim.lr_scheduler.ReduceLROnPlateau.

Run from anywhere, with torch and numpy installed:   python3 Scripts/golden/plateau.py
Writes Tests/NeuralNetworkTests/Golden/plateau.{json,bin}. Deterministic, a second or two.

Tensor "metric" is what the scheduler sees after each of EPOCHS epochs: a loss (mode min), or a
number of correct records out of RECORDS, divided by RECORDS in double (mode max). "rate" and "rest"
are the rate after each epoch; it is their sum in double.

Settings: `is-accuracy`, `learning-rate`, `records`, and the scheduler's own arguments.
"""

import numpy as np
import torch
from torch.optim import lr_scheduler

from golden import Writer, numbers

EPOCHS, RECORDS, RATE = 120, 1000, 0.1

USUAL = {
    "factor": 0.1, "patience": 10, "threshold": 1e-4, "is-relative": 1, "cooldown": 0, "min-lr": 0.0,
}

# Name -> (is-accuracy, noise, what differs from PyTorch's defaults).
CASES = {
    "loss": (0, 0.05, {}),
    "accuracy": (1, 0.02, {}),
    "loss-short": (0, 0.05, {"factor": 0.5, "patience": 2, "threshold": 0.01, "cooldown": 1}),
    "loss-absolute": (0, 0.05, {"factor": 0.7, "patience": 1, "threshold": 0.02, "is-relative": 0}),
    "loss-cooldown": (0, 0.02, {"factor": 0.3, "patience": 3, "cooldown": 5}),
    "loss-minimum": (0, 0.05, {"factor": 0.4, "patience": 2, "min-lr": 0.004}),
    "loss-epsilon": (0, 0.01, {"factor": 0.1, "patience": 0}),
    "accuracy-short": (1, 0.02, {"factor": 0.5, "patience": 2, "threshold": 0.01, "cooldown": 2}),
    "accuracy-absolute": (
        1, 0.02, {"factor": 0.9, "patience": 1, "threshold": 0.005, "is-relative": 0},
    ),
    "accuracy-minimum": (1, 0.02, {"factor": 0.2, "patience": 1, "min-lr": 0.0003}),
    "accuracy-eager": (1, 0.02, {"factor": 0.97, "patience": 0, "threshold": 0.0}),
}


def metrics(name, is_accuracy, noise):
    """A metric that improves more and more slowly, with noise."""
    place = np.arange(EPOCHS)
    shaken = noise * numbers(name, EPOCHS).astype(np.float64)
    if is_accuracy:
        share = 0.9 - 0.6 * 0.93**place + shaken
        return np.round(share * RECORDS).astype(np.float32)
    return (0.3 + 1.9 * 0.92**place + shaken).astype(np.float32)


def main():
    writer = Writer("plateau", compact=True)
    for name, (is_accuracy, noise, changed) in CASES.items():
        settings = {**USUAL, **changed}
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=RATE)
        scheduler = lr_scheduler.ReduceLROnPlateau(
            optimizer, mode="max" if is_accuracy else "min", factor=settings["factor"],
            patience=settings["patience"], threshold=settings["threshold"],
            threshold_mode="rel" if settings["is-relative"] else "abs",
            cooldown=settings["cooldown"], min_lr=settings["min-lr"],
        )
        metric, rates = metrics(name, is_accuracy, noise), []
        for value in metric:
            optimizer.step()
            scheduler.step(float(value) / RECORDS if is_accuracy else float(value))
            rates.append(optimizer.param_groups[0]["lr"])
        rates = np.array(rates, dtype=np.float64)
        high = rates.astype(np.float32)
        writer.add(
            name, {"metric": metric, "rate": high, "rest": rates - high},
            **{"is-accuracy": is_accuracy, "learning-rate": RATE, "records": RECORDS, **settings},
        )
        print(f"{name}: {len(set(rates))} rates")
    writer.write()


if __name__ == "__main__":
    main()
