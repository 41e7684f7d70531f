"""Which kind of batches buys hardness with the fewest false negatives? `python builders.py NAME=EMBEDDINGS.npy,LABELS.npy,B …`

First all kinds side by side; then the dial beside the best point of a grid of 4 × 4 × 3 over K, M and the restart probability: of all points that are at
least as hard, the one with the fewest false negatives.
"""

from __future__ import annotations

import sys

import lookalike
from common import false_negatives, hardness, nearest, read

SHARES = (0.25, 0.5, 0.75)
RESTARTS = (0.1, 0.5, 0.9)


def grid(data) -> list[tuple[float, float, str]]:
    """Hardness, false negatives and name of each point: K from a quarter of a batch to two, M so that the grid spans all shares."""
    count, points = len(data.rows), []
    for neighbors in (
        data.batch_size // 4,
        data.batch_size // 2,
        data.batch_size,
        2 * data.batch_size,
    ):
        for part in (64, 16, 4, 1):
            candidates = max(neighbors, (count - 1) // part)
            graph = lookalike.proximity_graph(data.rows, candidates=candidates, neighbors=neighbors)
            for restart in RESTARTS:
                plan = lookalike.plan(graph, data.batch_size, restart=restart)
                name = f"K = {neighbors}, M = {candidates}, restart {restart}"
                points.append((hardness(plan, data), false_negatives(plan, data), name))
    return points


def main() -> None:
    for data in read(sys.argv[1:]):
        print(f"\n{data.name}: {len(data.rows):,} × {data.rows.shape[1]}, B = {data.batch_size}\n")
        print(
            lookalike.compare_plans(data.rows, data.batch_size, labels=data.labels),
            flush=True,
        )
        hardest, points = nearest(data), grid(data)
        print(
            "\n| dial | share | false negatives | best point at least as hard | its share | its false negatives | ratio |"
        )
        print("|---|---|---|---|---|---|---|")
        for asked in SHARES:
            plan = lookalike.plan(data.rows, data.batch_size, hardness_share=asked)
            ours, rate = hardness(plan, data), false_negatives(plan, data)
            best = min(
                (point for point in points if point[0] >= ours),
                key=lambda point: point[1],
            )
            print(
                f"| {asked} | {ours / hardest:.3f} | {100 * rate:.3f} % | {best[2]} | {best[0] / hardest:.3f} | "
                f"{100 * best[1]:.3f} % | {rate / best[1]:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
