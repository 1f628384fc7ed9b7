"""The networks of Convoy that PyTorch is measured with, for images of 3 x 32 x 32."""

import timing
import torch.nn.functional as F
from torch import nn


def cnn():
    """The built-in model `cnn`."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 64, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(1024, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, timing.CLASS_COUNT),
    )  # fmt: skip


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


def _resnet(blocks):
    layers = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True)]
    before = 16
    for filters in (16, 32, 64):
        for _ in range(blocks):
            layers.append(Block(before, filters, 2 if filters > before else 1))
            before = filters
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, timing.CLASS_COUNT)]
    return nn.Sequential(*layers)


def mobilenet_v1():
    """The built-in model `mobilenet-v1`, whose first convolution keeps small images' size."""

    def normalized(before, filters, kernel, stride, groups=1):
        return [
            nn.Conv2d(before, filters, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(filters), nn.ReLU(inplace=True),
        ]  # fmt: skip

    layers, before = normalized(3, 32, 3, 1), 32
    for filters, stride in [
        (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1), (512, 1), (512, 1),
        (512, 1), (512, 1), (1024, 2), (1024, 1),
    ]:  # fmt: skip
        layers += normalized(before, before, 3, stride, groups=before)
        layers += normalized(before, filters, 1, 1)
        before = filters
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, timing.CLASS_COUNT)]
    return nn.Sequential(*layers)


NETWORKS = {
    "cnn": cnn,
    "resnet8": lambda: _resnet(1),
    "resnet20": lambda: _resnet(3),
    "resnet56": lambda: _resnet(9),
    "mobilenet-v1": mobilenet_v1,
}
