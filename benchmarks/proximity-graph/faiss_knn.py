"""The exact nearest neighbours of all rows by faiss' flat index of inner products: N D K THREADS ROUNDS.

K + 1 are asked for, as each row finds itself.
"""

import sys
import time

import faiss
import numpy


def main():
    count, columns, neighbors, threads, rounds = map(int, sys.argv[1:6])
    faiss.omp_set_num_threads(threads)
    rows = numpy.random.default_rng(0).uniform(-1, 1, (count, columns)).astype(numpy.float32)
    for _ in range(rounds):
        begun = time.perf_counter()
        unit = rows / numpy.linalg.norm(rows, axis=1, keepdims=True)
        index = faiss.IndexFlatIP(columns)
        index.add(unit)
        index.search(unit, neighbors + 1)
        seconds = time.perf_counter() - begun
        rate = 2 * count * (count - 1) * columns / seconds / 1e9
        print(f"faiss n={count} d={columns} m={count - 1} k={neighbors} seconds={seconds:.4f} gflops={rate:.1f}", flush=True)


main()
