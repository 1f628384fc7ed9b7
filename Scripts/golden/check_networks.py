"""Checks networks.py: real DistributedDataParallel, float32, and torchvision beside it.

Run with torch and numpy installed, and torchvision if it is there:

    python3 Scripts/golden/check_networks.py

Two processes with gloo on this machine train each network on one half of the records each, with
DistributedDataParallel(broadcast_buffers=False), and after each step take the mean of their running
statistics. Prints how far they are from the two workers of networks.py, which has one process, and
how far float32 is from double; then whether torchvision's resnet18 has equal names, shapes, logits
and gradients. Differences are relative to the largest value of a tensor (and of its change since
the start, in brackets). Writes nothing. Ends with 1 where a difference in double is above 1e-9.
"""

import os
import sys
import tempfile
import warnings

import torch
import torch.distributed as distributed
import torch.multiprocessing as processes
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel

import networks

LIMIT = 1e-9


def worker(rank, folder, name, dtype):
    """One of two real workers. The first one writes what it has after each step."""
    torch.set_num_threads(1)
    # Newer versions warn of `broadcast_buffers`, without a full replacement so far.
    warnings.simplefilter("ignore", FutureWarning)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2
    )
    module, _ = networks.make(name, dtype)
    x, y = networks.data(dtype)
    half = networks.RECORDS // 2
    part = slice(rank * half, (rank + 1) * half)
    parallel = DistributedDataParallel(module, broadcast_buffers=False)
    optimizer = torch.optim.SGD(parallel.parameters(), **networks.OPTIMIZER)
    losses, states = [], []
    for _ in range(networks.STEPS):
        optimizer.zero_grad()
        loss = F.cross_entropy(parallel(x[part]), y[part])
        loss.backward()
        optimizer.step()
        loss = loss.detach()
        for value in [loss, *(b for b in module.buffers() if b.is_floating_point())]:
            distributed.all_reduce(value)
            value /= 2
        losses.append(loss.item())
        states.append(networks.state(module))
    module.eval()
    with torch.no_grad():
        logits = module(x)
    if rank == 0:
        torch.save((losses, states, logits), f"{folder}/result")
    distributed.destroy_process_group()


def real(name, dtype):
    with tempfile.TemporaryDirectory() as folder:
        processes.spawn(worker, (folder, name, dtype), nprocs=2)
        return torch.load(f"{folder}/result")


def difference(found, expected, start):
    """Of losses, step 1, step 5 and logits, each relative to its largest value."""
    parts = {"losses": max(abs(a - b) / abs(b) for a, b in zip(found[0], expected[0]))}
    for step in (1, networks.STEPS):
        of_value, of_change = [], []
        for key, value in expected[1][step - 1].items():
            off = (found[1][step - 1][key].double() - value.double()).abs().max()
            of_value.append(((off / value.double().abs().max()).item(), key))
            of_change.append((off / (value.double() - start[key]).abs().max()).item())
        worst, key = max(of_value)
        parts[f"step {step}"] = worst
        parts[f"step {step} of change"] = max(of_change)
        parts[f"step {step} at"] = key
    off = (found[2].double() - expected[2].double()).abs().max()
    parts["logits"] = (off / expected[2].double().abs().max()).item()
    return parts


def show(what, parts):
    print(
        f"{what}: losses {parts['losses']:.1e}, logits {parts['logits']:.1e}, "
        + ", ".join(
            f"step {step} {parts[f'step {step}']:.1e} ({parts[f'step {step} of change']:.1e}) "
            f"at {parts[f'step {step} at']}"
            for step in (1, networks.STEPS)
        ),
        flush=True,
    )
    return max(value for key, value in parts.items() if key[-2:] != "at" and key[-6:] != "change")


def compare_with_torchvision():
    try:
        import torchvision
    except (ImportError, RuntimeError) as error:
        print(f"torchvision is not there: {error}")
        return 0.0
    ours, _ = networks.make("resnet18")
    theirs = torchvision.models.resnet18(num_classes=networks.CLASSES).double()
    theirs.load_state_dict(ours.state_dict(), strict=True)
    x, y = networks.data()
    off = 0.0
    logits = []
    for module in (ours, theirs):
        logits.append(module(x))
        F.cross_entropy(logits[-1], y).backward()
    off = max(off, (logits[0] - logits[1]).abs().max().item())
    for a, b in zip(ours.named_parameters(), theirs.named_parameters()):
        if a[0] != b[0]:
            sys.exit(f"torchvision has {b[0]} where {a[0]} is here")
        off = max(off, ((a[1].grad - b[1].grad).abs().max() / b[1].grad.abs().max()).item())
    print(f"torchvision {torchvision.__version__} resnet18: equal names, differences {off:.1e}")
    return off


def main():
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    print(f"torch {torch.__version__}")
    worst = compare_with_torchvision()
    for name in networks.NETWORKS:
        start = networks.state(networks.make(name)[0])
        double = {shares: networks.train(name, shares) for shares in ((32,), (16, 16))}
        single = {
            shares: networks.train(name, shares, torch.float32) for shares in ((32,), (16, 16))
        }
        for shares, expected in double.items():
            what = f"{name}, {len(shares)} workers, float32 and double"
            show(what, difference(single[shares], expected, start))
        pair = 16, 16
        found = real(name, torch.float64)
        what = f"{name}, real workers and emulated ones"
        worst = max(worst, show(f"{what}, double", difference(found, double[pair], start)))
        found = real(name, torch.float32)
        show(f"{what}, float32", difference(found, single[pair], start))
        found = difference(double[pair], double[(32,)], start)
        show(f"{name}, two workers and one (how much it matters)", found)
    if worst > LIMIT:
        sys.exit(f"the largest difference in double is {worst:.1e}, above {LIMIT:.0e}")


if __name__ == "__main__":
    main()
