"""Pictures from files, and the parts of a data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from lookalike.transfer._errors import TransferError

Result = TypeVar("Result")

#: Endings of pictures, the usual ones first.
ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")
#: What the parts are called, where nobody says it: of training, and of testing.
TRAIN, TEST = ("trainval", "train", "train2017"), ("test", "val", "val2017")


def size(path: Path) -> tuple[int, int]:
    """Width and height, of which only the file's head is read."""
    image = _opened(path)
    with image:
        return image.size


def rgb(path: Path) -> npt.NDArray[np.uint8]:
    """The pixels (H, W, 3) of a picture with 8 bits a channel."""
    with _opened(path) as image:
        if image.mode[0] in "IF":
            raise TransferError(f"{path} has more than 8 bits a channel, whose range nobody says; write it with 8")
        return np.asarray(_read(path, lambda: image.convert("RGB")))


def indices(path: Path) -> npt.NDArray[Any]:
    """The pixels of a mask: (H, W) numbers, of a palette too, or (H, W, 3) colours."""
    with _opened(path) as image:
        plain = image.mode in ("1", "L", "P", "I", "I;16")
        return np.asarray(_read(path, lambda: image.copy() if plain else image.convert("RGB")))


def _opened(path: Path) -> Image.Image:
    return _read(path, lambda: Image.open(path))


def _read(path: Path, act: Callable[[], Result]) -> Result:
    try:
        return act()
    except FileNotFoundError:
        raise TransferError(f"{path} is not there") from None
    except Exception as error:  # noqa: BLE001 - a file of anything raises anything
        raise TransferError(f"{path} cannot be read as an image: {error}") from None


def of_stem(folder: Path, stem: str) -> Path:
    """The picture of that name without its ending."""
    for ending in ENDINGS:
        if (folder / (stem + ending)).exists():
            return folder / (stem + ending)
    raise TransferError(f"{folder} holds no picture {stem} ({', '.join(ENDINGS)})")


def part(what: str, asked: str | None, usual: Sequence[str], there: Sequence[str], where: Path) -> str:
    """The name of a part: the one asked for, or the first usual one that is there."""
    known = f"{where} holds the parts {', '.join(sorted(there)) or 'none'}"
    if asked is not None:
        if asked not in there:
            raise TransferError(f"--{what} {asked} is not there: {known}")
        return asked
    for name in usual:
        if name in there:
            return name
    raise TransferError(f"{known}, and none of {', '.join(usual)}; name one by --{what}")
