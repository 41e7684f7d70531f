"""From what users have to NumPy."""

from __future__ import annotations

import sys
import warnings
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


_told: set[str] = set()


def tell_once(kind: str, message: str) -> None:
    """Tells the user what is only to be known, once in a process for each kind, and at the line that called this package."""
    if kind in _told:
        return
    _told.add(kind)
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals["__name__"].partition(".")[0] == "lookalike":
        level, frame = level + 1, frame.f_back
    warnings.warn(message, UserWarning, stacklevel=level)
