"""Parsers that get the arguments of only one command: to add those of all takes longer than a search."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Names:
    """A stand-in for argparse's subparsers that collects only the names of the commands."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def add_parser(self, name: str, **_: Any) -> Ignored:
        """A parser whose arguments are ignored."""
        self.names.append(name)
        return Ignored()


class Chosen:
    """A wrapper of argparse's subparsers that adds only one command, by its name.

    subparsers:  the result of `ArgumentParser.add_subparsers`.
    """

    def __init__(self, subparsers: Any, name: str) -> None:
        self._subparsers = subparsers
        self._name = name

    def add_parser(self, name: str, **options: Any) -> Any:
        """The command's parser, or one whose arguments are ignored."""
        return self._subparsers.add_parser(name, **options) if name == self._name else Ignored()


class Ignored:
    """A stand-in for a parser whose methods do nothing."""

    def __getattr__(self, name: str) -> Callable[..., Ignored]:
        return lambda *_, **__: self
