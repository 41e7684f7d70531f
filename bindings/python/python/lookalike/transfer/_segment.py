"""The task `segment`."""

from __future__ import annotations

from argparse import Namespace

from lookalike import metrics
from lookalike.transfer import _arms, _masks, _report, _segmenter, _training, _weights


def run(options: Namespace) -> _report.Report:
    """Trains and scores segmenters, all arms and seeds."""
    _report.check_out(options.out)
    arms, device = _arms.chosen(options), _arms.device(options)
    train, test, names = _masks.read(options)
    rate = 0.01 * options.batch_size / 16 if options.lr is None else options.lr
    schedule = _training.Schedule(options.epochs, options.batch_size, rate, polynomial=True)
    counts = len(train.pictures), len(test.pictures)
    truth = [test.classes(at) for at in range(counts[1])]

    def one(arm: _weights.Weights, seed: int, clock: _training.Clock) -> tuple[list[float], _report.Scores]:
        network = _segmenter.segmenter(arm, len(names), options.freeze, seed, options.bf16).to(device)
        losses = _segmenter.losses_of(network, train, options.size, device)
        told = _training.train(network, losses, counts[0], schedule, seed, arm.name, clock)
        predicted = []
        for at in range(counts[1]):
            predicted.append(_segmenter.predict(network, test.image(at), options.size, device))
            clock.passed(1, f"{arm.name}, seed {seed}, testing")
        found = metrics.segmentation_scores(truth, predicted, len(names))
        return told, _scores(found, names)

    described = {
        "network": "FCN on the last maps, output stride 8",
        "classes": list(names),
        "pictures": {part.name: len(part.pictures) for part in (train, test)},
    }
    report = _report.Report(
        "segment",
        [arm.name for arm in arms],
        options.seeds,
        _arms.settings(options, arms, schedule) | described,
        [*_arms.notes(options, arms), *_notes(train, test, names)],
    )
    _arms.compare(report, arms, options.epochs * counts[0] + counts[1], one)
    if options.out is not None:
        _report.write(options.out, report.to_json())
    return report


def _scores(found: metrics.SegmentationScores, names: tuple[str, ...]) -> _report.Scores:
    told = {"mIoU": found.mean_iou, "accuracy": found.accuracy, "mean accuracy": found.mean_accuracy}
    return {"pixels": {**told, "IoU of classes": dict(zip(names, found.iou, strict=True))}}


def _notes(train: _masks.MaskSet, test: _masks.MaskSet, names: tuple[str, ...]) -> list[str]:
    told = ["mIoU is from one table over all pictures at their own size; pixels without a class count nowhere"]
    for part, consequence in (
        (train, "cannot be learned"),
        (test, "are no part of the mean, even where they are predicted"),
    ):
        absent = [name for name, count in zip(names, _masks.counted(part, names), strict=True) if count == 0]
        if absent:
            told.append(f"{part.name}: classes without a pixel {consequence}: {', '.join(absent)}")
    return told
