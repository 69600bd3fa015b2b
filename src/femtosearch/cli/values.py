"""The values of arguments on the command line: whole numbers, texts, quotas."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Callable

MOST = 1 << 31


def whole(least: int, most: int = MOST) -> Callable[[str], int]:
    """A parser of whole numbers from `least` to `most`."""

    def parse(text: str) -> int:
        with contextlib.suppress(ValueError):
            if least <= (number := int(text)) <= most:
                return number
        up = "up" if most == MOST else f"to {most:,}"
        raise argparse.ArgumentTypeError(f"expected a whole number from {least} {up}, found {text!r}")

    return parse


def text(argument: str) -> str:
    """An argument as text: what is not UTF-8 in it becomes U+FFFD, as it does in files."""
    return os.fsencode(argument).decode("utf-8", "replace")


def quota(argument: str) -> int | dict[str, int]:
    """The argument of --per: N, or FIELD=N."""
    field, equals, number = argument.rpartition("=")
    if not number.isdecimal() or (equals and not field):
        raise argparse.ArgumentTypeError(f"expected N or FIELD=N, found {argument!r}")
    return {field: int(number)} if equals else int(number)
