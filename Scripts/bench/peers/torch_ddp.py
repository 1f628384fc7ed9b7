"""PyTorch DistributedDataParallel over Gloo, one process of one thread.

RANK and WORLD_SIZE say which process this is; they meet at the file given. Rank 0 reports the sum
over all processes.
"""

import datetime
import os

import timing
import torch
from torch import distributed, nn
from torch_model_file import ModelFile

# Each mode: layout of the images, fused Adam, bf16 autocast, compiled.
MODES = {
    "eager": (torch.contiguous_format, False, False, False),
    "channels-last-fused": (torch.channels_last, True, False, False),
    "channels-last-fused-bf16": (torch.channels_last, True, True, False),
    "channels-last-compiled": (torch.channels_last, True, False, True),
}


def main():
    """Trains on random images that stay in memory, and reports."""
    arguments, rest = timing.parse_arguments(__doc__, list(MODES))
    (meeting_file,) = rest
    memory_format, is_fused, is_bf16, is_compiled = MODES[arguments.mode]
    rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])

    torch.set_num_threads(1)
    torch.manual_seed(rank)
    distributed.init_process_group(
        "gloo", init_method=f"file://{meeting_file}", rank=rank, world_size=world_size,
        timeout=datetime.timedelta(seconds=60),
    )  # fmt: skip
    network = ModelFile(arguments.model)
    shape = network.shape
    network = network.to(memory_format=memory_format)
    replica = nn.parallel.DistributedDataParallel(network, gradient_as_bucket_view=True)
    optimizer = torch.optim.Adam(replica.parameters(), lr=1e-3, eps=1e-7, fused=is_fused)
    loss_of = nn.CrossEntropyLoss()
    if is_compiled:
        replica = torch.compile(replica)
    images = torch.rand(timing.RECORD_COUNT, *shape).to(memory_format=memory_format)
    labels = torch.randint(0, timing.CLASS_COUNT, (timing.RECORD_COUNT,))
    batches = list(zip(images.split(arguments.batch), labels.split(arguments.batch)))

    def step(index):
        batch, wanted = batches[index % len(batches)]
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=is_bf16):
            loss = loss_of(replica(batch), wanted)
        loss.backward()
        optimizer.step()

    rates = timing.measure(step, distributed.barrier, arguments.batch, arguments.images)
    if rank == 0:
        version = f"PyTorch {torch.__version__}"
        timing.report("torch", version, [rate * world_size for rate in rates])
    distributed.destroy_process_group()


main()
