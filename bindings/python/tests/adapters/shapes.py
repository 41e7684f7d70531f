"""Squares in pictures of noise, in the layouts of COCO, PASCAL VOC and masks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

#: Width and height.
SIZE = (64, 48)
#: By category in COCO's file: numbers with a gap, and not in order.
CATEGORIES = [{"id": 90, "name": "green"}, {"id": 3, "name": "red"}]
#: The channel that is bright, by class.
CHANNEL = {"red": 0, "green": 1}


def pictures(count: int, seed: int) -> list[tuple[np.ndarray, list[tuple[str, int, int]]]]:
    """Pixels, and of each square its class and corner; it is 20 wide and high. The first picture shows none."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        pixels = rng.integers(0, 60, (SIZE[1], SIZE[0], 3)).astype(np.uint8)
        squares = []
        for _ in range(min(number, 2)):
            x, y, name = int(rng.integers(0, 44)), int(rng.integers(0, 28)), ("red", "green")[int(rng.integers(0, 2))]
            pixels[y : y + 20, x : x + 20, CHANNEL[name]] = 220
            squares.append((name, x, y))
        made.append((pixels, squares))
    return made


def coco(folder: Path, train: int = 4, test: int = 3) -> Path:
    """With masks as runs in numbers."""
    for part, count, seed in (("train", train, 0), ("val", test, 1)):
        (folder / "images" / part).mkdir(parents=True)
        images, annotations = [], []
        for number, (pixels, squares) in enumerate(pictures(count, seed)):
            name = f"{number}.png"
            Image.fromarray(pixels).save(folder / "images" / part / name)
            images.append({"id": 100 + number, "file_name": name, "width": SIZE[0], "height": SIZE[1]})
            for kind, x, y in squares:
                mask = np.zeros((SIZE[1], SIZE[0]), np.uint8)
                mask[y : y + 20, x : x + 20] = 1
                annotations.append(
                    {
                        "id": len(annotations),
                        "image_id": 100 + number,
                        "category_id": {"red": 3, "green": 90}[kind],
                        "bbox": [x, y, 20, 20],
                        "area": 400,
                        "iscrowd": 0,
                        "segmentation": {"size": [SIZE[1], SIZE[0]], "counts": runs(mask)},
                    }
                )
        text = json.dumps({"images": images, "annotations": annotations, "categories": CATEGORIES})
        (folder / f"instances_{part}.json").write_text(text)
    return folder


def runs(mask: np.ndarray) -> list[int]:
    """Lengths of zeros and ones in turn, column by column, zeros first."""
    flat = np.concatenate([[0], mask.T.reshape(-1)])
    changes = np.flatnonzero(np.diff(flat))
    return np.diff(np.concatenate([[0], changes, [mask.size]])).tolist()


def change(folder: Path, part: str, act) -> None:
    """Changes COCO's file of a part."""
    path = folder / f"instances_{part}.json"
    found = json.loads(path.read_text())
    act(found)
    path.write_text(json.dumps(found))


def voc(folder: Path, train: int = 4, test: int = 3) -> Path:
    for name in ("Annotations", "ImageSets/Main", "JPEGImages"):
        (folder / name).mkdir(parents=True)
    for part, count, seed in (("train", train, 0), ("test", test, 1)):
        stems = [f"{part}{number}" for number in range(count)]
        (folder / "ImageSets/Main" / f"{part}.txt").write_text("\n".join(stems) + "\n")
        for stem, (pixels, squares) in zip(stems, pictures(count, seed), strict=True):
            Image.fromarray(pixels).save(folder / "JPEGImages" / f"{stem}.png")
            objects = "".join(voc_object(name, x + 1, y + 1, x + 20, y + 20) for name, x, y in squares)
            size = f"<size><width>{SIZE[0]}</width><height>{SIZE[1]}</height><depth>3</depth></size>"
            (folder / "Annotations" / f"{stem}.xml").write_text(f"<annotation>{size}{objects}</annotation>")
    return folder


def voc_object(name: str, *corners: float, difficult: int = 0) -> str:
    sides = "".join(
        f"<{side}>{at}</{side}>" for side, at in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
    )
    return f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>{sides}</bndbox></object>"


def masks(folder: Path, train: int = 4, test: int = 3) -> Path:
    """Classes 0, 1 (red) and 2 (green), with a frame of 255 around each square."""
    for part, count, seed in (("train", train, 0), ("val", test, 1)):
        for name in ("images", "seg"):
            (folder / name / part).mkdir(parents=True)
        for number, (pixels, squares) in enumerate(pictures(count, seed)):
            mask = np.zeros((SIZE[1], SIZE[0]), np.uint8)
            for kind, x, y in squares:
                mask[max(y - 1, 0) : y + 21, max(x - 1, 0) : x + 21] = 255
                mask[y : y + 20, x : x + 20] = 1 + CHANNEL[kind]
            Image.fromarray(pixels).save(folder / "images" / part / f"{number}.png")
            Image.fromarray(mask).save(folder / "seg" / part / f"{number}.png")
    return folder
