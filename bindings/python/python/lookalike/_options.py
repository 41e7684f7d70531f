"""Options of batches, as the native half takes them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Literal

from lookalike import _arrays, _lookalike
from lookalike._arrays import ArrayLike, Integers

Kind = Literal["walk", "nearest", "gcbs", "clusters", "uniform"]
Coverage = Literal["cover", "repeat"]
Scoring = Literal["f32", "bf16"]
#: How pairs of a query and a document are compared.
Pairs = Literal["mean", "cross"]
#: A number, or one that goes linearly from the first to the second over as many epochs as the third says.
Schedule = float | tuple[float, float, float]


def as_json(**options: Any) -> str:
    """The options that were given, checked for their types; those that are None keep their defaults."""
    read: dict[str, Callable[[str, Any], Any]] = {
        "batch_size": _arrays.count,
        "candidates": _arrays.count,
        "neighbors": _arrays.count,
        "refresh_every": _arrays.count,
        "uniform_epochs": _arrays.count,
        "restart": schedule,
        "hardness_share": schedule,
        **dict.fromkeys(
            (
                "budget",
                "epoch_seconds",
                "uniform_fraction",
                "temperature",
                "similarity_ceiling",
                "pair_percentile",
                "edge_percentile",
                "similarity_to_positive",
            ),
            _arrays.number,
        ),
    }
    given = {name: value for name, value in options.items() if value is not None}
    return json.dumps({name: read[name](name, value) if name in read else value for name, value in given.items()})


def schedule(name: str, value: Schedule) -> dict[str, float]:
    """A number for all epochs, or (from, to, over_epochs)."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        if len(value) != 3:
            raise ValueError(f"{name} = {value!r} is neither a number nor (from, to, over_epochs)")
        first, last, epochs = value
    else:
        number = _arrays.number(name, value)
        first, last, epochs = number, number, 0.0
    named = {"from": first, "to": last, "over_epochs": epochs}
    return {part: _arrays.number(f"{name}.{part}", number) for part, number in named.items()}


def check_read(
    kind: Kind,
    hardness_share: float | None,
    candidates: int | None,
    neighbors: int | None,
    restart: Schedule | None,
    coverage: Coverage | None,
    labels: ArrayLike | None,
) -> None:
    """Refuses what a plan of this kind does not read, as if it had been given for nothing."""
    if kind == "walk":
        return
    cuts = kind in ("gcbs", "clusters")
    given = {
        "hardness_share": hardness_share is not None,
        "candidates": candidates is not None,
        "neighbors": neighbors is not None and kind != "gcbs",
        "restart": restart is not None,
        "labels": labels is not None and (cuts or kind == "uniform"),
        'coverage = "repeat"': coverage == "repeat" and (cuts or kind == "uniform"),
    }
    for option, unread in given.items():
        if unread:
            raise ValueError(f"{option} does not go with kind = {kind!r}, which does not read it")


def restart_at(value: Schedule | None, epoch: int) -> float:
    """The restart probability in an epoch, by default as published."""
    read = schedule("restart", (0.2, 0.05, 7.5) if value is None else value)
    progress = min(epoch / read["over_epochs"], 1.0) if read["over_epochs"] > 0 else 1.0
    return read["from"] + (read["to"] - read["from"]) * progress


def near_duplicates(embeddings: ArrayLike, *, factor: float = 0.5, pairs: Pairs | None = None) -> Integers:
    """Groups of near duplicates: for each instance the number of the first one of its group.

    Two instances belong together where each is among the nearest of the other and their distance is at most `factor` times the median
    distance of an instance to its nearest neighbour, or where a chain of such pairs ties them. What is near is so measured by the data:
    where everybody has a neighbour as near, nobody is a duplicate. Distances are those of unit vectors.

    Compares all with all: N² inner products, once.

    Args:
        embeddings: (N, d), or their file or folder; with `pairs` as in `LookalikeBatchSampler`.
        factor: share of the median distance to the nearest neighbour.
        pairs: as in `LookalikeBatchSampler`.

    Returns:
        (N,) numbers, for `groups`.

    """
    share = _arrays.number("factor", factor)
    if share < 0:
        raise ValueError(f"factor = {share} is out of range: it must be at least 0")
    rows = _arrays.matrix("embeddings", embeddings, pairs=pairs is not None)
    return _lookalike.near_duplicates(rows.native, pairs, share)


def groups(value: ArrayLike | None, length: int, embeddings: ArrayLike | None, pairs: Pairs | None) -> Integers | None:
    """An identifier an instance, or those of near duplicates."""
    if isinstance(value, str) and not _arrays.names_file(value):
        if value != "near-duplicates":
            raise ValueError(f"groups = {value!r} is neither 'near-duplicates' nor a file nor a number an instance")
        if embeddings is None:
            raise ValueError("groups = 'near-duplicates' needs embeddings that are known before training: embeddings=")
        return near_duplicates(embeddings, pairs=pairs)
    return _arrays.groups(value, length)
