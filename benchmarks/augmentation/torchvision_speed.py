"""Views a second of processor time that torchvision augments from Pillow images in one process on one thread.

`python torchvision_speed.py [seconds]` prints one line a case, `<case> <views a second>`. The lists are those of
SimCLR as users of torchvision write them; images are decoded beforehand, as in crates/lookalike-data/examples/augment_speed.rs.
"""

import sys
import time

import numpy as np
import torch
from PIL import Image
from torchvision import transforms as T

IMAGES = 64


def picture(side, random):
    y, x = np.mgrid[0:side, 0:side] * 255 // side
    levels = np.stack([x, y, (x + y) // 2], axis=-1) + random.integers(0, 32, (side, side, 3))
    return Image.fromarray(np.minimum(levels, 255).astype(np.uint8))


def simclr_cifar():
    return T.Compose([
        T.RandomResizedCrop(32, scale=(0.08, 1.0), antialias=True),
        T.RandomHorizontalFlip(),
        T.RandomApply([T.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
        T.RandomGrayscale(p=0.2),
        T.ToTensor(),
        T.Normalize([0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]),
    ])


def simclr():
    return T.Compose([
        T.RandomResizedCrop(224, scale=(0.08, 1.0), antialias=True),
        T.RandomHorizontalFlip(),
        T.RandomApply([T.ColorJitter(0.8, 0.8, 0.8, 0.2)], p=0.8),
        T.RandomGrayscale(p=0.2),
        T.RandomApply([T.GaussianBlur(23, sigma=(0.1, 2.0))], p=0.5),
        T.ToTensor(),
        T.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ])


def strong(policy, side):
    """SimCLR's list with a policy in the place of jitter, grayscale and blur."""
    mean, std = ([0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]) if side == 32 else ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    return T.Compose([
        T.RandomResizedCrop(side, scale=(0.08, 1.0), antialias=True), T.RandomHorizontalFlip(), policy, T.ToTensor(), T.Normalize(mean, std),
    ])  # fmt: skip


def measure(case, transform, side, seconds):
    random = np.random.default_rng(2)
    images = [picture(side, random) for _ in range(IMAGES)]
    for image in images[:4]:
        transform(image)
    began, views = time.thread_time(), 0
    while time.thread_time() - began < seconds:
        for image in images:
            transform(image)
        views += IMAGES
    print(f"{case} {views / (time.thread_time() - began):.1f}", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(1)
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    measure("simclr-cifar-32", simclr_cifar(), 32, seconds)
    measure("simclr-256-224-blur", simclr(), 256, seconds)
    for name, policy in [
        ("autoaugment-imagenet", T.AutoAugment(T.AutoAugmentPolicy.IMAGENET)),
        ("autoaugment-cifar10", T.AutoAugment(T.AutoAugmentPolicy.CIFAR10)),
        ("autoaugment-svhn", T.AutoAugment(T.AutoAugmentPolicy.SVHN)),
        ("randaugment", T.RandAugment()),
        ("trivialaugment", T.TrivialAugmentWide()),
    ]:
        measure(f"{name}-32", policy, 32, seconds)
        measure(f"{name}-224", policy, 224, seconds)
        measure(f"{name}-list-32", strong(policy, 32), 32, seconds)
        measure(f"{name}-list-256-224", strong(policy, 224), 256, seconds)
