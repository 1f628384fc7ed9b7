"""Golden values of whole models: loss and gradient of a batch, and weights after five steps.

Run from anywhere, with torch and numpy installed:   python3 Scripts/golden/training.py
Writes Tests/NeuralNetworkTests/Golden/training.{json,bin}. Deterministic. PyTorch computes in
float32 with its own optimizers. Dropout's masks are Convoy's, from their definition in golden.py.
Of a tensor with more than 1,000 elements every n-th is stored.
"""

import numpy as np
import torch
import torch.nn.functional as F

from golden import Model, Writer, dropout_mask, values

SEED, EPOCH, FIRST_RECORD = 7, 3, 1000


def cnn(input_shape):
    return {
        "input": input_shape,
        "layers": [
            {"conv2d": {"filters": 32, "kernel": 3, "activation": "relu"}},
            {"max-pool2d": {"size": 2}},
            {"conv2d": {"filters": 64, "kernel": 3, "activation": "relu"}},
            {"max-pool2d": {"size": 2}},
            {"conv2d": {"filters": 64, "kernel": 3, "activation": "relu"}},
            {"flatten": {}},
            {"dense": {"units": 64, "activation": "relu"}},
            {"dropout": {"rate": 0.5}},
            {"dense": {"units": 10}},
        ],
    }


CASES = {
    "cnn-3x32x32": (cnn([3, 32, 32]), 10),
    "cnn-1x28x28": (cnn([1, 28, 28]), 8),
    "strides": (
        {
            "input": [3, 17, 15],
            "layers": [
                {
                    "conv2d": {
                        "filters": 6, "kernel": 5, "stride": 2, "padding": "same",
                        "activation": "relu",
                    }
                },
                {"conv2d": {"filters": 8, "kernel": [3, 5], "activation": "relu"}},
                {"flatten": {}},
                {"dense": {"units": 5}},
            ],
        },
        6,
    ),
    "two-pools": (
        {
            "input": [2, 19, 13],
            "layers": [
                {"conv2d": {"filters": 4, "kernel": 3, "activation": "relu"}},
                {"max-pool2d": {"size": 3, "stride": 2}},
                {"conv2d": {"filters": 5, "kernel": 3, "padding": "same", "activation": "relu"}},
                {"max-pool2d": {"size": 2, "padding": "same"}},
                {"flatten": {}},
                {"dense": {"units": 16, "activation": "relu"}},
                {"dense": {"units": 4}},
            ],
        },
        11,
    ),
    "padding": (
        {
            "input": [1, 11, 11],
            "layers": [
                {"conv2d": {"filters": 4, "kernel": 4, "padding": "same"}},
                {"relu": {}},
                {"max-pool2d": {"size": [2, 3], "stride": [1, 2]}},
                {"conv2d": {"filters": 6, "kernel": 1}},
                {"dropout": {"rate": 0.25}},
                {"flatten": {}},
                {"dense": {"units": 3}},
            ],
        },
        9,
    ),
    "perceptron": (
        {
            "input": [1, 6, 7],
            "layers": [
                {"flatten": {}},
                {"dense": {"units": 12, "activation": "relu"}},
                {"dense": {"units": 10}},
            ],
        },
        5,
    ),
}

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.05),
    "momentum": lambda p: torch.optim.SGD(
        p, lr=0.02, momentum=0.9, nesterov=True, weight_decay=0.01
    ),
    "adam": lambda p: torch.optim.Adam(p, lr=0.001, eps=1e-7),
}


def pick(tensor):
    flat = tensor.detach().numpy().reshape(-1)
    return flat[:: -(-flat.size // 1000)]


def main():
    writer = Writer("training")
    for name, (spec, count) in CASES.items():
        images = (values(count * int(np.prod(spec["input"])), 1) + np.float32(1)) / np.float32(2)
        x = torch.tensor(images.reshape(count, *spec["input"]))

        def masks(index, value):
            rate = spec["layers"][index]["dropout"]["rate"]
            size = value[0].numel()
            rows = [
                dropout_mask(size, rate, SEED, EPOCH, FIRST_RECORD + i, index) for i in range(count)
            ]
            return torch.tensor(np.stack(rows).reshape(value.shape))

        tensors, settings = {}, {}
        for optimizer_name, make in OPTIMIZERS.items():
            model = Model(spec, torch.float32)
            optimizer = make(model.parameters)
            for step in range(5):
                optimizer.zero_grad()
                logits = model.forward(x, masks)
                labels = torch.tensor([(7 * i + 3) % logits.shape[1] for i in range(count)])
                loss = F.cross_entropy(logits, labels, reduction="sum")
                (loss / count).backward()
                if step == 0 and optimizer_name == "sgd":
                    settings["loss"] = loss.item()
                    settings["correct"] = int((logits.argmax(1) == labels).sum())
                    gradients = [p.grad * count for p in model.parameters]
                    tensors["gradient"] = np.concatenate([pick(g) for g in gradients])
                    tensors["gradient.largest"] = [g.abs().max().item() for g in gradients]
                optimizer.step()
            tensors[optimizer_name] = np.concatenate([pick(p) for p in model.parameters])
            tensors[f"{optimizer_name}.largest"] = [
                p.detach().abs().max().item() for p in model.parameters
            ]
        tensors["logits"] = Model(spec, torch.float32).forward(x).detach().numpy()
        writer.add(
            name, tensors, model=spec, count=count, seed=SEED, epoch=EPOCH, record=FIRST_RECORD,
            **settings,
        )
    writer.write()


if __name__ == "__main__":
    main()
