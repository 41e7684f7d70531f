"""Takes the embeddings that a training loss computes anyway, so that nothing is embedded twice."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

from lookalike._arrays import Floats
from lookalike.torch import LookalikeBatchSampler


class NotingSampler(LookalikeBatchSampler):
    """A sampler that tells what it hands out."""

    #: Told of each batch.
    note: Callable[[LookalikeBatchSampler, list[int]], None] | None = None

    def __iter__(self) -> Iterator[list[int]]:
        """As `LookalikeBatchSampler`."""
        return self._noted(super().__iter__())

    def _noted(self, batches: Iterator[list[int]]) -> Iterator[list[int]]:
        for batch in batches:
            if self.note is not None:
                self.note(self, batch)
            yield batch


class Share(NamedTuple):
    """Which of the batches that are handed out a process trains on."""

    rank: int = 0
    replicas: int = 1
    #: Whether each batch is cut into one part for each process; otherwise each is of one process, by turns.
    split: bool = False
    #: Why it cannot be told, where it cannot.
    unknown: str | None = None

    @classmethod
    def of(cls, loader: Any, devices: int) -> Share:
        """That of a loader which accelerate prepared, for a process with so many devices."""
        if devices > 1:
            return cls(unknown="one process trains on several devices; start one for each with torchrun")
        if type(loader).__name__ == "DataLoaderDispatcher":
            return cls(unknown="dispatch_batches hands batches out from one process only; turn it off")
        sampler = getattr(loader, "batch_sampler", None)
        while sampler is not None:
            if hasattr(sampler, "process_index") and hasattr(sampler, "num_processes"):
                return cls(sampler.process_index, sampler.num_processes, bool(sampler.split_batches))
            sampler = getattr(sampler, "batch_sampler", None)
        return cls()

    def first(self, step: int) -> int:
        """The place in the epoch of the first batch that is trained on at `step`."""
        return step if self.split else step * self.replicas

    def places(self, step: int) -> list[int]:
        """The places of those that the processes train on at `step`, by rank."""
        return [self.first(step) + (0 if self.split else rank) for rank in range(self.replicas)]


class Recorder:
    """Updates samplers with what a model that is trained makes of their batches.

    Batches are trained on in the order in which they were handed out; a hook of the model keeps the embeddings of each, column
    by column as losses embed them, and `take` pairs both. With several processes the embeddings of all are gathered.

    Args:
        columns: embeddings that a row has: 1, that of its first column; or 2, those of a pair.

    """

    def __init__(self, columns: int) -> None:
        """Records nothing before `begin`."""
        self._columns = columns
        self._share = Share()
        self._step = 0
        self._handed = 0
        #: By place in the epoch what was handed out and not yet recorded.
        self._batches: dict[int, tuple[LookalikeBatchSampler, list[int]]] = {}
        self._captured: list[torch.Tensor] = []
        self._hook: Any = None
        self._warned: set[str] = set()

    def begin(self, model: torch.nn.Module, share: Share) -> None:
        """Looks at the embeddings of `model` from now on."""
        self.end()
        self._share = share
        if share.unknown is not None:
            self._warn(f"embeddings are not recorded: {share.unknown}")
            return
        self._hook = model.register_forward_hook(self._capture)

    def end(self) -> None:
        """Looks no longer."""
        if self._hook is not None:
            self._hook.remove()
        self._hook = None
        self._forget()

    def begin_epoch(self, skipped: int) -> None:
        """Says that an epoch begins whose first batches, so many for each process, are not trained on."""
        self._forget()
        self._step = skipped

    def note(self, sampler: LookalikeBatchSampler, rows: list[int]) -> None:
        """Says that a batch was handed out."""
        if self._hook is None:
            return
        if self._handed >= self._share.first(self._step):
            self._batches[self._handed] = sampler, rows
        self._handed += 1

    def take(self) -> None:
        """Updates the samplers with what was computed of the step's batches, and goes on to the next step."""
        if self._hook is None:
            return
        step, self._step = self._step, self._step + 1
        parts = [self._part(step, rank) for rank in range(self._share.replicas)]
        for (sampler, rows), embeddings in zip(parts, self._gathered(len(parts[self._share.rank][1]))):
            if sampler is None or embeddings is None or len(rows) != len(embeddings):
                self._warn("a batch was not recorded: the loss did not embed each row by the model, column by column")
                continue
            try:
                sampler.update(rows, embeddings)
            except ValueError as error:
                self._warn(f"a batch was not recorded: {error}")
        for place in range(self._share.first(step), self._share.first(self._step)):
            self._batches.pop(place, None)
        self._captured = []

    def _part(self, step: int, rank: int) -> tuple[LookalikeBatchSampler | None, list[int]]:
        """What a process trains on at `step`, and the sampler that it is from; nothing where that was not handed out."""
        sampler, rows = self._batches.get(self._share.places(step)[rank], (None, []))
        size = len(rows) // self._share.replicas
        return sampler, rows[rank * size : (rank + 1) * size] if self._share.split else rows

    def _capture(self, module: torch.nn.Module, _: Any, output: Any) -> None:
        """The hook of the model. Evaluation is left out, and what a loss embeds a second time for its gradients."""
        found = output.get("sentence_embedding") if isinstance(output, dict) else None
        if not module.training or not isinstance(found, torch.Tensor) or found.ndim != 2:
            return
        if sum(map(len, self._captured)) < self._columns * len(self._part(self._step, self._share.rank)[1]):
            self._captured.append(found.detach())

    def _gathered(self, rows: int) -> list[Floats | None]:
        """The embeddings (B, d), of pairs (B, 2d), of each process, by rank."""
        own = self._embeddings(rows)
        if self._share.replicas == 1:
            return [own]
        gathered: list[Floats | None] = [None] * self._share.replicas
        torch.distributed.all_gather_object(gathered, own)
        return gathered

    def _embeddings(self, rows: int) -> Floats | None:
        """What was captured, if it is of so many rows."""
        expected = rows * self._columns
        if rows == 0 or sum(map(len, self._captured)) < expected:
            return None
        if len({part.shape[1] for part in self._captured}) > 1:
            return None
        captured = torch.cat(self._captured)[:expected].float().cpu()
        sides = captured.reshape(self._columns, rows, -1).unbind(0)
        joined: Floats = np.ascontiguousarray(torch.cat(sides, dim=1).numpy())
        return joined

    def _forget(self) -> None:
        self._handed = 0
        self._batches, self._captured = {}, []

    def _warn(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            warnings.warn(message, stacklevel=3)

    def __deepcopy__(self, memo: dict[int, Any]) -> Recorder:
        """Models are copied with their hooks; a copy is not trained."""
        return Recorder(self._columns)

    def __reduce__(self) -> tuple[type[Recorder], tuple[int]]:
        """Models go to workers with their hooks; nothing is recorded there."""
        return Recorder, (self._columns,)
