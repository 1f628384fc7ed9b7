"""Turns the measurements of peers.sh, one line of JSON each, into Markdown tables."""

import json
import statistics
import sys

TITLES = {
    "torch-eager": "PyTorch DDP, Gloo",
    "torch-fused": "PyTorch DDP, channels-last, fused Adam",
    "torch-compiled": "PyTorch DDP, channels-last, fused Adam, torch.compile",
    "torch-fused-bf16": "PyTorch DDP, channels-last, fused Adam, bf16 autocast",
    "mxnet": "MXNet dist_sync, 1 server",
    "keras": "Keras, 1 process of 2 threads",
    "convoy-server": "Convoy, 2 workers, 1 server",
    "convoy-sharded": "Convoy, 2 workers, shards in the workers",
    "convoy-one": "Convoy, 1 worker, all on one core",
    "convoy-alone": "Convoy, 1 worker of one thread",
    "convoy-apart": "Convoy, 2 runs of 1 worker at the same time, one a core",
    "convoy-waiting": "these two, if the faster waited for the slower",
}
PAIRS = ("convoy-server", "convoy-sharded")


def read(path):
    """Rates by (name, precision, batch), the versions seen, the highest load before a run, and the
    shares of the cores' time that the host took away during each."""
    rates, versions, load, stolen = {}, {}, 0.0, []
    with open(path, encoding="utf-8") as file:
        for line in file:
            entry = json.loads(line)
            key = (entry["name"], entry["precision"], entry["batch"])
            rates.setdefault(key, []).append(entry["images_per_second"])
            if "waiting_images_per_second" in entry:
                key = ("convoy-waiting", entry["precision"], entry["batch"])
                rates.setdefault(key, []).append(entry["waiting_images_per_second"])
            versions[entry["version"]] = None
            load = max(load, entry["load"])
            stolen.append(entry["stolen"])
    return rates, list(versions), load, stolen


def ratio_text(value, others):
    """How many times the best of the others; a dash where there are none."""
    return f"{value / max(others):.2f}" if others else "—"


def print_rates(rates, batch):
    """Everybody at one batch size; ratios are to the best peer of the same precision."""
    print(f"### {batch} images a step and worker\n")
    print("| program | precision | best | median | best ÷ best peer's | median ÷ best peer's |")
    print("|---|---|--:|--:|--:|--:|")
    for precision in ("fp32", "bf16"):
        peers = [
            values
            for (name, kind, size), values in rates.items()
            if (kind, size) == (precision, batch) and not name.startswith("convoy")
        ]
        for name, title in TITLES.items():
            values = rates.get((name, precision, batch))
            if values is None:
                continue
            ratios = "| |"
            if name in PAIRS:
                best = ratio_text(max(values), [max(peer) for peer in peers])
                median = ratio_text(
                    statistics.median(values), [statistics.median(peer) for peer in peers]
                )
                ratios = f"{best} | {median} |"
            print(
                f"| {title} | {precision} | {max(values):,.0f} | "
                f"{statistics.median(values):,.0f} | {ratios}"
            )
    print()


def print_scaling(rates):
    """Two workers against twice the rate of one, and against two that are not one run."""
    lines = []
    for (name, precision, batch), values in rates.items():
        if name not in PAIRS:
            continue
        cells = []
        singles = {"convoy-one": 2, "convoy-alone": 2, "convoy-apart": 1, "convoy-waiting": 1}
        for single, count in singles.items():
            alone = rates.get((single, precision, batch))
            cells.append(
                f"{max(values) / max(alone) / count:.1%} | "
                f"{statistics.median(values) / statistics.median(alone) / count:.1%}"
                if alone
                else "— | —"
            )
        if any("%" in cell for cell in cells):
            lines.append(f"| {TITLES[name]} | {precision} | {batch} | {' | '.join(cells)} |")
    if not lines:
        return
    print("### Two workers as a share of twice one worker\n")
    print(
        "| program | precision | batch a worker | of one on one core, best | median "
        "| of one thread alone, best | median | of two runs at the same time, best | median "
        "| of these if they waited for each other, best | median |"
    )
    print("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    print("\n".join(lines) + "\n")


def main():
    """The argument is the file of measurements."""
    rates, versions, load, stolen = read(sys.argv[1])
    rounds = max(map(len, rates.values()), default=0)
    print(f"Versions: {'; '.join(versions)}.\n")
    print(
        f"Images a second, two workers of one thread each, {rounds} rounds in turns. Highest load "
        f"average before a measurement: {load:.2f}. Time of the cores that the host took away: "
        f"{statistics.fmean(stolen or [0]):.1%}, at most {max(stolen, default=0):.1%} during one.\n"
    )
    for batch in sorted({batch for _, _, batch in rates}):
        print_rates(rates, batch)
    print_scaling(rates)


main()
