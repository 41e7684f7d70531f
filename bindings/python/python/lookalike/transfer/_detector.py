"""torchvision's Faster R-CNN and Mask R-CNN on a feature pyramid of an encoder that was trained elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torchvision.models.detection import FasterRCNN, MaskRCNN
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.models.detection.rpn import AnchorGenerator
from torchvision.ops.misc import FrozenBatchNorm2d

from lookalike.transfer import _images, _rle, _weights
from lookalike.transfer._detection_data import DetectionSet, Picture
from lookalike.transfer._detection_scores import Found
from lookalike.transfer._training import Losses

#: Maps of the pyramid: of the encoder's four stages, and one pooled more.
LEVELS = 5


@dataclass(frozen=True)
class DetectorOptions:
    """What arms of a comparison have in common."""

    #: Pixels of the shorter side; the longer one has at most 1333/800 of it.
    size: int
    #: Regions of an image that the heads are trained on.
    rois: int
    #: Sides of the anchors on each level, in pixels of the resized image.
    anchors: tuple[float, ...]
    #: Whether batch norm of the encoder keeps the statistics, scales and shifts that it came with.
    freeze: bool
    masks: bool
    #: Whether products are computed of numbers of 16 bits.
    bf16: bool = False

    @property
    def longest(self) -> int:
        """Pixels of the longer side at most."""
        return math.ceil(self.size * 1333 / 800)


def anchors_of(data: DetectionSet, size: int) -> tuple[float, ...]:
    """Sides of anchors for the boxes trained on, each level's twice those of the one before, as its pixels are.

    The first is the length of which a tenth of the boxes is smaller, in pixels of the resized image, and 4 at least.
    """
    longest = math.ceil(size * 1333 / 800)
    lengths = []
    for picture in data.pictures:
        sides = picture.width, picture.height
        scale = min(size / min(sides), longest / max(sides))
        for one in picture.instances:
            if not one.crowd:
                lengths.append(scale * math.sqrt((one.box[2] - one.box[0]) * (one.box[3] - one.box[1])))
    first = max(4.0, round(float(np.quantile(lengths, 0.1)), 1))
    return tuple(first * 2**level for level in range(LEVELS))


def detector(weights: _weights.Weights, classes: int, options: DetectorOptions, seed: int) -> nn.Module:
    """A detector of `classes` classes and background. The heads are random by the seed, whatever the weights are."""
    torch.manual_seed(seed)
    norm: Callable[..., nn.Module] = FrozenBatchNorm2d if options.freeze else nn.BatchNorm2d
    backbone = resnet_fpn_backbone(
        backbone_name=weights.architecture, weights=None, norm_layer=norm, trainable_layers=5
    )
    _weights.load(backbone.body, weights)
    build = MaskRCNN if options.masks else FasterRCNN
    network: nn.Module = build(
        backbone,
        num_classes=classes + 1,
        min_size=options.size,
        max_size=options.longest,
        image_mean=list(weights.mean),
        image_std=list(weights.std),
        rpn_anchor_generator=AnchorGenerator(
            sizes=tuple((side,) for side in options.anchors), aspect_ratios=((0.5, 1.0, 2.0),) * len(options.anchors)
        ),
        box_batch_size_per_image=options.rois,
    )
    return network


def losses_of(network: nn.Module, data: DetectionSet, options: DetectorOptions, device: torch.device) -> Losses:
    """The detector's losses on some pictures, each mirrored with probability one half."""

    def losses(batch: list[int], generator: torch.Generator) -> dict[str, torch.Tensor]:
        flips = (torch.rand(len(batch), generator=generator) < 0.5).tolist()
        pairs = [example(data.pictures[at], flip, options.masks) for at, flip in zip(batch, flips, strict=True)]
        targets = [{name: value.to(device) for name, value in target.items()} for _, target in pairs]
        with torch.autocast(device.type, torch.bfloat16, enabled=options.bf16):
            found: dict[str, torch.Tensor] = network([image.to(device) for image, _ in pairs], targets)
        return {name: value.float() for name, value in found.items()}

    return losses


def example(picture: Picture, flip: bool, masks: bool) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """A picture (3, H, W) with values from 0 to 1, and its boxes, labels and masks; crowds are left out."""
    image = tensor(picture)
    learned = [one for one in picture.instances if not one.crowd]
    limits = torch.tensor([picture.width, picture.height, picture.width, picture.height], dtype=torch.float32)
    boxes = torch.tensor([one.box for one in learned], dtype=torch.float32).reshape(-1, 4)
    boxes = torch.minimum(boxes.clamp(min=0), limits)
    # Outside of the picture nothing can be seen, and torchvision takes no box without a size.
    seen = (boxes[:, 2:] > boxes[:, :2]).all(1)
    target = {"boxes": boxes[seen], "labels": torch.tensor([one.label for one in learned], dtype=torch.int64)[seen]}
    if masks:
        shown = [one.mask for one, is_seen in zip(learned, seen.tolist(), strict=True) if is_seen]
        planes = [_rle.decode(mask) for mask in shown if mask is not None]
        stacked = np.stack(planes) if planes else np.zeros((0, picture.height, picture.width), np.uint8)
        target["masks"] = torch.from_numpy(stacked)
    if not flip:
        return image, target
    left, top, right, bottom = target["boxes"].unbind(1)
    target["boxes"] = torch.stack([picture.width - right, top, picture.width - left, bottom], dim=1)
    if masks:
        target["masks"] = target["masks"].flip(-1)
    return image.flip(-1), target


def tensor(picture: Picture) -> torch.Tensor:
    """Its pixels, (3, H, W) from 0 to 1. The detector itself normalises them."""
    return torch.from_numpy(_images.rgb(picture.path).copy()).permute(2, 0, 1).float() / 255


@torch.inference_mode()
def detect(
    network: nn.Module,
    pictures: Sequence[Picture],
    options: DetectorOptions,
    device: torch.device,
    after_each: Callable[[], None],
) -> list[Found]:
    """What the detector finds in each picture, in its own pixels."""
    network.eval()
    found = []
    for picture in pictures:
        with torch.autocast(device.type, torch.bfloat16, enabled=options.bf16):
            (one,) = network([tensor(picture).to(device)])
        codes = None
        if options.masks:
            planes = (one["masks"][:, 0] > 0.5).to(torch.uint8).cpu().numpy()
            codes = [_rle.encode(plane) for plane in planes]
        boxes, labels, scores = (one[name].cpu() for name in ("boxes", "labels", "scores"))
        found.append(Found(boxes.double().numpy(), labels.numpy(), scores.double().numpy(), codes))
        after_each()
    return found
