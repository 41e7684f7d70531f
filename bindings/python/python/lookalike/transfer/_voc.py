"""Data sets in PASCAL VOC's layout: ``Annotations``, ``ImageSets/Main`` and ``JPEGImages``."""

from __future__ import annotations

import math
from pathlib import Path
from xml.etree import ElementTree

from lookalike.transfer import _images
from lookalike.transfer._detection_data import DetectionSet, Instance, Picture, degenerate
from lookalike.transfer._errors import TransferError

#: Bytes of an annotation; those of VOC have at most 20,000.
MOST = 16 * 2**20


def read(data: Path, train: str | None, test: str | None) -> list[DetectionSet]:
    """The training and the test part."""
    lists = {path.stem: path for path in (data / "ImageSets" / "Main").glob("*.txt")}
    names = [
        _images.part("train", train, _images.TRAIN, list(lists), data / "ImageSets" / "Main"),
        _images.part("test", test, _images.TEST, list(lists), data / "ImageSets" / "Main"),
    ]
    read = [[_annotation(data, stem) for stem in _stems(lists[name])] for name in names]
    found = sorted({name for part in read for one in part for name in one.classes})
    return [_part(name, part, found) for name, part in zip(names, read, strict=True)]


class _Annotation:
    """A picture with its boxes, whose classes have no numbers yet."""

    def __init__(self, path: Path, picture: tuple[Path, int, int]) -> None:
        self.path, self.picture = path, picture
        self.instances: list[Instance] = []
        self.classes: list[str] = []
        self.nothing: list[str] = []


def _part(name: str, annotations: list[_Annotation], classes: list[str]) -> DetectionSet:
    numbers = {one: at for at, one in enumerate(classes, start=1)}
    pictures = [
        Picture(
            *one.picture,
            tuple(
                Instance(each.box, numbers[label], each.area, difficult=each.difficult)
                for each, label in zip(one.instances, one.classes, strict=True)
            ),
        )
        for one in annotations
    ]
    nothing = [note for one in annotations for note in one.nothing]
    return DetectionSet(name, tuple(pictures), tuple(classes), is_voc=True, notes=degenerate(nothing))


def _stems(path: Path) -> list[str]:
    """Names of pictures, one a line; a mark that follows a name says whether it shows a class, which is not asked here."""
    lines = path.read_text(encoding="utf-8").splitlines()
    stems = [line.split()[0] for line in lines if line.strip()]
    if len(set(stems)) < len(stems):
        twice = next(stem for stem in stems if stems.count(stem) > 1)
        raise TransferError(f"{path} names {twice} twice")
    return stems


def _annotation(data: Path, stem: str) -> _Annotation:
    path = data / "Annotations" / f"{stem}.xml"
    try:
        if path.stat().st_size > MOST:
            raise TransferError(f"{path} has more than {MOST} bytes")
        root = ElementTree.parse(path).getroot()
    except FileNotFoundError:
        raise TransferError(f"{path} is not there, though ImageSets/Main names {stem}") from None
    except (ElementTree.ParseError, ValueError) as error:
        raise TransferError(f"{path} is no XML: {error}") from None
    file = _images.of_stem(data / "JPEGImages", stem)
    width, height = _images.size(file)
    said = [root.findtext(f"size/{side}") for side in ("width", "height")]
    if None not in said and [str(side).strip() for side in said] != [str(width), str(height)]:
        raise TransferError(f"{file} is {width} × {height} pixels; {path} says {said[0]} × {said[1]}")
    found = _Annotation(path, (file, width, height))
    for at, element in enumerate(root.findall("object")):
        _add(found, at, element)
    return found


def _add(found: _Annotation, at: int, element: ElementTree.Element) -> None:
    """Adds an object whose corners are pixels counted from 1, the last ones included."""
    name = (element.findtext("name") or "").strip()
    if not name:
        raise TransferError(f"{found.path}: object {at} has no name")
    corners = []
    for side in ("xmin", "ymin", "xmax", "ymax"):
        text = element.findtext(f"bndbox/{side}") or ""
        try:
            corners.append(float(text))
        except ValueError:
            raise TransferError(f"{found.path}: object {at} has the {side} {text!r}, which is no number") from None
        if not math.isfinite(corners[-1]) or abs(corners[-1]) >= 1e9:
            raise TransferError(f"{found.path}: object {at} has the {side} {text!r}, which is no pixel")
    left, top, right, bottom = corners
    if right <= left or bottom <= top:
        said = ", ".join(f"{corner:g}" for corner in corners)
        found.nothing.append(f"object {at} ({name}) of {found.path.name}, xmin ymin xmax ymax = {said}")
        return
    difficult = (element.findtext("difficult") or "0").strip() == "1"
    box = (left - 1, top - 1, right, bottom)
    area = (box[2] - box[0]) * (box[3] - box[1])
    found.instances.append(Instance(box, 0, area, difficult=difficult))
    found.classes.append(name)
