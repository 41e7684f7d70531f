"""What the callers of a sampler know: trainers hand it little, and what they do not hand over stands in their frames."""

from __future__ import annotations

import os
import sys
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
