"""One line on a terminal that is drawn again and again at one place; nothing in a pipe."""

from __future__ import annotations

import sys
import time
from typing import TextIO

BAR = 24  # columns
CLEAR = "\r\x1b[K"


class Line:
    """A line that is due once a period, in seconds. Silent if quiet, or if the stream is no terminal."""

    def __init__(self, period: float, *, quiet: bool = False, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._shown = not quiet and self._stream.isatty()
        self._period = period
        self._drawn = 0.0

    def due(self) -> bool:
        """Whether it is time to draw again."""
        return self._shown and time.monotonic() - self._drawn >= self._period

    def draw(self, text: str) -> None:
        """Put the text in the place of what is there."""
        self._drawn = time.monotonic()
        self._write(CLEAR + text)

    def clear(self) -> None:
        """Take the line away."""
        self._write(CLEAR)

    def _write(self, text: str) -> None:
        if self._shown:
            self._stream.write(text)
            self._stream.flush()


def bar(fraction: float) -> str:
    """A bar that is full at 1.

    >>> bar(0.25)
    '[######------------------]'
    """
    full = round(BAR * min(1.0, max(0.0, fraction)))
    return f"[{'#' * full}{'-' * (BAR - full)}]"
