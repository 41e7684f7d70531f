"""The published classifier of MVGRL on nodes, on embeddings in a file: logistic regression, 300 steps of Adam at 0.01 on the nodes to train on,
the share of nodes to test that are right, mean and deviation over 50 beginnings.

    python node_probe.py EMBEDDINGS.npy PLANETOID_FOLDER NAME [CONTENT]        (torch 2.13.0, NumPy, SciPy)

EMBEDDINGS has a row a node, as `lookalike embed` writes them. The split is Planetoid's, or with CONTENT, Cora's cora.content, the published
program's: its first 140 rows to train on, rows 500 to 1,499 to test. Where CONTENT is cut off before them, those to test are all nodes that
are not among its first 500, of which the published ones are 1,000.
"""

import pickle
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F


class Planetoid:
    def __init__(self, folder, name):
        read = lambda part: pickle.loads((Path(folder) / f"ind.{name}.{part}").read_bytes(), encoding="latin1")
        self.test = np.loadtxt(Path(folder) / f"ind.{name}.test.index", int)
        self.train = np.arange(len(read("y")))
        known, tested = np.asarray(read("ally")).argmax(1), np.asarray(read("ty")).argmax(1)
        self.labels = np.zeros(max(len(known), self.test.max() + 1), int)
        self.labels[: len(known)], self.labels[self.test] = known, tested
        words, of_tested = read("allx"), read("tx")
        self.words = np.zeros((len(self.labels), words.shape[1]), bool)
        self.words[: words.shape[0]], self.words[self.test] = words.toarray() > 0, of_tested.toarray() > 0


def nodes_of(content, graph):
    """Planetoid's number of each paper in the file, found by its words; of nodes with the same words the first that is free."""
    nodes_with, nodes = {}, []
    for node, words in enumerate(graph.words):
        nodes_with.setdefault(words.tobytes(), []).append(node)
    for line in open(content):
        paper = line.rstrip("\n").split("\t")
        if len(paper) != graph.words.shape[1] + 2:
            break
        nodes.append(nodes_with[np.array(paper[1:-1], int).astype(bool).tobytes()].pop(0))
    return np.array(nodes)


def main():
    embeddings = torch.from_numpy(np.load(sys.argv[1])).float()
    graph = Planetoid(*sys.argv[2:4])
    train, test = graph.train, graph.test
    if len(sys.argv) > 4:
        rows = nodes_of(sys.argv[4], graph)
        train, test = rows[:140], rows[500:1500]
        if len(rows) < 1500:
            test = np.setdiff1d(np.arange(len(graph.labels)), rows[:500])
    print(f"{len(train)} nodes to train on, {len(test)} to test")
    labels = torch.from_numpy(graph.labels)
    right = []
    for seed in range(50):
        torch.manual_seed(seed)
        machine = torch.nn.Linear(embeddings.shape[1], int(labels.max()) + 1)
        torch.nn.init.xavier_uniform_(machine.weight)
        torch.nn.init.zeros_(machine.bias)
        optimizer = torch.optim.Adam(machine.parameters(), lr=0.01)
        for _ in range(300):
            optimizer.zero_grad()
            F.cross_entropy(machine(embeddings[train]), labels[train]).backward()
            optimizer.step()
        with torch.no_grad():
            right.append((machine(embeddings[test]).argmax(1) == labels[test]).float().mean().item())
    print(f"{100 * np.mean(right):.2f} ± {100 * np.std(right):.2f} over {len(right)} beginnings")


if __name__ == "__main__":
    main()
