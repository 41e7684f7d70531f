"""Pages to look at: of anybody's batches, and of what is wrong with a data set."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lookalike import _arrays, _lookalike
from lookalike._arrays import ArrayLike, Floats, Integers, as_numpy

__all__ = ["Finding", "Inspection", "inspect", "layout", "report"]


def report(
    plan: ArrayLike,
    embeddings: ArrayLike,
    *,
    out: str | os.PathLike[str],
    images: ArrayLike | None = None,
    texts: Sequence[str] | None = None,
    labels: ArrayLike | None = None,
    classes: Sequence[str] = (),
    names: Sequence[str] | None = None,
    title: str = "batches",
    map: bool = True,
) -> Path:
    """Writes a page about batches, whoever made them: how hard and how false their negatives are, the hardest ones as pictures,
    neighbours, look-alikes between classes, the spectrum, and a map.

    The page is one file that asks the network for nothing. The same input gives the same bytes.

    Args:
        plan: batches of instances, (batches, B), or a list of vectors.
        embeddings: a row an instance, as in all of this package.
        out: where to write the page.
        images: what instances look like: ``uint8``, (n, height, width, 3), or (n, height, width) in grey.
        texts: what instances say, n.
        labels: a class an instance, integers from 0 on; -1 and NaN for none. Only told of, never learned from.
        classes: the names of the classes, by their numbers.
        names: what instances are called, n.
        title: what the instances are called together.
        map: whether there is a map, which takes most of the time.

    Returns:
        The path of the page.

    Raises:
        ValueError: for what does not fit together.

    """
    rows = _arrays.embeddings("embeddings", embeddings)
    members, sizes = _arrays.batches(getattr(plan, "batches", plan))
    look = _look(len(rows), images, texts, names)
    html = _lookalike.report(
        members,
        sizes,
        rows,
        _numbered("labels", labels, len(rows)),
        [str(name) for name in classes],
        *look,
        title,
        bool(map),
    )
    return _written(Path(out), html.encode())


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that may be wrong with an instance."""

    #: The instance.
    row: int
    #: exact-duplicate, near-duplicate, leak, label-error, across-classes or outlier.
    issue: str
    #: Of duplicates, leaks and look-alikes the similarity, -1 to 1; of label errors the probability of the given label; of outliers how
    #: many times as far as usual the nearest are.
    score: float
    #: The other instance that it is about; None where there is none.
    other: int | None
    #: The likelier class; None where nothing is said of it.
    suggested_label: int | None


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found in a data set, and where it was written."""

    findings: tuple[Finding, ...]
    #: The group of duplicates of each instance, -1 for those alone: `LookalikeBatchSampler` keeps groups apart.
    groups: Integers
    #: The page, and the table of all findings.
    page: Path
    table: Path

    def __repr__(self) -> str:
        """How many findings of each kind."""
        kinds: dict[str, int] = {}
        for finding in self.findings:
            kinds[finding.issue] = kinds.get(finding.issue, 0) + 1
        told = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        return f"Inspection({told or 'nothing found'}; {self.page})"


def inspect(
    embeddings: ArrayLike,
    *,
    out: str | os.PathLike[str],
    images: ArrayLike | None = None,
    texts: Sequence[str] | None = None,
    labels: ArrayLike | None = None,
    classes: Sequence[str] = (),
    splits: ArrayLike | None = None,
    split_names: Sequence[str] = (),
    names: Sequence[str] | None = None,
    title: str = "a data set",
    neighbors: int = 15,
    duplicate_factor: float = 0.5,
) -> Inspection:
    """Looks for exact and near duplicates, leaks between splits, suspected label errors, look-alikes across classes and outliers.

    Nothing is changed. The folder `out` gets ``inspect.html``, ``issues.csv`` and ``groups.npy``.

    Args:
        embeddings: a row an instance.
        out: the folder of the results, made where it is not there.
        images: ``uint8``, (n, height, width, 3), or (n, height, width) in grey.
        texts: what instances say, n.
        labels: a class an instance, integers from 0 on; -1 and NaN for none.
        classes: the names of the classes, by their numbers.
        splits: the split of each instance, integers from 0 on.
        split_names: the names of the splits, by their numbers.
        names: what instances are called, n.
        title: what the instances are called together.
        neighbors: nearest neighbours that are looked at, K.
        duplicate_factor: near duplicates are no farther apart than this share of the median distance to the nearest neighbour.

    Raises:
        ValueError: for what does not fit together.

    """
    rows = _arrays.embeddings("embeddings", embeddings)
    look = _look(len(rows), images, texts, names)
    html, csv, groups, found = _lookalike.inspect(
        rows,
        _numbered("labels", labels, len(rows)),
        [str(name) for name in classes],
        _numbered("splits", splits, len(rows)),
        [str(name) for name in split_names],
        *look,
        title,
        _arrays.count("neighbors", neighbors, 1),
        _arrays.number("duplicate_factor", duplicate_factor),
    )
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    held = io.BytesIO()
    np.save(held, groups)
    _written(folder / "groups.npy", held.getvalue())
    table = _written(folder / "issues.csv", bytes(csv))
    page = _written(folder / "inspect.html", html.encode())
    findings = tuple(
        Finding(row, issue, score, None if other < 0 else other, None if label < 0 else label)
        for row, issue, score, other, label in found
    )
    return Inspection(findings, groups, page, table)


def layout(embeddings: ArrayLike, *, neighbors: int = 15, seed: int = 0) -> Floats:
    """Places instances in two dimensions, look-alikes near each other: UMAP's objective on the graph of nearest neighbours.

    Any number of threads gives the same numbers.

    Args:
        embeddings: a row an instance, at least two.
        neighbors: nearest neighbours, K, at most n - 1.
        seed: draws who pushes whom away.

    Returns:
        (n, 2), ``float32``.

    Raises:
        ValueError: for fewer than `neighbors` + 1 instances.

    """
    rows = _arrays.embeddings("embeddings", embeddings)
    places = _lookalike.layout(rows, _arrays.count("neighbors", neighbors, 1), _arrays.count("seed", seed))
    return places.reshape(len(rows), 2)


def _look(
    count: int, images: ArrayLike | None, texts: Sequence[str] | None, names: Sequence[str] | None
) -> tuple[Any, list[str] | None, list[str] | None]:
    """What instances look like and are called, as the native half takes it."""
    if images is not None and texts is not None:
        raise ValueError("images and texts are given; instances are one or the other")
    return _images(images, count), _strings("texts", texts, count), _strings("names", names, count)


def _images(value: ArrayLike | None, count: int) -> Any:
    if value is None:
        return None
    array = as_numpy("images", value)
    if (
        array.dtype != np.uint8
        or array.ndim not in (3, 4)
        or 0 in array.shape[1:]
        or (array.ndim == 4 and array.shape[3] != 3)
    ):
        raise ValueError(
            f"images of shape {array.shape} and type {array.dtype} are none; expected uint8 of shape (n, height, width, 3), "
            "or (n, height, width) in grey"
        )
    if len(array) != count:
        raise ValueError(f"images of shape {array.shape} are {len(array)}; expected {count}, one an instance")
    if array.ndim == 3:
        array = np.repeat(array[..., None], 3, axis=3)
    return np.ascontiguousarray(array)


def _strings(name: str, value: Sequence[str] | None, count: int) -> list[str] | None:
    if value is None:
        return None
    # One text is no list of its letters.
    found = [str(text) for text in ([value] if isinstance(value, (str, bytes)) else value)]
    if len(found) != count:
        raise ValueError(f"{name} are {len(found)}; expected {count}, one an instance")
    return found


def _numbered(name: str, value: ArrayLike | None, count: int) -> Integers | None:
    """A number an instance, as it is given; those without one have the number of none."""
    if value is None:
        return None
    numbers = _arrays.identifiers(name, value, count)
    if (numbers >= _arrays.UNLABELLED).any():
        raise ValueError(f"{name} hold {int(numbers.max())}; they must be below 2^32 - 1")
    return np.where(numbers < 0, _arrays.UNLABELLED, numbers)


def _written(path: Path, content: bytes) -> Path:
    """Writes a file as a whole: what stood there before stays until the new one is complete."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path
