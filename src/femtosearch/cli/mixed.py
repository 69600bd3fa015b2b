"""A command's parser that takes flags before, between and behind the arguments, as GNU's tools do."""

from __future__ import annotations

import argparse
import sys
from typing import Any


class MixedParser(argparse.ArgumentParser):
    """A parser that accepts optional arguments after a flag, which argparse would call unrecognised.

    >>> parser = MixedParser()
    >>> _ = parser.add_argument("path", nargs="*"), parser.add_argument("--strict", action="store_true")
    >>> parser.parse_args(["a", "--strict", "b"]).path
    ['a', 'b']
    """

    _is_mixing = False

    def add_argument(self, *names: Any, **settings: Any) -> argparse.Action:
        """Add an argument; one with `nargs="*"` gets the default [], without which argparse requires it."""
        if settings.get("nargs") == argparse.ZERO_OR_MORE and not names[0].startswith("-"):
            settings.setdefault("default", [])
        return super().add_argument(*names, **settings)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse the known arguments; returns them and the list of the unknown ones. argparse calls this
        method again for flags and for places; those calls go to the base class.
        """
        if self._is_mixing or any(action.nargs == argparse.PARSER for action in self._actions):
            return super().parse_known_args(args, namespace)
        self._is_mixing = True
        try:
            options, unknown = self.parse_known_intermixed_args(_marked(args), namespace)
        finally:
            self._is_mixing = False
        for name, value in vars(options).items():
            setattr(options, name, _unmarked(value))
        return options, _unmarked(unknown)


_MARK = "\0"  # before an argument that follows `--`, which would be taken for a flag; no argument can have it


def _marked(args: Any) -> list[str]:
    arguments = [*(sys.argv[1:] if args is None else args)]
    if "--" not in arguments:
        return arguments
    at = arguments.index("--")
    behind = (_MARK + word if word.startswith("-") else word for word in arguments[at + 1 :])
    return [*arguments[:at], *behind]


def _unmarked(value: Any) -> Any:
    if isinstance(value, list):
        return [_unmarked(item) for item in value]
    return value.removeprefix(_MARK) if isinstance(value, str) else value
