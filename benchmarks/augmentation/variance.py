"""Along how many principal dimensions of the images do views of one image vary more than the images do?

    cargo run --release -p lookalike-data --features images --example augment_views -- cifar10 DATA 1000 8 RECIPE.toml OUT [KEY=VALUE ...]
    python variance.py OUT

Jing et al. 2022 (arXiv:2110.09348, section 4): a linear encoder that learns by contrast loses the dimensions along which augmentation varies
more than the data. Prints how many of all dimensions those are, and how much of the images' variance lies in them.
"""

import sys
from pathlib import Path

import numpy as np

folder = Path(sys.argv[1])
images = np.load(folder / "images.npy").astype(np.float64)
views = np.load(folder / "views.npy").astype(np.float64).reshape(len(images), -1, images.shape[1])
centered = images - images.mean(0)
_, singular, directions = np.linalg.svd(centered, full_matrices=False)
data = singular**2 / len(images)
# Those along which the images vary at all.
kept = data > data[0] * 1e-6
data, directions = data[kept], directions[kept]
within = views - views.mean(1, keepdims=True)
along = within.reshape(-1, images.shape[1]) @ directions.T
augmentation = (along**2).sum(0) / (len(images) * (views.shape[1] - 1))
lost = augmentation > data
print(f"dimensions {len(data)}, augmentation exceeds data along {lost.sum()} ({lost.mean():.1%}), which hold {data[lost].sum() / data.sum():.1%}")
print(f"variance of augmentation {augmentation.sum():.0f}, of data {data.sum():.0f}, first exceeded at {int(np.argmax(lost)) if lost.any() else 'none'}")
