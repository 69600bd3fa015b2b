"""The progress line on a terminal: how far, how many, how fast, how long yet. Silence in a pipe."""

from __future__ import annotations

import math
import sys
import time
from typing import TextIO

BAR = 24  # columns
CLEAR = "\r\x1b[K"
PERIOD = 0.1  # seconds between two drawings


class Progress:
    """A line that is drawn again and again at one place, and gone at the end. It may be used as a context.

    quiet:   draw nothing.
    stream:  standard error by default; nothing is drawn on what is no terminal.
    """

    def __init__(self, *, quiet: bool = False, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._shown = not quiet and self._stream.isatty()
        self._start, self._drawn = time.monotonic(), -math.inf
        self._name, self._began, self._first = "", self._start, (0, 0.0)  # of the task that goes on

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    @property
    def seconds(self) -> float:
        """The seconds since this object was made."""
        return time.monotonic() - self._start

    def update(
        self,
        name: str,
        done: int,
        total: int | None = None,
        note: str = "",
        *,
        share: float | None = None,
        unit: str = "",
    ) -> None:
        """Draw the line, if the last drawing is 0.1 seconds old or the task has ended.

        name:   of the task. A new name begins a new task: its time and speed are measured from here.
        done:   how much is done, and total: of how much, or None where that is not known.
        note:   a text to show at the end of the line.
        share:  the share of the work that is done, 0 to 1, where it is not done / total.
        unit:   of done and total, such as "documents".
        """
        if share is None and total is not None:
            share = done / max(1, total)
        if name != self._name:
            self._name, self._began, self._first = name, time.monotonic(), (done, share or 0.0)
        now = time.monotonic()
        if self._shown and (now - self._drawn >= PERIOD or done == total):
            self._drawn = now
            self._write(CLEAR + self._text(done, total, share, unit, note, now - self._began))

    def clear(self) -> None:
        """Erase the line, if one was drawn."""
        if self._shown and self._drawn > -math.inf:
            self._drawn = -math.inf
            self._write(CLEAR)

    def _text(
        self, done: int, total: int | None, share: float | None, unit: str, note: str, seconds: float
    ) -> str:
        first, first_share = self._first
        count = f"{done:,}" if total is None else f"{done:,} of {total:,}"
        texts = [self._name if share is None else f"{self._name} {bar(share)} {share:4.0%}"]
        texts.append(f"{count} {unit}".rstrip())
        if done > first and seconds > 0:
            texts.append(f"{(done - first) / seconds:,.0f}/s")
        if share is not None and first_share < share < 1:
            texts.append(f"{duration(seconds * (1 - share) / (share - first_share))} left")
        return "  ".join([*texts, note] if note else texts)

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def bar(share: float) -> str:
    """Draw a bar of 24 characters; a share of 1 or more fills it.

    >>> bar(0.25)
    '[######------------------]'
    """
    full = round(BAR * min(1.0, max(0.0, share)))
    return f"[{'#' * full}{'-' * (BAR - full)}]"


def duration(seconds: float) -> str:
    """Format a duration for a person.

    >>> duration(0.05), duration(2.9), duration(192), duration(7500)
    ('0.05 s', '2.9 s', '3 min 12 s', '2 h 5 min')
    """
    if seconds < 0.995:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes} min {seconds} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
