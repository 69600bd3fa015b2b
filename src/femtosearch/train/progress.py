"""The line on a terminal that says how far a stage is; nothing in a pipe."""

from __future__ import annotations

import sys
import time
from typing import TextIO

PERIOD = 0.2  # seconds between two drawings
BAR = 24  # columns
CLEAR = "\r\x1b[K"


class Progress:
    """A bar that is drawn again and again at one place."""

    def __init__(self, *, quiet: bool = False, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.shown = not quiet and self.stream.isatty()
        self.drawn = 0.0

    def update(self, name: str, done: int, total: int, note: str = "") -> None:
        """Say how far `name` is; not more often than five times a second."""
        now = time.monotonic()
        if self.shown and (now - self.drawn >= PERIOD or done == total):
            self.drawn = now
            full = round(BAR * done / max(1, total))
            bar = "#" * full + "-" * (BAR - full)
            self.stream.write(f"{CLEAR}{name} [{bar}] {done:,} of {total:,}  {note}")
            self.stream.flush()

    def clear(self) -> None:
        """Take the line away, before another is printed."""
        if self.shown:
            self.stream.write(CLEAR)
            self.stream.flush()
