"""The solar cells in PyTorch, as Cluster/solar.yaml trains them in Convoy.

    torch_solar.py DIR LIST MODEL [--seed N] [--epochs N] ...

DIR has the pictures, LIST is what `convoy data list` prints for them: split, number, label and path
below DIR, between tabs. MODEL is what `convoy models FILE` prints. Pictures are decoded and resized
by Pillow. Network, order of the transformations, schedule and batches are those of Convoy: a step
has two microbatches, each with its own statistics of batch normalisation. Random numbers are not.

Prints a line of JSON an epoch; the last one has the final accuracy.
"""

import argparse
import json
import math
import pathlib
import time

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from torch_model_file import ModelFile


def read(root, listed, size):
    """Images [N, 1, size, size] from 0 to 1, and labels, of each split; and the classes."""
    rows = [line.split("\t", 3) for line in pathlib.Path(listed).read_text().splitlines()]
    classes = sorted({row[2] for row in rows})
    splits = {}
    for split in ("training", "test"):
        chosen = [row for row in rows if row[0] == split]
        images = []
        for row in chosen:
            with Image.open(pathlib.Path(root) / row[3]) as image:
                small = image.convert("L").resize((size, size), Image.Resampling.BILINEAR)
            images.append(np.asarray(small))
        pixels = torch.from_numpy(np.stack(images)).unsqueeze(1).float() / 255
        splits[split] = pixels, torch.tensor([classes.index(row[2]) for row in chosen])
    return splits, classes


def augmented(images, padding):
    """Each picture mirrored or not, upside down or not, then cut out of a border of zeros."""
    count, _, height, width = images.shape
    padded = F.pad(images, (padding,) * 4)
    rows = torch.arange(height).expand(count, -1).clone()
    columns = torch.arange(width).expand(count, -1).clone()
    is_upside_down, is_mirrored = torch.rand(2, count) < 0.5
    down, right = torch.randint(-padding, padding + 1, (2, count, 1))
    # The window moves over the picture that was turned: its border of zeros turns with it.
    rows, columns = rows + down, columns + right
    rows[is_upside_down] = height - 1 - rows[is_upside_down]
    columns[is_mirrored] = width - 1 - columns[is_mirrored]
    index = torch.arange(count)[:, None, None]
    return padded[index, 0, rows[:, :, None] + padding, columns[:, None, :] + padding].unsqueeze(1)


def initialise(network):
    """He-uniform convolutions, Glorot-uniform dense layers, and no biases."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)


def main():
    """Trains and reports."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory")
    parser.add_argument("list")
    parser.add_argument("model")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--microbatches", type=int, default=2, help="of a step")
    parser.add_argument("--rate", type=float, default=0.1)
    parser.add_argument("--decay", type=float, default=5e-4)
    parser.add_argument("--warmup", type=float, default=2, help="epochs")
    parser.add_argument("--mean", type=float, default=0.596)
    parser.add_argument("--std", type=float, default=0.158)
    parser.add_argument("--padding", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)

    network = ModelFile(arguments.model)
    initialise(network)
    splits, classes = read(arguments.directory, arguments.list, network.shape[1])
    images, labels = splits["training"]
    test_images, test_labels = splits["test"]
    images = (images - arguments.mean) / arguments.std
    test_images = (test_images - arguments.mean) / arguments.std
    network = network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        network.parameters(), lr=arguments.rate, momentum=0.9, weight_decay=arguments.decay)
    steps = -(-len(images) // arguments.batch)
    total, warmup = steps * arguments.epochs, int(steps * arguments.warmup)

    def factor(step):
        if step < warmup:
            return (step + 1) / (warmup + 1)
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    for epoch in range(arguments.epochs):
        network.train()
        begin, order = time.monotonic(), torch.randperm(len(images))
        for records in order.split(arguments.batch):
            optimizer.zero_grad(set_to_none=True)
            for part in records.chunk(arguments.microbatches):
                batch = augmented(images[part], arguments.padding)
                batch = batch.contiguous(memory_format=torch.channels_last)
                loss = F.cross_entropy(network(batch), labels[part], reduction="sum")
                (loss / len(records)).backward()
            optimizer.step()
            schedule.step()
        seconds = time.monotonic() - begin
        network.eval()
        with torch.no_grad():
            found = torch.cat([network(part).argmax(1) for part in test_images.split(500)])
        right = int((found == test_labels).sum())
        print(
            json.dumps(
                {"epoch": epoch + 1, "test_accuracy": right / len(test_labels), "right": right,
                 "classes": classes, "images_per_second": round(len(images) / seconds)}
            ),
            flush=True,
        )


main()
