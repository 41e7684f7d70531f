"""Graphs, walks and plans as functions on arrays."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np

from lookalike import _arrays, _lookalike, _options
from lookalike._arrays import ArrayLike, Floats, Integers
from lookalike._options import Coverage, Kind, Pairs, Schedule, Scoring
from lookalike._reports import Calibration, GraphStatistics, PlanComparisons, PlanReport, graph_in_words


class Graph:
    """Who is tied to whom: for each instance its neighbours, the most similar first, with their cosine similarities.

    Made by `proximity_graph`, `knn_graph` or `Graph.from_arrays`; it never changes. Edges have a direction: i can be a neighbour
    of j without the reverse.
    """

    def __init__(self, native: _lookalike.Graph) -> None:
        """Not for users: takes the native graph."""
        self._native = native

    @classmethod
    def from_arrays(cls, degrees: ArrayLike, neighbors: ArrayLike, similarities: ArrayLike) -> Graph:
        """A graph from what `Graph.arrays` gives: degrees (N,), neighbors (E,), similarities (E,)."""
        values = _arrays.embeddings("similarities", _arrays.as_numpy("similarities", similarities).reshape(-1, 1))
        degrees, neighbors = _arrays.integers("degrees", degrees), _arrays.integers("neighbors", neighbors)
        return cls(_lookalike.Graph(degrees, neighbors, values.reshape(-1)))

    @property
    def instances(self) -> int:
        """Instances, N, in the graph or not."""
        return self._native.instances

    @property
    def edges(self) -> int:
        """Directed edges, E."""
        return self._native.edges

    @property
    def fingerprint(self) -> int:
        """A number that two graphs share only if they are the same, edge by edge and bit by bit."""
        return self._native.fingerprint

    def arrays(self) -> tuple[Integers, Integers, Floats]:
        """Copies of each instance's number of neighbours (N,), of all neighbours (E,), and of their similarities (E,)."""
        return self._native.arrays()

    def neighbors(self, instance: int) -> tuple[Integers, Floats]:
        """The neighbours of `instance`, the most similar first, and their similarities."""
        return self._native.neighbors(instance)

    def statistics(self) -> GraphStatistics:
        """Members, edges, in-degrees and mean similarity."""
        statistics = json.loads(self._native.statistics())
        return GraphStatistics(**{**statistics, "in_degree": tuple(statistics["in_degree"])})

    def similarity_percentile(self, percentile: float) -> float | None:
        """The smallest similarity that at least `percentile` percent of the edges do not exceed; None without an edge."""
        return self._native.similarity_percentile(_arrays.number("percentile", percentile))

    def below(self, ceiling: float) -> Graph:
        """The graph without the edges whose similarity is above `ceiling`: such neighbours are likely false negatives."""
        return Graph(self._native.below(_arrays.number("ceiling", ceiling)))

    def below_positive(self, embeddings: ArrayLike, share: float) -> Graph:
        """The graph without the edges i-j whose query i is closer to document j than `share` of its similarity to its own document,
        or query j to document i: document j may answer query i just as well.

        Args:
            embeddings: those of the pairs, (queries, documents) of (N, d) each, or (N, 2d) with both side by side.
            share: above 0, at most 1; published for mined negatives: 0.95.

        """
        rows = _arrays.matrix("embeddings", embeddings, self.instances, pairs=True)
        return Graph(self._native.below_positive(rows.native, _arrays.number("share", share)))

    def __eq__(self, other: object) -> bool:
        """Whether the other one is the same graph."""
        return isinstance(other, Graph) and (self.edges, self.fingerprint) == (other.edges, other.fingerprint)

    def __hash__(self) -> int:
        """That of equal graphs is equal."""
        return hash(self.fingerprint)

    def __reduce__(self) -> Any:
        """Graphs can be pickled."""
        return Graph.from_arrays, self.arrays()

    def __repr__(self) -> str:
        """Its size, degrees and similarities."""
        told = graph_in_words(self.statistics())
        return f"Graph(instances={self.instances}, edges={self.edges}{': ' if told else ''}{told})"


class Plan(NamedTuple):
    """Batches, and how their members came into them."""

    #: (batches, B): the members of one batch a row.
    batches: Integers
    #: (batches, 7): first starts, collected from them, fresh starts, collected from those, drawn uniformly; of these last ones those
    #: that the epoch had already, and those above the ceiling.
    origins: Integers
    #: What the dial came to, where there was one.
    calibration: Calibration | None = None


def proximity_graph(
    embeddings: ArrayLike,
    *,
    candidates: int = 1000,
    neighbors: int = 100,
    pairs: Pairs | None = None,
    scoring: Scoring = "f32",
    seed: int = 0,
    build: int = 0,
) -> Graph:
    """The proximity graph of BatchSampler: each of N instances is tied to the most similar of some random others.

    Args:
        embeddings: (N, d), or their file or folder. They are scaled to unit length here; a row of zeros is similar to nobody. With
            `pairs` (queries, documents) of (N, d) each, or (N, 2d) with both side by side. A file, or an array that is mapped from one, is
            not copied: of 10⁷ rows of 64 ``float32``, 2.6 GB, with M = 64 and K = 8 the peak of memory was 1.2 GB, .64 GB of it the graph.
        candidates: random others that each instance is compared with, M; lowered to N - 1 with a warning.
        neighbors: most similar of them that are kept, K.
        pairs: as in `LookalikeBatchSampler`.
        scoring: with ``"bf16"`` candidates are compared by rounded numbers, which some processors multiply faster, and what
            survives is compared again; a few neighbours can be missed.
        seed, build: draw the candidates; builds of one seed have candidates of their own.

    Raises:
        ValueError: for another shape or type, a row with NaN or an infinity, which is named, fewer than two rows, or K > M.

    """
    rows = _arrays.matrix("embeddings", embeddings, pairs=pairs is not None)
    counts = _arrays.count("candidates", candidates), _arrays.count("neighbors", neighbors)
    native, warnings = _lookalike.proximity_graph(
        rows.native, *counts, pairs, scoring, _arrays.count("seed", seed), _arrays.count("build", build)
    )
    _arrays.warn(warnings)
    return Graph(native)


def knn_graph(
    embeddings: ArrayLike, neighbors: int = 100, *, pairs: Pairs | None = None, scoring: Scoring = "f32"
) -> Graph:
    """The exact graph of the nearest of all by cosine similarity; ties go to the lower instance.

    Args:
        embeddings: (N, d), or their file or folder, scaled to unit length here; with `pairs` as in `proximity_graph`. A copy of all
            of them as ``float32``, 4·N·d bytes, is in memory meanwhile.
        neighbors: neighbours of each instance, at most N - 1.
        pairs: as in `LookalikeBatchSampler`.
        scoring: as in `proximity_graph`.

    Raises:
        ValueError: as `proximity_graph`.

    """
    rows = _arrays.matrix("embeddings", embeddings, pairs=pairs is not None)
    return Graph(_lookalike.knn_graph(rows.native, _arrays.count("neighbors", neighbors), pairs, scoring))


def top_k(queries: ArrayLike, database: ArrayLike, k: int, *, normalize: bool = True) -> tuple[Integers, Floats]:
    """For each query the rows of the database most similar to it, exactly; ties go to the lower row.

    Args:
        queries: (Q, d).
        database: (N, d). A query that is in it finds itself.
        k: rows for each query, at most N.
        normalize: compare by cosine; without it by inner product, of the values as they are.

    Returns:
        The rows' numbers (Q, k), the most similar first, and their similarities (Q, k).

    """
    q, d = _arrays.embeddings("queries", queries), _arrays.embeddings("database", database)
    return _lookalike.top_k(q, d, _arrays.count("k", k, 1), bool(normalize))


def random_walks(
    graph: Graph,
    starts: ArrayLike,
    steps: int,
    *,
    restart: float = 0.1,
    temperature: float | None = None,
    seed: int = 0,
) -> Integers:
    """Walks with restart over a graph: the nodes each comes to, its start not counted.

    Args:
        graph: where they go.
        starts: (S,) instances; from one without neighbours every step leads back to it.
        steps: steps of each walk.
        restart: probability that a step leaves from the start again instead of from where the walk is; 0 for none.
        temperature: where given, a neighbour of similarity s is taken with a probability in proportion to exp(s / temperature);
            otherwise all neighbours alike.
        seed: of every random number.

    Returns:
        (S, steps) instances.

    """
    probability = _arrays.number("restart", restart)
    if not 0 <= probability < 1:
        raise ValueError(f"restart = {probability} is out of range: it must be at least 0 and below 1")
    heat = None if temperature is None else _arrays.number("temperature", temperature)
    nodes = _arrays.integers("starts", starts), _arrays.count("steps", steps)
    return _lookalike.random_walks(graph._native, *nodes, probability, heat, _arrays.count("seed", seed))


def plan(
    graph: Graph | int | ArrayLike,
    batch_size: int = 256,
    *,
    kind: Kind = "walk",
    hardness_share: float | None = None,
    candidates: int | None = None,
    neighbors: int | None = None,
    coverage: Coverage | None = None,
    restart: Schedule | None = None,
    temperature: float | None = None,
    uniform_fraction: float = 0.0,
    similarity_ceiling: float | None = None,
    pair_percentile: float | None = None,
    edge_percentile: float | None = None,
    pairs: Pairs | None = None,
    similarity_to_positive: float | None = None,
    scoring: Scoring = "f32",
    groups: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    epoch: int = 0,
    seed: int = 0,
) -> Plan:
    """Plans the batches of one epoch, over a graph or from embeddings: a pure function of its arguments.

    Args:
        graph: embeddings (N, d), or their file or folder, from which all kinds of batches are made; a graph over N instances; or for uniform
            batches the number N.
        batch_size: instances a batch, B.
        kind: as in `LookalikeBatchSampler`; ``"clusters"`` are those of embeddings.
        hardness_share: how hard walks are to be, from 0, uniform, to 1, nearest neighbours, as in `LookalikeBatchSampler`; of embeddings.
            `Plan.calibration` says what was found.
        candidates, neighbors: M and K of the graph that is built of embeddings, as in `LookalikeBatchSampler`.
        coverage: ``"cover"``, the default, uses each instance at most once, and all but the remainder exactly once; ``"repeat"`` is as
            published: instances may recur in other batches, and some not come at all. Uniform batches cover.
        restart: probability of going back to the start at each step of a walk, as in `LookalikeBatchSampler`.
        temperature: as in `random_walks`.
        uniform_fraction: share of each batch that is drawn uniformly.
        similarity_ceiling, pair_percentile, edge_percentile, pairs, similarity_to_positive, scoring: of embeddings, as in
            `LookalikeBatchSampler`.
        groups: (N,) identifiers; instances with the same one never share a batch, and one with -1 or NaN may meet anybody; of embeddings
            also ``"near-duplicates"``.
        labels: (N,) an oracle for analysis: a walk collects nobody of its start's class; -1 or NaN for an instance of none.
        epoch, seed: of every random number.

    Returns:
        ⌊N/B⌋ batches of B.

    Raises:
        ValueError: for an option that is out of range or does not go with another, by name.

    """
    of_embeddings = {
        "hardness_share": hardness_share,
        "candidates": candidates,
        "neighbors": neighbors,
        "similarity_ceiling": similarity_ceiling,
        "pair_percentile": pair_percentile,
        "edge_percentile": edge_percentile,
        "pairs": pairs,
        "similarity_to_positive": similarity_to_positive,
    }
    fraction = _arrays.number("uniform_fraction", uniform_fraction)
    size, number, seed = (
        _arrays.count(name, value) for name, value in (("batch_size", batch_size), ("epoch", epoch), ("seed", seed))
    )
    if isinstance(graph, (Graph, int, np.integer)):
        given = [name for name, value in of_embeddings.items() if value is not None]
        if given:
            raise ValueError(f"{given[0]} goes with embeddings: give those instead of a graph or a number of instances")
        return _over_graph(graph, size, kind, coverage, restart, temperature, fraction, groups, labels, number, seed)
    _options.check_read(kind, hardness_share, candidates, neighbors, restart, coverage, labels)
    rows = _arrays.matrix("embeddings", graph, pairs=pairs is not None)
    options = _options.as_json(
        **of_embeddings,
        kind=kind,
        batch_size=size,
        coverage=coverage,
        restart=restart,
        temperature=temperature,
        uniform_fraction=fraction,
        scoring=scoring,
        uniform_epochs=0,
        refresh_every=2**32,
    )
    (batches, origins), warnings, found = _lookalike.plan_embeddings(
        rows.native,
        options,
        _options.groups(groups, len(rows), graph, pairs),
        _arrays.one_label_each("labels", labels, len(rows)),
        number,
        seed,
    )
    _arrays.warn(warnings)
    return Plan(batches, origins, Calibration.read(json.loads(found)))


def _over_graph(
    graph: Graph | int | np.integer[Any],
    batch_size: int,
    kind: Kind,
    coverage: Coverage | None,
    restart: Schedule | None,
    temperature: float | None,
    uniform_fraction: float,
    groups: ArrayLike | None,
    labels: ArrayLike | None,
    epoch: int,
    seed: int,
) -> Plan:
    if isinstance(graph, Graph):
        native, instances = graph._native, graph.instances
    else:
        native, instances = None, _arrays.count("the number of instances", graph)
    if kind not in ("walk", "nearest", "gcbs", "uniform"):
        made = "of embeddings, not over a graph" if kind == "clusters" else "no kind of batches"
        raise ValueError(f"kind = {kind!r} is {made}; over a graph there are 'walk', 'nearest', 'gcbs' and 'uniform'")
    if native is None and kind != "uniform":
        raise ValueError(f"kind = {kind!r} needs embeddings or a graph, not a number of instances")
    for option, given in [("temperature", temperature is not None), ("restart", restart is not None)]:
        if given and kind != "walk":
            raise ValueError(f"{option} does not go with kind = {kind!r}: only walks choose where to go")
    of_graphs = {"graph": native is not None, "coverage": coverage is not None, "labels": labels is not None}
    for option, given in {**of_graphs, "uniform_fraction": uniform_fraction > 0}.items():
        if given and kind == "uniform":
            raise ValueError(
                f"{option} does not go with kind = 'uniform': give the number of instances, and nothing of a graph"
            )
    probability = _options.restart_at(restart, epoch)
    if not 0 <= probability < 1:
        raise ValueError(f"restart = {probability} is out of range: it must be at least 0 and below 1")
    batches, origins = _lookalike.plan(
        graph=native,
        count=instances,
        kind=kind,
        batch_size=batch_size,
        coverage=coverage or "cover",
        restart=probability,
        temperature=None if temperature is None else _arrays.number("temperature", temperature),
        uniform_fraction=uniform_fraction,
        groups=_options.groups(groups, instances, None, None),
        labels=_arrays.one_label_each("labels", labels, instances),
        epoch=epoch,
        seed=seed,
    )
    return Plan(batches, origins)


def compare_plans(
    embeddings: ArrayLike,
    batch_size: int = 256,
    *,
    labels: ArrayLike | None = None,
    pairs: Pairs | None = None,
    scoring: Scoring = "f32",
    seed: int = 0,
) -> PlanComparisons:
    """An epoch of each kind of batches on the same embeddings, side by side: which buys hardness with the fewest false negatives?

    Uniform batches; walks with the published M, K and restart; nearest neighbours; GCBS; clusters; walks at `hardness_share` of a
    quarter, a half and three quarters; and walks that are as hard as GCBS and as clusters.

    Args:
        embeddings: (N, d), or their file or folder; with `pairs` as in `LookalikeBatchSampler`.
        batch_size: instances a batch, B.
        labels: (N,) classes, for the share of false negatives; -1 or NaN for an instance without one.
        pairs, scoring: as in `LookalikeBatchSampler`.
        seed: of every random number.

    Returns:
        A row for each, of hardness above uniform, its share of that of nearest batches, false negatives, reach, and seconds; printed, it is a
        table.

    """
    rows = _arrays.matrix("embeddings", embeddings, pairs=pairs is not None)
    found = _lookalike.compare_plans(
        rows.native,
        _arrays.count("batch_size", batch_size),
        pairs,
        scoring,
        _arrays.one_label_each("labels", labels, len(rows)),
        _arrays.count("seed", seed),
    )
    return PlanComparisons.read(json.loads(found))


def plan_report(
    plan: Plan | ArrayLike,
    embeddings: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    graph: Graph | None = None,
    seed: int = 0,
) -> PlanReport:
    """What a plan did, beside uniform batches on the same embeddings and labels.

    Args:
        plan: what `plan` gave, a matrix with one batch a row, or a list of batches.
        embeddings: (N, d), or their file or folder. Of pairs (queries, documents), of (N, d) each: the negatives of a query are then the
            documents of the others, and the similarity of anchor i to negative j is that of query i to document j. A file, or an array that
            is mapped from one, is not copied: on 10⁷ rows of 64 the peak of memory was .12 GB, and .2 GB more the plan itself.
        labels: (N,) classes, for the share of false negatives; -1 or NaN for an instance without one, whose pairs are not counted.
        graph: the graph that was walked, for its degrees.
        seed: draws the uniform plan of the histogram.

    Returns:
        Hardness, a histogram of anchors, false negatives, how often instances came, the graph's degrees, fresh starts: attributes of a
        `PlanReport`, which `to_dict` gives for JSON and `plot` draws.

    Raises:
        ValueError: for shapes that do not fit, a batch that names no instance, no pair to compare, or labels of one class.

    """
    rows = _arrays.matrix("embeddings", embeddings, pairs=True)
    members, sizes = _arrays.batches(plan.batches if isinstance(plan, Plan) else plan)
    report = _lookalike.plan_report(
        members=members,
        sizes=sizes,
        embeddings=rows.native,
        pairs=rows.is_pair,
        labels=_arrays.one_label_each("labels", labels, len(rows)),
        graph=None if graph is None else graph._native,
        origins=np.ascontiguousarray(plan.origins) if isinstance(plan, Plan) else None,
        seed=_arrays.count("seed", seed),
    )
    return PlanReport.read(json.loads(report))
