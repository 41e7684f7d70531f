"""Loads what `lookalike export` wrote into torchvision's network and compares features with what `lookalike embed` wrote.

    lookalike export RUN model.safetensors
    lookalike embed RUN --split test --out embeddings.npy
    python export.py model.safetensors embeddings.npy IMAGES.u8 [COUNT]

The run's encoder is ResNet-18 with the ImageNet stem. IMAGES.u8 holds the same images as bytes, RGB, 32 x 32, rows first
(as `cargo run -p lookalike-data --example dump_glyphs` or the CIFAR readers have them).
"""

import sys

import numpy as np
import torch
import torchvision
from safetensors.torch import load_file

model, embeddings, images, *count = sys.argv[1:]
count = int(count[0]) if count else 1000
network = torchvision.models.resnet18()
print("load_state_dict(strict=True):", network.load_state_dict(load_file(model), strict=True))
network.fc = torch.nn.Identity()
network.eval()

pixels = np.fromfile(images, np.uint8, count * 3 * 32 * 32).reshape(count, 32, 32, 3)
mean, deviation = torch.tensor([0.4914, 0.4822, 0.4465]), torch.tensor([0.2023, 0.1994, 0.2010])
views = (torch.from_numpy(pixels).float() / 255 - mean) / deviation
with torch.no_grad():
    theirs = torch.cat([network(part) for part in views.permute(0, 3, 1, 2).split(100)]).numpy()
ours = np.load(embeddings)[:count]
print(f"{count} images, features of length {ours.shape[1]}, mean size {np.abs(theirs).mean():.3f}")
print(f"largest difference {np.abs(ours - theirs).max():.1e}, relative in length {np.linalg.norm(ours - theirs) / np.linalg.norm(theirs):.1e}")
assert np.abs(ours - theirs).max() < 1e-4
