#!/usr/bin/env python3
"""What `lookalike inspect` finds among texts, beside the rules of cleanlab and fastdup on the same embeddings.

    planted_texts.py LOOKALIKE ENCODER DATA WORK_FOLDER

Quora: all questions of the test part's pairs, each once; the truth are the pairs that people took for one question. They are paraphrases, not copies: a
rule for near duplicates finds those that are said alike. tldr: 12,000 descriptions, 240 of which are replaced by copies of others with a slip (a letter lost, doubled or
swapped, or a word in capitals), and 360 of which are given another page's platform. ENCODER is the folder of a sentence encoder. Needs numpy; cleanlab where installed.
"""

import csv
import gzip
import json
import pathlib
import subprocess
import sys
import time

import numpy as np

lookalike, encoder = sys.argv[1:3]
data, work = map(pathlib.Path, sys.argv[3:5])
work.mkdir(parents=True, exist_ok=True)
draw = np.random.default_rng(0)


def inspected(name, texts, labels=None):
    """The findings: rows by issue, and the group of each row."""
    lines, rows, out = work / f"{name}.txt", work / f"{name}.npy", work / f"{name}-inspect"
    lines.write_text("".join(text.replace("\n", " ") + "\n" for text in texts))
    subprocess.run([lookalike, "embed", encoder, "--texts", lines, "--out", rows], check=True)
    more = []
    if labels is not None:
        np.save(work / f"{name}-labels.npy", np.asarray(labels, np.int64))
        more = ["--labels", work / f"{name}-labels.npy"]
    began = time.time()
    subprocess.run([lookalike, "inspect", rows, "--texts", lines, "--out", out, *more], check=True)
    print(f"{name}: {len(texts)} texts, inspected in {time.time() - began:.1f} s")
    found = {}
    for row in csv.DictReader((out / "issues.csv").open()):
        found.setdefault(row["issue"], set()).add(int(row["row"]))
    return found, np.load(out / "groups.npy"), np.load(rows)


def nearest(rows, k=15, block=2000):
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    best, who = [], []
    for first in range(0, len(rows), block):
        similar = rows[first : first + block] @ rows.T
        similar[np.arange(len(similar)), np.arange(first, first + len(similar))] = -2
        order = np.argsort(-similar, axis=1, kind="stable")[:, :k]
        best.append(np.take_along_axis(similar, order, 1))
        who.append(order)
    return np.concatenate(best), np.concatenate(who)


def mutual(similar, who, factor):
    """cleanlab's near duplicates: mutual neighbours within this share of the median distance to the nearest."""
    distance = np.sqrt(np.maximum(2 - 2 * similar, 0))
    limit = factor * np.median(distance[:, 0])
    near = {(own, int(other)) for own in range(len(who)) for other, far in zip(who[own], distance[own]) if far < limit}
    return {(min(pair), max(pair)) for pair in near if pair[::-1] in near}


def above(similar, who, limit):
    found = {(own, int(other)) for own in range(len(who)) for other, value in zip(who[own], similar[own]) if value > limit}
    return {(min(pair), max(pair)) for pair in found}


def of_groups(groups):
    """All pairs within groups."""
    members = {}
    for row, group in enumerate(groups):
        if group >= 0:
            members.setdefault(int(group), []).append(row)
    return {(a, b) for own in members.values() for place, a in enumerate(own) for b in own[place + 1 :]}


def told(name, flagged, truth):
    right = len(flagged & truth)
    precision = f"{right / len(flagged):.3f}" if flagged else "–"
    print(f"| {name} | {len(flagged)} | {precision} | {right / len(truth):.3f} |")


HEAD = "| finding | flagged | precision | recall |\n|---|---|---|---|"

with gzip.open(data / "quora/test.tsv.gz", "rt", encoding="utf-8", errors="replace") as file:
    lines = [line.rstrip("\n").split("\t") for line in file]
texts, place = [], {}
for _, first, second, *_ in lines:
    for text in (first, second):
        if text not in place:
            place[text] = len(texts)
            texts.append(text)
judged = {}
for label, first, second, *_ in lines:
    a, b = sorted((place[first], place[second]))
    if a != b:
        judged[a, b] = label == "1"
truth = {pair for pair, same in judged.items() if same}
others = {pair for pair, same in judged.items() if not same}
found, groups, rows = inspected("quora", texts)
similar, who = nearest(rows)
print(f"\n{len(truth)} pairs are one question, {len(others)} look alike and are not. Precision counts judged pairs alone.\n\n{HEAD}")
for name, pairs in [
    ("pairs of one group, lookalike inspect", of_groups(groups)),
    ("cleanlab's rule (.13 of the median, mutual)", mutual(similar, who, 0.13)),
    ("fastdup's rule (cosine above .98)", above(similar, who, 0.98)),
    ("cosine above .9", above(similar, who, 0.9)),
]:
    told(name, pairs & (truth | others), truth)

with gzip.open(data / "tldr/pairs.jsonl.gz", "rt", encoding="utf-8") as file:
    pages = [json.loads(line) for line in file]
seen, kept = set(), []
for page in pages:
    if page["description"] not in seen:
        seen.add(page["description"])
        kept.append(page)
kept = [kept[place] for place in draw.permutation(len(kept))[:12_000]]
texts = [page["description"] for page in kept]
platforms = sorted({page["platform"] for page in kept})
labels = np.array([platforms.index(page["platform"]) for page in kept])
order = draw.permutation(len(texts))
copies, originals, flipped = order[:240], order[240:480], order[480:840]


def slip(text):
    words = text.split(" ")
    long = [number for number, word in enumerate(words) if len(word) > 3] or [0]
    number = int(draw.choice(long))
    word, kind = words[number], draw.integers(4)
    at = int(draw.integers(1, max(2, len(word) - 1)))
    words[number] = [
        word[:at] + word[at + 1 :],
        word[:at] + word[at - 1] + word[at:],
        word[: at - 1] + word[at : at + 1] + word[at - 1] + word[at + 1 :],
        word.upper(),
    ][kind]
    return " ".join(words)


for copy, original in zip(copies, originals):
    texts[copy] = slip(texts[original])
    labels[copy] = labels[original]
given = labels.copy()
given[flipped] = (labels[flipped] + draw.integers(1, len(platforms), len(flipped))) % len(platforms)
found, groups, rows = inspected("tldr", texts, given)
similar, who = nearest(rows)
truth = {tuple(sorted(map(int, pair))) for pair in zip(copies, originals)}
print(f"\n{len(truth)} planted pairs among {len(texts)} descriptions\n\n{HEAD}")
for name, pairs in [
    ("pairs of one group, lookalike inspect", of_groups(groups)),
    ("cleanlab's rule (.13 of the median, mutual)", mutual(similar, who, 0.13)),
    ("fastdup's rule (cosine above .98)", above(similar, who, 0.98)),
]:
    told(name, pairs, truth)
wrong = {int(row) for row in flipped}
told("label errors, lookalike inspect", found.get("label-error", set()), wrong)
try:
    from cleanlab.filter import find_label_issues

    votes = np.exp((similar - similar[:, :1]) / 0.1)
    shares = np.zeros((len(texts), len(platforms)))
    for number in range(votes.shape[1]):
        np.add.at(shares, (np.arange(len(texts)), given[who[:, number]]), votes[:, number])
    shares /= shares.sum(1, keepdims=True)
    for rule in ["prune_by_noise_rate", "confident_learning"]:
        flags = find_label_issues(given, shares, filter_by=rule)
        told(f"the same, cleanlab, {rule}, on our votes", {int(row) for row in np.flatnonzero(flags)}, wrong)
except ImportError:
    print("cleanlab is not installed")
