"""ResNet-20 on an IDX data set in PyTorch, as Cluster/resnet20-fashion.yaml trains it in Convoy.

Trains from random weights, or only a new last layer behind the frozen trunk of a Convoy checkpoint,
whose batch normalisations then normalise by their running statistics. Prints a line of JSON an
epoch.
"""

import argparse
import gzip
import json
import math
import struct
import time

import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    """Two 3 x 3 convolutions beside the shortcut A of He et al."""

    def __init__(self, before, filters, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(before, filters, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(filters)
        self.stride, self.padding = stride, (filters - before) // 2

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        if self.stride > 1:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.padding, self.padding))
        return F.relu(y + x, inplace=True)


class ResNet20(nn.Module):
    """The built-in model `resnet20` for images of one channel."""

    def __init__(self, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        before = 16
        for stage, filters in enumerate((16, 32, 64), 1):
            blocks = []
            for index in range(3):
                blocks.append(Block(before, filters, 2 if index == 0 and stage > 1 else 1))
                before = filters
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
        self.fc = nn.Linear(64, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(x.mean((2, 3)))


def read_idx(path):
    """Reads an IDX file of bytes, compressed or not."""
    try:
        with gzip.open(path + ".gz") as file:
            data = file.read()
    except FileNotFoundError:
        with open(path, "rb") as file:
            data = file.read()
    rank = data[3]
    shape = struct.unpack(f">{rank}I", data[4 : 4 + 4 * rank])
    return torch.frombuffer(bytearray(data[4 + 4 * rank :]), dtype=torch.uint8).reshape(shape)


def read_tensors(path):
    """Reads the tensors of a safetensors file in fp32."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = bytearray(file.read())
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        values = torch.frombuffer(data[start:end], dtype=torch.float32)
        tensors[name] = values.reshape(entry["shape"]).clone()
    return tensors


def augmented(images):
    """Crops of images with two cells of padding, each mirrored or not."""
    count, _, height, width = images.shape
    padded = F.pad(images, (2, 2, 2, 2))
    rows = torch.randint(0, 5, (count, 1)) + torch.arange(height)
    columns = torch.randint(0, 5, (count, 1)) + torch.arange(width)
    is_mirrored = torch.rand(count) < 0.5
    columns[is_mirrored] = columns[is_mirrored].flip(1)
    index = torch.arange(count)[:, None, None]
    return padded[index, 0, rows[:, :, None], columns[:, None, :]].unsqueeze(1)


def main():
    """Trains and reports."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help="directory of the IDX files")
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=0.1)
    parser.add_argument("--decay", type=float, default=5e-4)
    parser.add_argument("--warmup", type=float, default=1, help="epochs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--trunk", help="a checkpoint's model.safetensors; only fc is trained")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)

    def split(name):
        images = read_idx(f"{arguments.data}/{name}-images-idx3-ubyte").unsqueeze(1)
        labels = read_idx(f"{arguments.data}/{name}-labels-idx1-ubyte").long()
        return (images.float() / 255 - 0.2860) / 0.3530, labels

    images, labels = split("train")
    test_images, test_labels = split("t10k")
    network = ResNet20(arguments.classes)
    trained = list(network.parameters())
    if arguments.trunk:
        tensors = read_tensors(arguments.trunk)
        tensors = {name: values for name, values in tensors.items() if not name.startswith("fc.")}
        missing = network.load_state_dict(tensors, strict=False)
        unknown = [n for n in missing.missing_keys if "num_batches" not in n and n[:3] != "fc."]
        assert not unknown and not missing.unexpected_keys, missing
        for name, parameter in network.named_parameters():
            parameter.requires_grad = name.startswith("fc.")
        trained = list(network.fc.parameters())
    network = network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        trained, lr=arguments.rate, momentum=0.9, weight_decay=arguments.decay, fused=True
    )
    steps = -(-len(images) // arguments.batch)
    total, warmup = steps * arguments.epochs, int(steps * arguments.warmup)

    def factor(step):
        if step < warmup:
            return (step + 1) / (warmup + 1)
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    for epoch in range(arguments.epochs):
        network.train(not arguments.trunk)
        begin, order = time.monotonic(), torch.randperm(len(images))
        for records in order.split(arguments.batch):
            batch = images[records] if arguments.trunk else augmented(images[records])
            batch = batch.contiguous(memory_format=torch.channels_last)
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(network(batch), labels[records]).backward()
            optimizer.step()
            schedule.step()
        seconds = time.monotonic() - begin
        network.eval()
        with torch.no_grad():
            found = torch.cat([network(part).argmax(1) for part in test_images.split(500)])
        accuracy = (found == test_labels).float().mean().item()
        rate = len(images) / seconds
        print(
            json.dumps(
                {"epoch": epoch + 1, "test_accuracy": accuracy, "images_per_second": round(rate)}
            ),
            flush=True,
        )


main()
