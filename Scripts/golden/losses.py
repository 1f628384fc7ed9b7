"""Golden values of the losses: their value and gradient, by PyTorch in double.

Run from anywhere, with torch and numpy installed:   python3 Scripts/golden/losses.py
Writes Tests/NeuralNetworkTests/Golden/losses.{json,bin}. Deterministic, a second.

Cross-entropy: logits are `numbers("logits", …, 0, scale)`, the labels `labels(count, classes)`, the
class weights the parameter "class-weights" (all one where the case has none). The loss is PyTorch's
in one process: the weighted sum over the sum of the labels' weights, `weightSum`. Tensor "gradient"
is that of this mean, and settings `loss` is its value; `correct` counts the largest logits that are
labels.

`mse` and `bce` (with logits): outputs are `numbers("logits", …)`; targets are `numbers("targets",
…)`, for `bce` (t + 1) / 2. Their mean is over all elements, count x classes.
"""

import torch
import torch.nn.functional as F

from golden import Parameter, Writer, labels, numbers

# Name -> (count, classes, scale, smoothing, weighted).
CASES = {
    "plain": (7, 10, 4, 0.0, False),
    "smoothing": (7, 10, 4, 0.1, False),
    "smoothing-large": (5, 10, 256, 0.1, False),
    "smoothing-two": (9, 2, 4, 0.3, False),
    "smoothing-one-class": (3, 1, 1, 0.1, False),
    "smoothing-all": (4, 5, 2, 1.0, False),
    "weights": (17, 10, 4, 0.0, True),
    "weights-two": (9, 2, 4, 0.0, True),
    "weights-one-record": (1, 10, 4, 0.0, True),
    "weights-smoothing": (17, 10, 4, 0.1, True),
    "weights-smoothing-many": (3, 101, 32, 0.2, True),
}


def main():
    writer = Writer("losses", compact=True)
    for name, (count, classes, scale, smoothing, weighted) in CASES.items():
        weights = Parameter((classes,), 1.25, 0.5) if weighted else Parameter((classes,), 1, 0)
        w = torch.tensor(weights.values("class-weights")).double()
        z = torch.tensor(numbers("logits", count * classes, 0, scale)).double()
        z = z.reshape(count, classes).requires_grad_()
        y = torch.tensor(labels(count, classes))
        loss = F.cross_entropy(z, y, w if weighted else None, label_smoothing=smoothing)
        loss.backward()
        writer.add(
            f"cross-entropy-{name}", {"gradient": z.grad.numpy()}, None,
            {"class-weights": weights} if weighted else None,
            count=count, classes=classes, scale=scale, smoothing=smoothing,
            loss=loss.item(), weightSum=w[y].sum().item(),
            correct=int((z.argmax(1) == y).sum()),
        )
    for kind, count, size, scale in [
        ("mse", 5, 3, 2), ("mse", 9, 1, 1), ("bce", 5, 4, 4), ("bce", 2, 3, 256),
    ]:
        z = torch.tensor(numbers("logits", count * size, 0, scale)).double().requires_grad_()
        t = torch.tensor(numbers("targets", count * size)).double()
        if kind == "mse":
            loss = F.mse_loss(z, t)
        else:
            loss = F.binary_cross_entropy_with_logits(z, (t + 1) / 2)
        loss.backward()
        writer.add(
            f"{kind}-{count}x{size}", {"gradient": z.grad.numpy()},
            count=count, classes=size, scale=scale, loss=loss.item(),
        )
    writer.write()


if __name__ == "__main__":
    main()
