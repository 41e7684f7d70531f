"""Batches that were planned before."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lookalike import _arrays
from lookalike._arrays import ArrayLike, Integers
from lookalike._graphs import Plan


class PlannedBatchSampler:
    """Hands out the batches of a plan, one epoch after another; after the last one the first comes again.

    Args:
        plan: (batches, B), for W replicas (steps, W, B), of one epoch or of several one after another: an array, a
            `lookalike.Plan`, or the path of a ``.npy`` that ``lookalike sample`` wrote.
        n: instances of the data set, N, of which an epoch has ⌊N/B⌋ batches, or W·⌊⌊N/B⌋/W⌋.
        batch_size: instances a batch, B.

    Raises:
        ValueError: for a plan of another N or batch size.

    """

    def __init__(self, plan: ArrayLike | Plan | str | os.PathLike[str], n: int, batch_size: int) -> None:
        """Checks the plan at once."""
        self._plan, replicas = read(plan)
        self.batch_size, self.drop_last = batch_size, True
        if self._plan.shape[1] != batch_size:
            raise ValueError(f"the plan has batches of {self._plan.shape[1]}; the training has batches of {batch_size}")
        self._batches = n // batch_size // replicas * replicas
        named = f"the plan has {len(self._plan)} batches of {batch_size}"
        if self._batches == 0 or len(self._plan) == 0 or len(self._plan) % self._batches:
            raise ValueError(
                f"{named}, which is no number of epochs of a data set of {n}: one has {self._batches} batches; "
                "it was planned for another data set"
            )
        least, most = int(self._plan.min()), int(self._plan.max())
        if least < 0 or most >= n:
            raise ValueError(f"{named} and names instance {least if least < 0 else most}; the data set has {n}")
        self._epoch = 0
        self._asked_epoch: int | None = 0

    def set_epoch(self, epoch: int) -> None:
        """Says which epoch the next iteration is, from 0."""
        self._asked_epoch = _arrays.count("epoch", epoch)

    def __len__(self) -> int:
        """Batches of an epoch."""
        return self._batches

    def __iter__(self) -> Iterator[list[int]]:
        """The batches of the next epoch, or of the one that was set."""
        self._epoch = self._epoch + 1 if self._asked_epoch is None else self._asked_epoch
        self._asked_epoch = None
        first = self._epoch * self._batches % len(self._plan)
        for batch in self._plan[first : first + self._batches]:
            yield batch.tolist()


def read(plan: Any) -> tuple[Integers, int]:
    """The plan as (batches, B), and for how many replicas it is.

    Raises:
        ValueError: for a file that cannot be read, or an array that is no plan.

    """
    if isinstance(plan, Plan):
        plan = plan.batches
    named = "the plan"
    if isinstance(plan, (str, os.PathLike)):
        named = f"the plan {os.fspath(plan)}"
        try:
            plan = np.load(Path(plan), allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise ValueError(f"{named} cannot be read: {error}; expected a .npy of `lookalike sample`") from None
    array = _arrays.as_numpy("the plan", plan)
    if array.ndim not in (2, 3) or array.dtype.kind not in "iu" or array.size == 0:
        raise ValueError(
            f"{named} of shape {array.shape} and type {array.dtype} is none; expected integers (batches, B), or "
            "(steps, replicas, B)"
        )
    replicas = array.shape[1] if array.ndim == 3 else 1
    return np.ascontiguousarray(array.reshape(-1, array.shape[-1]), dtype=np.int64), replicas
