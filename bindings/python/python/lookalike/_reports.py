"""What batches, graphs and samplers are like, in numbers that have names."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: Bins of a histogram of similarities from -1 to 1.
SIMILARITY_BINS = 40


class Report:
    """Numbers by name, which do not change."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """The same as dictionaries and tuples of numbers, which `json.dumps` takes."""
        return dataclasses.asdict(self)  # type: ignore[call-overload, no-any-return]


@dataclass(frozen=True, slots=True)
class Hardness(Report):
    """Mean cosine similarity of anchors to the other members of their batch."""

    #: Over all pairs of an anchor and another member of its batch.
    similarity: float
    #: The same, expected of uniform batches on the same embeddings.
    uniform: float
    #: `similarity` - `uniform`: 0 for uniform batches, above 0 for look-alikes.
    difference: float
    #: Pairs of an anchor and a negative.
    pairs: int

    def __str__(self) -> str:
        """In a few words."""
        return f"hardness {self.difference:.3f} above uniform ({self.similarity:.3f} against {self.uniform:.3f})"


@dataclass(frozen=True, slots=True)
class FalseNegatives(Report):
    """Share of the pairs of an anchor and another member of its batch that are of one class."""

    #: Of the pairs of which both have a label.
    rate: float
    #: The same, expected of uniform batches on the same labels.
    uniform: float
    #: `rate` - `uniform`.
    difference: float
    #: Pairs that were counted: of which both have a label.
    pairs: int
    #: Instances without a label, whose pairs are not counted.
    unlabelled: int

    def __str__(self) -> str:
        """In a few words."""
        unlabelled = f", {self.unlabelled} instances without a label left out" if self.unlabelled else ""
        return f"false negatives {self.rate:.3f} (uniform {self.uniform:.3f}){unlabelled}"


@dataclass(frozen=True, slots=True)
class GraphStatistics(Report):
    """A graph in few numbers."""

    #: Instances with a neighbour.
    members: int
    #: Directed edges.
    edges: int
    #: How many have a member as their neighbour: minimum, quartiles, 99th percentile and maximum over members.
    in_degree: tuple[int, ...]
    #: Mean cosine similarity over the edges; None without an edge.
    mean_similarity: float | None

    @classmethod
    def read(cls, found: Mapping[str, Any] | None) -> GraphStatistics | None:
        """From what the native half says, where it says something."""
        if found is None:
            return None
        return cls(found["members"], found["edges"], tuple(found["in_degree"]), found["mean_similarity"])


@dataclass(frozen=True, slots=True)
class GraphReport(Report):
    """A graph, and how many have how many others tied to them."""

    statistics: GraphStatistics
    #: Members by in-degree: none, 1, 2 to 3, 4 to 7, and so on by powers of two.
    in_degrees: tuple[int, ...]
    #: Instances by number of neighbours, in the same bins; the first are those outside the graph.
    out_degrees: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class AnchorHistogram(Report):
    """Anchors by their mean cosine similarity to the others of their batch, in 40 bins of 0.05 from -1 on."""

    #: Of the plan.
    plan: tuple[int, ...]
    #: Of a uniform plan with batches of the same sizes.
    uniform: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PlanReport(Report):
    """What a plan did, beside uniform batches on the same embeddings and labels."""

    #: Instances of the data set, N.
    instances: int
    #: Batches of the plan.
    batches: int
    #: How similar anchors are to their negatives.
    hardness: Hardness
    #: Anchors by their mean similarity to their negatives.
    anchors: AnchorHistogram
    #: How many negatives are of their anchor's class; None without labels.
    false_negatives: FalseNegatives | None
    #: How many instances came 0, 1, 2, … times.
    draws: tuple[int, ...]
    #: Share of the instances that came, 0 to 1.
    reach: float
    #: The graph; None where it was not given.
    graph: GraphReport | None
    #: Fresh starts by tenth of the plan; None where origins were not given.
    restarts: tuple[int, ...] | None

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> PlanReport:
        """From what the native half says."""
        false_negatives, graph, restarts = found["false_negatives"], found["graph"], found["restarts"]
        statistics = None if graph is None else GraphStatistics.read(graph["statistics"])
        return cls(
            instances=found["instances"],
            batches=found["batches"],
            hardness=Hardness(**found["hardness"]),
            anchors=AnchorHistogram(tuple(found["anchors"]["plan"]), tuple(found["anchors"]["uniform"])),
            false_negatives=None if false_negatives is None else FalseNegatives(**false_negatives),
            draws=tuple(found["draws"]),
            reach=found["reach"],
            graph=None
            if statistics is None
            else GraphReport(statistics, tuple(graph["in_degrees"]), tuple(graph["out_degrees"])),
            restarts=None if restarts is None else tuple(restarts),
        )

    def plot(self, axes: Any = None) -> Any:
        """Draws the anchors' histogram of the plan and of a uniform one, with matplotlib, and returns the axes.

        Args:
            axes: where to draw; if not given new ones.

        Raises:
            ImportError: where matplotlib is not installed.

        """
        axes = _axes(axes)
        width = 2 / SIMILARITY_BINS
        centers = [-1 + (at + 0.5) * width for at in range(SIMILARITY_BINS)]
        axes.bar(centers, self.anchors.uniform, width=width, alpha=0.6, label="uniform batches")
        axes.bar(centers, self.anchors.plan, width=width, alpha=0.6, label="this plan")
        axes.set_xlabel("mean similarity of an anchor to its negatives")
        axes.set_ylabel("anchors")
        told = [str(self.hardness), *([] if self.false_negatives is None else [str(self.false_negatives)])]
        axes.set_title("\n".join(told))
        axes.legend()
        return axes

    def __repr__(self) -> str:
        """What one wants to know first."""
        lines = [f"PlanReport({self.batches} batches of {self.instances} instances, {self.reach:.1%} of which came"]
        lines.append(str(self.hardness))
        lines += [] if self.false_negatives is None else [str(self.false_negatives)]
        return ",\n  ".join(lines) + ")"


@dataclass(frozen=True, slots=True)
class Origins(Report):
    """How members came into their batches."""

    #: First starts.
    starts: int
    #: Collected from the first start.
    collected: int
    #: Fresh starts, because the ones before were exhausted.
    restarts: int
    #: Collected from fresh starts.
    collected_after_restart: int
    #: Drawn uniformly: all members of a uniform batch, the uniform share, and instances outside the graph.
    uniform: int
    #: Of these those that the epoch had already, because nobody else was found below the ceiling.
    repeated: int
    #: Of these those above the ceiling, because nobody was found below it.
    above_ceiling: int


@dataclass(frozen=True, slots=True)
class EpochReport(Report):
    """Where the members of an epoch's batches came from, and how hard they are."""

    #: The epoch, from 0.
    epoch: int
    #: Batches of it that were handed out.
    batches: int
    #: How members came into their batches, by tenth of the epoch.
    origins: tuple[Origins, ...]
    #: By tenth of the epoch the mean similarity within batches less that of all pairs, as embeddings were when batches were
    #: planned; None for a tenth of which nothing was measured, as of uniform batches.
    hardness_by_tenth: tuple[float | None, ...]
    #: The same of all batches that were measured.
    hardness: float | None
    #: Share of the instances that were in a batch, 0 to 1.
    reach: float

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> EpochReport:
        """From what the native half says, which counts sums so that they can be added."""
        tallies = [(tally["sum"], tally["batches"]) for tally in found["hardness"]]
        measured = sum(batches for _, batches in tallies)
        return cls(
            epoch=found["epoch"],
            batches=found["batches"],
            origins=tuple(Origins(**origins) for origins in found["deciles"]),
            hardness_by_tenth=tuple(total / batches if batches else None for total, batches in tallies),
            hardness=sum(total for total, _ in tallies) / measured if measured else None,
            reach=found["reach"],
        )


@dataclass(frozen=True, slots=True)
class Staleness(Report):
    """How old the embeddings were when a graph was built, or tried to be."""

    #: Batches handed out at the time.
    step: int
    #: Instances without an embedding; their places in batches are filled uniformly.
    without_embedding: int
    #: Mean age of the embeddings, in batches.
    mean_age: float
    #: Age of the oldest, in batches.
    max_age: int


@dataclass(frozen=True, slots=True)
class Calibration(Report):
    """What a share of hardness came to on some embeddings."""

    #: The share that was asked for, and the one that batches are expected to come to.
    asked: float
    share: float
    #: Candidates M, neighbours K and restart probability that were found.
    candidates: int
    neighbors: int
    restart: float
    #: Mean similarity in uniform batches, and in batches of nearest neighbours, which is estimated from a sample.
    uniform: float
    nearest: float
    #: Instances that had an embedding, and those of them in the sample.
    embedded: int
    sampled: int
    #: The most candidates that the budget allows; None where it sets no limit.
    most_candidates: int | None

    @classmethod
    def read(cls, found: Mapping[str, Any] | None) -> Calibration | None:
        """From what the native half says, where it says something."""
        return None if found is None else cls(**found)

    def __str__(self) -> str:
        """In a few words."""
        return (
            f"hardness_share {self.share:.2f} (asked for: {self.asked:g}) with M = {self.candidates}, "
            f"K = {self.neighbors}, restart {self.restart:g}"
        )


@dataclass(frozen=True, slots=True)
class PlanComparison(Report):
    """One epoch of one kind of batches."""

    #: The kind, and what sets it apart.
    name: str
    #: Mean similarity of an anchor to its negatives, less that of uniform batches.
    hardness: float
    #: The same as a share of that of nearest batches; None where those are no harder than uniform ones.
    share: float | None
    #: Share of negatives of their anchor's class; None without labels.
    false_negatives: float | None
    #: Share of the instances that came, 0 to 1.
    reach: float
    #: Seconds for graph, clusters or order, calibration included, and for the batches.
    build_seconds: float
    plan_seconds: float


class PlanComparisons(tuple[PlanComparison, ...]):
    """Kinds of batches side by side; printed, a table."""

    __slots__ = ()

    @classmethod
    def read(cls, found: Sequence[Mapping[str, Any]]) -> PlanComparisons:
        """From what the native half says."""
        return cls(PlanComparison(**row) for row in found)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Rows by name."""
        return {row.name: row.to_dict() for row in self}

    def __repr__(self) -> str:
        """A table."""
        width = max((len(row.name) for row in self), default=0)
        titles = ("hardness", "share", "false neg.", "reach", "build s", "plan s")
        lines = [" " * width + "".join(f"{title:>12}" for title in titles)]
        for row in self:
            numbers = (
                (row.hardness, ".4f"),
                (row.share, ".2f"),
                (row.false_negatives, ".4f"),
                (row.reach, ".3f"),
                (row.build_seconds, ".2f"),
                (row.plan_seconds, ".2f"),
            )
            cells = ("–" if value is None else format(value, form) for value, form in numbers)
            lines.append(f"{row.name:{width}}" + "".join(f"{cell:>12}" for cell in cells))
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class SamplerReport(Report):
    """A sampler in few numbers."""

    #: The running epoch, as far as its batches were handed out.
    current: EpochReport
    #: The epoch before; None in the first.
    finished: EpochReport | None
    #: The embeddings at the last refresh; None before the first.
    staleness: Staleness | None
    #: The graph in use; None without one.
    graph: GraphStatistics | None
    #: What `hardness_share` came to at the last refresh; None without it, and before the first.
    calibration: Calibration | None
    #: Rebuilds of the graph since the run began.
    builds: int
    #: Seconds that this process spent on them.
    build_seconds: float

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> SamplerReport:
        """From what the native half says."""
        finished, staleness = found["finished"], found["staleness"]
        return cls(
            current=EpochReport.read(found["current"]),
            finished=None if finished is None else EpochReport.read(finished),
            staleness=None if staleness is None else Staleness(**staleness),
            graph=GraphStatistics.read(found["graph"]),
            # A sampler of Python's has one data set.
            calibration=Calibration.read(found["calibrations"][0]),
            builds=found["builds"],
            build_seconds=found["build_seconds"],
        )

    @property
    def hardness(self) -> float | None:
        """That of the running epoch, or of the one before where nothing was measured yet; None where neither was."""
        if self.current.hardness is not None or self.finished is None:
            return self.current.hardness
        return self.finished.hardness

    def plot(self, axes: Any = None) -> Any:
        """Draws hardness by tenth of the running epoch and of the one before, with matplotlib, and returns the axes.

        Args:
            axes: where to draw; if not given new ones.

        Raises:
            ImportError: where matplotlib is not installed.

        """
        axes = _axes(axes)
        for epoch in filter(None, (self.finished, self.current)):
            measured = [(at, mean) for at, mean in enumerate(epoch.hardness_by_tenth) if mean is not None]
            if measured:
                axes.plot(*zip(*measured), marker="o", label=f"epoch {epoch.epoch}")
        axes.axhline(0, color="grey", linewidth=0.8)
        axes.set_xlabel("tenth of the epoch")
        axes.set_ylabel("similarity above uniform batches")
        axes.set_title(_hardness(self.hardness) or "nothing was measured yet")
        if axes.get_legend_handles_labels()[1]:
            axes.legend()
        return axes

    def __repr__(self) -> str:
        """What one wants to know first."""
        current = self.current
        told = [f"SamplerReport(epoch {current.epoch}, {current.batches} batches of it handed out"]
        told.append(f"{_counted(self.builds, 'graph')} built in {self.build_seconds:.1f} s")
        told += filter(None, [_hardness(self.hardness), graph_in_words(self.graph)])
        told += [] if self.calibration is None else [str(self.calibration)]
        return ",\n  ".join(told) + ")"


def _axes(axes: Any) -> Any:
    if axes is not None:
        return axes
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError("plot draws with matplotlib, which is not installed: pip install matplotlib") from error
    return pyplot.subplots()[1]


def _hardness(mean: float | None) -> str:
    return "" if mean is None else f"hardness {mean:.3f} above uniform"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")


def graph_in_words(graph: GraphStatistics | None) -> str:
    """A graph's size, degrees and similarity; nothing where there is none."""
    if graph is None or graph.mean_similarity is None:
        return ""
    out = graph.edges / graph.members
    return f"{out:.1f} neighbors each, of mean similarity {graph.mean_similarity:.3f}, the most popular with {graph.in_degree[-1]}"


def sampler_in_words(report: SamplerReport, batches: int, position: int) -> list[str]:
    """What one wants to know about a sampler that has handed out `position` of an epoch's `batches`."""
    told = [
        f"batch {position} of {batches} in epoch {report.current.epoch}",
        f"{_counted(report.builds, 'graph')} built",
    ]
    told += filter(None, [_hardness(report.hardness)])
    return told
