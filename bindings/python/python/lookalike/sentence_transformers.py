"""Batches of look-alikes for the trainers of sentence-transformers."""

from __future__ import annotations

import os
import warnings
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lookalike import _arrays, _frames, _texts
from lookalike._arrays import ArrayLike, is_pair
from lookalike._graphs import Plan
from lookalike._planned import PlannedBatchSampler

if TYPE_CHECKING:
    from transformers import TrainerCallback

    from lookalike._recorder import NotingSampler, Recorder
    from lookalike.torch import LookalikeBatchSampler

__all__ = ["BatchSamplers", "batch_sampler"]

#: From a data set to its embeddings (N, d), or None for uniform batches.
Embed = Callable[[Any], "ArrayLike | None"]

#: From a data set to the group (N,) of each row, or None for none.
Group = Callable[[Any], "ArrayLike | None"]

#: Groups of rows that share a text.
EQUAL_TEXTS = "equal-texts"

#: What evaluation can be on.
Evaluation = Literal["uniform", "look-alikes"]


class BatchSamplers:
    """What `batch_sampler` gives: makes a sampler for each data set of a trainer, and keeps those of training."""

    def __init__(
        self,
        embeddings: ArrayLike | Embed | None,
        groups: ArrayLike | Group | str | None,
        evaluation: Evaluation,
        record: bool,
        plan: ArrayLike | Plan | str | os.PathLike[str] | None,
        options: dict[str, Any],
    ) -> None:
        """Not for users."""
        if evaluation not in ("uniform", "look-alikes"):
            raise ValueError(f'evaluation = {evaluation!r} is neither "uniform" nor "look-alikes"')
        if plan is not None and (embeddings is not None or options):
            given = sorted(options) + (["embeddings"] if embeddings is not None else [])
            raise ValueError(f"plan goes with none of {given}: what they choose is chosen in a plan")
        self._embeddings, self._groups, self._evaluation = embeddings, groups, evaluation
        self._record, self._plan, self._options = record, plan, options
        #: What a pickle has left out.
        self._lost: list[str] = []
        self._described = _described(embeddings, groups, evaluation, record, plan, options)
        self._begin()

    def _begin(self) -> None:
        #: The samplers of the newest training, by name of their data set; ``"train"`` where it has no name.
        self.samplers: dict[str, LookalikeBatchSampler] = {}
        self._datasets: dict[str, weakref.ref[Any]] = {}
        self._callback: TrainerCallback | None = None
        self._recorder: Recorder | None = None

    @property
    def sampler(self) -> LookalikeBatchSampler:
        """The sampler of the training data.

        Raises:
            RuntimeError: before a trainer has asked for it, and where there are several.

        """
        if not self.samplers:
            raise RuntimeError("no trainer has asked for a sampler yet: it does when it begins to train")
        if len(self.samplers) > 1:
            raise RuntimeError(f"there are samplers of {list(self.samplers)}; take one of `samplers` by name")
        return next(iter(self.samplers.values()))

    @property
    def callback(self) -> TrainerCallback:
        """What keeps the samplers' states in checkpoints and records embeddings.

        It installs itself in the trainer that calls. Where a warning says that none was found, give it as
        ``callbacks=[batches.callback]``.
        """
        if self._callback is None:
            from lookalike._recorder import Recorder
            from lookalike.transformers import SamplerCallback

            if self._record and self._plan is None and self._options.get("kind") != "uniform":
                self._recorder = Recorder(1 if self._options.get("pairs") is None else 2)
            self._callback = SamplerCallback(self.samplers, self._recorder, describe=repr(self))
        return self._callback

    def __call__(
        self,
        dataset: Any,
        batch_size: int,
        drop_last: bool,
        valid_label_columns: list[str] | None = None,
        generator: Any = None,
        seed: int = 0,
    ) -> LookalikeBatchSampler | PlannedBatchSampler:
        """What trainers call: a sampler over the rows of `dataset`. Label columns are no texts; the generator plays no part."""
        if self._lost:
            raise ValueError(
                f"these are the saved options of a run, {self!r}, without their {' and '.join(self._lost)}, which no file holds; "
                "make the batch sampler anew"
            )
        if self._options.get("epoch_seconds") is not None and _processes() > 1:
            raise ValueError(
                "epoch_seconds does not go with several processes: each would count the candidates that its own speed allows, "
                "and plan other batches"
            )
        training = _frames.training()
        self._install(training)
        size = min(self._options.get("batch_size", batch_size), len(dataset))
        fixed = {
            "batch_size": size,
            "last_batch": self._options.get("last_batch", "drop" if drop_last else "keep"),
            "seed": self._options.get("seed", seed),
        }
        evaluates = training is not None and training.evaluates
        labels = frozenset(valid_label_columns or ())
        if evaluates and self._evaluation == "uniform":
            return self._made(dataset, {**fixed, "kind": "uniform", "groups": self._own_groups(dataset, size, labels)})
        if self._plan is not None:
            return PlannedBatchSampler(self._plan, len(dataset), size)
        groups = self._own_groups(dataset, size, labels, given=True)
        name = None if evaluates else self._name(dataset, training)
        known = self._known(dataset, name, training)
        if known is None and callable(self._embeddings):
            options: dict[str, Any] = {**fixed, "kind": "uniform", "groups": groups}
        else:
            options = {**self._options, **fixed, "groups": groups, "embeddings": known if known is not _LATER else None}
            if self._embeddings is not None:
                options.setdefault("uniform_epochs", 0)
            if "neighbors" in options:
                options["neighbors"] = max(1, min(options["neighbors"], len(dataset) - 1))
        sampler = self._made(dataset, options)
        if name is not None:
            self.samplers[name], self._datasets[name] = sampler, weakref.ref(dataset)
            sampler.note = self._note
        return sampler

    def _made(self, dataset: Any, options: dict[str, Any]) -> NotingSampler:
        from lookalike._recorder import NotingSampler

        # The trainer shares batches out among processes.
        return NotingSampler(len(dataset), **{"rank": 0, "num_replicas": 1, **options})

    def _note(self, sampler: LookalikeBatchSampler, rows: list[int]) -> None:
        if self._recorder is not None:
            self._recorder.note(sampler, rows)

    def _install(self, training: _frames.Training | None) -> None:
        if self._plan is not None:
            return
        if training is None:
            if self._callback is None:
                warnings.warn(
                    "no trainer was found among the callers, so the sampler's state is in no checkpoint unless the trainer is "
                    "given callbacks=[batches.callback]",
                    stacklevel=3,
                )
            return
        if self.callback not in training.trainer.callback_handler.callbacks:
            training.trainer.add_callback(self.callback)

    def _name(self, dataset: Any, training: _frames.Training | None) -> str:
        """What the training data are called: by their trainer, or by the one they had before."""
        datasets = getattr(training.trainer, "train_dataset", None) if training is not None else None
        if isinstance(datasets, dict):
            # Samplers of another training are not those of this one.
            for gone in [name for name in self.samplers if name not in datasets]:
                del self.samplers[gone], self._datasets[gone]
            for name, one in datasets.items():
                if one is dataset:
                    return str(name)
        elif training is not None:
            self.samplers.clear()
            self._datasets.clear()
            return "train"
        for name, known in self._datasets.items():
            if known() is dataset:
                return name
        return "train" if not self._datasets else f"train {len(self._datasets) + 1}"

    def _own_groups(self, dataset: Any, size: int, labels: frozenset[str], given: bool = False) -> ArrayLike | None:
        """The groups of a data set: equal texts for all of them, an array for that of training only."""
        groups = self._groups
        if isinstance(groups, str) and groups == EQUAL_TEXTS:
            batches = max(1, len(dataset) // size) if size else 1
            with warnings.catch_warnings():
                if not given:
                    warnings.simplefilter("ignore")
                return _texts.groups(dataset, batches, labels)
        if callable(groups):
            return groups(dataset)
        return groups if given else None

    def _known(self, dataset: Any, name: str | None, training: _frames.Training | None) -> Any:
        """The embeddings that are known before; `_LATER` where a checkpoint holds them."""
        if self._embeddings is None:
            return None
        if not callable(self._embeddings):
            known = self._embeddings
        elif name is not None and training is not None and _saved_look_alikes(training.checkpoint, name):
            return _LATER
        else:
            known = _same_for_all(self._embeddings(dataset))
        rows = (
            None if known is None else _arrays.matrix("embeddings", known, pairs=self._options.get("pairs") is not None)
        )
        if rows is not None and len(rows) != len(dataset):
            raise ValueError(
                f"embeddings of {len(rows)} rows do not fit a data set of {len(dataset)}; for several data sets give a function from "
                "a data set to its embeddings"
            )
        return known

    def __repr__(self) -> str:
        """What was asked for, in short."""
        return self._described

    def __getstate__(self) -> dict[str, Any]:
        """What trainers save beside a model: which options these were. No function, array or sampler is among it."""
        large = {"embeddings": self._embeddings, "groups": self._groups, "plan": self._plan, **self._options}
        lost = [name for name, value in large.items() if not _is_small(value)]
        kept = {name: value for name, value in self._options.items() if name not in lost}
        return (
            {"described": self._described, "lost": self._lost or lost, "options": kept}
            | {name: None if name in lost else large[name] for name in ("embeddings", "groups", "plan")}
            | {"evaluation": self._evaluation, "record": self._record}
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        """From pickling."""
        self._embeddings, self._groups, self._plan = state["embeddings"], state["groups"], state["plan"]
        self._evaluation, self._record, self._options = state["evaluation"], state["record"], state["options"]
        self._lost, self._described = state["lost"], state["described"]
        self._begin()

    def __deepcopy__(self, memo: dict[int, Any]) -> BatchSamplers:
        """Training arguments are copied now and then; the copy makes samplers of its own."""
        return BatchSamplers(
            self._embeddings, self._groups, self._evaluation, self._record, self._plan, dict(self._options)
        )


#: Stands for embeddings that a checkpoint holds, so that nothing is embedded for nothing.
_LATER: Any = object()


def batch_sampler(
    *,
    embeddings: ArrayLike | Embed | None = None,
    groups: ArrayLike | Group | str | None = EQUAL_TEXTS,
    evaluation: Evaluation = "uniform",
    record: bool = True,
    plan: ArrayLike | Plan | str | os.PathLike[str] | None = None,
    **options: Any,
) -> BatchSamplers:
    """The callable that the training arguments of sentence-transformers take as their ``batch_sampler``.

    Batch size, seed and what happens to the last batch are those of the training arguments, unless `options` names them;
    and neither a batch nor the neighbours of an instance are ever more than the data set. Checkpoints of the trainer hold the sampler's
    state, and ``resume_from_checkpoint`` goes on with the batches of a run that was not stopped. With several processes the
    trainer shares the batches out; all take the embeddings of the first one.

    Args:
        embeddings: (N, d) for the rows of the data set, with the option `pairs` (queries, documents); or a function from a data set to
            them, which can give None for uniform batches. Without any the first epoch is uniform, and later ones are from what
            training computed.
        groups: rows that never share a batch. ``"equal-texts"``: those that share a text in any column, and those that share one
            with these; (N,) integers, for one data set; a function from a data set to them; or None.
        evaluation: what evaluation is on. ``"uniform"`` asks for no embeddings of the data sets for it; ``"look-alikes"`` makes its
            batches as those of training.
        record: takes what the loss computes of each batch as its newest embeddings, from which the next graph is built: of the first
            column, with `pairs` of the first two. False where `embeddings` are of another model, whose vectors those
            of this one must not be compared with.
        plan: batches that were planned before, instead of all that: see `lookalike.plan` and ``lookalike sample``. An array
            (batches, B), for W replicas (steps, W, B), of one or more epochs; or the path of a ``.npy`` with one.
        options: of `lookalike.LookalikeBatchSampler`.

    Returns:
        The callable. `BatchSamplers.sampler` is the sampler that is in use, and `BatchSamplers.samplers` those of several
        data sets by name.

    Raises:
        ValueError: for options that do not go together. What is wrong with the data is found when training begins.

    """
    return BatchSamplers(embeddings, groups, evaluation, record, plan, options)


def _saved_look_alikes(checkpoint: str | None, name: str) -> bool:
    """Whether a checkpoint holds the state, with embeddings, of the data set's sampler."""
    if checkpoint is None:
        return False
    import torch

    from lookalike.transformers import FILE

    file = os.path.join(checkpoint, FILE)
    if not os.path.isfile(file):
        return False
    return "embeddings" in torch.load(file, weights_only=True, mmap=True).get(name, {}).get("arrays", {})


def _same_for_all(known: Any) -> Any:
    """What the first of several processes found, on all of them: graphs must be the same to the bit."""
    import torch

    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return known
    if known is not None:
        parts = [_arrays.as_numpy("embeddings", part) for part in (known if is_pair(known) else [known])]
        known = tuple(parts) if is_pair(known) else parts[0]
    shared = [known]
    torch.distributed.broadcast_object_list(shared, src=0)
    return shared[0]


def _is_small(value: Any) -> bool:
    """Whether a pickle may hold it."""
    if isinstance(value, (tuple, list)):
        return len(value) <= 8 and all(_is_small(part) for part in value)
    return value is None or isinstance(value, (bool, int, float, str, os.PathLike))


def _described(embeddings: Any, groups: Any, evaluation: str, record: bool, plan: Any, options: dict[str, Any]) -> str:
    """The arguments of `batch_sampler` in one line; defaults are left out."""
    given = {"plan": plan, "embeddings": embeddings, **options}
    parts = [f"{name}={_word(value)}" for name, value in given.items() if value is not None]
    if not (isinstance(groups, str) and groups == EQUAL_TEXTS):
        parts.append(f"groups={_word(groups)}")
    if evaluation != "uniform":
        parts.append(f"evaluation={evaluation!r}")
    if not record:
        parts.append("record=False")
    return f"lookalike.batch_sampler({', '.join(parts)})"


def _processes() -> int:
    from torch import distributed

    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def _word(value: Any) -> str:
    if callable(value):
        return getattr(value, "__qualname__", type(value).__name__)
    if isinstance(value, Plan):
        return f"plan{value.batches.shape}".replace(" ", "")
    if _is_small(value):
        return repr(value)
    parts = value if is_pair(value) else [value]
    return f"array{'+'.join(str(np.shape(part)) for part in parts)}".replace(" ", "")
