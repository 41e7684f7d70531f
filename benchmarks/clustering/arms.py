#!/usr/bin/env python3
"""Prints the tables of arms.sh: means over seeds with their standard deviation, in per cent, and paired differences with 95 % intervals."""

import json
import math
import pathlib
import statistics
import sys

folder = pathlib.Path(sys.argv[1])
# Of Student's t, two-sided 95 %, by degrees of freedom.
T = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776}


def runs(arm):
    found = {}
    for path in folder.glob(f"{arm}-[0-9]*/evaluation.json"):
        found[int(path.parent.name.rsplit("-", 1)[1])] = path.parent
    return dict(sorted(found.items()))


def score(run, key):
    return json.loads((run / "evaluation.json").read_text()).get(key)


def events(run, kind):
    lines = (json.loads(line) for line in (run / "events.jsonl").read_text().splitlines())
    return [line for line in lines if line["kind"] == kind]


def shown(values, scale=100.0):
    values = [value * scale for value in values if value is not None]
    if not values:
        return "not run"
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}"


def mean(own, key, scale=100.0):
    return shown([score(run, key) for run in own.values()], scale)


def last(own, key):
    """The mean of what the oracle told last."""
    told = [[event[key] for event in events(run, "oracle") if event.get(key) is not None] for run in own.values()]
    return shown([values[-1] for values in told if values])


def row(name, values):
    print(f"| {name} | " + " | ".join(values) + " |")


def table(title, columns):
    print(f"\n### {title}\n")
    row("", columns)
    print("|---" * (len(columns) + 1) + "|")


def paired(one, other, key):
    seeds = sorted(runs(one).keys() & runs(other).keys())
    pairs = [(score(runs(one)[seed], key), score(runs(other)[seed], key)) for seed in seeds]
    differences = [100 * (own - theirs) for own, theirs in pairs if own is not None and theirs is not None]
    if len(differences) < 2:
        return "not run"
    half = T.get(len(differences) - 1, 2.0) * statistics.stdev(differences) / math.sqrt(len(differences))
    mean = statistics.mean(differences)
    verdict = "gain" if mean - half > 0 else "loss" if mean + half < 0 else "not resolved"
    return f"{mean:+.1f} [{mean - half:+.1f}, {mean + half:+.1f}], {verdict}"


PARTS = [("", "learned from"), ("_test", "the rest")]
SCORES = ["accuracy", "nmi", "ari"]

arms = [
    ("uniform", "Contrastive Clustering"),
    ("longer", "Contrastive Clustering, 60 epochs instead of 40"),
    ("simclr", "SimCLR"),
    ("moco", "MoCo v2"),
    ("mochi", "MoCHi"),
]
for suffix, part in PARTS:
    table(f"k-means on representations, and the head ({part}): accuracy, NMI, ARI", ["seeds", *SCORES, "kNN accuracy"])
    for arm, name in arms:
        own = runs(arm)
        if arm == "uniform":
            for raw, what in [("pixels", "k-means on pixels"), ("untrained", "k-means on the untrained encoder")]:
                row(
                    what,
                    [str(len(own)), *(shown([score(run, f"kmeans_{key}{suffix}_{raw}") for run in own.values()]) for key in SCORES), ""],
                )
        if arm in ("uniform", "longer"):
            row(
                f"{name}, the head",
                [str(len(own)), *(shown([score(run, f"head_{key}{suffix}") for run in own.values()]) for key in SCORES), ""],
            )
        row(
            f"{name}, k-means",
            [
                str(len(own)),
                *(shown([score(run, f"kmeans_{key}{suffix}") for run in own.values()]) for key in SCORES),
                shown([score(run, "knn") for run in own.values()]),
            ],
        )

table(
    "Rows and columns: the head",
    ["seeds", *SCORES, "k-means accuracy", "clusters in use", "largest cluster", "hardness", "false negatives"],
)
for arm, name in [("uniform", "uniform"), ("split", "rows of look-alikes, uniform columns"), ("everywhere", "look-alikes everywhere")]:
    own = runs(arm)
    row(
        name,
        [
            str(len(own)),
            *(mean(own, f"head_{key}") for key in SCORES),
            mean(own, "kmeans_accuracy"),
            mean(own, "head_clusters_used", 1.0),
            mean(own, "head_largest"),
            mean(own, "hardness"),
            mean(own, "false_negative_rate"),
        ],
    )
for other in ["split", "everywhere"]:
    print(
        f"\n{other} less uniform, accuracy of the head: {paired(other, 'uniform', 'head_accuracy')}; k-means: {paired(other, 'uniform', 'kmeans_accuracy')}"
    )

table(
    "The oracle: rows of look-alikes, uniform columns",
    [
        "seeds",
        "head accuracy",
        "k-means accuracy",
        "kNN accuracy",
        "hardness",
        "false negatives",
        "precision",
        "recall",
        "hardness lost in the loss",
    ],
)
for arm, name in [
    ("split", "none"),
    ("oracle-kmeans", "clusters of k-means"),
    ("oracle-head", "the head, p > .5"),
    ("oracle-labels", "labels (upper bound)"),
]:
    own = runs(arm)
    lost = [
        statistics.mean(values)
        for run in own.values()
        if (values := [event["hardness_lost"] for event in events(run, "diagnostics") if event.get("hardness_lost") is not None])
    ]
    row(
        name,
        [
            str(len(own)),
            *(mean(own, key) for key in ("head_accuracy", "kmeans_accuracy", "knn", "hardness", "false_negative_rate")),
            last(own, "precision"),
            last(own, "recall"),
            shown(lost),
        ],
    )
for other in ["oracle-kmeans", "oracle-head", "oracle-labels"]:
    print(f"\n{other} less none, accuracy of the head: {paired(other, 'split', 'head_accuracy')}; kNN: {paired(other, 'split', 'knn')}")
