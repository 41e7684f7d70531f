"""Pictures with a class for each pixel."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lookalike.transfer import _images
from lookalike.transfer._errors import TransferError

#: The class of pixels that count nowhere.
IGNORED = 255


@dataclass(frozen=True)
class Reading:
    """How the values of a mask become classes."""

    #: Every value above 0 is class 1, 255 too.
    binary: bool = False
    #: The class of each colour, where masks are pictures in colours.
    colors: dict[tuple[int, int, int], int] | None = None
    #: How many classes there are, where that is said; otherwise the masks tell.
    classes: int | None = None

    def classes_of(self, path: Path) -> npt.NDArray[np.uint8]:
        """The classes (H, W) of a mask."""
        found = _images.indices(path)
        if found.ndim == 3:
            return self._of_colors(path, found)
        if self.colors is not None:
            raise TransferError(f"{path} holds numbers, not colours: leave --colors away")
        if self.binary:
            return (found > 0).astype(np.uint8)
        if found.dtype == bool:
            return found.astype(np.uint8)
        limit = IGNORED if self.classes is None else self.classes
        self._check(
            path,
            found,
            (found != IGNORED) & ((found < 0) | (found >= limit)),
            f"the classes are 0 to {limit - 1}, and 255 is none",
        )
        return found.astype(np.uint8)

    def _of_colors(self, path: Path, found: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        if self.binary:
            return np.asarray((found > 0).any(axis=2), dtype=np.uint8)
        if self.colors is None:
            raise TransferError(f"{path} is a picture in colours; give their table by --colors, or --binary")
        classes = np.full(found.shape[:2], IGNORED, np.uint8)
        unknown = np.ones(found.shape[:2], bool)
        for color, number in self.colors.items():
            same = (found == np.array(color, found.dtype)).all(axis=2)
            classes[same] = number
            unknown &= ~same
        self._check(path, found, unknown, "which is not in the table of --colors")
        return classes

    def _check(self, path: Path, found: npt.NDArray[Any], wrong: npt.NDArray[np.bool_], why: str) -> None:
        if wrong.any():
            row, column = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
            value = found[row, column]
            raise TransferError(f"{path}: the pixel in row {row}, column {column} is {value.tolist()}; {why}")


@dataclass(frozen=True)
class MaskedPicture:
    """A picture and its mask."""

    path: Path
    mask: Path


@dataclass(frozen=True)
class MaskSet:
    """A part of a data set."""

    name: str
    pictures: tuple[MaskedPicture, ...]
    reading: Reading

    def image(self, at: int) -> npt.NDArray[np.uint8]:
        """Pixels (H, W, 3)."""
        return _images.rgb(self.pictures[at].path)

    def classes(self, at: int) -> npt.NDArray[np.uint8]:
        """Classes (H, W)."""
        return self.reading.classes_of(self.pictures[at].mask)


def read(options: Namespace) -> tuple[MaskSet, MaskSet, tuple[str, ...]]:
    """The training and the test part, and the names of the classes. Every mask is read once and checked."""
    data: Path = options.data
    images = data / "images"
    if not images.is_dir():
        raise TransferError(f"{data} holds no folder images with a folder for each part")
    masks = data / options.masks if (data / options.masks).is_dir() else options.masks
    if not masks.is_dir():
        raise TransferError(f"--masks {options.masks} is a folder neither in {data} nor by itself")
    there = [path.name for path in images.iterdir() if path.is_dir()]
    train = _images.part("train", options.train, _images.TRAIN, there, images)
    test = _images.part("test", options.test, _images.TEST, there, images)
    if train == test:
        raise TransferError(f"{data}: the part {train} would be trained on and tested on")
    reading, names = _reading(options)
    parts = [MaskSet(name, _pairs(images / name, masks / name), reading) for name in (train, test)]
    most = max(map(_greatest, parts))
    if reading.classes is None:
        count = max(2, most + 1)
        reading, names = Reading(classes=count), tuple(map(str, range(count)))
        parts = [MaskSet(part.name, part.pictures, reading) for part in parts]
    return parts[0], parts[1], names


def _reading(options: Namespace) -> tuple[Reading, tuple[str, ...]]:
    if options.binary and options.colors:
        raise TransferError("--binary and --colors exclude each other")
    if options.colors is not None:
        colors, names = _table(options.colors)
        if options.classes is not None and tuple(options.classes) != names:
            raise TransferError(f"--classes are not those of --colors: {', '.join(names)}")
        return Reading(colors=colors, classes=len(names)), names
    names = tuple(options.classes or ())
    if options.binary:
        if names and len(names) != 2:
            raise TransferError(f"--binary has two classes, background first; --classes names {len(names)}")
        return Reading(binary=True, classes=2), names or ("background", "foreground")
    if names and not 2 <= len(names) <= IGNORED:
        raise TransferError(f"--classes names {len(names)}; 2 to 255 can be told apart")
    return Reading(classes=len(names) or None), names


def _table(path: Path) -> tuple[dict[tuple[int, int, int], int], tuple[str, ...]]:
    """Colours and names; several colours may be of one class, and the name `ignored` is that of no class."""
    colors: dict[tuple[int, int, int], int] = {}
    names: list[str] = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise TransferError(f"--colors {path} cannot be read: {error}") from None
    for at, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        parts = [part.strip() for part in line.split(",")]
        try:
            red, green, blue = map(int, parts[:3])
            name = parts[3]
        except (ValueError, IndexError):
            raise TransferError(f"{path}, line {at} is not `red,green,blue,name`: {line}") from None
        if not all(0 <= value <= 255 for value in (red, green, blue)) or (red, green, blue) in colors:
            raise TransferError(
                f"{path}, line {at}: {red},{green},{blue} is no colour of 0 to 255, or stands there twice"
            )
        if name != "ignored" and name not in names:
            names.append(name)
        colors[red, green, blue] = IGNORED if name == "ignored" else names.index(name)
    if not 2 <= len(names) <= IGNORED:
        raise TransferError(f"{path} names {len(names)} classes; 2 to 255 can be told apart")
    return colors, tuple(names)


def _pairs(images: Path, masks: Path) -> tuple[MaskedPicture, ...]:
    files = sorted(path for path in images.iterdir() if path.suffix.lower() in _images.ENDINGS)
    if not files:
        raise TransferError(f"{images} holds no pictures")
    if not masks.is_dir():
        raise TransferError(f"there is no folder {masks} for the masks of {images}")
    pairs = []
    for path in files:
        mask = masks / f"{path.stem}.png"
        if not mask.exists():
            raise TransferError(f"{path} has no mask {mask}")
        if _images.size(mask) != _images.size(path):
            sides = [" × ".join(map(str, _images.size(file))) for file in (mask, path)]
            raise TransferError(f"{mask} is {sides[0]} pixels, and {path} {sides[1]}")
        pairs.append(MaskedPicture(path, mask))
    known = {pair.mask.name for pair in pairs}
    alone = sorted(path for path in masks.glob("*.png") if path.name not in known)
    if alone:
        raise TransferError(f"{alone[0]} is a mask of a picture that is not in {images}")
    return tuple(pairs)


def _greatest(part: MaskSet) -> int:
    """The greatest class of a part."""
    greatest = -1
    for at in range(len(part.pictures)):
        classes = part.classes(at)
        known = classes[classes != IGNORED]
        greatest = max(greatest, int(known.max()) if known.size else -1)
    if greatest < 0:
        raise TransferError(f"no pixel of the masks of the part {part.name} has a class")
    return greatest


def counted(part: MaskSet, classes: Sequence[str]) -> list[int]:
    """Pixels of each class."""
    total = np.zeros(256, np.int64)
    for at in range(len(part.pictures)):
        total += np.bincount(part.classes(at).reshape(-1), minlength=256)
    return [int(count) for count in total[: len(classes)]]
