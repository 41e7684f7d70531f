"""What arrays may be, and their conversion to what the native half takes."""

from __future__ import annotations

import csv
import os
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from math import isnan
from typing import Any

import numpy as np

from lookalike._embeddings import Matrix, embeddings, is_pair, matrix
from lookalike._numpy import ArrayLike, Floats, Integers, as_numpy

__all__ = ["ArrayLike", "Floats", "Integers", "Matrix", "as_numpy", "embeddings", "is_pair", "matrix"]

#: The class of an instance without a label, for the native half.
UNLABELLED = 2**32 - 1


def integers(name: str, value: ArrayLike, length: int | None = None) -> Integers:
    """A vector of integers."""
    array = as_numpy(name, value)
    if array.size == 0 and array.ndim == 1:
        array = array.astype(np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ValueError(f"{name} of shape {array.shape} and type {array.dtype} is no vector of integers")
    if length is not None and len(array) != length:
        raise ValueError(f"{name} of shape {array.shape} has {len(array)} entries; expected {length}, one an instance")
    if array.dtype == np.uint64 and (array > np.iinfo(np.int64).max).any():
        raise ValueError(f"{name} of shape {array.shape} holds integers above 2^63 - 1")
    return np.ascontiguousarray(array, dtype=np.int64)


def identifiers(name: str, value: ArrayLike, length: int | None = None) -> Integers:
    """A vector of integers of at least 0, and -1 for none; what is missing in `value`, or NaN, is none too.

    A path names a `.npy` file, or a column of a table with a header: `FILE.csv:COLUMN`, without a name the column `label`.
    """
    array = _of_file(name, os.fspath(value)) if isinstance(value, (str, os.PathLike)) else as_numpy(name, value)
    if array.dtype == object and array.ndim == 1:
        array = np.asarray([-1 if _is_missing(entry) else entry for entry in array])
    if array.dtype.kind == "f" and array.ndim == 1:
        missing = np.isnan(array)
        # Above 2^53 not every integer is such a number: what stands there may have been another one.
        whole = missing | ((np.floor(array) == array) & (np.abs(array) <= 2.0**53))
        if not whole.all():
            at = int(np.argmin(whole))
            raise ValueError(
                f"{name}[{at}] is {array[at]}, no integer; expected one an instance, and -1 or NaN for none"
            )
        array = np.where(missing, -1, array).astype(np.int64)
    vector = integers(name, array, length)
    if (vector < -1).any():
        at = int(np.argmax(vector < -1))
        raise ValueError(f"{name}[{at}] is {vector[at]}; identifiers must be at least 0, and -1 or NaN means none")
    return vector


def names_file(text: str) -> bool:
    """Whether a text is the path of numbers, one an instance: an array, or a table and perhaps its column."""
    return text.lower().endswith((".npy", ".csv")) or ".csv:" in text.lower()


def _of_file(name: str, path: str) -> Any:
    file, column = path, "label"
    if not os.path.exists(path) and ":" in path:
        file, _, column = path.rpartition(":")
    if not file.lower().endswith(".csv"):
        return np.load(path, allow_pickle=False)
    with open(file, encoding="utf-8-sig", newline="") as table:
        rows = csv.DictReader(table)
        if column not in (rows.fieldnames or ()):
            raise ValueError(f"{name}: {file} has no column {column!r}, but {', '.join(rows.fieldnames or ())}")
        cells = [(row[column] or "").strip() for row in rows]
    try:
        return np.array([int(cell) if cell else -1 for cell in cells], dtype=np.int64)
    except ValueError:
        numbers = {text: at for at, text in enumerate(dict.fromkeys(cell for cell in cells if cell))}
        return np.array([numbers.get(cell, -1) for cell in cells], dtype=np.int64)


def _is_missing(entry: Any) -> bool:
    return entry is None or type(entry).__name__ in ("NAType", "NaTType") or (isinstance(entry, float) and isnan(entry))


def groups(value: ArrayLike | None, length: int) -> Integers | None:
    """An identifier an instance; -1 for one that may meet anybody."""
    return None if value is None else identifiers("groups", value, length)


def labels(named: Mapping[str, tuple[ArrayLike, int | None]]) -> tuple[list[Integers], int]:
    """Classes numbered from 0 without gaps, the same number for the same label in all vectors, and how many there are.

    Those without a label have the number `UNLABELLED`.
    """
    vectors = [identifiers(name, value, length) for name, (value, length) in named.items()]
    everything = np.concatenate(vectors)
    classes = np.unique(everything[everything >= 0])
    numbered = [np.where(vector < 0, UNLABELLED, np.searchsorted(classes, vector)) for vector in vectors]
    return [np.ascontiguousarray(vector, dtype=np.int64) for vector in numbered], len(classes)


def one_label_each(name: str, value: ArrayLike | None, length: int) -> Integers | None:
    """Classes for `length` instances, where there are any."""
    return None if value is None else labels({name: (value, length)})[0][0]


def batches(value: ArrayLike) -> tuple[Integers, Integers]:
    """The members of all batches one after another, and the size of each."""
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        vectors = [integers(f"batch {at}", batch) for at, batch in enumerate(value)]
    else:
        array = as_numpy("the plan", value)
        if array.ndim != 2:
            raise ValueError(f"the plan of shape {array.shape} is no matrix; expected one batch a row")
        vectors = [integers("the plan", array.reshape(-1))]
        return vectors[0], np.full(len(array), array.shape[1], dtype=np.int64)
    sizes = np.array([len(vector) for vector in vectors], dtype=np.int64)
    return np.concatenate([*vectors, np.empty(0, dtype=np.int64)]), sizes


def number(name: str, value: Any) -> float:
    """A real number, which the native half checks further."""
    try:
        converted = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} = {value!r} is no number") from None
    if not np.isfinite(converted):
        raise ValueError(f"{name} = {converted} is out of range: it must be finite")
    return converted


def count(name: str, value: Any, least: int = 0) -> int:
    """An integer of at least `least` that 64 bits hold."""
    try:
        converted = int(value.__index__())
    except (AttributeError, TypeError):
        raise ValueError(f"{name} = {value!r} is no integer") from None
    if not least <= converted < 2**64:
        raise ValueError(f"{name} = {converted} is out of range: it must be at least {least} and below 2^64")
    return converted


def warn(messages: Iterable[str]) -> None:
    """Tells the user what was put right."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals["__name__"].partition(".")[0] == "lookalike":
        level, frame = level + 1, frame.f_back
    for message in messages:
        warnings.warn(message, UserWarning, stacklevel=level)
