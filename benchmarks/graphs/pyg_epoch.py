"""Seconds of an epoch of GraphCL with PyTorch Geometric, evaluation excluded: the rival of the example `graph_step`.

    python pyg_epoch.py NCI1 DIR [EPOCHS]        (torch 2.13.0, torch-geometric)

The published recipe: batches of 128, the graph as it is and one view by `random2` (dropped nodes or star), loops as the published
code adds them, 3 GIN layers of 32 with BatchNorm, head 96-96-96, one direction, positive out of the denominator, Adam 0.01.
Views are drawn graph by graph with NumPy, in the main process as published, and stated apart; the step is GINConv and
global_add_pool. Batches are shuffled every epoch, as `graph_step` does.
"""

import resource
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import torch_geometric
from torch.nn import BatchNorm1d, Linear, ModuleList, ReLU, Sequential
from torch_geometric.data import Batch, Data
from torch_geometric.io import read_tu_data
from torch_geometric.nn import GINConv, global_add_pool


def load(name, root):
    """All graphs as (edges with the published loops, features)."""
    folder = next(p for p in [Path(root, name), Path(root, name, "raw"), Path(root, "tu", name), Path(root)]
                  if (p / f"{name}_A.txt").is_file())
    data, slices, sizes = read_tu_data(str(folder), name)
    if data.x is not None:
        # Attributes stand before the labels; as published, labels alone describe a node.
        data.x = data.x[:, sizes["num_node_attributes"]:]
    if data.x is None or data.x.shape[1] == 0:
        data.x = torch.ones(int(slices_of_nodes(slices)[-1]), 1)
    graphs = []
    nodes = slices_of_nodes(slices)
    for graph in range(len(slices["edge_index"]) - 1):
        edges = data.edge_index[:, slices["edge_index"][graph]:slices["edge_index"][graph + 1]]
        x = data.x[nodes[graph]:nodes[graph + 1]].float()
        last = int(edges.max()) if edges.numel() else 0
        loops = torch.arange(last).repeat(2, 1)
        graphs.append((torch.cat([edges, loops], 1), x))
    return graphs


def slices_of_nodes(slices):
    return slices["x"] if "x" in slices else slices["num_nodes"]


def view(edges, x):
    """One view by `random2`: edges among the nodes kept, nodes without edges removed, then loops."""
    edges, count = edges.numpy(), x.shape[0]
    if np.random.randint(2) == 0:
        kept = np.ones(count, bool)
        kept[np.random.choice(count, count // 10, replace=False)] = False
    else:
        kept = np.zeros(count, bool)
        first = np.random.randint(count)
        kept[first] = True
        neighbors = edges[1][edges[0] == first]
        for _ in range(count):
            if kept.sum() > int(0.2 * count) or len(neighbors) == 0:
                break
            kept[np.random.choice(neighbors)] = True
    edges = edges[:, kept[edges[0]] & kept[edges[1]]]
    present = np.zeros(count, bool)
    present[edges.reshape(-1)] = True
    number = np.cumsum(present) - 1
    edges = number[edges[:, edges[0] != edges[1]]]
    return torch.from_numpy(edges), x[torch.from_numpy(present)]


class Gin(torch.nn.Module):
    def __init__(self, features, width=32, layers=3):
        super().__init__()
        inputs = [features] + [width] * (layers - 1)
        self.convs = ModuleList(GINConv(Sequential(Linear(i, width), ReLU(), Linear(width, width))) for i in inputs)
        self.bns = ModuleList(BatchNorm1d(width) for _ in inputs)
        wide = layers * width
        self.head = Sequential(Linear(wide, wide), ReLU(), Linear(wide, wide))
        for module in self.modules():
            if isinstance(module, Linear):
                torch.nn.init.xavier_uniform_(module.weight)
                torch.nn.init.zeros_(module.bias)

    def forward(self, batch):
        x, pooled = batch.x, []
        for conv, bn in zip(self.convs, self.bns):
            x = bn(F.relu(conv(x, batch.edge_index)))
            pooled.append(global_add_pool(x, batch.batch, batch.num_graphs))
        return self.head(torch.cat(pooled, 1))


def loss_of(first, second, temperature=0.2):
    similarity = (F.normalize(first, dim=1) @ F.normalize(second, dim=1).T / temperature).exp()
    positive = similarity.diagonal()
    return -(positive / (similarity.sum(1) - positive)).log().mean()


def main():
    name, root = sys.argv[1:3]
    epochs = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    torch.manual_seed(0)
    np.random.seed(0)
    graphs = load(name, root)
    model = Gin(graphs[0][1].shape[1])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    seconds, of_views = [], []
    for epoch in range(epochs + 1):
        begun, viewing, losses = time.perf_counter(), 0.0, []
        for chosen in np.array_split(np.random.permutation(len(graphs)), range(128, len(graphs), 128)):
            at = time.perf_counter()
            plain = [graphs[i] for i in chosen]
            views = [view(*graph) for graph in plain]
            first, second = (Batch.from_data_list([Data(x=x, edge_index=edges) for edges, x in part])
                             for part in [plain, views])
            viewing += time.perf_counter() - at
            optimizer.zero_grad()
            loss = loss_of(model(first), model(second))
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        elapsed = time.perf_counter() - begun
        print(f"epoch {epoch}: {elapsed:.4f} s, of it {viewing:.4f} s for views, loss {statistics.mean(losses):.4f}")
        if epoch > 0:
            seconds.append(elapsed)
            of_views.append(viewing)
    median, steps = statistics.median(seconds), statistics.median(s - v for s, v in zip(seconds, of_views))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    print(f"torch-geometric {torch_geometric.__version__} {name}: median {median:.4f} s an epoch, "
          f"{steps:.4f} s without views, peak {peak:.0f} MB, {torch.get_num_threads()} threads")


if __name__ == "__main__":
    main()
