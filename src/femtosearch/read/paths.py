"""Paths as people read and write them."""

from __future__ import annotations

import os

STDIN = "-"  # in the place of a path


def printable(path: str) -> str:
    """A path as text: file names need not be UTF-8."""
    return os.fsencode(path).decode("utf-8", "replace")


def near(path: str) -> str:
    """A path from the working folder, if it is in that, as text."""
    return printable(relative(path))


def relative(path: str) -> str:
    """A path from the working folder, if it is in that."""
    try:
        below = os.path.relpath(path)
    except (OSError, ValueError):
        return path
    return path if below.startswith("..") else below
