"""A command's parser that takes flags before, between and behind the arguments, as GNU's tools do."""

from __future__ import annotations

import argparse
from typing import Any


class MixedParser(argparse.ArgumentParser):
    """argparse calls unrecognised what comes after `a --flag` and was not asked for before; this does not.

    >>> parser = MixedParser()
    >>> _ = parser.add_argument("path", nargs="*"), parser.add_argument("--strict", action="store_true")
    >>> parser.parse_args(["a", "--strict", "b"]).path
    ['a', 'b']
    """

    _is_mixing = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """What is known, and the list of what is not: argparse's, which calls it again for each kind."""
        if self._is_mixing or any(action.nargs == argparse.PARSER for action in self._actions):
            return super().parse_known_args(args, namespace)
        self._is_mixing = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._is_mixing = False
