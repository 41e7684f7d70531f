"""What the group `text` compares with: published scores, and vectors of sentence-transformers.

    python text_gates.py scores STS.json
    python text_gates.py vectors TEXTS FOLDER VECTORS.npy
"""

import json
import sys

# MTEB's results of all-MiniLM-L6-v2, five digits, and of STS14 the three of the card of jina-embedding-s-en-v1; with how far we may be off.
PUBLISHED = {
    "sts12": (0.72369, 1e-4), "sts13": (0.80603, 1e-4), "sts14": (0.756, 5e-4), "sts15": (0.85390, 1e-4), "sts16": (0.78989, 1e-4),
    "stsb": (0.82032, 1e-4),
}


def scores(path):
    found = json.load(open(path))
    wrong = []
    for name, (value, bound) in PUBLISHED.items():
        print(f"{name}: {found[name]:.5f}, published {value}")
        if not abs(found[name] - value) <= bound:
            wrong.append(name)
    # SICK-R is no part of the data here, and a mean of six is none.
    if found["sickr"] is None and found["mean"] is not None:
        wrong.append("mean")
    if wrong:
        sys.exit(f"error: {', '.join(wrong)} not as published")


def vectors(texts, folder, path):
    import numpy
    from sentence_transformers import SentenceTransformer

    texts = [line.rstrip("\n") for line in open(texts, encoding="utf-8")]
    theirs = SentenceTransformer(folder, device="cpu").encode(texts)
    ours = numpy.load(path)
    lengths = numpy.linalg.norm(ours, axis=1) * numpy.linalg.norm(theirs, axis=1)
    least = ((ours * theirs).sum(1) / lengths).min()
    print(f"least cosine of our and their vectors: {least}")
    if ours.shape != theirs.shape or not least >= 1 - 1e-6:
        sys.exit("error: the vectors differ")


{"scores": scores, "vectors": vectors}[sys.argv[1]](*sys.argv[2:])
