"""Embeddings with labels, and the figures that all programs here compare."""

from __future__ import annotations

import sys
from typing import NamedTuple

import lookalike
import numpy as np


class Data(NamedTuple):
    name: str
    rows: np.ndarray
    labels: np.ndarray | None
    batch_size: int


def read(arguments: list[str]) -> list[Data]:
    """From NAME=EMBEDDINGS.npy,B or NAME=EMBEDDINGS.npy,LABELS.npy,B; `classes` alone is made here."""
    found = []
    for argument in arguments:
        if argument == "classes":
            found.append(classes())
            continue
        name, _, rest = argument.partition("=")
        parts = rest.split(",")
        if len(parts) not in (2, 3):
            sys.exit(f"{argument}: expected NAME=EMBEDDINGS.npy[,LABELS.npy],B")
        labels = np.load(parts[1]) if len(parts) == 3 else None
        found.append(Data(name, np.load(parts[0]).astype(np.float32), labels, int(parts[-1])))
    return found


def classes(count: int = 20_000, columns: int = 64, number: int = 100) -> Data:
    """Separated classes: the mean cosine within one is .55."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % number
    rows = rng.standard_normal((number, columns))[labels] + 0.9 * rng.standard_normal((count, columns))
    return Data("classes", rows.astype(np.float32), labels, 256)


def hardness(plan, data: Data) -> float:
    return lookalike.metrics.hardness(plan, data.rows).difference


def false_negatives(plan, data: Data) -> float:
    return lookalike.metrics.false_negative_rate(plan, data.labels).rate


def nearest(data: Data) -> float:
    """The hardness of nearest batches: the mean of three plans, which differ in their starts."""
    graph = lookalike.knn_graph(data.rows, data.batch_size - 1)
    plans = (lookalike.plan(graph, data.batch_size, kind="nearest", seed=seed) for seed in range(3))
    return float(np.mean([hardness(plan, data) for plan in plans]))
