"""Numbers on the command line."""

from __future__ import annotations

import argparse
import contextlib
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
