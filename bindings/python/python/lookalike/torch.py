"""For those who look for PyTorch's own class.

``DataLoader`` takes `lookalike.LookalikeBatchSampler` as it is. The class here is besides a ``torch.utils.data.Sampler``, and its
`state_dict` holds tensors, which ``torch.load`` reads with ``weights_only=True``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.utils.data import Sampler

import lookalike

__all__ = ["LookalikeBatchSampler"]


class LookalikeBatchSampler(lookalike.LookalikeBatchSampler, Sampler[list[int]]):
    """`lookalike.LookalikeBatchSampler` as a ``torch.utils.data.Sampler``."""

    def state_dict(self, consumed: int | None = None) -> dict[str, Any]:
        """As `lookalike.LookalikeBatchSampler.state_dict`, with tensors instead of arrays."""

        def tensors(value: Any) -> Any:
            if isinstance(value, dict):
                return {name: tensors(part) for name, part in value.items()}
            return torch.from_numpy(value) if isinstance(value, np.ndarray) else value

        converted: dict[str, Any] = tensors(super().state_dict(consumed))
        return converted
