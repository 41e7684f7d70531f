"""What several tests use."""

from __future__ import annotations

from collections import deque

import numpy as np


def clustered(n: int, clusters: int = 5, d: int = 6, seed: int | list[int] = 0) -> np.ndarray:
    """Embeddings (n, d) around `clusters` directions; instance i is of cluster i mod `clusters`."""
    rng = np.random.default_rng(seed)
    values = 0.3 * rng.standard_normal((n, d))
    values[np.arange(n), np.arange(n) % clusters % d] += 1
    return values.astype(np.float32)


def query_document_pairs(n: int, topics: int = 6, d: int = 8, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Queries and documents (n, d) each: pair i is about topic i mod `topics`."""
    queries, documents = (clustered(n, topics, d, [seed, half]) for half in range(2))
    return 2 * queries, documents


def crossed(queries: np.ndarray, documents: np.ndarray) -> np.ndarray:
    """The cosine (n, n) of each query to each document."""
    scaled = [half / np.maximum(np.linalg.norm(half, axis=1, keepdims=True), 1e-30) for half in (queries, documents)]
    return scaled[0].astype(float) @ scaled[1].astype(float).T


def embeddings_of(indices, step: int) -> np.ndarray:
    """What training at `step` would make of some instances."""
    rows = [np.random.default_rng([step, index]).standard_normal(6) + 3 * np.eye(6)[index % 5] for index in indices]
    return np.array(rows, dtype=np.float32)


class Loader:
    """Trains on the batches of a sampler as a loader with workers does: it asks for some before they are needed."""

    def __init__(self, sampler, prefetch: int) -> None:
        self.sampler, self.prefetch, self.step = sampler, prefetch, 0
        self.iterator, self.queue = None, deque()

    def train(self, batches: int) -> list[list[int]]:
        """The next `batches` that are trained on, over the ends of epochs."""
        trained = []
        while len(trained) < batches:
            if self.iterator is None:
                self.iterator = iter(self.sampler)
            self.queue.extend(batch for _, batch in zip(range(self.prefetch + 1 - len(self.queue)), self.iterator))
            if not self.queue:
                self.iterator = None
                continue
            batch = self.queue.popleft()
            self.sampler.update(batch, embeddings_of(batch, self.step))
            self.step += 1
            trained.append(batch)
        return trained
