"""Embeddings of images without an encoder: DATA_ROOT OUT_FOLDER.

The first 128 principal components of the pixels of Fashion-MNIST and CIFAR-10 (training images), as OUT/<name>.npy in
float32, with their classes as OUT/<name>-labels.npy in int64. DATA_ROOT is the folder that LOOKALIKE_DATA names.
"""

import gzip
import pathlib
import sys

import numpy

COMPONENTS = 128


def fashion_mnist(root):
    def read(name, header):
        with gzip.open(root / "fashion-mnist" / name) as file:
            return numpy.frombuffer(file.read(), numpy.uint8, offset=header)

    images = read("train-images-idx3-ubyte.gz", 16).reshape(60_000, -1)
    return images, read("train-labels-idx1-ubyte.gz", 8)


def cifar10(root):
    batches = [root / "cifar-10-batches-bin" / f"data_batch_{number}.bin" for number in range(1, 6)]
    records = numpy.concatenate([numpy.fromfile(batch, numpy.uint8).reshape(-1, 3073) for batch in batches])
    return records[:, 1:], records[:, 0]


def main():
    root, out = map(pathlib.Path, sys.argv[1:3])
    for name, read in (("fashion-mnist", fashion_mnist), ("cifar10", cifar10)):
        images, labels = read(root)
        pixels = images.astype(numpy.float32) / 255
        pixels -= pixels.mean(0)
        _, axes = numpy.linalg.eigh(pixels.T @ pixels)
        numpy.save(out / f"{name}.npy", numpy.ascontiguousarray(pixels @ axes[:, : -COMPONENTS - 1 : -1]))
        numpy.save(out / f"{name}-labels.npy", labels.astype(numpy.int64))


main()
