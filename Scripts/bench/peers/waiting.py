"""What two runs at the same time would do if the faster always waited for the slower.

usage: waiting.py RUN-DIRECTORY RUN-DIRECTORY

Prints the share of their joint rate that would be left. Time is cut into windows of 0.2 s, and in
each window both do the steps of the one that does fewer. Waiting after every step leaves no more
than that: within a window, being slow at different moments costs nothing here.
"""

import bisect
import json
import sys

WINDOW = 0.2


def step_times(directory):
    """When each step had ended, in seconds."""
    with open(f"{directory}/metrics.jsonl", encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    return [line["time"] for line in lines if line["kind"] == "step"]


def progress(times, moment):
    """Steps done at a moment between the first and the last, with fractions."""
    index = bisect.bisect_right(times, moment)
    before, after = times[index - 1], times[index]
    return index + (moment - before) / (after - before) if after > before else index


def main():
    """The arguments are the directories of the two runs."""
    runs = [step_times(directory) for directory in sys.argv[1:3]]
    # The first steps load data and code.
    begin = max(times[len(times) // 20] for times in runs)
    end = min(times[-1] for times in runs)
    slower, both = 0.0, 0.0
    while begin + WINDOW < end:
        steps = [progress(times, begin + WINDOW) - progress(times, begin) for times in runs]
        slower += 2 * min(steps)
        both += sum(steps)
        begin += WINDOW
    print(f"{slower / both:.4f}")


main()
