"""SimCLR on CIFAR-10 by lightly on a CPU, end to end: DATA_ROOT ENCODER BATCH WORKERS STEPS THREADS MODE.

lightly's transform, projection head, loss and loop, as its documentation shows them; crops from 8 % of the area, flips,
jitter of strength 0.5, grayscale and no blur, as in recipes/cifar10-simclr.toml. MODE is f32 (contiguous) or bf16 (autocast,
channels last). DATA_ROOT holds `cifar-10-batches-bin`. Prints one line of JSON; an instance is a pair of views.
"""

import json
import pathlib
import statistics
import sys
import time

import lightly
import numpy
import torch
from lightly.loss import NTXentLoss
from lightly.models.modules import SimCLRProjectionHead
from lightly.transforms import SimCLRTransform
from PIL import Image
from torch_step import build

RECORD = 1 + 3 * 32 * 32


class Cifar(torch.utils.data.Dataset):
    """The training images as torchvision holds them: an array, a Pillow image made of each when it is asked for."""

    def __init__(self, root, transform):
        files = sorted((pathlib.Path(root) / "cifar-10-batches-bin").glob("data_batch_*.bin"))
        records = numpy.concatenate([numpy.fromfile(file, numpy.uint8).reshape(-1, RECORD) for file in files])
        self.images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1).copy()
        self.transform = transform

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.transform(Image.fromarray(self.images[index]))


class SimClr(torch.nn.Module):
    def __init__(self, encoder):
        super().__init__()
        self.backbone = build(encoder, "cifar", 128)
        width = self.backbone.fc.in_features
        self.backbone.fc = torch.nn.Identity()
        self.head = SimCLRProjectionHead(width, width, 128)

    def forward(self, views):
        return self.head(self.backbone(views).flatten(start_dim=1))


def main():
    root, encoder, batch, workers, steps, threads, mode = sys.argv[1:8]
    batch, workers, steps = int(batch), int(workers), int(steps)
    torch.set_num_threads(int(threads))
    torch.manual_seed(0)
    layout = torch.channels_last if mode == "bf16" else torch.contiguous_format
    transform = SimCLRTransform(input_size=32, cj_strength=0.5, gaussian_blur=0.0)
    loader = torch.utils.data.DataLoader(
        Cifar(root, transform), batch_size=batch, shuffle=True, drop_last=True, num_workers=workers
    )
    model, criterion = SimClr(encoder).to(memory_format=layout), NTXentLoss(temperature=0.5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.06, momentum=0.9, weight_decay=5e-4)
    ends = []
    for first, second in loader:
        with torch.autocast("cpu", torch.bfloat16, enabled=mode == "bf16"):
            projections = [model(views.to(memory_format=layout)) for views in (first, second)]
            loss = criterion(*projections)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        ends.append(time.perf_counter())
        if len(ends) == steps + 3:
            break
    # From the third step on: before it, batches wait that were made while the workers started.
    seconds = [after - before for before, after in zip(ends[2:], ends[3:])]
    rate = batch * len(seconds) / sum(seconds)
    result = {"instances_per_second": rate, "median_step": statistics.median(seconds), "workers": workers}
    print(json.dumps(result | {"lightly": lightly.__version__}), flush=True)


main()
