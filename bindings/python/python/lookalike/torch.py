"""For those who look for PyTorch's own class.

``DataLoader`` takes `lookalike.LookalikeBatchSampler` as it is. The class here is besides a ``torch.utils.data.Sampler``, and its
`state_dict` holds tensors, which ``torch.load`` reads with ``weights_only=True``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import distributed
from torch.utils.data import Sampler

import lookalike
from lookalike import _frames

__all__ = ["LookalikeBatchSampler"]

#: What a trainer is told that puts a sampler of its own in the place of this one.
REMADE = (
    "a LookalikeBatchSampler cannot be made from another sampler and drop_last, as Lightning does where it shares batches out among "
    "processes or predicts. Give the trainer use_distributed_sampler=False, and the sampler the processes, rank= and "
    "num_replicas=, or make it once torch.distributed knows them; predict with a DataLoader without it"
)


class LookalikeBatchSampler(lookalike.LookalikeBatchSampler, Sampler[list[int]]):
    """`lookalike.LookalikeBatchSampler` as a ``torch.utils.data.Sampler``.

    Args:
        n: as there.
        rank, num_replicas: by default those of ``torch.distributed``, and 0 of 1 where it is not initialised. Where another one
            shares the batches out among processes, as accelerate and its trainers do, give 0 and 1.
        options: as there.

    Raises:
        ValueError: as there.
        TypeError: where a trainer makes it anew from another sampler.
        RuntimeError: when iteration begins, where ranks were not given and batches would be shared out twice, or not at all.

    """

    #: Whether the ranks were found, not given.
    _found_ranks = False

    def __init__(self, n: int, *, rank: int | None = None, num_replicas: int | None = None, **options: Any) -> None:
        """Checks all options at once."""
        if isinstance(n, Sampler) or "drop_last" in options:
            raise TypeError(REMADE)
        found = (distributed.get_rank(), distributed.get_world_size()) if _is_distributed() else (0, 1)
        options["rank"] = found[0] if rank is None else rank
        options["num_replicas"] = found[1] if num_replicas is None else num_replicas
        super().__init__(n, **options)
        self._found_ranks = rank is None and num_replicas is None

    def _check_ranks(self, consumer: _frames.Consumer) -> None:
        if not self._found_ranks:
            return
        if consumer.shared and self.num_replicas > 1:
            raise RuntimeError(
                "accelerate shares the batches out among the processes, and this sampler does so too; give it rank=0 and num_replicas=1"
            )
        processes = distributed.get_world_size() if _is_distributed() else 1
        if not consumer.shared and self.num_replicas == 1 < processes:
            raise RuntimeError(
                f"this sampler was made before torch.distributed was initialised, so all {processes} processes would train on the same "
                "batches; make it afterwards, or give rank= and num_replicas="
            )

    def state_dict(self, consumed: int | None = None, *, light: bool | None = None) -> dict[str, Any]:
        """As `lookalike.LookalikeBatchSampler.state_dict`, with tensors instead of arrays."""

        def tensors(value: Any) -> Any:
            if isinstance(value, dict):
                return {name: tensors(part) for name, part in value.items()}
            return torch.from_numpy(value) if isinstance(value, np.ndarray) else value

        converted: dict[str, Any] = tensors(super().state_dict(consumed, light=light))
        return converted


def _is_distributed() -> bool:
    return distributed.is_available() and distributed.is_initialized()
