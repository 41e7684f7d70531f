"""Mini-batches of look-alikes for contrastive learning, and what embeddings are worth.

`LookalikeBatchSampler` chooses who shares a batch, for PyTorch's ``DataLoader`` or any other loop. Beside it stand graphs, walks
and plans (`proximity_graph`, `knn_graph`, `top_k`, `random_walks`, `plan`, `plan_report`), hard negatives (`mine`), and scores in
`lookalike.metrics`.

Embeddings are matrices with one instance a row: NumPy arrays or PyTorch tensors on the CPU, ``float32`` or ``float16``
(``bfloat16`` of PyTorch too). Long work leaves the interpreter's lock to others, ends on Ctrl-C, and uses as many threads as
``LOOKALIKE_NUM_THREADS`` says, or one a processor. What is wrong with an argument is a `ValueError`.
"""

from lookalike import metrics
from lookalike._graphs import Graph, Plan, knn_graph, plan, plan_report, proximity_graph, random_walks, top_k
from lookalike._lookalike import __version__
from lookalike._mining import Mined, mine
from lookalike._sampler import LookalikeBatchSampler, check_agreement

__all__ = [
    "Graph",
    "LookalikeBatchSampler",
    "Mined",
    "Plan",
    "__version__",
    "check_agreement",
    "knn_graph",
    "metrics",
    "mine",
    "plan",
    "plan_report",
    "proximity_graph",
    "random_walks",
    "top_k",
]
