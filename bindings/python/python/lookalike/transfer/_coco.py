"""Data sets in COCO's layout: ``instances_NAME.json``, and pictures in ``images/NAME`` or ``NAME``."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from lookalike.transfer import _images, _rle
from lookalike.transfer._detection_data import DetectionSet, Instance, Picture, degenerate
from lookalike.transfer._errors import TransferError


def read(data: Path, train: str | None, test: str | None) -> list[DetectionSet]:
    """The training and the test part."""
    folder = data / "annotations" if (data / "annotations").is_dir() else data
    there = {path.stem.removeprefix("instances_"): path for path in folder.glob("instances_*.json")}
    if not there:
        raise TransferError(
            f"{data} holds neither instances_NAME.json (COCO) nor Annotations, ImageSets and JPEGImages (PASCAL VOC)"
        )
    names = [
        _images.part("train", train, _images.TRAIN, list(there), data),
        _images.part("test", test, _images.TEST, list(there), data),
    ]
    parts = [_part(there[name], _folder(data, name), name) for name in names]
    if parts[0].classes != parts[1].classes:
        raise TransferError(f"the categories of {there[names[1]]} are not those of {there[names[0]]}")
    return parts


def _folder(data: Path, name: str) -> Path:
    for folder in (data / "images" / name, data / name):
        if folder.is_dir():
            return folder
    raise TransferError(f"{data} has no folder of pictures images/{name} or {name}")


def _part(path: Path, folder: Path, name: str) -> DetectionSet:
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise TransferError(f"{path} is no JSON: {error}") from None
    for key in ("images", "annotations", "categories"):
        if not isinstance(found, dict) or not isinstance(found.get(key), list):
            raise TransferError(f"{path} has no list {key!r}")
    # Numbers of categories may have gaps: COCO's 80 go up to 90. The detector's have none.
    categories = _by_id(path, "categories", found["categories"])
    labels = {number: at for at, number in enumerate(sorted(categories), start=1)}
    classes = tuple(str(categories[number].get("name", number)) for number in labels)
    images = _by_id(path, "images", found["images"])
    instances: dict[Any, list[Instance]] = {number: [] for number in images}
    nothing: list[str] = []
    for at, annotation in enumerate(found["annotations"]):
        if not isinstance(annotation, dict):
            raise TransferError(f"{path}: annotation {at} is no object with names")
        where = f"{path}: annotation {at} (id {annotation.get('id')})"
        try:
            image = images[_known(annotation, "image_id", images)]
            instance = _instance(annotation, labels[_known(annotation, "category_id", labels)], image)
        except KeyError as error:
            raise TransferError(f"{where}: it has no {error.args[0]}") from None
        except ValueError as error:
            raise TransferError(f"{where}: {error}") from None
        left, top, right, bottom = instance.box
        if right <= left or bottom <= top:
            nothing.append(f"annotation {at} of {image['file_name']}, {annotation['bbox']}")
        else:
            instances[annotation["image_id"]].append(instance)
    pictures = tuple(_picture(path, folder, images[number], instances[number]) for number in images)
    return DetectionSet(name, pictures, classes, is_voc=False, notes=degenerate(nothing))


def _by_id(path: Path, what: str, entries: list[Any]) -> dict[Any, dict[str, Any]]:
    found: dict[Any, dict[str, Any]] = {}
    for at, entry in enumerate(entries):
        number = entry.get("id") if isinstance(entry, dict) else None
        if not isinstance(number, int):
            raise TransferError(f"{path}: entry {at} of {what} has no id, which is an integer")
        if number in found:
            raise TransferError(f"{path}: entry {at} of {what} has the id {number}, which an entry before has too")
        found[number] = entry
    return found


def _known(annotation: dict[str, Any], key: str, among: dict[Any, Any]) -> int:
    number = annotation[key]
    if not isinstance(number, int) or number not in among:
        raise ValueError(f"its {key} is {number!r}, which is not there")
    return number


def _instance(annotation: dict[str, Any], label: int, image: dict[str, Any]) -> Instance:
    box = annotation["bbox"]
    if not isinstance(box, list) or len(box) != 4 or not all(map(_number, box)):
        raise ValueError(f"its bbox is {box!r}; it must be four numbers: x, y, width, height")
    x, y, width, height = map(float, box)
    mask = None
    if annotation.get("segmentation"):
        mask = _rle.compressed(annotation["segmentation"], *_size(image))
    area = annotation.get("area", _rle.area(mask) if mask else width * height)
    if not _number(area):
        raise ValueError(f"its area is {area!r}, which is no number")
    return Instance(
        (x, y, x + width, y + height), label, float(area), crowd=bool(annotation.get("iscrowd", 0)), mask=mask
    )


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value) and abs(value) < 1e9


def _size(image: dict[str, Any]) -> tuple[int, int]:
    """Height and width."""
    height, width = image.get("height"), image.get("width")
    if not (isinstance(height, int) and isinstance(width, int) and 0 < height < 2**16 and 0 < width < 2**16):
        raise ValueError(
            f"image {image.get('file_name')!r} is {width} wide and {height} high; both must be 1 to 65,535"
        )
    return height, width


def _picture(path: Path, folder: Path, image: dict[str, Any], instances: list[Instance]) -> Picture:
    name = image.get("file_name")
    if not isinstance(name, str):
        raise TransferError(f"{path}: image {image['id']} has no file_name")
    try:
        height, width = _size(image)
    except ValueError as error:
        raise TransferError(f"{path}: {error}") from None
    file = folder / name
    if not file.exists():
        raise TransferError(f"{path} names {name}, which is not in {folder}")
    found = _images.size(file)
    if found != (width, height):
        raise TransferError(f"{file} is {found[0]} × {found[1]} pixels; {path} says {width} × {height}")
    return Picture(file, width, height, tuple(instances))
