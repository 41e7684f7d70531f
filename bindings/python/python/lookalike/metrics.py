"""How good embeddings are, and how hard batches.

A score that its input does not determine, such as an accuracy without labels, is a `ValueError` with the reason, never NaN.
`spectrum`, `effective_rank`, `rank_me` and `linear_probe` hear Ctrl-C only when they are done.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lookalike import _arrays, _lookalike
from lookalike._arrays import ArrayLike, Floats, Integers
from lookalike._graphs import Plan
from lookalike._reports import FalseNegatives, Hardness, Report

__all__ = [
    "alignment",
    "clustering_scores",
    "collapse",
    "effective_rank",
    "false_negative_rate",
    "hardness",
    "knn_accuracy",
    "knn_classify",
    "linear_probe",
    "paired",
    "rank_me",
    "segmentation_scores",
    "spectrum",
    "uniformity",
    "voc_average_precision",
]


@dataclass(frozen=True, slots=True)
class KnnAccuracy(Report):
    """How often the neighbours are right."""

    #: Share of test rows whose class was predicted, 0 to 1.
    accuracy: float
    #: Neighbours that voted: what was asked for, or all train rows where there are fewer.
    k: int
    #: Whether `k` was lowered.
    k_lowered: bool
    #: Temperature of the votes.
    temperature: float
    #: Test rows that were classified: those with a label.
    test_rows: int
    #: Train rows without a label, which have no vote.
    unlabelled: int


@dataclass(frozen=True, slots=True)
class ClusteringScores(Report):
    """How well clusters fit classes; each score is 1 where they are the same partition."""

    #: Mutual information by the arithmetic mean of the entropies, 0 to 1: what is meant by NMI today.
    nmi: float
    #: The same by their geometric mean, which older papers report.
    nmi_geometric: float
    #: Adjusted Rand index: 0 is expected by chance; it may be negative.
    ari: float
    #: Geometric mean of precision and recall over pairs of instances, 0 to 1.
    fowlkes_mallows: float
    #: Share of instances whose cluster is mapped to their class by the best one-to-one map; those of clusters left over are wrong.
    accuracy: float
    #: Classes that occur.
    classes: int
    #: Clusters that occur.
    clusters: int
    #: Instances with a label: those that are scored.
    instances: int


@dataclass(frozen=True, slots=True)
class VocAveragePrecision(Report):
    """Average precision by PASCAL VOC's rules, each from 0 to 1."""

    #: Mean over the thresholds .50, .55, … .95: what is called AP on VOC. It is not COCO's AP.
    ap: float
    #: At an overlap above .5: VOC's own score.
    ap50: float
    #: At an overlap above .75.
    ap75: float
    #: At each of the ten thresholds.
    thresholds: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class VocClass(Report):
    """Average precision of one class."""

    #: Its number.
    label: int
    #: Boxes that are to be found: those that are not difficult.
    boxes: int
    difficult: int
    detections: int
    #: By 11 points; None where there is no box to be found.
    eleven_points: VocAveragePrecision | None
    #: By all points.
    all_points: VocAveragePrecision | None


@dataclass(frozen=True, slots=True)
class VocScores(Report):
    """Average precision by PASCAL VOC's rules over a set of images."""

    #: Mean over the classes by 11 points (VOC 2007).
    eleven_points: VocAveragePrecision
    #: Mean over the classes by all points (VOC 2010 and later).
    all_points: VocAveragePrecision
    #: Each class that occurs; those without a box to be found are no part of the means.
    classes: tuple[VocClass, ...]


@dataclass(frozen=True, slots=True)
class SegmentationScores(Report):
    """How rightly the classes of pixels are told, over all images at once."""

    #: Mean of `iou` over the classes that occur in truth.
    mean_iou: float
    #: Of each class intersection over union; None of classes that do not occur in truth, even where they are predicted.
    iou: tuple[float | None, ...]
    #: Share of pixels told rightly.
    accuracy: float
    #: The mean of that share over the classes that occur in truth.
    mean_accuracy: float
    #: Pixels that count.
    pixels: int


@dataclass(frozen=True, slots=True)
class Uniformity(Report):
    """The logarithm of the mean Gaussian potential, and from how many rows it is."""

    value: float
    rows: int
    #: Whether these are a sample of the rows given.
    sampled: bool


@dataclass(frozen=True, slots=True)
class Collapse(Report):
    """The standard deviation of normalised embeddings, by dimension."""

    deviations: tuple[float, ...]
    mean: float
    #: 1/√d, which embeddings all over the sphere have.
    spread: float


@dataclass(frozen=True, slots=True)
class RateScore(Report):
    """How a learning rate did on held-out train rows."""

    rate: float
    accuracy: float
    loss: float


@dataclass(frozen=True, slots=True)
class LinearProbe(Report):
    """What a linear probe found."""

    #: Share of test rows classified rightly by the classifier of the last epoch.
    accuracy: float
    #: Mean over the classes of the share of their test rows classified rightly.
    balanced_accuracy: float
    #: The learning rate that was chosen on held-out train rows.
    rate: float
    #: Whether it is the least or greatest on offer, so that a better one may lie beyond.
    rate_at_edge: bool
    rates: tuple[RateScore, ...]
    #: Train rows whose label was used.
    labelled_rows: int
    epochs: int
    #: Test rows that were classified: those with a label.
    test_rows: int


@dataclass(frozen=True, slots=True)
class Paired(Report):
    """The mean difference of pairs, with its 95 % interval by Student's t."""

    mean: float
    low: float
    high: float
    seeds: int
    #: Whether the interval lies above 0.
    gain: bool


def knn_classify(
    train: ArrayLike, train_labels: ArrayLike, test: ArrayLike, *, k: int = 200, temperature: float = 0.1
) -> Integers:
    """The class of each test row by weighted nearest neighbours (Wu et al. 2018, section 3.4), T of them.

    Of the `k` train rows of greatest cosine similarity s each votes for its class with weight exp(s / temperature).

    Args:
        train: (N, d).
        train_labels: (N,) integers; rows with -1 or NaN have no label, and no vote.
        test: (T, d).
        k: neighbours that vote; lowered to N.
        temperature: the lower, the more the nearest decide.

    """
    rows, known = _labelled("train", train, train_labels)
    classes, numbers = np.unique(known, return_inverse=True)
    predicted, _ = _lookalike.knn_classify(
        rows,
        np.ascontiguousarray(numbers.reshape(-1), dtype=np.int64),
        _arrays.embeddings("test", test),
        _arrays.count("k", k),
        _arrays.number("temperature", temperature),
    )
    return classes[np.asarray(predicted, dtype=np.int64)]


def _labelled(name: str, embeddings: ArrayLike, labels: ArrayLike) -> tuple[Floats, Integers]:
    """The rows that have a label, and their labels."""
    rows = _arrays.embeddings(name, embeddings)
    given = _arrays.identifiers(f"{name}_labels", labels, len(rows))
    kept = given >= 0
    return (rows, given) if kept.all() else (rows[kept], given[kept])


def knn_accuracy(
    train: ArrayLike,
    train_labels: ArrayLike,
    test: ArrayLike,
    test_labels: ArrayLike,
    *,
    k: int = 200,
    temperature: float = 0.1,
) -> KnnAccuracy:
    """Share of test rows whose class `knn_classify` predicts. Its defaults are those of MoCo's demonstration on CIFAR-10.

    Args:
        train, test: (N, d) and (T, d).
        train_labels, test_labels: (N,) and (T,) integers; rows with -1 or NaN have no label and are left out.
        k, temperature: as in `knn_classify`.

    """
    (rows, known), (tests, expected) = _labelled("train", train, train_labels), _labelled("test", test, test_labels)
    if len(expected) == 0:
        raise ValueError(
            f"kNN accuracy is not defined for test of shape {tests.shape}: there are no test rows with a label"
        )
    if len(np.unique(known)) < 2:
        raise ValueError(f"kNN accuracy is not defined for train of shape {rows.shape}: all rows are of one class")
    used = min(_arrays.count("k", k), len(rows))
    right = knn_classify(rows, known, tests, k=k, temperature=temperature) == expected
    unlabelled = len(_arrays.as_numpy("train_labels", train_labels)) - len(known)
    return KnnAccuracy(float(right.mean()), used, used < k, float(temperature), len(expected), unlabelled)


def linear_probe(
    train: ArrayLike,
    train_labels: ArrayLike,
    test: ArrayLike,
    test_labels: ArrayLike,
    *,
    rates: Sequence[float] = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0),
    epochs: int = 100,
    batch_size: int = 256,
    held_out: float = 0.2,
    labels_per_class: int | None = None,
    seed: int = 0,
) -> LinearProbe:
    """Accuracy of logistic regression on frozen embeddings, by stochastic gradient descent with a cosine schedule.

    Args:
        train, test: (N, d) and (T, d).
        train_labels, test_labels: (N,) and (T,) integers; rows with -1 or NaN have no label and are left out.
        rates: learning rates, of which one is chosen on held-out train rows.
        epochs: passes over the train rows, for each rate and for the last fit.
        batch_size: rows a step.
        held_out: share of each class's train rows on which the rate is chosen.
        labels_per_class: where given, only so many train rows of each class keep their label.
        seed: draws labels, held-out rows and batches.

    """
    (rows, known), (tests, expected) = _labelled("train", train, train_labels), _labelled("test", test, test_labels)
    numbered, classes = _arrays.labels({"train_labels": (known, None), "test_labels": (expected, None)})
    probe = json.loads(
        _lookalike.linear_probe(
            train=rows,
            train_labels=numbered[0],
            test=tests,
            test_labels=numbered[1],
            count=classes,
            rates=[_arrays.number("a learning rate", rate) for rate in rates],
            epochs=_arrays.count("epochs", epochs),
            batch_size=_arrays.count("batch_size", batch_size),
            held_out=_arrays.number("held_out", held_out),
            labels_per_class=None if labels_per_class is None else _arrays.count("labels_per_class", labels_per_class),
            seed=_arrays.count("seed", seed),
        )
    )
    scores = tuple(RateScore(**score) for score in probe["rates"])
    balanced = probe.pop("classified")["balanced"]
    return LinearProbe(**{**probe, "rates": scores, "test_rows": len(expected), "balanced_accuracy": balanced})


def clustering_scores(labels: ArrayLike, clusters: ArrayLike) -> ClusteringScores:
    """How well clusters fit classes, whatever the numbers of either are.

    Args:
        labels: (N,) integers; instances with -1 or NaN have no label and are left out.
        clusters: (N,) integers of at least 0.

    """
    (numbers,), _ = _arrays.labels({"labels": (labels, None)})
    given = _arrays.identifiers("clusters", clusters, len(numbers))
    if (given < 0).any():
        at = int(np.argmax(given < 0))
        raise ValueError(f"clusters[{at}] is missing or -1; each instance must be in a cluster")
    _, places = np.unique(given, return_inverse=True)
    places = np.ascontiguousarray(places.reshape(-1), dtype=np.int64)
    return ClusteringScores(**json.loads(_lookalike.clustering_scores(numbers, places)))


def voc_average_precision(
    truth_images: ArrayLike,
    truth_classes: ArrayLike,
    truth_boxes: ArrayLike,
    found_images: ArrayLike,
    found_classes: ArrayLike,
    found_scores: ArrayLike,
    found_boxes: ArrayLike,
    *,
    images: int,
    difficult: ArrayLike | None = None,
) -> VocScores:
    """Average precision of detections by the rules of PASCAL VOC, by 11 points and by all, class by class.

    A detection belongs to the box that it overlaps most, taken or not; it must overlap it by more than the threshold; a pixel is one wide, so
    that a box is xmax - xmin + 1 wide. Detections of equal score are taken in the order in which they are given.

    Args:
        truth_images, truth_classes: (G,) integers of at least 0: the image and the class of each box that is to be found.
        truth_boxes: (G, 4) xmin, ymin, xmax, ymax in pixels, all inclusive.
        found_images, found_classes: (D,) the same of the detections.
        found_scores: (D,) how sure the detector is.
        found_boxes: (D, 4), with pixels counted from the same number as in `truth_boxes`.
        images: how many images there are, those without boxes too; they are numbered from 0.
        difficult: (G,) whether a box counts neither for nor against the detector; by default none.

    """
    boxes, found = _boxes("truth_boxes", truth_boxes), _boxes("found_boxes", found_boxes)
    marks = np.zeros(len(boxes), bool) if difficult is None else _arrays.as_numpy("difficult", difficult)
    scores = _arrays.as_numpy("found_scores", found_scores)
    for name, vector in (("difficult", marks), ("found_scores", scores)):
        if vector.ndim != 1:
            raise ValueError(f"{name} of shape {vector.shape} is no vector")
    scored = json.loads(
        _lookalike.voc_average_precision(
            images=_arrays.count("images", images),
            truth_images=_numbers("truth_images", truth_images, len(boxes)),
            truth_classes=_numbers("truth_classes", truth_classes, len(boxes)),
            truth_boxes=boxes,
            difficult=[bool(mark) for mark in marks],
            found_images=_numbers("found_images", found_images, len(found)),
            found_classes=_numbers("found_classes", found_classes, len(found)),
            found_scores=[float(score) for score in scores],
            found_boxes=found,
        )
    )
    classes = tuple(
        VocClass(one["class"], one["boxes"], one["difficult"], one["detections"], *map(_voc_points, _both(one)))
        for one in scored["classes"]
    )
    eleven, every = (_voc_points(points) for points in _both(scored))
    assert eleven is not None and every is not None
    return VocScores(eleven, every, classes)


def _both(scored: dict[str, Any]) -> tuple[Any, Any]:
    return scored["eleven_points"], scored["all_points"]


def _voc_points(found: dict[str, Any] | None) -> VocAveragePrecision | None:
    return None if found is None else VocAveragePrecision(**{**found, "thresholds": tuple(found["thresholds"])})


def _boxes(name: str, value: ArrayLike) -> npt.NDArray[np.float64]:
    array = _arrays.as_numpy(name, value)
    if array.size == 0:
        array = np.empty((0, 4))
    if array.ndim != 2 or array.shape[1] != 4 or array.dtype.kind not in "iuf":
        raise ValueError(f"{name} of shape {array.shape} and type {array.dtype} is no matrix of boxes; expected (N, 4)")
    return np.ascontiguousarray(array, dtype=np.float64)


def _numbers(name: str, value: ArrayLike, length: int) -> Integers:
    """A vector of integers from 0 to 2^32 - 1, one a box."""
    numbers = _arrays.integers(name, value, length)
    wrong = (numbers < 0) | (numbers >= 2**32)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise ValueError(f"{name}[{at}] is {numbers[at]}; it must be at least 0 and below 2^32")
    return numbers


def segmentation_scores(truth: Sequence[ArrayLike], predicted: Sequence[ArrayLike], classes: int) -> SegmentationScores:
    """Mean IoU from one table of confusion over all images, which is not the mean of the images' own.

    Args:
        truth: for each image the classes of its pixels, integers of any shape; 255 for pixels that count nowhere.
        predicted: for each image what was said, of the same shape.
        classes: how many there are, background among them: 1 to 255.

    """
    if len(truth) != len(predicted):
        raise ValueError(f"there are {len(truth)} images in truth and {len(predicted)} in predicted")
    said = [_pixels(f"predicted[{at}]", image) for at, image in enumerate(predicted)]
    true = [_pixels(f"truth[{at}]", image) for at, image in enumerate(truth)]
    for at, (one, other) in enumerate(zip(true, said, strict=True)):
        if one.shape != other.shape:
            raise ValueError(f"truth[{at}] has the shape {one.shape} and predicted[{at}] {other.shape}")
    flat_true, flat_said = ([np.ascontiguousarray(image).reshape(-1) for image in side] for side in (true, said))
    scored = json.loads(_lookalike.segmentation_scores(flat_true, flat_said, _arrays.count("classes", classes)))
    return SegmentationScores(**{**scored, "iou": tuple(scored["iou"])})


def _pixels(name: str, value: ArrayLike) -> npt.NDArray[np.uint8]:
    array = _arrays.as_numpy(name, value)
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind not in "iub":
        raise ValueError(f"{name} of shape {array.shape} and type {array.dtype} holds no integers")
    if array.size and not (0 <= array.min() and array.max() <= 255):
        raise ValueError(
            f"{name} holds numbers from {array.min()} to {array.max()}; classes are 0 to 254, and 255 is none"
        )
    return array.astype(np.uint8)


def alignment(first: ArrayLike, second: ArrayLike) -> float:
    """Mean squared distance between the normalised embeddings of two views (Wang and Isola 2020); lower is better.

    Args:
        first, second: (N, d) each; their rows i are a positive pair.

    """
    rows = _arrays.embeddings("first", first)
    return _lookalike.alignment(rows, _arrays.embeddings("second", second, len(rows)))


def uniformity(embeddings: ArrayLike, *, t: float = 2.0, most_rows: int = 10_000, seed: int = 0) -> Uniformity:
    """Logarithm of the mean of exp(-t ‖x - y‖²) over pairs of normalised rows (Wang and Isola 2020); lower is better.

    Args:
        embeddings: (N, d).
        t: scale of the potential.
        most_rows: above this number a sample of so many rows stands for all, for the work is quadratic.
        seed: draws the sample.

    """
    rows, counts = _arrays.embeddings("embeddings", embeddings), _arrays.count("most_rows", most_rows)
    found = _lookalike.uniformity(rows, _arrays.number("t", t), counts, _arrays.count("seed", seed))
    return Uniformity(**json.loads(found))


def spectrum(embeddings: ArrayLike, *, centered: bool = True) -> npt.NDArray[np.float64]:
    """Singular values of the embeddings (N, d), the largest first: min(N, d) of them.

    Args:
        embeddings: (N, d), as they are.
        centered: subtract the mean row before, which shows dimensional collapse.

    """
    return np.array(_lookalike.spectrum(_arrays.embeddings("embeddings", embeddings), bool(centered)))


def effective_rank(embeddings: ArrayLike, *, centered: bool = True) -> float:
    """Effective rank of the embeddings (N, d): exp of the entropy of their singular values (Roy and Vetterli 2007)."""
    return _lookalike.effective_rank(_arrays.embeddings("embeddings", embeddings), bool(centered))


def rank_me(embeddings: ArrayLike) -> float:
    """RankMe of the embeddings (N, d) (Garrido et al. 2023): their effective rank, uncentred, with its ε of 1e-7."""
    return _lookalike.rank_me(_arrays.embeddings("embeddings", embeddings))


def collapse(embeddings: ArrayLike) -> Collapse:
    """Standard deviation of the normalised embeddings (N, d), by dimension (Chen and He 2021): 0 after a collapse."""
    found = json.loads(_lookalike.collapse(_arrays.embeddings("embeddings", embeddings)))
    return Collapse(**{**found, "deviations": tuple(found["deviations"])})


def hardness(plan: Plan | ArrayLike, embeddings: ArrayLike) -> Hardness:
    """How similar anchors are to their negatives, beside what is expected of uniform batches.

    Args:
        plan: what `lookalike.plan` gave, a matrix with one batch a row, or a list of batches.
        embeddings: (N, d). Of pairs (queries, documents), as in `lookalike.plan_report`.

    """
    members, sizes = _arrays.batches(plan.batches if isinstance(plan, Plan) else plan)
    rows = _arrays.matrix("embeddings", embeddings, pairs=True)
    return Hardness(**json.loads(_lookalike.hardness(members, sizes, rows.native, rows.is_pair)))


def false_negative_rate(plan: Plan | ArrayLike, labels: ArrayLike) -> FalseNegatives:
    """Share of the negatives that are of their anchor's class, beside what is expected of uniform batches.

    Args:
        plan: as in `hardness`.
        labels: (N,) integers; -1 or NaN for an instance without one, whose pairs are not counted.

    """
    members, sizes = _arrays.batches(plan.batches if isinstance(plan, Plan) else plan)
    (numbers,), _ = _arrays.labels({"labels": (labels, None)})
    return FalseNegatives(**json.loads(_lookalike.false_negative_rate(members, sizes, numbers)))


def paired(baseline: Sequence[float], treatment: Sequence[float]) -> Paired:
    """The mean difference treatment - baseline over seeds, one value a seed each, with its 95 % interval."""
    return Paired(**json.loads(_lookalike.paired([float(b) for b in baseline], [float(t) for t in treatment])))
