"""Average precision: COCO's by pycocotools, PASCAL VOC's by `lookalike.metrics`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from lookalike import metrics
from lookalike.transfer import _rle
from lookalike.transfer._detection_data import DetectionSet

#: What COCO's twelve numbers are called that are reported.
NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl")


@dataclass(frozen=True)
class Found:
    """What a detector found in one picture."""

    #: (N, 4) left, top, right and bottom as in `Instance`.
    boxes: npt.NDArray[np.float64]
    #: (N,) from 1.
    labels: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float64]
    #: Compressed run-length codes, where there are masks.
    masks: Sequence[dict[str, Any]] | None = None


class _Evaluation(COCOeval):  # type: ignore[misc]
    """COCO's evaluation, in which a difficult object is neither for nor against a detector.

    By itself it takes no other mark for that than the one of crowds, which match otherwise.
    """

    def _prepare(self) -> None:
        super()._prepare()
        for instances in self._gts.values():
            for instance in instances:
                instance["ignore"] = instance["ignore"] or instance["difficult"]


def coco(truth: DetectionSet, found: Sequence[Found], kind: str) -> dict[str, Any]:
    """COCO's average precision, each from 0 to 1 or None where nothing of that size is to be found.

    Args:
        truth: the pictures.
        found: what was found in each of them.
        kind: ``bbox`` or ``segm``.

    """
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        evaluation = _Evaluation(_index(truth, _annotations(truth, kind)), _index(truth, _results(found, kind)), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    # Thresholds, recalls, classes, sizes, detections a picture; -1 where nothing is to be found.
    precision = evaluation.eval["precision"][0, :, :, 0, -1]
    scores: dict[str, Any] = {
        name: None if value < 0 else float(value) for name, value in zip(NAMES, evaluation.stats, strict=False)
    }
    scores["AP50 of classes"] = {
        name: None if (precision[:, at] < 0).any() else float(precision[:, at].mean())
        for at, name in enumerate(truth.classes)
    }
    return scores


def _index(truth: DetectionSet, annotations: list[dict[str, Any]]) -> Any:
    images = [
        {"id": number, "width": picture.width, "height": picture.height}
        for number, picture in enumerate(truth.pictures, start=1)
    ]
    categories = [{"id": number, "name": name} for number, name in enumerate(truth.classes, start=1)]
    index = COCO()
    index.dataset = {"images": images, "annotations": annotations, "categories": categories}
    index.createIndex()
    return index


def _annotations(truth: DetectionSet, kind: str) -> list[dict[str, Any]]:
    """What is to be found, numbered from 1: the evaluation takes an object of number 0 for one that was not matched."""
    entries: list[dict[str, Any]] = []
    for image, picture in enumerate(truth.pictures, start=1):
        for instance in picture.instances:
            entry = {
                "id": len(entries) + 1,
                "image_id": image,
                "category_id": instance.label,
                "area": instance.area,
                "iscrowd": int(instance.crowd),
                "difficult": int(instance.difficult),
            }
            shape = {"bbox": _sides(instance.box)} if kind == "bbox" else {"segmentation": instance.mask}
            entries.append(entry | shape)
    return entries


def _results(found: Sequence[Found], kind: str) -> list[dict[str, Any]]:
    """What was found. A mask's area is its own; with the box beside it, it would be the box's, and sizes be others."""
    entries: list[dict[str, Any]] = []
    for image, one in enumerate(found, start=1):
        for at, (box, label, score) in enumerate(zip(one.boxes, one.labels, one.scores, strict=True)):
            entry: dict[str, Any] = {
                "id": len(entries) + 1,
                "image_id": image,
                "category_id": int(label),
                "score": float(score),
                "iscrowd": 0,
            }
            if kind == "bbox":
                sides = _sides(box)
                entry |= {"bbox": sides, "area": sides[2] * sides[3]}
            else:
                assert one.masks is not None
                entry |= {"segmentation": one.masks[at], "area": _rle.area(one.masks[at])}
            entries.append(entry)
    return entries


def _sides(box: Sequence[float] | npt.NDArray[np.float64]) -> list[float]:
    left, top, right, bottom = map(float, box)
    return [left, top, right - left, bottom - top]


def voc(truth: DetectionSet, found: Sequence[Found]) -> metrics.VocScores:
    """PASCAL VOC's average precision; the class c of the data is number c there."""
    instances = [(at, one) for at, picture in enumerate(truth.pictures) for one in picture.instances]
    counts = [len(one.labels) for one in found]
    return metrics.voc_average_precision(
        np.array([at for at, _ in instances], dtype=np.int64),
        np.array([one.label for _, one in instances], dtype=np.int64),
        _inclusive(np.array([one.box for _, one in instances], dtype=np.float64)),
        np.repeat(np.arange(len(found)), counts),
        np.concatenate([one.labels for one in found]),
        np.concatenate([one.scores for one in found]),
        _inclusive(np.concatenate([one.boxes for one in found])),
        images=len(truth.pictures),
        difficult=np.array([one.difficult for _, one in instances], dtype=bool),
    )


def _inclusive(boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """From edges counted from 0 to pixels counted from 1, the last ones included. A box covers a pixel at least."""
    boxes = boxes.reshape(-1, 4)
    first = boxes[:, :2] + 1
    return np.concatenate([first, np.maximum(boxes[:, 2:], first)], axis=1)
