"""The proximity graph as BatchSampler's published program builds it, in PyTorch on a CPU: N D M K THREADS ROUNDS.

Each anchor draws M candidates with replacement and gathers their rows; the gathered fold, N/folds x M x D, is multiplied
with the anchors and the top K kept. The number of folds is raised until a fold fits into 2 GB, as the published 20 would
need 5.4 GB at N=105000, D=256. Also times the product 2048 x 256 x 2048 on the same threads.
"""

import sys
import time

import torch


def build(rows, candidates, neighbors):
    count, columns = rows.shape
    folds = max(20, -(-count * candidates * columns * 4 // 2_000_000_000))
    rows = torch.nn.functional.normalize(rows, dim=1)
    kept = []
    for anchors in torch.arange(count).chunk(folds):
        drawn = torch.randint(0, count, (len(anchors), candidates))
        scores = torch.bmm(rows[drawn], rows[anchors].unsqueeze(2)).squeeze(2)
        kept.append(drawn.gather(1, scores.topk(neighbors, dim=1).indices))
    return torch.cat(kept)


def main():
    count, columns, candidates, neighbors, threads, rounds = map(int, sys.argv[1:7])
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    left, right = torch.rand(2048, 256), torch.rand(256, 2048)
    for _ in range(rounds):
        begun = time.perf_counter()
        for _ in range(10):
            left @ right
        seconds = (time.perf_counter() - begun) / 10
        print(f"torch_gemm n=2048 d=256 m=2048 k=0 seconds={seconds:.4f} gflops={2 * 2048 * 2048 * 256 / seconds / 1e9:.1f}")
    rows = torch.rand(count, columns) * 2 - 1
    for _ in range(rounds):
        begun = time.perf_counter()
        build(rows, candidates, neighbors)
        seconds = time.perf_counter() - begun
        rate = 2 * count * candidates * columns / seconds / 1e9
        print(f"published n={count} d={columns} m={candidates} k={neighbors} seconds={seconds:.4f} gflops={rate:.1f}", flush=True)


main()
