"""Inputs changed at random; one that reaches a line of the engine that none has reached is kept."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import femtosearch

from .targets import play

PACKAGE = str(Path(femtosearch.__file__).parent)
TRACED = 8  # one run in so many is looked at line by line, which takes most of the time
PIECES = [
    b"$and", b"$or", b"$in", b"{", b"}", b"[", b"]", b'"', b"'", b"`", b" and ", b" not ", b"\\", b"\xff",
    b"\0", b"(", b")", b"=", b">=", b"~", b"*", b"1e999", b"-1", b"null", b"\xf0\x9f\xa6\x8a", b"\xcc\x81",
]  # fmt: skip


class Fuzzer:
    """One target's inputs.

    inputs:  those that are changed: the corpus, and what has reached new lines.
    faults:  inputs with what they raised.
    """

    def __init__(self, name: str, corpus: list[bytes], seed: int) -> None:
        self.name = name
        self.inputs = list(corpus) or [b""]
        self.faults: list[tuple[bytes, str]] = []
        self.runs = 0
        self._rng = random.Random(seed)
        self._lines: set[tuple[CodeType, int]] = set()
        for content in self.inputs:
            self._run(content, traced=True)

    def run(self, seconds: float, most: int) -> None:
        """Change inputs for so many seconds, or so many runs."""
        end, last = time.monotonic() + seconds, self.runs + most
        while time.monotonic() < end and self.runs < last:
            content = self._changed(self._rng.choice(self.inputs))
            if self._run(content, traced=self._rng.randrange(TRACED) == 0):
                self.inputs.append(content)

    @property
    def lines(self) -> int:
        """How many lines of the engine were reached."""
        return len(self._lines)

    def _run(self, content: bytes, *, traced: bool) -> bool:
        """Play an input; whether it reached a new line."""
        self.runs += 1
        before = len(self._lines)
        error = _traced(self._lines, lambda: play(self.name, content)) if traced else play(self.name, content)
        if error is not None and len(self.faults) < 20:
            self.faults.append((content, f"{type(error).__name__}: {error}"))
        return len(self._lines) > before

    def _changed(self, content: bytes) -> bytes:
        changed = bytearray(content)
        for _ in range(self._rng.choice([1, 1, 1, 2, 4])):
            _change(changed, self._rng, self.inputs)
        return bytes(changed[: 1 << 16])


def _change(content: bytearray, rng: random.Random, inputs: list[bytes]) -> None:
    """One change in place."""
    begin, end = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    match rng.randrange(6):
        case 0 if content:
            content[begin % len(content)] ^= 1 << rng.randrange(8)
        case 1:
            del content[begin : min(end, begin + 32)]
        case 2:
            content[begin:begin] = content[begin : min(end, begin + 64)]
        case 3:
            content[begin:begin] = rng.choice(PIECES)
        case 4:
            other = rng.choice(inputs)
            content[begin:end] = other[: rng.randrange(len(other) + 1)]
        case _:
            content[begin:begin] = bytes([rng.randrange(256)])


def _traced(lines: set[tuple[CodeType, int]], call: Callable[[], Any]) -> Any:
    """What a call gives; the lines of the engine that it reaches are added."""

    def of_line(frame: FrameType, event: str, _: Any) -> Any:
        lines.add((frame.f_code, frame.f_lineno))
        return of_line

    def of_call(frame: FrameType, event: str, _: Any) -> Any:
        return of_line if frame.f_code.co_filename.startswith(PACKAGE) else None

    before = sys.gettrace()
    sys.settrace(of_call)
    try:
        return call()
    finally:
        sys.settrace(before)
