"""The protocol's machines beside scikit-learn's, on the same rows and folds, for rows that see no edges.

    agreement.py EXAMPLE DATA_ROOT OUT [SEEDS [SET,…]]

EXAMPLE is the built example `svm` of lookalike-metrics. A SET is the name of one in TU format (or COLLAB in the text format of GIN's code),
whose rows are the trivial baselines, how many nodes a graph has of each label, and how many nodes; or NAME=EMBEDDINGS.npy, whose rows are
those of the file. For each the example draws folds and scores them; scikit-learn's `GridSearchCV` of each of MACHINES is then fitted on the
same folds. Prints one line a case.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import time
import warnings

import numpy as np
from sklearn.model_selection import GridSearchCV
from sklearn.svm import SVC, LinearSVC

COSTS = [1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0, 1000.0]

# By our kernel. LIBLINEAR solved to the end; as MVGRL was published with it, which can stop at its limit of passes; as scikit-learn chooses now,
# which is the same where there are fewer rows than columns. Its coordinates are visited in a random order.
MACHINES = {
    "rbf": {"SVC": SVC()},
    "linear": {
        "solved": LinearSVC(dual=False, tol=1e-9, max_iter=100_000),
        "dual": LinearSVC(dual=True, random_state=0),
        "auto": LinearSVC(random_state=0),
    },
}


def tu(root, name):
    """Rows by name, and labels."""
    if name == "COLLAB":
        return collab(root / "COLLAB.txt")
    read = lambda end: np.loadtxt(root / f"{name}_{end}.txt", int, delimiter=",")
    graph = read("graph_indicator") - 1
    labels = np.unique(read("graph_labels"), return_inverse=True)[1]
    rows = {"size": np.bincount(graph)[:, None]}
    if (root / f"{name}_node_labels.txt").exists():
        node_labels = np.unique(read("node_labels"), return_inverse=True)[1]
        histogram = np.zeros((len(labels), node_labels.max() + 1))
        np.add.at(histogram, (graph, node_labels), 1)
        rows["histogram"] = histogram
    return rows, labels


def collab(path):
    sizes, labels = [], []
    with open(path) as lines:
        for _ in range(int(next(lines))):
            size, label = map(int, next(lines).split())
            sizes.append([size])
            labels.append(label)
            for _ in range(size):
                next(lines)
    return {"size": np.array(sizes)}, np.unique(labels, return_inverse=True)[1]


def ours(example, rows, labels, kernel, seed):
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(pathlib.Path(folder) / name) for name in ("rows.npy", "labels.npy")]
        np.save(paths[0], rows)
        np.save(paths[1], labels.astype(np.int64))
        printed = subprocess.run([example, *paths, kernel, str(seed)], check=True, capture_output=True, text=True)
    return json.loads(printed.stdout)


def theirs(rows, labels, machine, fold_of):
    accuracies = []
    for fold in range(10):
        train, test = fold_of != fold, fold_of == fold
        search = GridSearchCV(machine, {"C": COSTS}, cv=5).fit(rows[train], labels[train])
        accuracies.append(search.score(rows[test], labels[test]))
    return accuracies


def main():
    warnings.simplefilter("ignore")
    example, root, out = sys.argv[1], pathlib.Path(sys.argv[2]), open(sys.argv[3], "a")
    seeds = int(sys.argv[4]) if len(sys.argv) > 4 else 1
    names = sys.argv[5].split(",") if len(sys.argv) > 5 else ["MUTAG", "PROTEINS", "IMDB-BINARY"]
    for name in names:
        name, _, embeddings = name.partition("=")
        rows_of, labels = tu(root / "tu" / name, name)
        if embeddings:
            rows_of = {"embedding": np.load(embeddings)}
        for what, rows in rows_of.items():
            rows = np.ascontiguousarray(rows, np.float32)
            for kernel, machines in MACHINES.items():
                for seed in range(seeds):
                    found = ours(example, rows, labels, kernel, seed)
                    score = found["score"]
                    for called, machine in machines.items():
                        began = time.perf_counter()
                        expected = theirs(rows, labels, machine, np.array(found["fold_of"]))
                        seconds = time.perf_counter() - began
                        line = (
                            f"{name:12} {what:9} {kernel:6} seed {seed}: ours {100 * score['accuracy']:6.2f} "
                            f"scikit-learn, {called:6} {100 * np.mean(expected):6.2f} majority {100 * score['majority']:5.2f} "
                            f"folds that differ {sum(abs(a['accuracy'] - b) > 1e-9 for a, b in zip(score['folds'], expected))} "
                            f"unfinished {score['unfinished']} seconds {found['seconds']:.2f} {seconds:.2f}"
                        )
                        print(line, flush=True)
                        print(line, file=out, flush=True)


if __name__ == "__main__":
    main()
