"""What came of the arms over the seeds: tables, and JSON."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lookalike import metrics
from lookalike.transfer._errors import TransferError

#: By heading, then by name: scores from 0 to 1, None where one is not defined, and tables of classes.
Scores = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Run:
    """One arm with one seed."""

    arm: str
    seed: int
    #: Of training and testing.
    seconds: float
    #: The mean loss of each epoch.
    losses: list[float]
    scores: Scores


@dataclass
class Report:
    """All runs, and what they have in common."""

    task: str
    arms: list[str]
    seeds: list[int]
    #: Model, data, options.
    settings: dict[str, Any]
    notes: list[str]
    runs: list[Run] = field(default_factory=list)

    def to_json(self) -> str:
        """Everything."""
        differences = [
            {"of": self.arms[0], "to": arm, "scores": {
                heading: {name: self._difference(heading, name, arm) for name in self._names(heading)}
                for heading in self.runs[0].scores
            }}
            for arm in self.arms[1:]
        ]  # fmt: skip
        found = {
            "task": self.task,
            "settings": self.settings,
            "notes": self.notes,
            "runs": [vars(run) for run in self.runs],
            "differences": differences,
        }
        return json.dumps(found, indent=1, allow_nan=False)

    def to_text(self) -> str:
        """A table a heading, in percent: the mean over the seeds and their standard deviation."""
        lines = []
        for heading in self.runs[0].scores:
            lines += self._table(heading)
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def values(self, heading: str, name: str, arm: str, of: str | None = None) -> list[float | None]:
        """A score of an arm, one value a seed; `of` names the class where it is one of a table."""
        found = [run.scores[heading][name] for run in self.runs if run.arm == arm]
        return found if of is None else [table[of] for table in found]

    def _names(self, heading: str) -> list[str]:
        return [name for name, value in self.runs[0].scores[heading].items() if not isinstance(value, dict)]

    def _difference(self, heading: str, name: str, arm: str) -> dict[str, Any] | None:
        """How much more the first arm has: mean, deviation, and the 95 % interval of the mean where there are seeds enough."""
        pairs = zip(self.values(heading, name, self.arms[0]), self.values(heading, name, arm), strict=True)
        known = [(ours, theirs) for ours, theirs in pairs if ours is not None and theirs is not None]
        if not known:
            return None
        gains = [ours - theirs for ours, theirs in known]
        found: dict[str, Any] = {"mean": statistics.fmean(gains), "deviation": _deviation(gains)}
        if len(known) > 1:
            interval = metrics.paired([theirs for _, theirs in known], [ours for ours, _ in known])
            found |= {"low": interval.low, "high": interval.high}
        return found

    def _table(self, heading: str) -> list[str]:
        names = self._names(heading)
        rows = [[arm, *(_cell(self.values(heading, name, arm)) for name in names)] for arm in self.arms]
        for arm in self.arms[1:]:
            differences = [self._difference(heading, name, arm) for name in names]
            rows.append([f"  over {arm}", *(_signed(one) for one in differences)])
            if len(self.seeds) > 1:
                rows.append(["  95 % interval", *(_interval(one) for one in differences)])
        lines = [f"{heading}, percent, {_seeds(self.seeds)}", *_aligned([["", *names], *rows]), ""]
        for name, value in self.runs[0].scores[heading].items():
            if isinstance(value, dict):
                of = [[one, *(_cell(self.values(heading, name, arm, one)) for arm in self.arms)] for one in value]
                lines += [f"{heading}: {name}", *_aligned([["", *self.arms], *of]), ""]
        return lines


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"mean ± standard deviation of {len(seeds)} seeds"


def _deviation(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None


def _cell(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    spread = _deviation(known)
    return f"{100 * statistics.fmean(known):.1f}" + ("" if spread is None else f" ± {100 * spread:.1f}")


def _signed(found: dict[str, Any] | None) -> str:
    if found is None:
        return "–"
    return f"{100 * found['mean']:+.1f}" + ("" if found["deviation"] is None else f" ± {100 * found['deviation']:.1f}")


def _interval(found: dict[str, Any] | None) -> str:
    return "–" if found is None or "low" not in found else f"{100 * found['low']:.1f} … {100 * found['high']:.1f}"


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]


def check_out(path: Path | None) -> None:
    """Refuses a file that could not be written in the end, before anything is computed."""
    if path is None:
        return
    if path.exists():
        raise TransferError(f"--out {path} is there already; nothing is written over")
    if not path.parent.is_dir():
        raise TransferError(f"--out {path}: there is no folder {path.parent}")


def write(path: Path, text: str) -> None:
    """Writes a file that appears as a whole."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text + "\n", encoding="utf-8")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise TransferError(f"--out {path} cannot be written: {error}") from None
