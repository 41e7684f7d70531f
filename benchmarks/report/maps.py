#!/usr/bin/env python3
"""`lookalike.layout` beside umap-learn: trustworthiness and how many of the 15 nearest stay near, on digits and on embeddings.

    maps.py [EMBEDDINGS.npy [ROWS]]

Needs scikit-learn and umap-learn, and the package. Of EMBEDDINGS every nth row is taken, so that there are ROWS (default: 5,000).
"""

import statistics
import sys
import time

import numpy as np
from sklearn.datasets import load_digits
from sklearn.manifold import trustworthiness
from sklearn.neighbors import NearestNeighbors
from umap import UMAP

import lookalike

SEEDS = range(3)


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


sets = {"digits": unit(load_digits().data)}
if len(sys.argv) > 1:
    rows = np.load(sys.argv[1])
    most = int(sys.argv[2]) if len(sys.argv) > 2 else 5000
    sets["embeddings"] = unit(rows[:: max(1, len(rows) // most)][:most])


def kept(rows, places, k=15):
    """Share of the nearest of each row that are among its nearest on the map."""
    near, on_map = (
        NearestNeighbors(n_neighbors=k + 1).fit(values).kneighbors(values, return_distance=False)[:, 1:] for values in (rows, places)
    )
    return np.mean([len(set(a) & set(b)) / k for a, b in zip(near, on_map)])


print("| set | rows | map | trustworthiness | nearest kept | seconds |\n|---|---|---|---|---|---|")
for name, rows in sets.items():
    makers = {
        "lookalike": lambda seed: lookalike.layout(rows, seed=seed),
        "umap-learn": lambda seed: UMAP(n_neighbors=15, min_dist=0.1, metric="cosine", random_state=seed).fit_transform(rows),
    }
    for maker, make in makers.items():
        found = []
        for seed in SEEDS:
            began = time.time()
            places = make(seed)
            took = time.time() - began
            found.append((trustworthiness(rows, places, n_neighbors=15), kept(rows, places), took))
        trust, near, took = (statistics.mean(column) for column in zip(*found))
        print(f"| {name} | {len(rows)} | {maker} | {trust:.4f} | {near:.4f} | {took:.1f} |")
