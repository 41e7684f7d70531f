"""Mini-batches of look-alikes for contrastive learning, and what embeddings are worth.

`LookalikeBatchSampler` chooses who shares a batch, for PyTorch's ``DataLoader`` or any other loop. Beside it stand graphs, walks
and plans (`proximity_graph`, `knn_graph`, `top_k`, `random_walks`, `plan`, `plan_report`, `compare_plans`, `near_duplicates`), hard negatives (`mine`), clusters (`kmeans`), and
scores in `lookalike.metrics`. `report` and `inspect` write pages to look at, of anybody's batches and of what is wrong with a data set; `layout` makes a map.

Embeddings are matrices with one instance a row, of any floating-point type. They may be

- NumPy arrays, also mapped from a file (``numpy.load(path, mmap_mode="r")``), and PyTorch tensors on the CPU;
- a path: of a ``.npy``, of a ``.safetensors`` or ``.npz`` (``"FILE:NAME"`` where it holds several matrices), or of a folder of ``.npy`` and
  ``.safetensors`` files, which are one matrix in the order of the numbers in their names; or a list of paths;
- a column of Arrow, pandas, polars or datasets whose entries are lists or arrays of one length; a list of rows or of matrices.

Files and mapped arrays are read row by row by graphs, plans' reports, `metrics.hardness` and `mine`; all else reads them whole.
``float64`` is rounded to ``float32``, with a warning once. Labels and groups are integers of at least 0; -1 and NaN mean none.

Long work leaves the interpreter's lock to others, ends on Ctrl-C, and uses as many threads as
``LOOKALIKE_NUM_THREADS`` says, or one a processor. After two seconds it shows how far it has come, with tqdm or in the log named
``lookalike``; ``LOOKALIKE_PROGRESS=0`` keeps it quiet. What is wrong with an argument is a `ValueError`.
"""

from lookalike import metrics
from lookalike._graphs import (
    Graph,
    Plan,
    compare_plans,
    knn_graph,
    plan,
    plan_report,
    proximity_graph,
    random_walks,
    top_k,
)
from lookalike._kmeans import Kmeans, kmeans
from lookalike._lookalike import __version__
from lookalike._mining import Mined, mine
from lookalike._options import near_duplicates
from lookalike._pages import Finding, Inspection, inspect, layout, report
from lookalike._reports import Calibration, GraphStatistics, PlanComparison, PlanComparisons, PlanReport, SamplerReport
from lookalike._sampler import LookalikeBatchSampler, check_agreement

__all__ = [
    "Calibration",
    "Finding",
    "Graph",
    "GraphStatistics",
    "Inspection",
    "Kmeans",
    "LookalikeBatchSampler",
    "Mined",
    "Plan",
    "PlanComparison",
    "PlanComparisons",
    "PlanReport",
    "SamplerReport",
    "__version__",
    "check_agreement",
    "compare_plans",
    "inspect",
    "kmeans",
    "knn_graph",
    "layout",
    "metrics",
    "mine",
    "near_duplicates",
    "plan",
    "plan_report",
    "proximity_graph",
    "random_walks",
    "report",
    "top_k",
]
