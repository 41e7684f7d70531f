"""A few epochs of stochastic gradient descent, the same batches for each arm of a seed."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from lookalike.transfer._errors import TransferError

#: Losses by name of the pictures of these numbers, which a generator may change at random.
Losses = Callable[[list[int], torch.Generator], dict[str, torch.Tensor]]


@dataclass(frozen=True)
class Schedule:
    """How long is trained, and how fast."""

    epochs: int
    batch_size: int
    rate: float
    #: Whether the rate falls with the power .9 of what is left; otherwise it falls to a tenth twice.
    polynomial: bool

    def steps(self, count: int) -> int:
        """Steps on so many pictures: the last batch of an epoch may be smaller."""
        return self.epochs * math.ceil(count / self.batch_size)

    def rate_at(self, step: int, count: int) -> float:
        """The rate of a step, counted from 0.

        That of detection is of the references' shape: a tenth after 16 of 26 epochs and again after 22, and a linear warm-up from a
        thousandth over the first epoch, or 1,000 steps where that is less.
        """
        steps = self.steps(count)
        if self.polynomial:
            return self.rate * float((1 - step / steps) ** 0.9)
        warm_up = min(1000, steps // self.epochs - 1)
        warmed = 1.0 if step >= warm_up else 0.001 + 0.999 * step / warm_up
        falls = sum(step >= part * steps for part in (16 / 26, 22 / 26))
        return self.rate * warmed * float(0.1**falls)


class Clock:
    """Tells on standard error how far the work is, which is counted in pictures."""

    def __init__(self, total: float, every: float = 10.0) -> None:
        self.total, self.every = total, every
        self.done, self.begun = 0.0, time.monotonic()
        self.told = self.begun

    def passed(self, pictures: float, what: str) -> None:
        """Counts work, and tells of it where the last word is long enough ago."""
        self.done += pictures
        now = time.monotonic()
        if now - self.told < self.every:
            return
        self.told = now
        left = (now - self.begun) * (self.total - self.done) / self.done
        print(f"{what}, {_duration(max(left, 0.0))} left", file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def train(
    network: nn.Module, losses: Losses, count: int, schedule: Schedule, seed: int, arm: str, clock: Clock
) -> list[float]:
    """Trains on `count` pictures; the mean loss of each epoch.

    What is drawn depends on the seed and the step alone, so that arms of one seed see the same batches, flips and samples.
    """
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=schedule.rate, momentum=0.9, weight_decay=1e-4)
    network.train()
    means: list[float] = []
    step = 0
    for epoch in range(schedule.epochs):
        order = torch.randperm(count, generator=_generator(seed, epoch, 0)).tolist()
        batches = [order[at : at + schedule.batch_size] for at in range(0, count, schedule.batch_size)]
        total = 0.0
        for batch in batches:
            for group in optimizer.param_groups:
                group["lr"] = schedule.rate_at(step, count)
            where = f"{arm}, seed {seed}, epoch {epoch + 1} of {schedule.epochs}"
            total += _step(
                network, optimizer, losses, batch, seed, step, f"{where}, step {step + 1} of {schedule.steps(count)}"
            )
            step += 1
            clock.passed(len(batch), f"{where}: loss {total / (step - epoch * len(batches)):.3f}")
        means.append(total / len(batches))
    return means


def _step(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    losses: Losses,
    batch: list[int],
    seed: int,
    step: int,
    where: str,
) -> float:
    # torchvision draws anchors and regions from the global generator.
    generator = _generator(seed, step, 1)
    torch.manual_seed(generator.initial_seed())
    found = losses(batch, generator)
    for name, value in found.items():
        if not bool(torch.isfinite(value)):
            raise TransferError(
                f"{where}: {name} is {float(value)}, so nothing more can be learned; a lower --lr helps, "
                "and with --freeze so does going without it"
            )
    loss = torch.stack(list(found.values())).sum()
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return float(loss.detach())


def _generator(seed: int, number: int, stream: int) -> torch.Generator:
    """A generator of its own for each epoch's order (stream 0) and each step (1), by the constants of SplitMix64."""
    mixed = (seed * 2 + stream) * 0x9E3779B97F4A7C15 + number * 0xBF58476D1CE4E5B9
    mixed = (mixed ^ (mixed >> 31)) * 0x94D049BB133111EB
    return torch.Generator().manual_seed((mixed ^ (mixed >> 29)) % 2**63)
