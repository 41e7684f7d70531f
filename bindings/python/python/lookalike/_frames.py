"""What the callers of a sampler know: trainers hand it little, and what they do not hand over stands in their frames."""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Iterator
from types import FrameType
from typing import Any, NamedTuple

#: How far up a trainer is looked for.
DEPTH = 40


def callers() -> Iterator[FrameType]:
    """The frames above the one that asks, the nearest first."""
    frame: FrameType | None = sys._getframe(2)
    for _ in range(DEPTH):
        if frame is None:
            return
        yield frame
        frame = frame.f_back


class Training(NamedTuple):
    """A trainer of transformers that is making a data loader, or is training."""

    trainer: Any
    #: Whether the loader is one to evaluate on.
    evaluates: bool
    #: The folder of the checkpoint that the trainer goes on from.
    checkpoint: str | None


def training() -> Training | None:
    """The trainer that called, if one did."""
    module = sys.modules.get("transformers.trainer")
    if module is None:
        return None
    trainer, evaluates, checkpoint = None, False, None
    for frame in callers():
        caller = frame.f_locals.get("self")
        if not isinstance(caller, module.Trainer) or (trainer is not None and caller is not trainer):
            continue
        trainer = caller
        name = frame.f_code.co_name
        if name == "get_train_dataloader":
            evaluates = False
        evaluates |= name in ("get_eval_dataloader", "get_test_dataloader")
        if (
            checkpoint is None
            and not evaluates
            and isinstance(frame.f_locals.get("resume_from_checkpoint"), (str, os.PathLike))
        ):
            checkpoint = os.fspath(frame.f_locals["resume_from_checkpoint"])
    return None if trainer is None else Training(trainer, evaluates, checkpoint)


class Loader:
    """The data loader of PyTorch that asks a sampler for batches, and what it gave its loop."""

    def __init__(self, iterator: Any, ahead: int, shares: int) -> None:
        """Of the loader's `iterator`, whose loop is `ahead` batches behind it, and which takes one of `shares` batches."""
        self._ahead, self.shares = ahead, shares
        self.prefetched = getattr(iterator, "_prefetch_factor", 0) * getattr(iterator, "_num_workers", 0) or 0
        #: What the iterator knows, as long as it lives.
        self._known: dict[str, Any] | None = vars(iterator)
        self._yielded = 0
        weakref.finalize(iterator, self.settle).atexit = False

    @property
    def is_open(self) -> bool:
        """Whether it may give more."""
        return self._known is not None

    @property
    def ahead(self) -> int:
        """Batches that are asked for before the loop is given its first, besides that one."""
        return self.prefetched + self._ahead

    @property
    def given(self) -> int:
        """Batches that its loop was given, for certain."""
        yielded = self._yielded if self._known is None else self._known.get("_num_yielded", 0)
        return max(0, yielded - self._ahead)

    def settle(self) -> None:
        """Keeps the number before another iteration of the same workers begins to count anew."""
        if self._known is not None:
            self._yielded, self._known = self._known.get("_num_yielded", 0), None


class Consumer(NamedTuple):
    """Who asks a sampler for batches."""

    #: None for a loop over the sampler itself, and for loaders that keep states themselves.
    loader: Loader | None
    #: Whether accelerate shares the batches out among several processes.
    shared: bool


def consumer() -> Consumer:
    """Who called for the first batch of an iteration."""
    dataloader, accelerate = sys.modules.get("torch.utils.data.dataloader"), sys.modules.get("accelerate.data_loader")
    iterator, ahead, shares, shared = None, 0, 1, False
    for frame, _ in zip(callers(), range(16)):
        caller: Any = frame.f_locals.get("self")
        kind = type(caller)
        if dataloader is not None and iterator is None and isinstance(caller, dataloader._BaseDataLoaderIter):
            iterator = caller
        elif accelerate is not None and kind is accelerate.BatchSamplerShard and caller.num_processes > 1:
            shared, shares = True, 1 if caller.split_batches else caller.num_processes
        elif accelerate is not None and kind is accelerate.DataLoaderDispatcher:
            shared = True
        elif accelerate is not None and kind is accelerate.DataLoaderShard:
            ahead = 1
    if iterator is None or type(iterator).__module__.startswith("torchdata"):
        return Consumer(None, shared)
    return Consumer(Loader(iterator, ahead, shares), shared)
