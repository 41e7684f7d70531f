"""GIN and GCN beside PyTorch Geometric's GINConv and GCNConv, with the same weights, on 64 graphs of a TU set.

    python graphs.py MUTAG DIR PROGRAM        (torch 2.13.0, torch-geometric, safetensors)

PROGRAM is the example `graph_forward` of lookalike-learn. Prints the distance of both results over the length of PyTorch's.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch.nn import BatchNorm1d, Linear, ModuleList, PReLU, ReLU, Sequential
from torch_geometric.io import read_tu_data
from torch_geometric.nn import GCNConv, GINConv, global_add_pool

GRAPHS, WIDTH = 64, 32


class Gin(torch.nn.Module):
    def __init__(self, features):
        super().__init__()
        inputs = [features, WIDTH, WIDTH]
        self.convs = ModuleList(GINConv(Sequential(Linear(i, WIDTH), ReLU(), Linear(WIDTH, WIDTH))) for i in inputs)
        self.bns = ModuleList(BatchNorm1d(WIDTH) for _ in inputs)

    def forward(self, x, edges, batch):
        pooled = []
        for conv, bn in zip(self.convs, self.bns):
            x = bn(F.relu(conv(x, edges)))
            pooled.append(global_add_pool(x, batch))
        return torch.cat(pooled, 1)


def main():
    name, root, program = sys.argv[1:]
    folder = next(p for p in [Path(root, name), Path(root, "tu", name)] if (p / f"{name}_A.txt").is_file())
    data, slices, _ = read_tu_data(str(folder), name)
    nodes, entries = int(slices["x"][GRAPHS]), int(slices["edge_index"][GRAPHS])
    sizes = slices["x"][1:GRAPHS + 1] - slices["x"][:GRAPHS]
    batch, first = torch.arange(GRAPHS).repeat_interleave(sizes), slices["x"][:GRAPHS].repeat_interleave(
        slices["edge_index"][1:GRAPHS + 1] - slices["edge_index"][:GRAPHS])
    x, edges = data.x[:nodes].float(), data.edge_index[:, :entries] + first

    torch.manual_seed(0)
    gin = Gin(x.shape[1])
    with torch.no_grad():
        for _ in range(20):
            gin(x, edges, batch)  # gives running statistics that are not those of the start
    gin.eval()
    convs = [GCNConv(x.shape[1], WIDTH), GCNConv(WIDTH, WIDTH)]
    slopes = [PReLU(init=0.1), PReLU(init=0.3)]
    weights = {f"gin.{key}": value for key, value in gin.state_dict().items()
               if not key.endswith("eps") and not key.endswith("num_batches_tracked")}
    with torch.no_grad():
        expected = {"gin": gin(x, edges, batch)}
        hidden = x
        for layer, (conv, slope) in enumerate(zip(convs, slopes)):
            conv.bias.uniform_(-0.5, 0.5)
            hidden = slope(conv(hidden, edges))
            weights |= {f"gcn.layers.{layer}.fc.weight": conv.lin.weight, f"gcn.layers.{layer}.bias": conv.bias,
                        f"gcn.layers.{layer}.act.weight": slope.weight}
        expected["gcn"] = hidden

    with tempfile.TemporaryDirectory() as scratch:
        source, target = Path(scratch, "weights.safetensors"), Path(scratch, "out.safetensors")
        save_file({key: value.detach().float().contiguous() for key, value in weights.items()}, source)
        subprocess.run([program, name, root, source, target], check=True)
        ours = load_file(target)
    for key, theirs in expected.items():
        assert ours[key].shape == theirs.shape, (key, ours[key].shape, theirs.shape)
        print(f"{name}, {key}: {(ours[key] - theirs).norm() / theirs.norm():.2e} of {tuple(theirs.shape)}")


if __name__ == "__main__":
    main()
