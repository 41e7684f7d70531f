"""Clusters of embeddings."""

from __future__ import annotations

from typing import NamedTuple

from lookalike import _arrays, _lookalike
from lookalike._arrays import ArrayLike, Floats, Integers


class Kmeans(NamedTuple):
    """What k-means found."""

    #: The cluster of each row, that of the nearest centre, (N,).
    labels: Integers
    #: (k, d)
    centers: Floats
    #: Sum of squared distances of rows to their centres.
    inertia: float
    #: Iterations of the run that counts.
    iterations: int


def kmeans(
    points: ArrayLike,
    clusters: int,
    *,
    restarts: int = 10,
    iterations: int = 300,
    tolerance: float = 1e-4,
    seed: int = 0,
) -> Kmeans:
    """Clusters rows by k-means from seeds by greedy k-means++. Options mean what they mean in scikit-learn.

    The result depends on the seed, not on the number of threads. A cluster that loses all its rows gets the one farthest from its
    centre.

    Args:
        points: (N, d), as they are: where directions count, normalise them first.
        clusters: k, from 1 to N.
        restarts: runs from different seeds, of which that of least inertia counts.
        iterations: of a run, at most.
        tolerance: a run ends once the centres move, in sum of squares, by no more than this share of the mean variance of a column.
        seed: draws the seeds.

    """
    return Kmeans(
        *_lookalike.kmeans(
            points=_arrays.embeddings("points", points),
            clusters=_arrays.count("clusters", clusters, 1),
            restarts=_arrays.count("restarts", restarts, 1),
            iterations=_arrays.count("iterations", iterations, 1),
            tolerance=_arrays.number("tolerance", tolerance),
            seed=_arrays.count("seed", seed),
        )
    )
