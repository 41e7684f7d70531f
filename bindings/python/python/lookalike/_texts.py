"""Groups of rows that share a text: as negatives of each other they are false."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from lookalike import _arrays
from lookalike._arrays import Integers

#: Rows that texts of columns beyond the first two may join: hard negatives come in many rows, and joined without limit they would
#: tie the whole data set together.
NEGATIVES = 32


def groups(dataset: Any, batches: int, labels: frozenset[str] = frozenset()) -> Integers | None:
    """A group (N,) for each row: rows that share a text, in whichever columns of text, and rows that share one with those, are of
    one group, which is named by its first row. None where every row is alone, or no column holds text.

    A group never gets more members than an epoch has `batches`, for nobody could keep them apart; then a warning says so. A text
    of more than half of the rows, an instruction for instance, ties nobody. Texts of columns beyond the second, which trainers
    take for negatives, join up to 32 rows.

    Args:
        dataset: of the package ``datasets``; anything else has no columns of text.
        batches: whole batches of an epoch, at least 1.
        labels: columns that are no texts to train on.

    """
    columns = [name for name in _text_columns(dataset) if name not in labels]
    if not columns or len(dataset) == 0:
        return None
    hashes = np.stack([_hashes(dataset, column) for column in columns], axis=1)
    joined = _Joined(len(dataset))
    refused = 0
    for texts, most in ((hashes[:, :2], batches), (hashes, min(batches, NEGATIVES))):
        for rows in _shared(texts):
            if len(rows) > len(dataset) / 2:
                continue
            parted = sum(not joined.join(a, b, most) for a, b in itertools.pairwise(rows))
            refused += parted if most == batches else 0
    if refused:
        message = (
            f"equal texts tie more rows together than the {batches} batches of an epoch can keep apart: {refused} rows meet some "
            "that share a text with them; take repeated texts out, or give groups= an array or None"
        )
        _arrays.warn([message])
    found = np.fromiter((joined.first(row) for row in range(len(dataset))), dtype=np.int64, count=len(dataset))
    return None if (found == np.arange(len(dataset))).all() else found


def _text_columns(dataset: Any) -> list[str]:
    features = getattr(dataset, "features", None) or {}
    return [name for name, feature in features.items() if getattr(feature, "dtype", None) in ("string", "large_string")]


def _hashes(dataset: Any, column: str) -> Integers:
    """A number (N,) for each text of a column; equal texts have the same one in this process. 0 for none."""
    parts = [np.empty(0, dtype=np.int64)]
    # Read as it is stored: a transform may tokenise, or add columns.
    for batch in dataset.select_columns([column]).with_format("arrow").iter(batch_size=16_384):
        texts = batch.column(0).to_pylist()
        parts.append(np.fromiter((hash(text) if text else 0 for text in texts), dtype=np.int64, count=len(texts)))
    return np.concatenate(parts)


def _shared(hashes: Integers) -> Iterator[list[int]]:
    """The rows of each text that several have, in order; rare texts first, so that they are joined before frequent ones."""
    rows = np.repeat(np.arange(len(hashes)), hashes.shape[1])
    pairs = np.unique(np.stack([hashes.reshape(-1), rows], axis=1), axis=0)
    pairs = pairs[pairs[:, 0] != 0]
    _, begins, counts = np.unique(pairs[:, 0], return_index=True, return_counts=True)
    several = np.flatnonzero(counts > 1)
    # The numbers of texts differ from process to process; their first rows do not.
    firsts = pairs[begins[several], 1]
    for text in several[np.lexsort((firsts, counts[several]))]:
        yield pairs[begins[text] : begins[text] + counts[text], 1].tolist()


class _Joined:
    """Disjoint sets of rows, each named by its first."""

    def __init__(self, count: int) -> None:
        self._parents, self._sizes = list(range(count)), [1] * count

    def first(self, row: int) -> int:
        parents = self._parents
        while parents[row] != row:
            parents[row] = parents[parents[row]]
            row = parents[row]
        return row

    def join(self, a: int, b: int, most: int) -> bool:
        """Whether they are together now: no set of more than `most` is made."""
        first, other = sorted((self.first(a), self.first(b)))
        if first == other:
            return True
        if self._sizes[first] + self._sizes[other] > most:
            return False
        self._parents[other] = first
        self._sizes[first] += self._sizes[other]
        return True
