"""The line on a terminal that says how far a stage is; nothing in a pipe."""

from __future__ import annotations

from typing import TextIO

from femtosearch.progress import Line, bar

PERIOD = 0.2  # seconds between two drawings


class Progress:
    """A bar that is drawn again and again at one place."""

    def __init__(self, *, quiet: bool = False, stream: TextIO | None = None) -> None:
        self._line = Line(PERIOD, quiet=quiet, stream=stream)
        self.clear = self._line.clear  # before another line is printed

    def update(self, name: str, done: int, total: int, note: str = "") -> None:
        """Say how far `name` is; not more often than five times a second, but for the end."""
        if self._line.due() or done == total:
            self._line.draw(f"{name} {bar(done / max(1, total))} {done:,} of {total:,}  {note}")
