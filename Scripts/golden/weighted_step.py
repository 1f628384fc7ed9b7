"""One step with class weights, by PyTorch in double: the golden value of a step of two workers.

Run from anywhere, with torch and numpy installed:   python3 Scripts/golden/weighted_step.py
Writes Tests/NeuralNetworkTests/Golden/weighted_step.{json,bin}. Deterministic, a second.

A linear model of `classes` outputs takes `count` records. Images are `numbers("input", …)`, labels
`labels(count, classes)`, weights and biases the parameters "dense1.weight" and "dense1.bias", class
weights the parameter "class-weights". Tensor "weights" is the flat vector after one step of SGD on
torch.nn.CrossEntropyLoss over all records at once; settings `loss` is that loss. Tensor "averaged"
is the vector after a step on the mean of the losses of the first `first` records and of the rest,
which is what averaging over two processes gives. The two differ.
"""

import numpy as np
import torch
import torch.nn.functional as F

from golden import Parameter, Writer, labels, numbers

# Name -> (records, those of the first worker, classes, smoothing).
CASES = {"plain": (12, 4, 3, 0.0), "smoothing": (16, 7, 5, 0.1)}
SIDE = 3


def main():
    writer = Writer("weighted_step", compact=True)
    for name, (count, first, classes, smoothing) in CASES.items():
        parameters = {
            "dense1.weight": Parameter((classes, SIDE * SIDE), 0, 0.5),
            "dense1.bias": Parameter((classes,), 0, 0.25),
            "class-weights": Parameter((classes,), 2, 2),
        }
        start = {key: value.values(key) for key, value in parameters.items()}
        weights = torch.tensor(start["class-weights"]).double()
        x = torch.tensor(numbers("input", count * SIDE * SIDE)).double().reshape(count, -1)
        y = torch.tensor(labels(count, classes))

        def step(losses):
            w = torch.tensor(start["dense1.weight"]).double().requires_grad_()
            b = torch.tensor(start["dense1.bias"]).double().requires_grad_()
            loss = losses(F.linear(x, w, b))
            loss.backward()
            flat = [(t - rate * t.grad).detach().numpy().reshape(-1) for t in (w, b)]
            return loss.item(), np.concatenate(flat)

        def loss(z, part):
            return F.cross_entropy(z[part], y[part], weights, label_smoothing=smoothing)

        rate = 0.5
        whole, stepped = step(lambda z: loss(z, slice(None)))
        _, averaged = step(lambda z: (loss(z, slice(first)) + loss(z, slice(first, None))) / 2)
        model = {"input": [1, SIDE, SIDE], "layers": ["flatten", {"dense": {"units": classes}}]}
        writer.add(
            name, {"weights": stepped, "averaged": averaged}, model, parameters,
            count=count, first=first, classes=classes, smoothing=smoothing, rate=rate, loss=whole,
        )
    writer.write()


if __name__ == "__main__":
    main()
