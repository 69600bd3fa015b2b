"""The progress line on a terminal: how far, how many, how fast, how long. Silence in a pipe."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from femtosearch.cli.show import duration

PERIOD = 0.1  # seconds between two drawings
BAR = 24  # columns


class Progress:
    """A line that is drawn again and again at one place, and gone at the end."""

    def __init__(self, verb: str, *, quiet: bool = False, stream: TextIO | None = None) -> None:
        self._verb = verb
        self._stream = stream or sys.stderr
        self._shown = not quiet and self._stream.isatty()
        self._start = time.monotonic()
        self._drawn = 0.0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._write("\r\x1b[K")

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._start

    def update(self, done: int, fraction: float | None = None) -> None:
        """Say how many documents are done and, if it is known, what part of all that is."""
        now = time.monotonic()
        if now - self._drawn >= PERIOD:
            self._drawn = now
            self._write(f"\r\x1b[K{self._line(done, fraction)}")

    def _line(self, done: int, fraction: float | None) -> str:
        seconds = self.seconds
        bar = "" if fraction is None else f" [{_bar(fraction)}] {fraction:4.0%}"
        rate = done / seconds if seconds else 0.0
        return f"{self._verb}{bar}  {done:,} documents  {rate:,.0f}/s  {duration(seconds)}"

    def _write(self, text: str) -> None:
        if self._shown:
            self._stream.write(text)
            self._stream.flush()


def _bar(fraction: float) -> str:
    full = round(BAR * min(1.0, max(0.0, fraction)))
    return "#" * full + "-" * (BAR - full)
