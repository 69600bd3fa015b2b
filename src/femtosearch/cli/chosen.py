"""The arguments of the one command that was named: those of all take longer than a search does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Names:
    """Takes the place of argparse's subparsers, and keeps the names of commands alone."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def add_parser(self, name: str, **_: Any) -> Ignored:
        """A parser whose arguments are ignored."""
        self.names.append(name)
        return Ignored()


class Chosen:
    """argparse's subparsers, of which one command has arguments and the others are not there.

    subparsers:  what `ArgumentParser.add_subparsers` gives.
    """

    def __init__(self, subparsers: Any, name: str) -> None:
        self._subparsers = subparsers
        self._name = name

    def add_parser(self, name: str, **options: Any) -> Any:
        """The command's parser, or one whose arguments are ignored."""
        return self._subparsers.add_parser(name, **options) if name == self._name else Ignored()


class Ignored:
    """A parser, or a part of one, that takes all and keeps nothing."""

    def __getattr__(self, name: str) -> Callable[..., Ignored]:
        return lambda *_, **__: self
