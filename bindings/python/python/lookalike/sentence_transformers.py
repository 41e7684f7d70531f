"""Batches of look-alikes for the trainers of sentence-transformers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lookalike._arrays import ArrayLike, is_pair

if TYPE_CHECKING:
    from lookalike.torch import LookalikeBatchSampler

__all__ = ["BatchSamplers", "batch_sampler"]

#: From a data set to its embeddings (N, d), or None for uniform batches.
Embed = Callable[[Any], "ArrayLike | None"]


#: Options of the sampler that uniform batches do not read, and would refuse.
_OF_GRAPHS = (
    "temperature",
    "uniform_fraction",
    "similarity_ceiling",
    "similarity_percentile",
    "similarity_to_positive",
    "oracle",
)


class BatchSamplers:
    """What `batch_sampler` gives: makes a sampler for each data set of a trainer, and keeps them in `samplers`."""

    def __init__(self, embeddings: ArrayLike | Embed | None, options: dict[str, Any]) -> None:
        """Not for users."""
        self._embeddings, self._options = embeddings, options
        #: The samplers that trainers asked for, the newest last.
        self.samplers: list[LookalikeBatchSampler] = []

    def __call__(
        self,
        dataset: Any,
        batch_size: int,
        drop_last: bool,
        valid_label_columns: list[str] | None = None,
        generator: Any = None,
        seed: int = 0,
    ) -> LookalikeBatchSampler:
        """What trainers call: a sampler over the rows of `dataset`. Label columns and generator play no part."""
        from lookalike.torch import LookalikeBatchSampler

        known: Any = self._embeddings(dataset) if callable(self._embeddings) else self._embeddings
        options = {
            "batch_size": batch_size,
            "last_batch": "drop" if drop_last else "keep",
            "seed": seed,
            "embeddings": known,
            **self._options,
        }
        options["batch_size"] = min(options["batch_size"], len(dataset))
        if callable(self._embeddings) and known is None:
            options["kind"] = "uniform"
            for option in _OF_GRAPHS:
                options.pop(option, None)
        else:
            options["neighbors"] = max(1, min(options.get("neighbors", 100), len(dataset) - 1))
        rows = known[0] if is_pair(known) else known
        if rows is not None and len(rows) != len(dataset):
            raise ValueError(
                f"embeddings of {len(rows)} rows do not fit a data set of {len(dataset)}; for several data sets, one for evaluation "
                "among them, give a function from a data set to its embeddings"
            )
        sampler = LookalikeBatchSampler(len(dataset), **options)
        self.samplers.append(sampler)
        return sampler


def batch_sampler(*, embeddings: ArrayLike | Embed | None = None, **options: Any) -> BatchSamplers:
    """The callable that the training arguments of sentence-transformers take as their ``batch_sampler``.

    Batch size, seed and what happens to the last batch are those of the training arguments, unless `options` names them;
    and neither a batch nor the neighbours of an instance are ever more than the data set. With several processes the trainer
    shares the batches out, and all must plan the same: they need the same embeddings, to the bit. Encode on one of them and
    send the result to all, also before ``update``; `lookalike.check_agreement` tells whether they agree.

    Args:
        embeddings: (N, d) for the rows of the data set, with the option `pairs` (queries, documents); or a function from a data set to
            them, which can give None for uniform batches: for trainers with several data sets, of which one for evaluation is one. Later ones are given to
            ``samplers[0].update``. Without any, batches are uniform until then.
        options: of `lookalike.LookalikeBatchSampler`.

    Returns:
        The callable. Its ``samplers`` are the samplers it made.

    """
    return BatchSamplers(embeddings, options)
