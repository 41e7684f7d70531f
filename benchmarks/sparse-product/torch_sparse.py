"""Milliseconds of PyTorch's sparse product for the shapes of `sparse_speed.rs`: `torch_sparse.py`.

Prints `<case> <who> <milliseconds> <GB/s>`: `torch-csr` is `torch.sparse_csr_tensor @ dense`, `torch-index-add` what PyTorch
Geometric does without compiled extensions (gather the neighbours' rows, add them up by target), `torch-read-out` the sum of
rows by graph.
"""

import statistics
import time
import warnings

import torch

CASES = [
    ("nci1-batch-128x30-deg2-32", 128, 30, 2, 32),
    ("collab-batch-128x74-deg66-32", 128, 74, 66, 32),
    ("one-graph-100000-deg10-128", 1, 100_000, 10, 128),
    ("one-graph-3000-deg4-512", 1, 3000, 4, 512),
]


def report(case, who, moved, work):
    seconds = []
    for _ in range(30):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    median = statistics.median(seconds)
    print(f"{case} {who} {median * 1e3:.4f} {moved / median / 1e9:.1f}", flush=True)


def main():
    warnings.simplefilter("ignore")
    generator = torch.Generator().manual_seed(1)
    for case, graphs, nodes, degree, columns in CASES:
        count = graphs * nodes
        targets = torch.arange(count).repeat_interleave(degree)
        within = torch.randint(nodes, (count, degree), generator=generator).sort(1).values
        sources = (within + (torch.arange(count) // nodes * nodes)[:, None]).flatten()
        dense = torch.rand(count, columns, generator=generator)
        offsets = torch.arange(count + 1) * degree
        matrix = torch.sparse_csr_tensor(offsets, sources, torch.ones(len(sources)), (count, count))
        moved = 4 * (len(sources) * (columns + 1) + count * columns)
        graph = torch.arange(count) // nodes
        report(case, "torch-csr", moved, lambda: matrix @ dense)
        report(case, "torch-index-add", moved, lambda: torch.zeros(count, columns).index_add_(0, targets, dense[sources]))
        report(case, "torch-read-out", 4 * dense.numel(), lambda: torch.zeros(graphs, columns).index_add_(0, graph, dense))


if __name__ == "__main__":
    main()
