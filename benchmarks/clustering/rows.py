"""Real rows for speed.py: python rows.py FASHION_MNIST_FOLDER CIFAR_10_FOLDER OUT

Writes fashion.npy, the 60,000 training images as 784 pixels, and cifar.npy, the 60,000 images of CIFAR-10 as a random layer sees them:
512 rectified projections of the pixels, of unit length, which is about what an untrained encoder gives.
"""

from __future__ import annotations

import gzip
import pathlib
import sys

import numpy as np


def fashion(folder: pathlib.Path) -> np.ndarray:
    with gzip.open(folder / "train-images-idx3-ubyte.gz") as file:
        return np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 784).astype(np.float32)


def cifar(folder: pathlib.Path) -> np.ndarray:
    parts = [np.fromfile(path, np.uint8).reshape(-1, 3073)[:, 1:] for path in sorted(folder.glob("*_batch*.bin"))]
    pixels = np.concatenate(parts).astype(np.float32) / 255 - 0.5
    rng = np.random.default_rng(0)
    layer = rng.standard_normal((3072, 512)).astype(np.float32) / np.sqrt(3072)
    rows = np.maximum(pixels @ layer, 0)
    return (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)).astype(np.float32)


def main() -> None:
    images, colors, out = map(pathlib.Path, sys.argv[1:])
    out.mkdir(parents=True, exist_ok=True)
    np.save(out / "fashion.npy", fashion(images))
    np.save(out / "cifar.npy", cifar(colors))


if __name__ == "__main__":
    main()
