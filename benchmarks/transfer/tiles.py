#!/usr/bin/env python3
"""Cuts random tiles out of photographs and writes them as PNG files, to learn from without labels.

    tiles.py IMAGES OUT [--side 48] [--each 16] [--seed 0]

IMAGES is a folder of image files, OUT a new folder: tiles lie in OUT/train, so that it can be the `data.root` of the set `folder`.
Each photograph gives as many tiles, from places drawn uniformly.
"""
import argparse
import pathlib
import random

from PIL import Image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--side", type=int, default=48, help="of a tile, in pixels")
    parser.add_argument("--each", type=int, default=16, help="tiles of a photograph")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    draw = random.Random(arguments.seed)
    folder = arguments.out / "train"
    folder.mkdir(parents=True)
    for path in sorted(arguments.images.iterdir()):
        image = Image.open(path).convert("RGB")
        for number in range(arguments.each):
            left = draw.randint(0, image.width - arguments.side)
            top = draw.randint(0, image.height - arguments.side)
            box = (left, top, left + arguments.side, top + arguments.side)
            image.crop(box).save(folder / f"{path.stem}-{number:02}.png")


if __name__ == "__main__":
    main()
