"""Does `hardness_share` come to what was asked for? `python dial.py classes NAME=EMBEDDINGS.npy[,LABELS.npy],B …`"""

from __future__ import annotations

import sys
import time

import lookalike
from common import false_negatives, hardness, nearest, read

SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)


def main() -> None:
    for data in read(sys.argv[1:]):
        hardest, largest = nearest(data), 0.0
        print(f"\n{data.name}: {len(data.rows):,} × {data.rows.shape[1]}, B = {data.batch_size}")
        print("| asked | share | said | M | K | false negatives | seconds |\n|---|---|---|---|---|---|---|")
        for asked in SHARES:
            begun = time.perf_counter()
            plan = lookalike.plan(data.rows, data.batch_size, hardness_share=asked)
            seconds = time.perf_counter() - begun
            share, found = hardness(plan, data) / hardest, plan.calibration
            rate = "" if data.labels is None else f"{100 * false_negatives(plan, data):.2f} %"
            largest = max(largest, abs(share - asked))
            print(
                f"| {asked} | {share:.3f} | {found.share:.3f} | {found.candidates} | {found.neighbors} | {rate} | {seconds:.2f} |"
            )
        print(f"largest error {largest:.3f}", flush=True)


if __name__ == "__main__":
    main()
