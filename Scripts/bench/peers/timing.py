"""How every peer is timed: a warm-up, then a few equal loops over the same steps."""

import argparse
import json
import time

CLASS_COUNT = 10
RECORD_COUNT = 2048
WARM_UP_STEP_COUNT = 20
LOOP_COUNT = 3


def parse_arguments(description, modes=()):
    """Batch size, images a loop and, where there are several, the mode; exits with 2 on others."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--batch", type=int, required=True, help="images a step and process")
    parser.add_argument("--images", type=int, default=6000, help="images a loop and process")
    if modes:
        parser.add_argument("--mode", choices=modes, required=True)
        parser.add_argument("--model", help="what convoy models prints of it, in a file")
    return parser.parse_known_args()


def measure(step, settle, batch, images):
    """Images a second of this process, of each loop.

    `step(index)` trains on one batch; `settle()` returns when all that was begun is done. Processes
    train in step with one another, so any of them tells the time of all.
    """
    step_count = max(20, images // batch)
    for index in range(WARM_UP_STEP_COUNT):
        step(index)
    rates = []
    for _ in range(LOOP_COUNT):
        settle()
        begin = time.perf_counter()
        for index in range(step_count):
            step(index)
        settle()
        rates.append(step_count * batch / (time.perf_counter() - begin))
    return rates


def report(peer, version, rates):
    """The result, one line of JSON: the best loop, as peers may have their best day."""
    print(
        json.dumps(
            {
                "peer": peer,
                "version": version,
                "images_per_second": round(max(rates), 1),
                "loops": [round(rate, 1) for rate in rates],
            }
        ),
        flush=True,
    )
