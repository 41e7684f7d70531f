"""Encoders by torchvision's names: what ``lookalike export`` writes, and other files of ResNets."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torchvision
from safetensors import SafetensorError, safe_open
from torch import nn

from lookalike.transfer._errors import TransferError

#: Whether blocks are bottlenecks, and how many there are in each of the four layers.
ARCHITECTURES = {
    "resnet18": (False, (2, 2, 2, 2)),
    "resnet34": (False, (3, 4, 6, 3)),
    "resnet50": (True, (3, 4, 6, 3)),
    "resnet101": (True, (3, 4, 23, 3)),
    "resnet152": (True, (3, 8, 36, 3)),
}
#: ImageNet's, for files that do not say what they were trained with.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Channels = tuple[float, float, float]


@dataclass(frozen=True)
class Weights:
    """An encoder: its weights, or None for random ones, and how images are normalised for it."""

    name: str
    architecture: str
    mean: Channels
    std: Channels
    #: Whether mean and deviation are given, by the file or by options; otherwise they are ImageNet's.
    normalisation_given: bool
    tensors: Mapping[str, torch.Tensor] | None = None
    metadata: Mapping[str, str] | None = None


def random(architecture: str, mean: Channels | None, std: Channels | None) -> Weights:
    """Random weights."""
    if architecture not in ARCHITECTURES:
        raise TransferError(f"the architecture {architecture!r} is none of {', '.join(ARCHITECTURES)}")
    given = mean is not None and std is not None
    return Weights("random", architecture, mean or IMAGENET_MEAN, std or IMAGENET_STD, given)


def read(path: Path, mean: Channels | None, std: Channels | None) -> Weights:
    """Reads a file, and checks that it is a ResNet that torchvision's detectors can stand on.

    `mean` and `std` are for files that do not say them; where a file says others, that is an error.
    """
    tensors, metadata = _pickled(path) if path.suffix in (".pth", ".pt") else _safetensors(path)
    architecture = _architecture(path, tensors, metadata)
    expected = {name: value for name, value in _skeleton(architecture).items() if not name.startswith("fc.")}
    _check_tensors(path, architecture, tensors, expected)
    if metadata.get("color_order", "RGB") != "RGB":
        raise TransferError(f"{path}: its channels are in the order {metadata['color_order']}; RGB is needed")
    found_mean = _channels(path, metadata, "mean", mean)
    found_std = _channels(path, metadata, "std", std)
    if found_std is not None and min(found_std) <= 0:
        raise TransferError(f"{path}: the deviation {found_std} is not above 0")
    kept = {name: tensors[name].float() if tensors[name].is_floating_point() else tensors[name] for name in expected}
    return Weights(
        path.name,
        architecture,
        found_mean or IMAGENET_MEAN,
        found_std or IMAGENET_STD,
        found_mean is not None and found_std is not None,
        kept,
        metadata,
    )


def load(body: nn.Module, weights: Weights) -> None:
    """Puts the weights into the body of a detector or segmenter: every tensor of it, and none is left over but the classifier's."""
    if weights.tensors is None:
        return
    # The frozen form of batch norm has no count of batches, and takes it out by itself.
    missing, unexpected = body.load_state_dict(dict(weights.tensors), strict=False)
    left = [name for name in unexpected if not name.startswith("fc.")]
    if missing or left:
        raise TransferError(f"{weights.name} does not fit the detector: missing {missing}, left over {left}")


def _safetensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            # What is open is no dictionary: it has keys(), and cannot be walked itself.
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except FileNotFoundError:
        raise TransferError(f"{path} is not there") from None
    except (OSError, SafetensorError) as error:
        raise TransferError(f"{path} is no safetensors file: {error}") from None


def _pickled(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise TransferError(f"{path} is not there") from None
    except Exception as error:  # noqa: BLE001 - a file of anything raises anything
        raise TransferError(f"{path} is no file of weights of PyTorch: {error}") from None
    if not isinstance(found, dict) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise TransferError(f"{path} holds no tensors by name; save the network's state_dict() alone")
    return found, {}


def _architecture(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> str:
    """The architecture by the tensors' names and shapes, which what the file says of itself must agree with."""
    if any(mark in name for name in tensors for mark in ("cls_token", "pos_embed", "patch_embed", "class_token")):
        raise TransferError(
            f"{path} is a vision transformer, which has maps of one scale; the detectors here need a ResNet's four"
        )
    if "conv1.weight" not in tensors:
        inside = next((name for name in tensors if name.endswith("conv1.weight")), None)
        hint = f": it has {inside}; take the prefix away" if inside and "layer" not in inside else ""
        raise TransferError(f"{path} has no conv1.weight, so it is no ResNet by torchvision's names{hint}")
    kernel = tuple(tensors["conv1.weight"].shape)
    if metadata.get("stem") == "cifar" or kernel[2:] == (3, 3):
        raise TransferError(
            f"{path} has the CIFAR stem (conv1 of {' × '.join(map(str, kernel[2:]))}, no pooling): its maps would be four times as "
            "wide and as high as those that detectors are made for, 16 times the work. Train with the ImageNet stem"
        )
    counts = tuple(
        len({name.split(".")[1] for name in tensors if name.startswith(f"layer{layer}.")}) for layer in range(1, 5)
    )
    bottleneck = "layer1.0.conv3.weight" in tensors
    told = next((name for name, kind in ARCHITECTURES.items() if kind == (bottleneck, counts)), None)
    if told is None:
        blocks = "bottlenecks" if bottleneck else "blocks"
        raise TransferError(f"{path} has layers of {counts} {blocks}, which is none of {', '.join(ARCHITECTURES)}")
    if metadata.get("architecture", told) != told:
        raise TransferError(f"{path} says that it is a {metadata['architecture']}, but its tensors are a {told}'s")
    return told


def _skeleton(architecture: str) -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        network: nn.Module = getattr(torchvision.models, architecture)(weights=None)
    return network.state_dict()


def _check_tensors(
    path: Path, architecture: str, tensors: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]
) -> None:
    missing = [name for name in expected if name not in tensors]
    if missing:
        raise TransferError(f"{path} lacks {len(missing)} tensors of a {architecture}, the first of them {missing[0]}")
    left = [name for name in tensors if name not in expected and not name.startswith("fc.")]
    if left:
        raise TransferError(
            f"{path} holds {len(left)} tensors that a {architecture} has not, the first of them {left[0]}"
        )
    for name, like in expected.items():
        tensor = tensors[name]
        if tensor.shape != like.shape:
            shapes = f"{tuple(tensor.shape)}; a {architecture} of torchvision has {tuple(like.shape)}"
            raise TransferError(f"{path}: {name} has the shape {shapes}")
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise TransferError(f"{path}: {name} holds NaN or infinite numbers")


def _channels(path: Path, metadata: Mapping[str, str], name: str, option: Channels | None) -> Channels | None:
    if name not in metadata:
        return option
    try:
        found = parse_channels(metadata[name])
    except ValueError as error:
        raise TransferError(f"{path}: {name} in its header is {error}") from None
    if option is not None and any(abs(a - b) > 1e-6 for a, b in zip(option, found, strict=True)):
        raise TransferError(f"{path} says {name} = {metadata[name]}; leave --{name} away")
    return found


def parse_channels(text: str) -> Channels:
    """Three numbers with commas between."""
    try:
        red, green, blue = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"{text!r}, which is not three numbers with commas between") from None
    if not all(map(math.isfinite, (red, green, blue))):
        raise ValueError(f"{text!r}, which is not finite")
    return red, green, blue


def arms(models: list[str], options: Any) -> list[Weights]:
    """The encoders that are compared, the first of them the one that is asked about."""
    mean, std = options.mean, options.std
    files = [read(Path(model), mean, std) for model in models if model != "random"]
    first = files[0] if files else random(options.architecture or "resnet18", mean, std)
    if options.architecture not in (None, first.architecture):
        raise TransferError(f"{first.name} is a {first.architecture}; --architecture is for random weights alone")
    for other in files[1:]:
        if other.architecture != first.architecture:
            raise TransferError(
                f"{first.name} is a {first.architecture} and {other.name} a {other.architecture}: a difference would say nothing"
            )
    # Random weights see images as the first file does, so that nothing else differs.
    beside = Weights("random", first.architecture, first.mean, first.std, first.normalisation_given)
    remaining = iter(files)
    return [beside if model == "random" else next(remaining) for model in models]


def renamed(weights: Weights, name: str) -> Weights:
    """The same under another name."""
    return replace(weights, name=name)
