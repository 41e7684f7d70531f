"""Milliseconds a batch of PyTorch's DataLoader and torchdata's StatefulDataLoader over one sampler: ``loaders.py [N [D]]``.

Two workers, batches of 256, a graph every 100 batches whose building is not counted: 300 batches after the first one of an epoch,
of which each is updated. States: none, the full one after every batch, and the light one.
"""

from __future__ import annotations

import sys
import time
import warnings

import numpy as np
import torch
from lookalike.torch import LookalikeBatchSampler
from torch.utils.data import DataLoader, Dataset
from torchdata.stateful_dataloader import StatefulDataLoader


class Indices(Dataset):
    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> int:
        return index


def milliseconds(n: int, known: np.ndarray, kind: type, light: bool, batches: int, update: bool) -> tuple[float, float]:
    """The median and the mean of a batch."""
    sampler = LookalikeBatchSampler(
        n, batch_size=256, candidates=1000, neighbors=100, coverage="cover", refresh_every=10**6, embeddings=known
    )
    sampler.light_states = light
    loader = kind(Indices(n), batch_sampler=sampler, num_workers=2)
    rows = torch.from_numpy(known)
    times, begun = [], 0.0
    for at, indices in enumerate(loader):
        if at:
            times.append(time.perf_counter() - begun)
        if at == batches:
            break
        begun = time.perf_counter()
        if update:
            sampler.update(indices, rows[indices])
    return 1e3 * float(np.median(times)), 1e3 * float(np.mean(times))


def main(n: int = 100_000, d: int = 256) -> None:
    warnings.filterwarnings("ignore")
    known = np.random.default_rng(0).standard_normal((n, d)).astype(np.float32)
    for update in (False, True):
        for name, kind, light, batches in (
            ("DataLoader", DataLoader, False, 300),
            ("StatefulDataLoader, light states", StatefulDataLoader, True, 300),
            ("StatefulDataLoader, full states", StatefulDataLoader, False, 30),
        ):
            median, mean = milliseconds(n, known, kind, light, batches, update)
            print(
                f"{name}{', updated' if update else ''}: median {median:.2f} ms, mean {mean:.2f} ms a batch", flush=True
            )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
