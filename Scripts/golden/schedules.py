"""Golden values of the learning rate's schedules: 1,000 updates of torch.optim.lr_scheduler.

Run from anywhere, with torch and numpy installed:   python3 Scripts/golden/schedules.py
Writes Tests/NeuralNetworkTests/Golden/schedules.{json,bin}. Deterministic, a second or two.

Update u (from 0) takes the rate that the scheduler has after u of its steps. Tensors "rate" and
"rest" hold every 7th update, u = 0, 7, … 994; the rate is their sum in double. Every schedule comes
over 1,000 updates:

    NAME          without warm-up
    NAME-warmup   LinearLR from `warmup.start` times the schedule's first rate, over `warmup`
                  updates, then the schedule from its own update 0 (SequentialLR); where it has a
                  length, that is 1,000 - `warmup`
    NAME-warmup-steps   so too, but update u < `warmup` has (u + 1) / `warmup` times the first rate
                        (constant and cosine only)

Settings: `kind` (an index into KINDS), `learning-rate`, and the schedule's own.
"""

import warnings

import numpy as np
import torch
from torch.optim import lr_scheduler

from golden import Writer

UPDATES, WARMUP, WARMUP_START, EVERY = 1000, 100, 0.01, 7
KINDS = ["constant", "step", "multi-step", "cosine", "polynomial", "one-cycle"]
RATE = 0.1

# Name -> (kind, settings, scheduler of (optimizer, length)).
CASES = {
    "constant": ("constant", {}, lambda o, n: lr_scheduler.LambdaLR(o, lambda u: 1.0)),
    "step": (
        "step", {"every": 300, "factor": 0.1},
        lambda o, n: lr_scheduler.StepLR(o, 300, 0.1),
    ),
    "step-odd": (
        "step", {"every": 7, "factor": 0.97},
        lambda o, n: lr_scheduler.StepLR(o, 7, 0.97),
    ),
    "multi-step": (
        "multi-step", {"milestone1": 203, "milestone2": 500, "milestone3": 882, "factor": 0.2},
        lambda o, n: lr_scheduler.MultiStepLR(o, [203, 500, 882], 0.2),
    ),
    "cosine": (
        "cosine", {"minimum": 0.0}, lambda o, n: lr_scheduler.CosineAnnealingLR(o, n),
    ),
    "cosine-minimum": (
        "cosine", {"minimum": 0.001},
        lambda o, n: lr_scheduler.CosineAnnealingLR(o, n, eta_min=0.001),
    ),
    "polynomial": (
        "polynomial", {"power": 2.0}, lambda o, n: lr_scheduler.PolynomialLR(o, n, 2.0),
    ),
    "polynomial-linear": (
        "polynomial", {"power": 1.0}, lambda o, n: lr_scheduler.PolynomialLR(o, n, 1.0),
    ),
    "polynomial-root": (
        "polynomial", {"power": 0.5}, lambda o, n: lr_scheduler.PolynomialLR(o, n, 0.5),
    ),
    # OneCycleLR: up from rate / divisor to the rate at update `rising` * length - 1, then down to
    # rate / divisor / last-divisor at the last update, length - 1.
    "one-cycle": (
        "one-cycle", {"rising": 0.3, "divisor": 25, "last-divisor": 1e4, "linear": 0},
        lambda o, n: lr_scheduler.OneCycleLR(o, RATE, n, cycle_momentum=False),
    ),
    "one-cycle-linear": (
        "one-cycle", {"rising": 0.25, "divisor": 10, "last-divisor": 100, "linear": 1},
        lambda o, n: lr_scheduler.OneCycleLR(
            o, RATE, n, pct_start=0.25, anneal_strategy="linear", div_factor=10,
            final_div_factor=100, cycle_momentum=False,
        ),
    ),
}


def run(make, count, rate=RATE):
    """The rates of `count` updates with the scheduler that `make(optimizer)` gives."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=rate)
    scheduler = make(optimizer)
    rates = []
    for update in range(count):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if update + 1 < count:
            scheduler.step()
    return np.array(rates, dtype=np.float64)


def warm(optimizer):
    return lr_scheduler.LinearLR(optimizer, WARMUP_START, 1.0, WARMUP)


def main():
    # PyTorch warns of SequentialLR's own call of step().
    warnings.simplefilter("ignore")
    writer = Writer("schedules", compact=True)
    for name, (kind, settings, make) in CASES.items():
        plain = run(lambda o: make(o, UPDATES), UPDATES)
        rest = UPDATES - WARMUP
        main_part = run(lambda o: make(o, rest), rest)
        linear = run(warm, WARMUP, main_part[0])
        gradual = main_part[0] * (np.arange(WARMUP) + 1) / WARMUP
        if kind != "one-cycle":
            # One scheduler after the other, by PyTorch itself.
            whole = run(
                lambda o: lr_scheduler.SequentialLR(o, [warm(o), make(o, rest)], [WARMUP]),
                UPDATES,
            )
            found = np.concatenate([linear, main_part])
            assert np.allclose(whole, found, rtol=1e-12, atol=1e-16), name
        for suffix, rates, warmup, start in [
            ("", plain, 0, 0),
            ("-warmup", np.concatenate([linear, main_part]), WARMUP, WARMUP_START),
            ("-warmup-steps", np.concatenate([gradual, main_part]), WARMUP, 0),
        ]:
            stored = rates[::EVERY]
            if suffix == "-warmup-steps" and name not in ("constant", "cosine"):
                continue
            high = stored.astype(np.float32)
            writer.add(
                name + suffix, {"rate": high, "rest": stored - high},
                **{
                    "kind": KINDS.index(kind), "learning-rate": RATE, "updates": UPDATES,
                    "every-stored": EVERY, "warmup": warmup, "warmup.start": start, **settings,
                },
            )
    writer.write()


if __name__ == "__main__":
    main()
