"""What the dial, a ceiling on members, and each kind of batches cost: `python cost.py [N …]`; vectors of 128 columns in 100 classes."""

from __future__ import annotations

import sys
import time

import lookalike
import numpy as np
from common import classes

B = 256
#: Kinds that compare all with all are timed up to so many instances.
ALL_KINDS = 200_000


def timed(work) -> tuple[float, object]:
    begun = time.perf_counter()
    result = work()
    return time.perf_counter() - begun, result


def main() -> None:
    for count in map(int, sys.argv[1:] or ["100000"]):
        rows = classes(count, 128).rows
        published, _ = timed(lambda: lookalike.proximity_graph(rows, candidates=1000, neighbors=100))
        print(f"\nN = {count:,}, d = 128, B = {B}: a graph with the published M and K takes {published:.2f} s")
        for share in (0.1, 0.5):
            whole, plan = timed(lambda share=share: lookalike.plan(rows, B, hardness_share=share))
            found = plan.calibration
            graph, _ = timed(
                lambda found=found: lookalike.proximity_graph(
                    rows,
                    candidates=found.candidates,
                    neighbors=found.neighbors * 3 // 2,
                )
            )
            print(
                f"hardness_share {share}: {whole:.2f} s in all, of which its graph (M = {found.candidates}, K = {found.neighbors}) "
                f"takes {graph:.2f}",
                flush=True,
            )
        if count <= ALL_KINDS:
            print(lookalike.compare_plans(rows, B), flush=True)
        else:
            seconds, _ = timed(lambda: lookalike.plan(rows, B, kind="clusters"))
            print(f"clusters: {seconds:.2f} s; nearest and gcbs compare all with all, and are left out", flush=True)
    rng = np.random.default_rng(1)
    rows = (rng.standard_normal((100, 384))[np.arange(50_000) % 100] + rng.standard_normal((50_000, 384))).astype(
        np.float32
    )
    batches = len(rows) // B
    seconds = {}
    for ceiling in (None, 0.9, 0.6):
        whole, _ = timed(lambda ceiling=ceiling: lookalike.plan(rows, B, candidates=2000, similarity_ceiling=ceiling))
        seconds[ceiling] = whole
    for ceiling in (0.9, 0.6):
        extra = (seconds[ceiling] - seconds[None]) / batches
        print(f"ceiling {ceiling} at d = 384, B = {B}: {1000 * extra:.2f} ms a batch beside none")


if __name__ == "__main__":
    main()
