#!/usr/bin/env python3
"""Prints the tables of probes.sh: means over seeds with their standard deviation, in per cent, and differences to SimCLR by seed.

    tables.py RUNS_FOLDER
"""

import json
import math
import pathlib
import statistics
import sys

runs = pathlib.Path(sys.argv[1])
ARMS = ["supervised", "simclr", "look-alikes", "moco-v2", "mochi"]
NAMES = {
    "supervised": "supervised",
    "simclr": "SimCLR",
    "look-alikes": "SimCLR, look-alikes",
    "moco-v2": "MoCo v2",
    "mochi": "MoCHi",
    "random": "random",
}
SETS = ["nuclei", "coco-mini-person"]
# Of Student's t, two-sided 95 %, by degrees of freedom.
T = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776}


def scores(pattern, file, key):
    """The score of each seed, by its number."""
    found = {}
    for path in runs.glob(f"{pattern}/{file}"):
        value = json.loads(path.read_text()).get(key)
        if isinstance(value, (int, float)):
            name = path.parent.name.split(".")
            found[int(name[2])] = 100 * value
    return found


def shown(found):
    values = list(found.values())
    if not values:
        return "not run"
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}"


def difference(found, other):
    """The mean difference by seed with its 95 % interval."""
    values = [found[seed] - other[seed] for seed in sorted(found.keys() & other.keys())]
    if len(values) < 2:
        return "–"
    half = T[len(values) - 1] * statistics.stdev(values) / math.sqrt(len(values))
    return f"{statistics.mean(values):+.1f} ± {half:.1f}"


def row(*cells):
    print("| " + " | ".join(cells) + " |")


print("### Mean IoU of frozen maps\n")
row("pretrained on", "arm", *[f"{name}, {how}" for name in SETS for how in ("probe", "patches")])
print("|---|---|" + "---|" * 4)
keys = [f"{how}_{name}" for name in SETS for how in ("segmentation", "patches")]
first = next(iter(sorted(runs.glob("cifar10.simclr.*/transfer.json"))), None)
if first:
    plain = json.loads(first.read_text())
    for title, end in [("the class of most pixels", "majority"), ("colour and place of pixels", "pixels")]:
        cells = [plain.get(f"{key}_{end}") for key in keys]
        row("–", title, *[f"{100 * cell:.1f}" if isinstance(cell, float) else "–" for cell in cells])
for data in ["cifar10", "nuclei"]:
    untrained = [scores(f"{data}.simclr.*", "transfer.json", f"{key}_untrained") for key in keys]
    row(data, "untrained", *map(shown, untrained))
    for arm in ARMS if data == "cifar10" else ARMS[1:]:
        row(data, NAMES[arm], *[shown(scores(f"{data}.{arm}.*", "transfer.json", key)) for key in keys])
print("\n### The same, differences to SimCLR on the same data by seed, 95 % intervals\n")
row("pretrained on", "arm", *[f"{name}, {how}" for name in SETS for how in ("probe", "patches")])
print("|---|---|" + "---|" * 4)
for data in ["cifar10", "nuclei"]:
    simclr = [scores(f"{data}.simclr.*", "transfer.json", key) for key in keys]
    for arm in ARMS if data == "cifar10" else ARMS[1:]:
        if arm != "simclr":
            own = [scores(f"{data}.{arm}.*", "transfer.json", key) for key in keys]
            row(data, NAMES[arm], *[difference(a, b) for a, b in zip(own, simclr)])
    untrained = [scores(f"{data}.simclr.*", "transfer.json", f"{key}_untrained") for key in keys]
    row(data, "untrained", *[difference(a, b) for a, b in zip(untrained, simclr)])

print("\n### Few labels of CIFAR-10, accuracy\n")
row("arm", "linear probe, 1 %", "fine-tuned, 1 %", "linear probe, 10 %", "fine-tuned, 10 %")
print("|---|" + "---|" * 4)
for arm in ["random", *ARMS]:
    cells = []
    for share, file in [("0.01", "transfer.json"), ("0.1", "ten.json")]:
        if arm == "random":
            probe = scores("cifar10.simclr.*", file, "linear_untrained")
        else:
            probe = scores(f"cifar10.{arm}.*", file, "linear")
        tuned = scores(f"tuned.{arm}.*.{share}", "evaluation.json", "classifier")
        cells += [shown(probe), shown(tuned)]
    row(NAMES[arm], *cells)
