"""Hard negatives of queries among documents."""

from __future__ import annotations

import json
from typing import Literal, NamedTuple

import numpy as np

from lookalike import _arrays, _lookalike
from lookalike._arrays import ArrayLike, Floats, Integers

MiningStrategy = Literal["top", "random"]


class Mined(NamedTuple):
    """Negatives of P pairs of a query and a document that answers it, n each."""

    #: (P,) the row of each pair's query.
    queries: Integers
    #: (P,) the row of its document.
    positives: Integers
    #: (P,) their cosine.
    positive_similarities: Floats
    #: (P, n) rows of the negatives, the most similar first; -1 where there are no more.
    negatives: Integers
    #: (P, n) their cosines with the query; NaN where there are no more.
    similarities: Floats
    #: How many documents near the queries were left out, by reason.
    left_out: dict[str, int]


def mine(
    queries: ArrayLike,
    documents: ArrayLike,
    relevant: ArrayLike | None = None,
    *,
    negatives: int = 3,
    range_min: int = 0,
    range_max: int | None = None,
    max_score: float | None = None,
    min_score: float | None = None,
    absolute_margin: float | None = None,
    relative_margin: float | None = None,
    strategy: MiningStrategy = "top",
    seed: int = 0,
) -> Mined:
    """Documents that are similar to a query and do not answer it, by cosine and exactly.

    The rules, and with ``strategy="top"`` the results, are those of ``mine_hard_negatives`` of sentence-transformers on the same
    vectors. Equal rows are one query or one document: what equals a relevant document is no negative, and the first row stands for
    all. Memory beside the arrays stays within a few hundred MiB; a file, or an array that is mapped from one, is not copied.

    Args:
        queries: (Q, d).
        documents: (D, d).
        relevant: (P, 2) rows of a query and a document that answers it; if not given, document i answers query i. Queries without
            one are left out.
        negatives: how many for each query, n; fewer where no more would do.
        range_min: pass over so many of the most similar that would do.
        range_max: take none beyond so many that would do; if not given range_min + negatives + the most documents that answer one
            query, ten times the negatives with a margin or `max_score`.
        max_score: leave out documents that are more similar than this.
        min_score: leave out documents that are less similar than this.
        absolute_margin: leave out documents that are not at least so much less similar than the least similar positive.
        relative_margin: the same as a share of the positive's similarity; .05 leaves out those above 95 % of it.
        strategy: ``"top"`` takes the most similar, ``"random"`` some of those that would do.
        seed: of random negatives.

    Returns:
        Pairs with their negatives, in the order of the queries' rows.

    """
    q, d = _arrays.matrix("queries", queries), _arrays.matrix("documents", documents)
    if relevant is None:
        if len(q) != len(d):
            raise ValueError(
                f"queries of shape {q.shape} and documents of shape {d.shape} differ in rows; "
                "relevant says which document answers which query"
            )
        pairs = np.repeat(np.arange(len(q), dtype=np.int64)[:, None], 2, axis=1)
    else:
        array = _arrays.as_numpy("relevant", relevant)
        if array.ndim != 2 or array.shape[1] != 2 or array.dtype.kind not in "iu":
            raise ValueError(
                f"relevant of shape {array.shape} and type {array.dtype} are no pairs; expected integers (P, 2), "
                "rows of a query and a document"
            )
        pairs = array.astype(np.int64)
    if strategy not in ("top", "random"):
        raise ValueError(f'strategy = {strategy!r} is out of range: it must be "top" or "random"')
    limits = {"max_score": max_score, "min_score": min_score}
    limits |= {"absolute_margin": absolute_margin, "relative_margin": relative_margin}
    found = _lookalike.mine(
        q.native,
        d.native,
        np.ascontiguousarray(pairs[:, 0]),
        np.ascontiguousarray(pairs[:, 1]),
        _arrays.count("negatives", negatives, 1),
        _arrays.count("range_min", range_min),
        None if range_max is None else _arrays.count("range_max", range_max, 1),
        random=strategy == "random",
        seed=_arrays.count("seed", seed),
        **{name: None if value is None else _arrays.number(name, value) for name, value in limits.items()},
    )
    return Mined(*found[:5], json.loads(found[5]))
