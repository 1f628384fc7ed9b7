"""Golden values of residual networks: five steps of resnet20 and resnet18, by one and two workers.

Run from anywhere, with torch and numpy installed:   python3 Scripts/golden/networks.py
Writes Tests/NeuralNetworkTests/Golden/networks.{json,bin}. Deterministic, about half a minute;
PyTorch computes in double. check_networks.py compares all this with real processes of
DistributedDataParallel, with float32, and with torchvision.

resnet20 is the network of He, Zhang, Ren, Sun (CVPR 2016), section 4.2, with shortcut A: every
second row and column, and channels of zeros around. resnet18 is torchvision's, for 3x32x32 too.
Tensor names are torchvision's for both. The model of a case is a model file with these names.

The records are `numbers("records", …)`, 32 of [3, 32, 32], the labels `labels(32, 10)`, the initial
weights the parameters of the case. One step: mean cross-entropy over the 32 records, then
torch.optim.SGD with learning rate 0.1, momentum 0.9, weight decay 1e-4 for every parameter.

`NAME` is one worker. `NAME-2-workers` is two, with the records 0 ..< 16 and 16 ..< 32: each takes
the statistics of its own records, gradients and running statistics are the means over both. In
`NAME-uneven` (resnet20 only) they have 19 and 13 records: gradients are the sum over all records by
32, running statistics the mean weighted by records.

Settings: `loss1` … `loss5`, the mean loss of each step before its update, and `records1`,
`records2`. A tensor for each entry of the state_dict but num_batches_tracked, by its name: after
step 1 the largest |value|, the largest |change| since the start, and the elements `picks(count)`;
then these of step 5 behind them. Running means start from 0, running variances from 1. Tensor
"logits" is of all records, by inference after step 5. The model and the parameters stand in the
case `NAME` only.

Rounding is amplified. With float32 in place of double PyTorch is off by up to 3e-5 of a tensor's
largest value and 4e-2 of its largest change (check_networks.py), by the ReLUs that then switch; in
resnet18, whose last stage is 1x1, other roundings of that size can reach 3e-4 of the largest value
at step 5.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from golden import Parameter, Writer, labels, numbers, picks, power_of_two
from graph import GraphModel

RECORDS, CLASSES, SHAPE, STEPS = 32, 10, (3, 32, 32), 5
OPTIMIZER = dict(lr=0.1, momentum=0.9, weight_decay=1e-4)


class ShortcutA(nn.Module):
    """Every second row and column; half of the new channels before, half after."""

    def __init__(self, before):
        super().__init__()
        self.before = before

    def forward(self, x):
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.before, self.before))


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, before, filters, stride, project):
        super().__init__()
        self.conv1 = nn.Conv2d(before, filters, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(filters)
        if stride == 1 and before == filters:
            self.downsample = nn.Identity()
        elif project:
            self.downsample = nn.Sequential(
                nn.Conv2d(before, filters, 1, stride, bias=False), nn.BatchNorm2d(filters)
            )
        else:
            self.downsample = ShortcutA((filters - before) // 2)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class ResNet(nn.Module):
    """Stages of `blocks` blocks each; a wide stem is 7x7 with a pool."""

    def __init__(self, widths, blocks, wide, project):
        super().__init__()
        self.conv1 = (
            nn.Conv2d(3, widths[0], 7, 2, 3, bias=False)
            if wide
            else nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)
        )
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.maxpool = nn.MaxPool2d(3, 2, 1) if wide else nn.Identity()
        self.stages = len(widths)
        before = widths[0]
        for stage, width in enumerate(widths, 1):
            row = []
            for index in range(blocks):
                row.append(Block(before, width, 2 if stage > 1 and index == 0 else 1, project))
                before = width
            setattr(self, f"layer{stage}", nn.Sequential(*row))
        self.fc = nn.Linear(before, CLASSES)

    def forward(self, x):
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        for stage in range(1, self.stages + 1):
            x = getattr(self, f"layer{stage}")(x)
        return self.fc(x.mean((2, 3)))


NETWORKS = {
    "resnet20": dict(widths=[16, 32, 64], blocks=3, wide=False, project=False),
    "resnet18": dict(widths=[64, 128, 256, 512], blocks=2, wide=True, project=True),
}


def model_file(widths, blocks, wide, project):
    """The network as a model file."""
    layers = []

    def add(kind, name, **settings):
        layers.append({kind: {**settings, "name": name}})
        return name

    def conv(name, filters, kernel, stride, padding, source):
        return add(
            "conv2d", name, filters=filters, kernel=kernel, stride=stride, padding=padding,
            bias=False, **{"from": source},
        )

    def norm(name):
        return add("batch-norm", name, epsilon=1e-5, momentum=0.1)

    stem = (7, 2, 3) if wide else (3, 1, 1)
    conv("conv1", widths[0], *stem, "input")
    norm("bn1")
    x = add("relu", "relu")
    if wide:
        x = add("max-pool2d", "maxpool", size=3, stride=2, padding=1)
    before = widths[0]
    for stage, width in enumerate(widths, 1):
        for index in range(blocks):
            name, stride = f"layer{stage}.{index}", 2 if stage > 1 and index == 0 else 1
            conv(f"{name}.conv1", width, 3, stride, 1, x)
            norm(f"{name}.bn1")
            inner = add("relu", f"{name}.relu1")
            conv(f"{name}.conv2", width, 3, 1, 1, inner)
            main = norm(f"{name}.bn2")
            shortcut = x
            if stride != 1 and project:
                conv(f"{name}.downsample.0", width, 1, stride, 0, x)
                shortcut = norm(f"{name}.downsample.1")
            elif stride != 1:
                add("max-pool2d", f"{name}.half", size=1, stride=2, **{"from": x})
                half = (width - before) // 2
                shortcut = add("pad-channels", f"{name}.shortcut", before=half, after=half)
            add("add", f"{name}.add", **{"from": [main, shortcut]})
            x = add("relu", f"{name}.relu2")
            before = width
    add("global-average-pool", "avgpool")
    add("dense", "fc", units=CLASSES)
    return {"input": list(SHAPE), "layers": layers}


def initial(module):
    """What each parameter of the network starts from.

    Five steps with a rate of 0.1 amplify rounding. These numbers keep that small: wide convolutions
    (their step is small beside them, behind a normalisation), a narrow last layer, and narrow
    second normalisations, so that a block begins near its shortcut.
    """
    parameters = {}
    for name, value in module.named_parameters():
        base, scale = 0, 0.125
        if value.dim() > 1:
            he = power_of_two(math.sqrt(6 / math.prod(value.shape[1:])))
            scale = he * (0.125 if name == "fc.weight" else 4)
        elif name.endswith("bn2.weight"):
            base, scale = 0.25, 0.0625
        elif name.endswith("weight"):
            base, scale = 1, 0.25
        parameters[name] = Parameter(value.shape, base, scale)
    return parameters


def make(name, dtype=torch.float64, build=ResNet):
    """The network with its initial weights, and what they start from."""
    module = build(**NETWORKS[name]).to(dtype)
    parameters = initial(module)
    with torch.no_grad():
        for key, value in module.named_parameters():
            value.copy_(torch.tensor(parameters[key].values(key)).to(dtype))
    return module, parameters


def data(dtype=torch.float64):
    records = numbers("records", RECORDS * math.prod(SHAPE)).reshape(RECORDS, *SHAPE)
    return torch.tensor(records).to(dtype), torch.tensor(labels(RECORDS, CLASSES))


def state(module):
    """The state_dict as copies, without the counters of batches."""
    entries = module.state_dict().items()
    return {key: value.clone() for key, value in entries if not key.endswith("num_batches_tracked")}


def train(name, shares, dtype=torch.float64, build=ResNet):
    """Losses, states after each step, and the last logits, with a worker for each share."""
    module, _ = make(name, dtype, build)
    x, y = data(dtype)
    optimizer = torch.optim.SGD(module.parameters(), **OPTIMIZER)
    losses, states = [], []
    for _ in range(STEPS):
        optimizer.zero_grad()
        module.train()
        before = {key: value.clone() for key, value in module.named_buffers()}
        after = {key: torch.zeros_like(value) for key, value in before.items()}
        total, start = 0.0, 0
        for share in shares:
            with torch.no_grad():
                for key, value in module.named_buffers():
                    value.copy_(before[key])
            part = slice(start, start + share)
            loss = F.cross_entropy(module(x[part]), y[part], reduction="sum")
            (loss / RECORDS).backward()
            total += loss.item()
            for key, value in module.named_buffers():
                if value.is_floating_point():
                    after[key] += value * (share / RECORDS)
            start += share
        with torch.no_grad():
            for key, value in module.named_buffers():
                value.copy_(after[key])
        losses.append(total / RECORDS)
        optimizer.step()
        states.append(state(module))
    module.eval()
    with torch.no_grad():
        return losses, states, module(x)


def summary(value, start):
    flat = value.reshape(-1)
    largest = [flat.abs().max().item(), (value - start).abs().max().item()]
    return largest + flat[picks(flat.numel())].tolist()


def compare_with_model_file(name, spec):
    """The model file gives the module's logits, in training and after it."""
    module, parameters = make(name)
    x, _ = data()
    graph = GraphModel(spec, initial={key: p.values(key) for key, p in parameters.items()})
    with torch.no_grad():
        for training in (False, True):
            module.train(training)
            difference = (graph.forward(x, training) - module(x)).abs().max().item()
            assert difference < 1e-11, (name, training, difference)
    found = {key: tuple(value.shape) for key, value in graph.tensors.items()}
    assert found == {key: tuple(value.shape) for key, value in state(module).items()}
    for key, value in graph.statistics.items():
        assert torch.allclose(value, module.state_dict()[key], rtol=1e-12, atol=0), key


def main():
    writer = Writer("networks", compact=True)
    for name, settings in NETWORKS.items():
        spec = model_file(**settings)
        compare_with_model_file(name, spec)
        variants = {"": [32], "-2-workers": [16, 16]}
        if name == "resnet20":
            variants["-uneven"] = [19, 13]
        for suffix, shares in variants.items():
            losses, states, logits = train(name, shares)
            module, parameters = make(name)
            start = state(module)
            tensors = {"logits": logits.numpy()}
            for key, value in start.items():
                tensors[key] = summary(states[0][key], value) + summary(states[-1][key], value)
            writer.add(
                name + suffix, tensors, None if suffix else spec, None if suffix else parameters,
                **{f"loss{step}": loss for step, loss in enumerate(losses, 1)},
                **{f"records{worker}": share for worker, share in enumerate(shares, 1)},
            )
            print(name + suffix, losses)
    writer.write()


if __name__ == "__main__":
    main()
