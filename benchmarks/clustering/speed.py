"""k-means beside scikit-learn's, both its algorithms: seconds and inertia, in interleaved rounds.

python speed.py ROUNDS RESTARTS NAME=ROWS.npy|mixture …   # prints a line a run, then medians

Threads are those of OMP_NUM_THREADS for all. Both stop by the same rule (tolerance 1e-4, at most 300 iterations), from k-means++ of
their own, the seed being the round.
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import NamedTuple

import lookalike
import numpy as np
import sklearn
from sklearn.cluster import KMeans


class Run(NamedTuple):
    seconds: float
    inertia: float
    iterations: int


def mixture(count: int = 60_000, columns: int = 512, groups: int = 100) -> np.ndarray:
    """Unit vectors around the directions of classes, with more noise than signal, as embeddings are."""
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((groups, columns))
    rows = centers[rng.integers(0, groups, count)] + 1.5 * rng.standard_normal((count, columns))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def ours(rows: np.ndarray, clusters: int, restarts: int, seed: int) -> Run:
    begun = time.perf_counter()
    found = lookalike.kmeans(rows, clusters, restarts=restarts, seed=seed)
    return Run(time.perf_counter() - begun, found.inertia, found.iterations)


def theirs(algorithm: str):
    def run(rows: np.ndarray, clusters: int, restarts: int, seed: int) -> Run:
        model = KMeans(clusters, n_init=restarts, algorithm=algorithm, random_state=seed)
        begun = time.perf_counter()
        model.fit(rows)
        return Run(time.perf_counter() - begun, float(model.inertia_), model.n_iter_)

    return run


def main() -> None:
    rounds, restarts = int(sys.argv[1]), int(sys.argv[2])
    programs = {"lookalike": ours, "lloyd": theirs("lloyd"), "elkan": theirs("elkan")}
    print(f"scikit-learn {sklearn.__version__}, NumPy {np.__version__}, {restarts} restarts")
    for argument in sys.argv[3:]:
        name, _, path = argument.partition("=")
        rows = np.load(path).astype(np.float32) if path else mixture()
        for clusters in (10, 100):
            runs: dict[str, list[Run]] = {program: [] for program in programs}
            for seed in range(rounds):
                for program, run in programs.items():
                    runs[program].append(run(rows, clusters, restarts, seed))
                    seconds, inertia, iterations = runs[program][-1]
                    print(
                        f"{name} {rows.shape} k={clusters} seed {seed} {program}: {seconds:.2f} s, "
                        f"inertia {inertia:.8g}, {iterations} iterations",
                        flush=True,
                    )
            middle = {program: [statistics.median(column) for column in zip(*found)] for program, found in runs.items()}
            best = min(middle[program][0] for program in ("lloyd", "elkan"))
            print(
                f"-> {name} k={clusters}, medians: "
                + "; ".join(f"{program} {found[0]:.2f} s, {found[1]:.8g}" for program, found in middle.items())
                + f"; {best / middle['lookalike'][0]:.1f} times as fast as the faster",
                flush=True,
            )


if __name__ == "__main__":
    main()
