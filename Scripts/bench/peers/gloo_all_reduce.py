"""Gloo's all_reduce through PyTorch, one process of one thread: BYTES ROUNDS MEETING_FILE.

RANK and WORLD_SIZE say which process this is. Rank 0 prints one line of JSON.
"""

import datetime
import json
import os
import sys
import time

import torch
from torch import distributed

WARM_UP_COUNT = 5


def main():
    """Sums one vector again and again; each round is timed by itself."""
    byte_count, round_count, meeting_file = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{meeting_file}", rank=rank, world_size=world_size,
        timeout=datetime.timedelta(seconds=120),
    )  # fmt: skip
    values = torch.zeros(byte_count // 4)
    times = []
    for _ in range(WARM_UP_COUNT + round_count):
        begin = time.perf_counter()
        distributed.all_reduce(values)
        times.append(time.perf_counter() - begin)
    times = sorted(times[WARM_UP_COUNT:])
    if rank == 0:
        result = {
            "bytes": byte_count,
            "workers": world_size,
            "rounds": round_count,
            "median_seconds": times[len(times) // 2],
            "minimum_seconds": times[0],
        }
        print(json.dumps(result), flush=True)
    distributed.barrier()
    distributed.destroy_process_group()


main()
