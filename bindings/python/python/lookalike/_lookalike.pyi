from typing import Any, TypeAlias, final

import numpy as np
import numpy.typing as npt

_Floats: TypeAlias = npt.NDArray[np.float32]
_Integers: TypeAlias = npt.NDArray[np.int64]
_Bytes: TypeAlias = npt.NDArray[np.uint8]
#: Float32, the bytes of other numbers with what they are, or files.
_Matrix: TypeAlias = _Floats | tuple[npt.NDArray[np.uint8], str] | FileRows
#: Of pairs two.
_Source: TypeAlias = _Matrix | tuple[_Matrix, _Matrix]

__all__ = [
    "FileRows",
    "Graph",
    "Sampler",
    "__version__",
    "alignment",
    "check_agreement",
    "clustering_scores",
    "collapse",
    "compare_plans",
    "effective_rank",
    "false_negative_rate",
    "hardness",
    "inspect",
    "kmeans",
    "knn_classify",
    "knn_graph",
    "layout",
    "linear_probe",
    "mine",
    "near_duplicates",
    "paired",
    "plan",
    "plan_embeddings",
    "plan_report",
    "proximity_graph",
    "random_walks",
    "rank_me",
    "read_rows",
    "report",
    "segmentation_scores",
    "spectrum",
    "top_k",
    "uniformity",
    "voc_average_precision",
]
__version__: str

@final
class FileRows:
    def __new__(cls, paths: list[str]) -> FileRows: ...
    @property
    def shape(self) -> tuple[int, int]: ...
    @property
    def rounds(self) -> bool: ...

@final
class Graph:
    def __new__(cls, degrees: _Integers, neighbors: _Integers, similarities: _Floats) -> Graph: ...
    @property
    def instances(self) -> int: ...
    @property
    def edges(self) -> int: ...
    @property
    def fingerprint(self) -> int: ...
    def arrays(self) -> tuple[_Integers, _Integers, _Floats]: ...
    def neighbors(self, instance: int) -> tuple[_Integers, _Floats]: ...
    def statistics(self) -> str: ...
    def similarity_percentile(self, percentile: float) -> float | None: ...
    def below(self, ceiling: float) -> Graph: ...
    def below_positive(self, embeddings: _Source, share: float) -> Graph: ...

@final
class Sampler:
    def __new__(
        cls,
        instances: int,
        options: str,
        seed: int,
        groups: _Integers | None,
        oracle: _Integers | None,
        avoid: str,
        rank: int,
        num_replicas: int,
        split: str,
    ) -> Sampler: ...
    @property
    def batches_per_epoch(self) -> int: ...
    @property
    def epoch(self) -> int: ...
    @property
    def position(self) -> int: ...
    @property
    def steps(self) -> int: ...
    def set_epoch(self, epoch: int) -> None: ...
    def next_batch(self, epoch: int) -> list[int] | None: ...
    @property
    def handed(self) -> int: ...
    def handed_from(self, skip: int) -> tuple[_Integers, _Integers]: ...
    def forget(self) -> None: ...
    def record(self, indices: _Integers, embeddings: _Floats) -> None: ...
    def state(self, light: bool) -> tuple[str, dict[str, npt.NDArray[Any]]]: ...
    def saved_embeddings(self) -> dict[str, npt.NDArray[Any]]: ...
    def load_embeddings(self, arrays: dict[str, npt.NDArray[Any]]) -> None: ...
    def restore(self, state: str, arrays: dict[str, npt.NDArray[Any]]) -> None: ...
    def report(self) -> str: ...
    def take_warnings(self) -> list[str]: ...
    def take_news(self) -> str | None: ...
    def graph(self) -> Graph | None: ...
    def embeddings(self) -> _Floats | None: ...
    def agreement(self) -> str: ...

def check_agreement(agreements: list[str]) -> None: ...
def proximity_graph(
    embeddings: _Source, candidates: int, neighbors: int, pairs: str | None, scoring: str, seed: int, build: int
) -> tuple[Graph, list[str]]: ...
def knn_graph(embeddings: _Source, neighbors: int, pairs: str | None, scoring: str) -> Graph: ...
def top_k(queries: _Floats, database: _Floats, k: int, normalize: bool) -> tuple[_Integers, _Floats]: ...
def random_walks(
    graph: Graph, starts: _Integers, steps: int, restart: float, temperature: float | None, seed: int
) -> _Integers: ...
def plan(
    graph: Graph | None,
    count: int,
    kind: str,
    batch_size: int,
    coverage: str,
    restart: float,
    temperature: float | None,
    uniform_fraction: float,
    groups: _Integers | None,
    labels: _Integers | None,
    epoch: int,
    seed: int,
) -> tuple[_Integers, _Integers]: ...
def plan_embeddings(
    embeddings: _Source,
    options: str,
    groups: _Integers | None,
    labels: _Integers | None,
    epoch: int,
    seed: int,
) -> tuple[tuple[_Integers, _Integers], list[str], str]: ...
def compare_plans(
    embeddings: _Source, batch_size: int, pairs: str | None, scoring: str, labels: _Integers | None, seed: int
) -> str: ...
def near_duplicates(embeddings: _Source, pairs: str | None, factor: float) -> _Integers: ...
def plan_report(
    members: _Integers,
    sizes: _Integers,
    embeddings: _Source,
    pairs: bool,
    labels: _Integers | None,
    graph: Graph | None,
    origins: _Integers | None,
    seed: int,
) -> str: ...
def report(
    members: _Integers,
    sizes: _Integers,
    embeddings: _Floats,
    labels: _Integers | None,
    classes: list[str],
    images: _Bytes | None,
    texts: list[str] | None,
    names: list[str] | None,
    title: str,
    map: bool,
) -> str: ...
def inspect(
    embeddings: _Floats,
    labels: _Integers | None,
    classes: list[str],
    splits: _Integers | None,
    split_names: list[str],
    images: _Bytes | None,
    texts: list[str] | None,
    names: list[str] | None,
    title: str,
    neighbors: int,
    duplicate_factor: float,
) -> tuple[str, bytes, _Integers, list[tuple[int, str, float, int, int]]]: ...
def layout(embeddings: _Floats, neighbors: int, seed: int) -> _Floats: ...
def knn_classify(
    train: _Floats, train_labels: _Integers, test: _Floats, k: int, temperature: float
) -> tuple[list[int], int]: ...
def linear_probe(
    train: _Floats,
    train_labels: _Integers,
    test: _Floats,
    test_labels: _Integers,
    count: int,
    rates: list[float],
    epochs: int,
    batch_size: int,
    held_out: float,
    labels_per_class: int | None,
    seed: int,
) -> str: ...
def mine(
    queries: _Source,
    documents: _Source,
    relevant_queries: _Integers,
    relevant_documents: _Integers,
    negatives: int,
    range_min: int,
    range_max: int | None,
    max_score: float | None,
    min_score: float | None,
    absolute_margin: float | None,
    relative_margin: float | None,
    random: bool,
    seed: int,
) -> tuple[_Integers, _Integers, _Floats, _Integers, _Floats, str]: ...
def clustering_scores(labels: _Integers, clusters: _Integers) -> str: ...
def voc_average_precision(
    images: int,
    truth_images: _Integers,
    truth_classes: _Integers,
    truth_boxes: npt.NDArray[np.float64],
    difficult: list[bool],
    found_images: _Integers,
    found_classes: _Integers,
    found_scores: list[float],
    found_boxes: npt.NDArray[np.float64],
) -> str: ...
def segmentation_scores(
    truth: list[npt.NDArray[np.uint8]], predicted: list[npt.NDArray[np.uint8]], classes: int
) -> str: ...
def kmeans(
    points: _Floats, clusters: int, restarts: int, iterations: int, tolerance: float, seed: int
) -> tuple[_Integers, _Floats, float, int]: ...
def alignment(first: _Floats, second: _Floats) -> float: ...
def uniformity(embeddings: _Floats, t: float, most_rows: int, seed: int) -> str: ...
def spectrum(embeddings: _Floats, centered: bool) -> list[float]: ...
def effective_rank(embeddings: _Floats, centered: bool) -> float: ...
def rank_me(embeddings: _Floats) -> float: ...
def collapse(embeddings: _Floats) -> str: ...
def hardness(members: _Integers, sizes: _Integers, embeddings: _Source, pairs: bool) -> str: ...
def false_negative_rate(members: _Integers, sizes: _Integers, labels: _Integers) -> str: ...
def paired(baseline: list[float], treatment: list[float]) -> str: ...
def read_rows(embeddings: _Source, first: int, count: int) -> _Floats: ...
