#!/usr/bin/env python3
"""Writes twelve small pictures (PPM) with hostile names into a folder, two of them the same.

pictures.py FOLDER
"""

import pathlib
import sys

folder = pathlib.Path(sys.argv[1])
for number in range(12):
    pixels = bytes((place * (number % 11 + 3) + number % 11 * 20) % 256 for place in range(24 * 24 * 3))
    name = f"{number} <b>&amp; picture.ppm"
    (folder / name).write_bytes(b"P6 24 24 255\n" + pixels)
