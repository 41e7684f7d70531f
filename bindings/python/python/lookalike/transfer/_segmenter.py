"""torchvision's fully convolutional network on an encoder that was trained elsewhere."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
import torchvision
from torch import nn
from torch.nn import functional
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.segmentation.fcn import FCNHead
from torchvision.ops.misc import FrozenBatchNorm2d

from lookalike.transfer import _weights
from lookalike.transfer._masks import IGNORED, MaskSet
from lookalike.transfer._training import Losses


class Segmenter(nn.Module):
    """A convolution and a classifier of pixels on the last maps of an encoder, which are an eighth of the picture."""

    def __init__(self, weights: _weights.Weights, classes: int, freeze: bool, bf16: bool = False) -> None:
        super().__init__()
        norm: Callable[..., nn.Module] = FrozenBatchNorm2d if freeze else nn.BatchNorm2d
        network: nn.Module = getattr(torchvision.models, weights.architecture)(weights=None, norm_layer=norm)
        dilate(network)
        self.body = IntermediateLayerGetter(network, return_layers={"layer4": "out"})
        _weights.load(self.body, weights)
        channels = int(network.get_parameter("fc.weight").shape[1])
        self.head = FCNHead(channels, classes)
        self.bf16 = bf16
        self.register_buffer("mean", torch.tensor(weights.mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(weights.std).view(3, 1, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The classes' values (B, C, H/8, W/8) for images (B, 3, H, W) with values from 0 to 1; NaN is what is outside of a picture."""
        mean, std = self.get_buffer("mean"), self.get_buffer("std")
        normalised = torch.nan_to_num((images - mean) / std, nan=0.0)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.bf16):
            values: torch.Tensor = self.head(self.body(normalised)["out"])
        return values.float()


def dilate(network: nn.Module) -> None:
    """Lets the third and fourth layer keep the size of their maps, by dilation instead of strides.

    As torchvision does by ``replace_stride_with_dilation=[False, True, True]``, which it offers for bottlenecks alone: the first block of a layer
    has the dilation of the layer before, those that follow twice as much.
    """
    for layer, before in ((network.layer3, 1), (network.layer4, 2)):
        for at, block in enumerate(layer):  # type: ignore[arg-type]
            for module in block.modules():
                if isinstance(module, nn.Conv2d):
                    module.stride = (1, 1)
                    if module.kernel_size == (3, 3):
                        dilation = before if at == 0 else 2 * before
                        module.dilation = module.padding = (dilation, dilation)


def segmenter(weights: _weights.Weights, classes: int, freeze: bool, seed: int, bf16: bool = False) -> Segmenter:
    """A segmenter whose head is random by the seed, whatever the weights are."""
    torch.manual_seed(seed)
    return Segmenter(weights, classes, freeze, bf16)


def losses_of(network: Segmenter, data: MaskSet, size: int, device: torch.device) -> Losses:
    """Cross entropy over the pixels that have a class, of square pieces of pictures."""

    def losses(batch: list[int], generator: torch.Generator) -> dict[str, torch.Tensor]:
        pieces = [piece(data.image(at), data.classes(at), size, generator) for at in batch]
        images = torch.stack([image for image, _ in pieces]).to(device)
        truth = torch.stack([classes for _, classes in pieces]).to(device)
        values = functional.interpolate(network(images), truth.shape[1:], mode="bilinear", align_corners=False)
        total = functional.cross_entropy(values, truth, ignore_index=IGNORED, reduction="sum")
        # A batch without a pixel that has a class has nothing to teach, and no loss of 0/0.
        return {"cross entropy": total / (truth != IGNORED).sum().clamp(min=1)}

    return losses


def piece(
    image: npt.NDArray[np.uint8], classes: npt.NDArray[np.uint8], size: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """A piece of `size` × `size` of a picture whose shorter side is resized to half to twice that, mirrored or not.

    What lies outside of the picture is NaN in the image (3, S, S), and has no class (S, S).
    """
    scale, across, down, mirror = torch.rand(4, generator=generator).tolist()
    height, width = classes.shape
    factor = size * 0.5 * 4**scale / min(height, width)
    sides = max(1, round(height * factor)), max(1, round(width * factor))
    pixels = functional.interpolate(_planes(image)[None], sides, mode="bilinear", align_corners=False, antialias=True)[
        0
    ]
    truth = functional.interpolate(torch.from_numpy(classes.astype(np.float32))[None, None], sides, mode="nearest")[
        0, 0
    ]
    if mirror < 0.5:
        pixels, truth = pixels.flip(-1), truth.flip(-1)
    missing = [max(0, size - side) for side in sides]
    pixels = functional.pad(pixels, (0, missing[1], 0, missing[0]), value=float("nan"))
    truth = functional.pad(truth, (0, missing[1], 0, missing[0]), value=float(IGNORED))
    top, left = (int(drawn * (side - size + 1)) for drawn, side in zip((down, across), truth.shape, strict=True))
    return pixels[:, top : top + size, left : left + size], truth[top : top + size, left : left + size].long()


def _planes(image: npt.NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(image.copy()).permute(2, 0, 1).float() / 255


@torch.inference_mode()
def predict(network: Segmenter, image: npt.NDArray[np.uint8], size: int, device: torch.device) -> npt.NDArray[np.uint8]:
    """The class of each pixel (H, W) of a picture, at its own size: values are interpolated, and then the greatest is taken."""
    network.eval()
    height, width = image.shape[:2]
    factor = size / min(height, width)
    sides = max(1, round(height * factor)), max(1, round(width * factor))
    pixels = functional.interpolate(
        _planes(image)[None].to(device), sides, mode="bilinear", align_corners=False, antialias=True
    )
    values = functional.interpolate(network(pixels), (height, width), mode="bilinear", align_corners=False)
    return values[0].argmax(0).to(torch.uint8).cpu().numpy()
