"""The command's options, and its way from them to a table."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from lookalike.transfer._errors import TransferError

#: What the extra brings, by the names of modules.
NEEDED = ("torch", "torchvision", "safetensors", "PIL", "pycocotools")

Number = TypeVar("Number", int, float)

DESCRIPTION = """What an encoder is worth in detection and segmentation: torchvision's detectors on its weights, beside the
same with random ones. MODEL is what `lookalike export` wrote, another file (safetensors, or .pth of a state_dict) of a ResNet by torchvision's names,
or `random`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; the status with which the process ends."""
    options = _parser().parse_args(arguments)
    try:
        _check_extra()
        report = importlib.import_module(f"lookalike.transfer._{options.task}").run(options)
    except TransferError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; nothing was written", file=sys.stderr)
        return 130
    print(report.to_json() if options.json else report.to_text())
    return 0


def _check_extra() -> None:
    for name in NEEDED:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise TransferError(
                f"this needs {name}, which cannot be imported ({error}): pip install './bindings/python[transfer]'"
            ) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lookalike.transfer", description=DESCRIPTION)
    tasks = parser.add_subparsers(dest="task", required=True, metavar="detect | segment")
    detect = tasks.add_parser(
        "detect", help="boxes, and masks where the data has some: AP, AP50, AP75", description=DESCRIPTION
    )
    segment = tasks.add_parser("segment", help="a class for each pixel: mIoU", description=DESCRIPTION)
    for task in (detect, segment):
        _common(task)
    detect.add_argument("data", metavar="DATA", type=Path, help="a folder in COCO's or PASCAL VOC's layout")
    detect.add_argument("--classes", type=_words, metavar="A,B", help="these classes alone")
    detect.add_argument("--boxes-only", action="store_true", help="Faster R-CNN although there are masks")
    detect.add_argument(
        "--rois", type=_count, default=128, metavar="N", help="regions of a picture the heads learn from (default: 128)"
    )
    detect.add_argument(
        "--anchors", type=_sides, metavar="A,B,C,D,E",
        help="sides of the anchors on the five levels, in pixels of the resized picture (default: by the boxes trained on)",
    )  # fmt: skip
    segment.add_argument("data", metavar="DATA", type=Path, help="a folder with images/PART")
    segment.add_argument(
        "--masks",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="the folder with masks as PART/NAME.png, in DATA or elsewhere",
    )
    segment.add_argument(
        "--classes", type=_words, metavar="A,B", help="names of the classes 0, 1, … (default: numbers)"
    )
    segment.add_argument("--binary", action="store_true", help="every value above 0 is class 1")
    segment.add_argument(
        "--colors",
        type=Path,
        metavar="FILE",
        help="a table of the colours of the masks: a line `red,green,blue,name` a class",
    )
    return parser


def _common(task: argparse.ArgumentParser) -> None:
    task.add_argument("model", metavar="MODEL", help="the encoder, or `random`")
    add = task.add_argument
    add(
        "--beside",
        action="append",
        metavar="MODEL",
        help="what it is compared with; may be repeated (default: random; `none` for nothing)",
    )
    add("--architecture", metavar="NAME", help="of random weights alone: resnet18 to resnet152 (default: resnet18)")
    add(
        "--mean",
        type=_channels,
        metavar="R,G,B",
        help="subtracted from values of 0 to 1, for files that do not say it (default: ImageNet's)",
    )
    add("--std", type=_channels, metavar="R,G,B", help="by which they are divided then (default: ImageNet's)")
    add("--train", metavar="PART", help="the part that is trained on (default: trainval or train)")
    add("--test", metavar="PART", help="the part that is tested on (default: test or val)")
    add("--size", type=_side, default=256, metavar="N", help="pixels of the shorter side (default: 256)")
    add("--epochs", type=_count, default=12, metavar="N", help="passes over the training pictures (default: 12)")
    add("--batch-size", type=_count, default=4, metavar="N", help="pictures of a step (default: 4)")
    add(
        "--lr",
        type=_rate,
        metavar="X",
        help="learning rate (default: .02 · batch/16 to detect, .01 · batch/16 to segment)",
    )
    add("--seeds", type=_seeds, default="3", metavar="N | A,B", help="how many seeds, from 0 on, or which (default: 3)")
    add(
        "--freeze",
        action="store_true",
        help="keep statistics, scales and shifts of the encoder's batch norm as they came",
    )
    add(
        "--bf16",
        action="store_true",
        help="products of numbers of 16 bits, by torch's autocast: faster where a processor has them",
    )
    add("--device", default=None, help="cpu, cuda, … (default: cuda where there is one)")
    add("--json", action="store_true", help="print JSON instead of tables")
    add("--out", type=Path, metavar="FILE", help="write the JSON to a new file too")


def _count(text: str) -> int:
    return _checked(text, int, lambda value: 0 < value < 2**31, "an integer above 0")


def _side(text: str) -> int:
    return _checked(text, int, lambda value: 16 <= value <= 8192, "an integer from 16 to 8192")


def _rate(text: str) -> float:
    return _checked(text, float, lambda value: 0 < value < 1e6, "a number above 0")


def _sides(text: str) -> tuple[float, ...]:
    sides = tuple(_rate(part) for part in text.split(","))
    if len(sides) != 5:
        raise argparse.ArgumentTypeError(f"{text!r} is not five numbers with commas between")
    return sides


def _channels(text: str) -> tuple[float, ...]:
    parts = text.split(",")
    if len(parts) != 3:
        raise argparse.ArgumentTypeError(f"{text!r} is not three numbers with commas between")
    return tuple(_checked(part, float, lambda value: -1e6 < value < 1e6, "a number") for part in parts)


def _seeds(text: str) -> list[int]:
    if "," not in text:
        return list(range(_checked(text, int, lambda value: 0 < value <= 1000, "an integer from 1 to 1000")))
    seeds = [
        _checked(part, int, lambda value: 0 <= value < 2**31, "an integer of at least 0")
        for part in text.split(",")
        if part
    ]
    if not seeds or len(set(seeds)) < len(seeds):
        raise argparse.ArgumentTypeError(f"{text!r} names no seed, or one twice")
    return seeds


def _words(text: str) -> list[str]:
    words = [word.strip() for word in text.split(",")]
    if len(set(words)) < len(words):
        raise argparse.ArgumentTypeError(f"{text!r} names a class twice")
    return words


def _checked(text: str, kind: Callable[[str], Number], right: Callable[[Number], bool], needed: str) -> Number:
    try:
        value = kind(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not {needed}") from None
    if not right(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not {needed}")
    return value
