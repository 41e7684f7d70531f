"""How far long work has come, for whoever waits for it.

The native half asks for a display once some work has taken two seconds, and tells it from then on. With tqdm it is a bar, also in
notebooks; without it a line of `logging` every few seconds. ``LOOKALIKE_PROGRESS=0`` shows nothing.
"""

from __future__ import annotations

import logging
import os
import time
from typing import Any, Protocol

#: Switches displays off where it is 0.
VARIABLE = "LOOKALIKE_PROGRESS"
#: Seconds from one line of the log to the next.
LOG_EVERY = 10.0


class Display(Protocol):
    """Shows one piece of work."""

    def update(self, done: int) -> None:
        """Says that `done` steps in all are done."""

    def close(self) -> None:
        """Says that the work has ended."""


class Nothing:
    """Shows nothing."""

    def update(self, done: int) -> None:
        """Is not shown."""

    def close(self) -> None:
        """Is not shown."""


class Bar:
    """A bar of tqdm, which goes when the work is done."""

    def __init__(self, bar: Any) -> None:
        """Takes the bar."""
        self._bar = bar

    def update(self, done: int) -> None:
        """Moves the bar."""
        self._bar.update(min(done, self._bar.total) - self._bar.n)

    def close(self) -> None:
        """Removes the bar."""
        self._bar.close()


class Log:
    """Lines of a log."""

    def __init__(self, label: str, total: int) -> None:
        """Takes what the work is called and how many steps it has."""
        self._label, self._total = label, total
        self._next = time.monotonic()
        self._logger = logging.getLogger("lookalike")

    def update(self, done: int) -> None:
        """Writes a line where it is time for one."""
        now = time.monotonic()
        if now >= self._next:
            share = 100 * min(done, self._total) // max(self._total, 1)
            self._logger.info("%s: %d of %d, %d %%", self._label, min(done, self._total), self._total, share)
            self._next = now + LOG_EVERY

    def close(self) -> None:
        """Writes that the work has ended."""
        self._logger.info("%s: ended", self._label)


def begin(label: str, total: int) -> Display:
    """The display of some work of `total` steps."""
    if os.environ.get(VARIABLE) == "0":
        return Nothing()
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return Log(label, total)
    return Bar(tqdm(total=total, desc=label, leave=False, dynamic_ncols=True))
