"""Vectors of 1,000 texts of all lengths beside sentence-transformers', and whether it opens what `lookalike` writes.

    python parity.py LOOKALIKE FOLDER DATA OUT

Writes OUT/texts.txt, embeds it with the encoder in FOLDER, and prints the least cosine of a vector with sentence-transformers'. With
OUT/exported, which a run or a test has written from the same weights, its vectors are compared too. The version is that of the interpreter.
"""

import gzip
import json
import os
import subprocess
import sys

import numpy as np
import sentence_transformers
from sentence_transformers import SentenceTransformer

ours, folder, data, out = sys.argv[1:]
os.makedirs(out, exist_ok=True)
texts = os.path.join(out, "texts.txt")


def records(name):
    with gzip.open(os.path.join(data, name), "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


if not os.path.exists(texts):
    all_texts = [record["description"] for record in records("tldr/pairs.jsonl.gz")[::130]]
    all_texts += [record["question"] for record in records("medquad/pairs.jsonl.gz")[::66]]
    all_texts += [record["answer"] for record in records("medquad/pairs.jsonl.gz")[::66]]
    all_texts += [record["title"] + " " + record["text"] for record in records("scifact/corpus.jsonl.gz")[::20]]
    lines = [" ".join(text.split()) for text in all_texts]
    open(texts, "w", encoding="utf-8").write("\n".join(line for line in lines if line) + "\n")
lines = [line.rstrip("\n") for line in open(texts, encoding="utf-8")]


def embed(folder, name):
    file = os.path.join(out, f"{name}.npy")
    subprocess.run([ours, "embed", folder, "--texts", texts, "--out", file], check=True, capture_output=True)
    return np.load(file)


def cosine(a, b):
    return ((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min()


print("sentence-transformers", sentence_transformers.__version__, "texts", len(lines))
vectors = embed(folder, "vectors")
theirs = SentenceTransformer(folder, device="cpu").encode(lines, batch_size=16)
print("least cosine of", os.path.basename(os.path.normpath(folder)), cosine(vectors, theirs), "1 - it", 1 - cosine(vectors.astype(float), theirs.astype(float)))
exported = os.path.join(out, "exported")
if os.path.exists(exported):
    again = SentenceTransformer(exported, device="cpu").encode(lines, batch_size=16)
    print("least cosine of", exported, cosine(embed(exported, "again"), again))
