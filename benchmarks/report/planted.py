#!/usr/bin/env python3
"""What `lookalike inspect` finds of what was planted in CIFAR-10, beside the rules of cleanlab and fastdup on the same embeddings.

    planted.py LOOKALIKE RUN CIFAR_FOLDER WORK_FOLDER

2 % of the training images are replaced by copies of others, shifted by up to two pixels and saved as JPEG; 3 % of the labels are flipped. RUN, a
run on CIFAR-10, embeds the images. cleanlab's label issues (Datalab on features) and near duplicates are its own where it is installed; fastdup's rule is
a cosine above .98, and fastdup itself is given the same embeddings where it is installed. Needs numpy and Pillow.
"""

import csv
import io
import json
import pathlib
import subprocess
import sys
import time

import numpy as np
from PIL import Image

lookalike, run, cifar, work = sys.argv[1], *map(pathlib.Path, sys.argv[2:5])
work.mkdir(parents=True, exist_ok=True)
draw = np.random.default_rng(0)

records = np.concatenate([np.fromfile(cifar / f"data_batch_{part}.bin", np.uint8).reshape(-1, 3073) for part in range(1, 6)])
count = len(records)
chosen = draw.permutation(count)
copies, originals = chosen[: count // 50], chosen[count // 50 : 2 * (count // 50)]
flipped = chosen[2 * (count // 50) : 2 * (count // 50) + count * 3 // 100]


def copied(record):
    """The image shifted by one or two pixels, through JPEG."""
    image = record[1:].reshape(3, 32, 32).transpose(1, 2, 0)
    across, down = draw.integers(-2, 3, 2)
    if across == down == 0:
        across = 1
    padded = np.pad(image, ((2, 2), (2, 2), (0, 0)), mode="edge")
    shifted = padded[2 + down : 34 + down, 2 + across : 34 + across]
    file = io.BytesIO()
    Image.fromarray(shifted).save(file, "JPEG", quality=85)
    pixels = np.asarray(Image.open(file)).transpose(2, 0, 1).reshape(-1)
    return np.concatenate([record[:1], pixels])


for copy, original in zip(copies, originals):
    records[copy] = copied(records[original])
labels = records[:, 0].astype(np.int64)
given = labels.copy()
given[flipped] = (labels[flipped] + draw.integers(1, 10, len(flipped))) % 10
folder = work / "cifar-10-batches-bin"
folder.mkdir(exist_ok=True)
for part in range(5):
    records[part * 10000 : part * 10000 + 10000].tofile(folder / f"data_batch_{part + 1}.bin")
for name in [path.name for path in cifar.iterdir() if not path.name.startswith("data_batch")]:
    (folder / name).write_bytes((cifar / name).read_bytes())
np.save(work / "given.npy", given)

began = time.time()
subprocess.run([lookalike, "embed", run, "--data", "cifar10", "--data-root", work, "--out", work / "e.npy"], check=True)
embedded = time.time()
subprocess.run([lookalike, "inspect", work / "e.npy", "--labels", work / "given.npy", "--out", work / "inspect"], check=True)
inspected = time.time()
print(f"embedding {embedded - began:.1f} s, inspecting {inspected - embedded:.1f} s")

found = {}
pairs = {}
for row in csv.DictReader((work / "inspect" / "issues.csv").open()):
    found.setdefault(row["issue"], set()).add(int(row["row"]))
    if row["issue"] in ("exact-duplicate", "near-duplicate"):
        pairs[int(row["row"])] = row["group"]

rows = np.load(work / "e.npy")
rows /= np.linalg.norm(rows, axis=1, keepdims=True)


def nearest(block=2000, k=15):
    best, who = [], []
    for first in range(0, count, block):
        similar = rows[first : first + block] @ rows.T
        similar[np.arange(len(similar)), np.arange(first, first + len(similar))] = -2
        order = np.argpartition(-similar, k, axis=1)[:, :k]
        values = np.take_along_axis(similar, order, 1)
        sort = np.argsort(-values, axis=1)
        best.append(np.take_along_axis(values, sort, 1))
        who.append(np.take_along_axis(order, sort, 1))
    return np.concatenate(best), np.concatenate(who)


similar, who = nearest()
planted = set(copies) | set(originals)


def told(name, flagged, truth):
    right = len(flagged & truth)
    precision = right / len(flagged) if flagged else float("nan")
    print(f"| {name} | {len(flagged)} | {precision:.3f} | {right / len(truth):.3f} |")
    return {"flagged": len(flagged), "precision": precision, "recall": right / len(truth)}


result = {}
print("| finding | flagged | precision | recall |\n|---|---|---|---|")
ours = found.get("exact-duplicate", set()) | found.get("near-duplicate", set())
result["duplicates"] = told("duplicates, lookalike inspect", ours, planted)
together = sum(pairs.get(copy) is not None and pairs.get(copy) == pairs.get(original) for copy, original in zip(copies, originals))
print(f"of the {len(copies)} planted pairs {together} are in one group")
distance = np.sqrt(np.maximum(2 - 2 * similar, 0))
limit = 0.13 * np.median(distance[:, 0])
near = {(own, other) for own in range(count) for other, far in zip(who[own], distance[own]) if far < limit}
mutual = {own for own, other in near if (other, own) in near}
result["cleanlab duplicates"] = told("the same, cleanlab's rule (.13 of the median, mutual)", mutual, planted)
result["fastdup duplicates"] = told("the same, fastdup's rule (cosine above .98)", {int(own) for own in np.flatnonzero(similar[:, 0] > 0.98)}, planted)
try:
    import fastdup

    names = [f"/none/{row:05d}.jpg" for row in range(count)]
    program = fastdup.create(work_dir=str(work / "fastdup"), input_dir="/none")
    program.run(annotations=names, embeddings=np.ascontiguousarray(rows), threshold=0.9, num_threads=2, overwrite=True)
    found_by = program.similarity()
    near = found_by[found_by["distance"] > 0.98]
    result["fastdup"] = told(f"the same, fastdup {fastdup.__version__} itself", set(near["from"]) | set(near["to"]), planted)
except ImportError:
    print("fastdup is not installed")
result["labels"] = told("label errors, lookalike inspect", found.get("label-error", set()), set(flipped))
try:
    from cleanlab.filter import find_label_issues
    votes = np.exp((similar - similar[:, :1]) / 0.1)
    shares = np.zeros((count, 10))
    for place in range(votes.shape[1]):
        np.add.at(shares, (np.arange(count), given[who[:, place]]), votes[:, place])
    shares /= shares.sum(1, keepdims=True)
    for rule in ["prune_by_noise_rate", "confident_learning"]:
        flags = find_label_issues(given, shares, filter_by=rule)
        result[f"cleanlab {rule}"] = told(f"the same, cleanlab, {rule}, on our votes", set(np.flatnonzero(flags)), set(flipped))
except ImportError:
    print("cleanlab is not installed")
(work / "planted.json").write_text(json.dumps(result, indent=1))
