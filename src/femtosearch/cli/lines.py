"""Texts that commands read one a line, from a file or from standard input."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator


def lines(place: str, noun: str) -> Iterator[tuple[int, str]]:
    """Lines of a file, or of standard input for -, that are not blank, and their numbers from 1."""
    if place == "-":
        yield from stdin_lines(noun)
        return
    with open(place, encoding="utf-8-sig", errors="replace") as file:
        yield from ((number, line.rstrip("\n")) for number, line in enumerate(file, 1) if line.strip())


def stdin_lines(noun: str) -> Iterator[tuple[int, str]]:
    """Lines of standard input that are not blank, and their numbers from 1."""
    if sys.stdin.isatty():
        print(f"reading {noun} from standard input, one a line; Ctrl-D ends", file=sys.stderr)
    stream = io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8-sig", errors="replace")
    try:
        for number, line in enumerate(stream, 1):
            if line.strip():
                yield number, line.rstrip("\n")
    finally:
        stream.detach()
