"""What arrays may be, and their conversion to what the native half takes."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

#: An array, a tensor, or whatever `numpy.asarray` takes.
ArrayLike = Any


def as_numpy(name: str, value: ArrayLike) -> npt.NDArray[Any]:
    """NumPy's view of `value`. Tensors of PyTorch are known by what they can do, so that it need not be there."""
    if hasattr(value, "detach") and hasattr(value, "device"):
        value = value.detach()
        if value.device.type != "cpu":
            raise ValueError(f"{name} of shape {tuple(value.shape)} is on {value.device}; bring it to the CPU: .cpu()")
        if str(value.dtype) == "torch.bfloat16":
            value = value.float()
        try:
            value = value.numpy()
        except (TypeError, RuntimeError) as error:
            raise ValueError(
                f"{name} of shape {tuple(value.shape)} and type {value.dtype} is no array: {error}"
            ) from None
    try:
        return np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} is no array: {error}") from None


def is_pair(value: ArrayLike) -> bool:
    """Whether it is (queries, documents), not one array."""
    return isinstance(value, tuple) and len(value) == 2 and all(np.ndim(part) == 2 for part in value)


def embeddings(name: str, value: ArrayLike, rows: int | None = None, *, pairs: bool = False) -> Floats:
    """A matrix of ``float32`` in C order; anything else of 16 or 32 bits is copied into one.

    Of pairs it can be two, (queries, documents), which are put side by side.
    """
    if is_pair(value):
        if not pairs:
            raise ValueError(f"{name} are (queries, documents), but rows of one embedding are expected: give pairs")
        queries, documents = (
            embeddings(f"{name}, {part}", array, rows) for part, array in zip(("queries", "documents"), value)
        )
        if queries.shape != documents.shape:
            raise ValueError(
                f"{name}: documents of shape {documents.shape} do not fit queries of shape {queries.shape}; "
                "expected one of the same width for each query"
            )
        return np.concatenate([queries, documents], axis=1)
    array = as_numpy(name, value)
    if array.ndim != 2 or array.shape[1] == 0:
        raise ValueError(f"{name} of shape {array.shape} is no matrix; expected (n, d) with one instance a row")
    if array.dtype.kind != "f" or array.dtype.itemsize > 4:
        raise ValueError(
            f"{name} of shape {array.shape} is {array.dtype}; expected float32 or float16: .astype('float32')"
        )
    if rows is not None and len(array) != rows:
        raise ValueError(f"{name} of shape {array.shape} has {len(array)} rows; expected {rows}, one an instance")
    return np.ascontiguousarray(array, dtype=np.float32)


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


def groups(value: ArrayLike | None, length: int) -> Integers | None:
    """An identifier an instance, at least 0."""
    if value is None:
        return None
    array = integers("groups", value, length)
    if (array < 0).any():
        at = int(np.argmax(array < 0))
        raise ValueError(
            f"groups of shape {array.shape} holds {array[at]} for instance {at}; identifiers must be at least 0, "
            "and an instance without others of its group has one of its own"
        )
    return array


def labels(named: Mapping[str, tuple[ArrayLike, int | None]]) -> tuple[list[Integers], int]:
    """Classes numbered from 0 without gaps, the same number for the same label in all vectors, and how many there are."""
    vectors = [integers(name, value, length) for name, (value, length) in named.items()]
    classes, numbers = np.unique(np.concatenate(vectors), return_inverse=True)
    ends = np.cumsum([len(vector) for vector in vectors])[:-1]
    parts = np.split(numbers.reshape(-1).astype(np.int64), ends)
    return [np.ascontiguousarray(part) for part in parts], len(classes)


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
    for message in messages:
        warnings.warn(message, UserWarning, stacklevel=4)
