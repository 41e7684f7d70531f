"""Boxes, and masks where there are some, of the parts of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lookalike.transfer._errors import TransferError


@dataclass(frozen=True)
class Instance:
    """An object in a picture."""

    #: Left, top, right and bottom, where a pixel reaches from its number to the next, counted from 0.
    box: tuple[float, float, float, float]
    #: From 1; 0 is background.
    label: int
    #: By the data set's own word, the mask's where there is one: it decides who is small, medium or large.
    area: float
    #: Many objects in one region: not trained on, and nobody's false alarm.
    crowd: bool = False
    #: Trained on, and neither for nor against a detector.
    difficult: bool = False
    #: The compressed run-length code of its mask.
    mask: dict[str, Any] | None = None


@dataclass(frozen=True)
class Picture:
    """A picture and what is in it, which may be nothing."""

    path: Path
    width: int
    height: int
    instances: tuple[Instance, ...]


@dataclass(frozen=True)
class DetectionSet:
    """A part of a data set."""

    name: str
    pictures: tuple[Picture, ...]
    #: Names of the classes 1, 2, …
    classes: tuple[str, ...]
    #: Whether PASCAL VOC's scores are usual.
    is_voc: bool
    #: What was left out.
    notes: tuple[str, ...] = ()

    @property
    def instances(self) -> list[Instance]:
        """Those of all pictures."""
        return [instance for picture in self.pictures for instance in picture.instances]

    @property
    def has_masks(self) -> bool:
        """Whether all instances have a mask."""
        return all(instance.mask is not None for instance in self.instances)


def read(data: Path, train: str | None, test: str | None, classes: Sequence[str] | None) -> list[DetectionSet]:
    """The training and the test part of a folder in COCO's or PASCAL VOC's layout, with the classes asked for alone."""
    from lookalike.transfer import _coco, _voc

    if not data.is_dir():
        raise TransferError(f"{data} is no folder")
    if (data / "Annotations").is_dir():
        parts = _voc.read(data, train, test)
    else:
        parts = _coco.read(data, train, test)
    if parts[0].name == parts[1].name:
        raise TransferError(f"{data}: the part {parts[0].name} would be trained on and tested on")
    if classes is not None:
        parts = [_of_classes(data, one, classes) for one in parts]
    for one in parts:
        if not one.pictures:
            raise TransferError(f"{data}: the part {one.name} has no pictures")
        if not any(not instance.crowd for instance in one.instances):
            raise TransferError(f"{data}: the part {one.name} has no objects of {', '.join(one.classes)}")
    both = {picture.path for picture in parts[0].pictures} & {picture.path for picture in parts[1].pictures}
    if both:
        raise TransferError(
            f"{data}: {len(both)} pictures are in {parts[0].name} and in {parts[1].name}, one of them {min(both)}; "
            "what is trained on is no test"
        )
    return parts


def _of_classes(data: Path, one: DetectionSet, classes: Sequence[str]) -> DetectionSet:
    """With the instances of some classes; pictures without any stay."""
    unknown = [name for name in classes if name not in one.classes]
    if unknown or not classes:
        raise TransferError(
            f"--classes: {data} has no class {', '.join(map(repr, unknown)) or 'without a name'}; it has {', '.join(one.classes)}"
        )
    numbers = {one.classes.index(name) + 1: at for at, name in enumerate(classes, start=1)}

    def kept(picture: Picture) -> Picture:
        chosen = [instance for instance in picture.instances if instance.label in numbers]
        return replace(picture, instances=tuple(replace(each, label=numbers[each.label]) for each in chosen))

    return replace(one, classes=tuple(classes), pictures=tuple(map(kept, one.pictures)))


def degenerate(what: list[str]) -> tuple[str, ...]:
    """A note on boxes that enclose nothing."""
    if not what:
        return ()
    named = "; ".join(what[:5]) + ("; …" if len(what) > 5 else "")
    boxes = "1 box encloses" if len(what) == 1 else f"{len(what)} boxes enclose"
    return (f"{boxes} nothing, neither trained on nor to be found: {named}",)
