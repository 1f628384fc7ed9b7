"""Golden values of each layer kind: outputs and gradients, computed by PyTorch in double.

Run from anywhere, with torch and numpy installed:   python3 Scripts/golden/layers.py
Writes Tests/NeuralNetworkTests/Golden/layers.{json,bin}. Deterministic.
"""

import numpy as np
import torch
import torch.nn.functional as F

from golden import Model, Writer, values


def conv(input_shape, **settings):
    return {"input": input_shape, "layers": [{"conv2d": settings}]}


def pool(input_shape, **settings):
    return {"input": input_shape, "layers": [{"max-pool2d": settings}]}


CASES = {
    "conv-1x1": conv([3, 5, 4], filters=4, kernel=1),
    "conv-1x1-stride-2": conv([2, 7, 6], filters=3, kernel=1, stride=2),
    "conv-3x3": conv([1, 6, 7], filters=2, kernel=3),
    "conv-3x3-channels": conv([5, 9, 8], filters=17, kernel=3),
    "conv-3x3-relu": conv([3, 8, 8], filters=16, kernel=3, activation="relu"),
    "conv-3x3-same": conv([2, 7, 5], filters=3, kernel=3, padding="same"),
    "conv-3x3-same-relu": conv([4, 6, 6], filters=8, kernel=3, padding="same", activation="relu"),
    "conv-3x3-stride-2": conv([2, 9, 8], filters=4, kernel=3, stride=2),
    "conv-3x3-stride-2-same": conv([3, 8, 9], filters=4, kernel=3, stride=2, padding="same"),
    "conv-2x2-same": conv([2, 5, 5], filters=3, kernel=2, padding="same"),
    "conv-4x4-stride-3-same": conv([2, 10, 11], filters=3, kernel=4, stride=3, padding="same"),
    "conv-5x5": conv([2, 8, 9], filters=3, kernel=5),
    "conv-5x5-same": conv([1, 4, 3], filters=2, kernel=5, padding="same"),
    "conv-5x5-stride-2-same": conv([3, 11, 7], filters=4, kernel=5, stride=2, padding="same"),
    "conv-3x5": conv([2, 6, 9], filters=3, kernel=[3, 5]),
    "conv-3x5-same-stride-1x2": conv(
        [2, 6, 9], filters=3, kernel=[3, 5], stride=[1, 2], padding="same"
    ),
    "conv-stride-beyond-kernel": conv([2, 11, 10], filters=2, kernel=2, stride=[3, 4]),
    "conv-whole-image": conv([3, 4, 5], filters=6, kernel=[4, 5]),
    "pool-2": pool([3, 6, 8], size=2),
    "pool-2-odd": pool([2, 7, 5], size=2),
    "pool-2-odd-same": pool([2, 7, 5], size=2, padding="same"),
    "pool-3-stride-2": pool([2, 9, 8], size=3, stride=2),
    "pool-3-stride-2-same": pool([2, 8, 9], size=3, stride=2, padding="same"),
    "pool-3-stride-1-same": pool([16, 5, 6], size=3, stride=1, padding="same"),
    "pool-2x3-stride-1x2": pool([2, 6, 9], size=[2, 3], stride=[1, 2]),
    "pool-2-ties": pool([3, 6, 6], size=2),
    "pool-3-stride-2-ties": pool([2, 9, 9], size=3, stride=2),
    "pool-3-stride-2-same-ties": pool([2, 8, 8], size=3, stride=2, padding="same"),
    "dense": {"input": [2, 3, 4], "layers": [{"flatten": {}}, {"dense": {"units": 7}}]},
    "dense-relu": {
        "input": [1, 5, 5],
        "layers": [{"flatten": {}}, {"dense": {"units": 33, "activation": "relu"}}],
    },
    "dense-one": {"input": [1, 1, 1], "layers": [{"flatten": {}}, {"dense": {"units": 1}}]},
    "flatten": {"input": [3, 2, 4], "layers": [{"flatten": {}}]},
    "relu": {"input": [3, 4, 5], "layers": [{"relu": {}}]},
    "relu-ties": {"input": [3, 4, 5], "layers": [{"relu": {}}]},
    "conv-pool-conv": {
        "input": [3, 13, 12],
        "layers": [
            {"conv2d": {"filters": 8, "kernel": 3, "padding": "same", "activation": "relu"}},
            {"max-pool2d": {"size": 3, "stride": 2}},
            {"conv2d": {"filters": 5, "kernel": 3, "stride": 2, "padding": "same"}},
            {"relu": {}},
        ],
    },
}


def main():
    writer = Writer("layers")
    for name, spec in CASES.items():
        count = 3
        model = Model(spec, torch.float64)
        images = values(count * int(np.prod(spec["input"])), 1)
        if "ties" in name:
            images = np.round(images * 2) / 2 + np.float32(0)
        x = torch.tensor(images.reshape(count, *spec["input"])).double().requires_grad_()
        y = model.forward(x)
        y.backward(torch.tensor(values(y.numel(), 3).reshape(y.shape)).double())
        writer.add(
            name,
            {
                "outputs": y.detach().numpy(),
                "inputGradient": x.grad.numpy(),
                "parameterGradient": model.flat([p.grad for p in model.parameters]),
            },
            model=spec,
            count=count,
            quantized=1 if "ties" in name else 0,
        )
    writer.write()

    writer = Writer("softmax")
    for name, count, classes, scale in [
        ("small", 7, 10, 1),
        ("large", 5, 10, 200),
        ("two", 9, 2, 5),
        ("one", 3, 1, 1),
        ("many", 2, 101, 30),
    ]:
        logits = values(count * classes, 4) * np.float32(scale)
        labels = [(3 * i + 1) % classes for i in range(count)]
        z = torch.tensor(logits.reshape(count, classes)).double().requires_grad_()
        loss = F.cross_entropy(z, torch.tensor(labels), reduction="sum")
        loss.backward()
        correct = int((z.argmax(1) == torch.tensor(labels)).sum())
        writer.add(
            name,
            {"gradient": z.grad.numpy()},
            count=count, classes=classes, scale=scale, loss=loss.item(), correct=correct,
        )
    writer.write()


if __name__ == "__main__":
    main()
