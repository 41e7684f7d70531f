"""What a batch costs beside the walk: `update` and iteration, from Python.

``python update_speed.py`` prints one JSON object a line. Times are microseconds a batch, medians and means over batches; the
call that plans a segment, with the rebuild and the walks of all its batches, is kept apart. Embeddings are written anew before
each update, as a training step would, outside of the times.
"""

import importlib.util
import json
import statistics
import time

import lookalike
import numpy as np

N, D, B, REFRESH, EPOCHS = 100_000, 256, 256, 100, 3


def measure(name: str, give) -> None:
    rng = np.random.default_rng(0)
    known = rng.standard_normal((N, D), dtype=np.float32)
    sampler = lookalike.LookalikeBatchSampler(
        N, batch_size=B, refresh_every=REFRESH, coverage="repeat", embeddings=known
    )
    base = rng.standard_normal((B, D), dtype=np.float32)
    given = give(base)
    plans, nexts, updates = [], [], []
    for _ in range(EPOCHS):
        batches, at = iter(sampler), 0
        while True:
            planned = sampler.steps % REFRESH == 0 or at == 0
            begun = time.perf_counter()
            batch = next(batches, None)
            handed = time.perf_counter()
            if batch is None:
                break
            (plans if planned else nexts).append(handed - begun)
            given[:] = given * 1.0
            begun = time.perf_counter()
            sampler.update(batch, given)
            updates.append(time.perf_counter() - begun)
            at += 1
    micro = lambda times, of: round(1e6 * of(times), 1)  # noqa: E731
    print(
        json.dumps(
            {
                "embeddings": name,
                "batches": len(updates),
                "next_median": micro(nexts, statistics.median),
                "next_mean": micro(nexts, statistics.fmean),
                "update_median": micro(updates, statistics.median),
                "update_mean": micro(updates, statistics.fmean),
                "sum_of_medians": round(micro(nexts, statistics.median) + micro(updates, statistics.median), 1),
                "sum_of_means": round(micro(nexts, statistics.fmean) + micro(updates, statistics.fmean), 1),
                "plan_of_100_batches_with_rebuild_median_ms": round(1e3 * statistics.median(plans), 1),
            }
        ),
        flush=True,
    )


def call() -> None:
    """What a call costs that starts threads and does next to nothing: a plan pays it once a segment."""
    graph, times = lookalike.knn_graph(np.eye(4, dtype=np.float32), 1), []
    for _ in range(500):
        begun = time.perf_counter()
        lookalike.random_walks(graph, [0], 1)
        times.append(time.perf_counter() - begun)
    print(json.dumps({"call_with_threads_median": round(1e6 * statistics.median(times), 1)}), flush=True)


print(
    json.dumps(
        {
            "n": N,
            "d": D,
            "batch_size": B,
            "refresh_every": REFRESH,
            "lookalike": lookalike.__version__,
            "numpy": np.__version__,
        }
    )
)
call()
measure("numpy float32", lambda rows: rows)
measure("numpy float16", lambda rows: rows.astype(np.float16))
if importlib.util.find_spec("torch"):
    import torch

    torch.set_num_threads(1)
    measure(f"torch {torch.__version__} float32", torch.from_numpy)
    measure(f"torch {torch.__version__} bfloat16", lambda rows: torch.from_numpy(rows).bfloat16())
