"""The progress line on a terminal: how far, how many, how fast, how long. Silence in a pipe."""

from __future__ import annotations

import time
from typing import TextIO

from femtosearch.cli.show import duration
from femtosearch.progress import Line, bar

PERIOD = 0.1  # seconds between two drawings


class Progress:
    """A line that is drawn again and again at one place, and gone at the end."""

    def __init__(self, verb: str, *, quiet: bool = False, stream: TextIO | None = None) -> None:
        self._verb = verb
        self._line = Line(PERIOD, quiet=quiet, stream=stream)
        self._start = time.monotonic()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._line.clear()

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._start

    def update(self, done: int, fraction: float | None = None) -> None:
        """Say how many documents are done and, if it is known, what part of all that is."""
        if self._line.due():
            self._line.draw(self._text(done, fraction))

    def _text(self, done: int, fraction: float | None) -> str:
        seconds = self.seconds
        share = "" if fraction is None else f" {bar(fraction)} {fraction:4.0%}"
        rate = done / seconds if seconds else 0.0
        return f"{self._verb}{share}  {done:,} documents  {rate:,.0f}/s  {duration(seconds)}"
