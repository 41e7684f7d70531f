"""Batches of look-alikes for the ``Trainer`` of transformers and those that build on it."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback

from lookalike import _frames
from lookalike._recorder import Recorder, Share

if TYPE_CHECKING:
    from lookalike.torch import LookalikeBatchSampler

__all__ = ["FILE", "SamplerCallback"]

#: Where a checkpoint keeps the states of its samplers.
FILE = "lookalike_sampler.pt"


class SamplerCallback(TrainerCallback):
    """Keeps the states of samplers in a trainer's checkpoints, so that ``resume_from_checkpoint`` gets the batches of a run
    that was not stopped.

    A checkpoint gets a file ``lookalike_sampler.pt``, which ``torch.load`` reads with ``weights_only=True``. Trainers go on in the
    middle of an epoch by asking for its batches from the first one and leaving out those that were trained on; so the sampler
    gives the running epoch again from its beginning. The samplers must hand out the batches of all processes, rank 0 of 1: the
    trainer shares them out.

    Args:
        samplers: the sampler of the training data, or several by name.
        recorder: takes what the loss computes as the newest embeddings, where there is one.
        describe: what the model card says of the batch sampler, where a model has one.

    Raises:
        ValueError: on resuming, where the state is of another data set, seed, or set of options.

    """

    def __init__(
        self,
        samplers: LookalikeBatchSampler | Mapping[str, LookalikeBatchSampler],
        recorder: Recorder | None = None,
        describe: str | None = None,
    ) -> None:
        """Nothing happens before training begins."""
        self._samplers = samplers if isinstance(samplers, Mapping) else {"train": samplers}
        self._recorder, self._describe = recorder, describe
        self._skipped = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Loads the states of the checkpoint that the trainer goes on from, if it does."""
        loader = kwargs["train_dataloader"]
        self._skipped = _skipped(args, state, loader)
        training = _frames.training()
        checkpoint = training.checkpoint if training is not None else None
        if checkpoint is None and state.global_step > 0:
            checkpoint = _checkpoint(args, state)
        if checkpoint is not None and self._samplers:
            self._load(Path(checkpoint, FILE))
        if self._recorder is not None:
            self._recorder.begin(kwargs["model"], Share.of(loader, args.n_gpu))

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Passes the epoch on, which trainers of several processes do not where they go on in its middle."""
        loader = kwargs["train_dataloader"]
        epoch = state.global_step // _updates(args, loader)
        for sampler in _chain(loader):
            if hasattr(sampler, "set_epoch"):
                sampler.set_epoch(epoch)
        if self._recorder is not None:
            self._recorder.begin_epoch(self._skipped)
        self._skipped = 0
        # Here, since the card's own callback forgets at the beginning of training what it was told before.
        card = getattr(kwargs["model"], "model_card_data", None)
        if self._describe is not None and card is not None:
            card.all_hyperparameters["batch_sampler"] = self._describe
            card.non_default_hyperparameters["batch_sampler"] = self._describe

    def on_substep_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Records the batch that was trained on."""
        if self._recorder is not None:
            self._recorder.take()

    on_step_end = on_substep_end

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Records no longer."""
        if self._recorder is not None:
            self._recorder.end()

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Writes the states into the checkpoint, which a whole file reaches or none."""
        if not args.should_save or args.save_only_model or not self._samplers:
            return
        folder = Path(_checkpoint(args, state))
        if not folder.is_dir():
            warnings.warn(f"no checkpoint lies in {folder}, so the sampler's state is not saved", stacklevel=2)
            return
        states = {name: sampler.state_dict(consumed=0) for name, sampler in self._samplers.items()}
        unfinished = folder / f"{FILE}.{os.getpid()}"
        torch.save(states, unfinished)
        os.replace(unfinished, folder / FILE)

    def _load(self, file: Path) -> None:
        try:
            states = torch.load(file, weights_only=True)
        except FileNotFoundError:
            warnings.warn(
                f"the checkpoint holds no {FILE}, so batches are those of a sampler that is made anew: rows that the running "
                f"epoch trained on before come again in it and others do not, and graphs are of other embeddings ({file.parent})",
                stacklevel=2,
            )
            return
        if missing := [name for name in self._samplers if name not in states]:
            raise ValueError(f"{file} holds states of {sorted(states)} and none of {missing}: it is of other data sets")
        for name, sampler in self._samplers.items():
            try:
                sampler.load_state_dict(states[name])
            except ValueError as error:
                raise ValueError(f"{file}, {name}: {error}") from None


def _checkpoint(args: Any, state: Any) -> str:
    """The folder of the checkpoint of this step."""
    return os.path.join(args.output_dir, f"checkpoint-{state.global_step}")


def _updates(args: Any, loader: Any) -> int:
    """Updates of an epoch, as trainers count them."""
    accumulated: int = args.gradient_accumulation_steps
    return max(1, math.ceil(len(loader) / accumulated))


def _skipped(args: Any, state: Any, loader: Any) -> int:
    """Batches of its first epoch that a trainer leaves out, for each process."""
    if args.ignore_data_skip:
        return 0
    return int(state.global_step % _updates(args, loader) * args.gradient_accumulation_steps)


def _chain(loader: Any) -> Iterator[Any]:
    """The batch samplers of a loader, each within the one before."""
    sampler = getattr(loader, "batch_sampler", None)
    while sampler is not None:
        yield sampler
        sampler = getattr(sampler, "batch_sampler", None)
