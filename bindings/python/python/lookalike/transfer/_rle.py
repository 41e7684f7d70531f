"""Masks in COCO's three forms, checked before a C library reads them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as library


def compressed(segmentation: Any, height: int, width: int) -> dict[str, Any]:
    """A mask of an image of that size as a compressed run-length code, which `decode` takes.

    Args:
        segmentation: polygons, runs as numbers, or runs as text.
        height, width: of the image.

    Raises:
        ValueError: says what is wrong with it.

    """
    if isinstance(segmentation, list):
        return _of_polygons(segmentation, height, width)
    if not isinstance(segmentation, dict) or "counts" not in segmentation:
        raise ValueError("a mask is a list of polygons, or has a size and counts")
    if list(segmentation.get("size", [])) != [height, width]:
        raise ValueError(f"its size is {segmentation.get('size')}; the image's is [{height}, {width}] (height, width)")
    counts = segmentation["counts"]
    runs = decoded(counts) if isinstance(counts, (str, bytes)) else counts
    _check_runs(runs, height, width)
    code = library.frPyObjects({"size": [height, width], "counts": list(runs)}, height, width)
    return dict(code)


def decode(code: dict[str, Any]) -> npt.NDArray[np.uint8]:
    """The mask (H, W) of a code that `compressed` gave."""
    return np.asarray(library.decode(code), dtype=np.uint8)


def encode(mask: npt.NDArray[np.uint8]) -> dict[str, Any]:
    """The compressed code of a mask (H, W)."""
    return dict(library.encode(np.asfortranarray(mask)))


def area(code: dict[str, Any]) -> float:
    """Pixels of the mask."""
    return float(library.area(code))


def decoded(counts: str | bytes) -> list[int]:
    """The runs of a text: five bits a character, the lowest first, a sixth where more follow; from the fourth run on a difference."""
    text = list(map(ord, counts)) if isinstance(counts, str) else list(counts)
    runs: list[int] = []
    value, shift = 0, 0
    for at, character in enumerate(text):
        bits = character - 48
        if not 0 <= bits < 64:
            raise ValueError(
                f"its run-length code has {chr(character)!r} at place {at}, which is none of its 64 characters"
            )
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            if shift > 60:
                raise ValueError(f"its run-length code has a run of more than 60 bits at place {at}")
            continue
        value -= (bits & 16) and 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value, shift = 0, 0
    if shift:
        raise ValueError("its run-length code ends in the middle of a run")
    return runs


def _check_runs(runs: Any, height: int, width: int) -> None:
    if not isinstance(runs, list) or not all(isinstance(run, int) and run >= 0 for run in runs):
        raise ValueError("its run-length code has a run that is no integer of at least 0")
    covered = sum(runs)
    if covered != height * width:
        past = "more" if covered > height * width else "fewer"
        raise ValueError(f"its runs cover {covered} pixels, {past} than the {height * width} of the image")


def _of_polygons(polygons: Sequence[Any], height: int, width: int) -> dict[str, Any]:
    if not polygons:
        raise ValueError("it has no polygon")
    for polygon in polygons:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            raise ValueError("a polygon is a list of x and y in turn, three points at least")
        for at, value in enumerate(polygon):
            most = (width, height)[at % 2]
            known = isinstance(value, (int, float)) and math.isfinite(value)
            if not known or not -most <= value <= 2 * most:
                raise ValueError(f"a polygon has a point at {value!r}, far outside of the {width} × {height} pixels")
    return dict(library.merge(library.frPyObjects(list(polygons), height, width)))
