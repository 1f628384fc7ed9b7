"""Golden values of the loss of mixed records: its value and gradient, by PyTorch in double.

Run from anywhere, with torch and numpy installed:   python3 Scripts/golden/mixed_losses.py
Writes Tests/NeuralNetworkTests/Golden/mixed_losses.{json,bin}. Deterministic, a second.

A record has the labels `labels(2 * count, classes)`, the first half its own and the second half the
other ones, and its own label weighs u = (1 + numbers("mixing", count)) / 2. The loss is PyTorch's
cross-entropy of probabilities, u for one label and 1 - u for the other, summed over the records:
setting `loss` is its value, tensor "gradient" its gradient. Logits and class weights are those of
losses.py. `weightSum` is the sum of u * w[own] + (1 - u) * w[other]; `correct` counts the largest
logits that are a record's own label.
"""

import torch
import torch.nn.functional as F

from golden import Parameter, Writer, labels, numbers

# Name -> (count, classes, scale, smoothing, weighted).
CASES = {
    "plain": (7, 10, 4, 0.0, False),
    "large": (5, 10, 256, 0.0, False),
    "two": (9, 2, 4, 0.0, False),
    "smoothing": (7, 10, 4, 0.1, False),
    "weights": (17, 10, 4, 0.0, True),
    "weights-smoothing": (17, 10, 4, 0.1, True),
}


def main():
    writer = Writer("mixed_losses", compact=True)
    for name, (count, classes, scale, smoothing, weighted) in CASES.items():
        weights = Parameter((classes,), 1.25, 0.5) if weighted else Parameter((classes,), 1, 0)
        w = torch.tensor(weights.values("class-weights")).double()
        z = torch.tensor(numbers("logits", count * classes, 0, scale)).double()
        z = z.reshape(count, classes).requires_grad_()
        both = torch.tensor(labels(2 * count, classes))
        own, other = both[:count], both[count:]
        u = ((torch.tensor(numbers("mixing", count)) + 1) / 2).double()
        target = u[:, None] * F.one_hot(own, classes) + (1 - u)[:, None] * F.one_hot(other, classes)
        loss = F.cross_entropy(
            z, target, w if weighted else None, label_smoothing=smoothing, reduction="sum"
        )
        loss.backward()
        writer.add(
            name, {"gradient": z.grad.numpy()}, None,
            {"class-weights": weights} if weighted else None,
            count=count, classes=classes, scale=scale, smoothing=smoothing, loss=loss.item(),
            weightSum=(u * w[own] + (1 - u) * w[other]).sum().item(),
            correct=int((z.argmax(1) == own).sum()),
        )
    writer.write()


if __name__ == "__main__":
    main()
