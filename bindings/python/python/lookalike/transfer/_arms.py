"""Arms over seeds, paired: what both tasks do around their training and scores."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Callable
from typing import Any

import torch

from lookalike.transfer import _report, _weights
from lookalike.transfer._errors import TransferError
from lookalike.transfer._training import Clock, Schedule

#: Trains one arm with one seed and scores it: the loss of each epoch, and the scores.
OneRun = Callable[[_weights.Weights, int, Clock], tuple[list[float], _report.Scores]]


def chosen(options: Namespace) -> list[_weights.Weights]:
    """The arms: the model, and what it is compared with."""
    beside = options.beside or ["random"]
    if "none" in beside and beside != ["none"]:
        raise TransferError("--beside none goes with no other --beside")
    models = [options.model, *(model for model in beside if model != "none")]
    if options.model == "random":
        models = [model for at, model in enumerate(models) if at == 0 or model != "random"]
    if len(set(models)) < len(models):
        raise TransferError("an arm is named twice")
    arms = _weights.arms(models, options)
    names = [arm.name for arm in arms]
    if len(set(names)) < len(names):
        # Files of one name in several folders.
        arms = [_weights.renamed(arm, model) for arm, model in zip(arms, models, strict=True)]
    return arms


def device(options: Namespace) -> torch.device:
    """Where is computed."""
    name = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(name)
        torch.empty(1, device=found)
    except (RuntimeError, AssertionError) as error:
        raise TransferError(f"--device {name}: {str(error).splitlines()[0]}") from None
    return found


def settings(options: Namespace, arms: list[_weights.Weights], schedule: Schedule) -> dict[str, Any]:
    """What is told beside the scores."""
    return {
        "data": str(options.data),
        "architecture": arms[0].architecture,
        "arms": [
            {"name": arm.name, "mean": arm.mean, "std": arm.std, "header": dict(arm.metadata or {})} for arm in arms
        ],
        "size": options.size,
        "epochs": schedule.epochs,
        "batch_size": schedule.batch_size,
        "rate": schedule.rate,
        "batch_norm": "frozen" if options.freeze else "trained",
        "precision": "bf16" if options.bf16 else "f32",
        "seeds": options.seeds,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }


def notes(options: Namespace, arms: list[_weights.Weights]) -> list[str]:
    """What a reader must know of the arms."""
    told = []
    if any(not arm.normalisation_given for arm in arms):
        told.append(
            "mean and deviation are not all in the file nor in the options: ImageNet's are taken for what is missing"
        )
    if options.freeze:
        told.append(
            "the encoder's batch norm is frozen: it normalises by the statistics that it came with, random weights by none; the "
            "sign of a difference can turn by that"
        )
    return told


def compare(report: _report.Report, arms: list[_weights.Weights], total: float, one: OneRun) -> None:
    """Runs all arms of a seed before the next seed, so that what is finished is paired."""
    for note in report.notes:
        print(f"note: {note}", file=sys.stderr, flush=True)
    clock = Clock(total * len(arms) * len(report.seeds))
    for seed in report.seeds:
        for arm in arms:
            begun = time.monotonic()
            losses, scores = one(arm, seed, clock)
            report.runs.append(_report.Run(arm.name, seed, round(time.monotonic() - begun, 2), losses, scores))
