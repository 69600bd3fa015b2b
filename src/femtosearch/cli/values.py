"""The values of arguments on the command line: numbers, texts, quotas, and those that shells complete."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Callable

from femtosearch.errors import whole_number

MOST = 1 << 31


def whole(least: int, most: int = MOST) -> Callable[[str], int]:
    """A parser of whole numbers from `least` to `most`."""

    def parse(text: str) -> int:
        with contextlib.suppress(ValueError):
            if least <= (number := int(text)) <= most:
                return number
        expected = whole_number(least, None if most == MOST else most)
        raise argparse.ArgumentTypeError(f"expected {expected}, found {text!r}")

    return parse


def number(argument: str) -> float:
    """An argument that is a number, with a point or without."""
    try:
        return float(argument)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number such as 0.5, found {argument!r}") from None


def text(argument: str) -> str:
    """An argument as text: what is not UTF-8 in it becomes U+FFFD, as it does in files."""
    return os.fsencode(argument).decode("utf-8", "replace")


def quota(argument: str) -> int | dict[str, int]:
    """The argument of --per: N, or FIELD=N."""
    field, equals, number = argument.rpartition("=")
    if not number.isdecimal() or (equals and not field):
        raise argparse.ArgumentTypeError(f"expected N or FIELD=N, found {argument!r}")
    return {field: int(number)} if equals else int(number)


def offering(action: argparse.Action, *values: str) -> None:
    """Let shells complete these values of a flag or a place. Other values are not refused here, as argparse's
    `choices` would do, but by the library, with its own message.
    """
    vars(action)["offered"] = values
