"""The task `detect`."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from lookalike import metrics
from lookalike.transfer import _arms, _detection_data, _detection_scores, _detector, _report, _training, _weights
from lookalike.transfer._detection_data import DetectionSet
from lookalike.transfer._errors import TransferError


def run(options: Namespace) -> _report.Report:
    """Trains and scores detectors, all arms and seeds."""
    _report.check_out(options.out)
    arms, device = _arms.chosen(options), _arms.device(options)
    train, test = _detection_data.read(options.data, options.train, options.test, options.classes)
    detector = _options(options, train, test)
    rate = 0.02 * options.batch_size / 16 if options.lr is None else options.lr
    schedule = _training.Schedule(options.epochs, options.batch_size, rate, polynomial=False)
    counts = len(train.pictures), len(test.pictures)

    def one(arm: _weights.Weights, seed: int, clock: _training.Clock) -> tuple[list[float], _report.Scores]:
        network = _detector.detector(arm, len(train.classes), detector, seed).to(device)
        losses = _detector.losses_of(network, train, detector, device)
        told = _training.train(network, losses, counts[0], schedule, seed, arm.name, clock)

        def tested() -> None:
            clock.passed(1, f"{arm.name}, seed {seed}, testing")

        found = _detector.detect(network, test.pictures, detector, device, tested)
        return told, scores(test, found)

    report = _report.Report(
        "detect",
        [arm.name for arm in arms],
        options.seeds,
        _arms.settings(options, arms, schedule) | _told(train, test, detector),
        [*_arms.notes(options, arms), *_notes(train, test)],
    )
    _arms.compare(report, arms, options.epochs * counts[0] + counts[1], one)
    if options.out is not None:
        _report.write(options.out, report.to_json())
    return report


def _options(options: Namespace, train: DetectionSet, test: DetectionSet) -> _detector.DetectorOptions:
    with_masks = [sum(one.mask is not None for one in part.instances) for part in (train, test)]
    masks = any(with_masks) and not options.boxes_only
    for part, known in zip((train, test), with_masks, strict=True):
        if masks and not part.has_masks:
            lacking = len(part.instances) - known
            raise TransferError(
                f"{options.data}: {lacking} objects of {part.name} have no mask, others have; see --boxes-only"
            )
    anchors = options.anchors or _detector.anchors_of(train, options.size)
    return _detector.DetectorOptions(options.size, options.rois, anchors, options.freeze, masks, options.bf16)


def _told(train: DetectionSet, test: DetectionSet, detector: _detector.DetectorOptions) -> dict[str, Any]:
    return {
        "detector": "Mask R-CNN" if detector.masks else "Faster R-CNN",
        "classes": list(train.classes),
        "rois": detector.rois,
        "anchors": list(detector.anchors),
        "pictures": {part.name: len(part.pictures) for part in (train, test)},
        "objects": {part.name: len(part.instances) for part in (train, test)},
    }


def _notes(train: DetectionSet, test: DetectionSet) -> list[str]:
    told = []
    for part in (train, test):
        told += [f"{part.name}: {note}" for note in part.notes]
        empty = sum(not picture.instances for picture in part.pictures)
        if empty:
            told.append(f"{part.name}: {empty} pictures show no object; they count all the same")
        crowds = sum(one.crowd for one in part.instances)
        if crowds:
            told.append(f"{part.name}: {crowds} crowds are not trained on, and detections in them not counted")
    missing = [
        name for at, name in enumerate(test.classes, start=1) if not any(one.label == at for one in test.instances)
    ]
    if missing:
        told.append(
            f"{test.name}: {len(missing)} classes have no object there and are no part of a mean: {', '.join(missing)}"
        )
    if len(test.pictures) < 500:
        told.append(
            f"with {len(test.pictures)} pictures to test on, differences below 2 points are noise; look at the interval"
        )
    return told


def scores(test: DetectionSet, found: list[_detection_scores.Found]) -> _report.Scores:
    """All scores of what was found in the test pictures."""
    told: _report.Scores = {"boxes, COCO's AP": _detection_scores.coco(test, found, "bbox")}
    if all(one.masks is not None for one in found):
        told["masks, COCO's AP"] = _detection_scores.coco(test, found, "segm")
    if test.is_voc:
        voc = _detection_scores.voc(test, found)
        told["boxes, VOC's AP by 11 points"] = _points(voc.eleven_points)
        told["boxes, VOC's AP by all points"] = _points(voc.all_points)
    return told


def _points(found: metrics.VocAveragePrecision) -> dict[str, Any]:
    return {"AP50": found.ap50, "AP": found.ap, "AP75": found.ap75}
