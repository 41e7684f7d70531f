"""The published classifier of MVGRL on nodes, on embeddings in a file and Planetoid's split: logistic regression, 300 steps of Adam at 0.01 on the nodes to
train on, the share of nodes to test that are right, mean and deviation over 50 beginnings.

    python node_probe.py EMBEDDINGS.npy PLANETOID_FOLDER NAME        (torch 2.13.0, NumPy, SciPy)

EMBEDDINGS has a row a node, as `lookalike embed` writes them.
"""

import pickle
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F


def split(folder, name):
    """Classes of all nodes, those to train on, those to test."""
    read = lambda part: np.asarray(pickle.loads((Path(folder) / f"ind.{name}.{part}").read_bytes(), encoding="latin1"))
    known, tested, train = read("ally").argmax(1), read("ty").argmax(1), len(read("y"))
    test = np.loadtxt(Path(folder) / f"ind.{name}.test.index", int)
    labels = np.zeros(max(len(known), test.max() + 1), int)
    labels[: len(known)] = known
    labels[test] = tested
    return torch.from_numpy(labels), torch.arange(train), torch.from_numpy(test)


def main():
    embeddings = torch.from_numpy(np.load(sys.argv[1])).float()
    labels, train, test = split(sys.argv[2], sys.argv[3])
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
