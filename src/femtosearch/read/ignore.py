"""What a walk through folders leaves out: rules of .gitignore's form, and folders nobody wants to search.

A rule is a pattern as git has it: the last that fits decides, `!` takes back, a `/` in it ties it to the
folder of its file, one at its end means folders alone, `**` any number of folders.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from femtosearch.frozen import frozen

FILES = (".gitignore", ".ignore", ".femtosearchignore")  # a later one decides
FOLDERS = frozenset({"node_modules", "__pycache__", "__pypackages__", "bower_components"})
MARKERS = ("pyvenv.cfg", "conda-meta")  # what a virtual environment has in it
_MOST_BYTES = 1 << 20  # of a file of rules
_MOST_WILDCARDS = 3  # of a pattern that becomes a regular expression
_FOLDERS, _ANY, _NAME = _WILDCARDS = ("(?:.*/)?", ".+", "[^/]*")
_CLASS = re.compile(r"\[(!|\^)?(\]?(?:\[:[a-z]*:\]|[^\]])*)\]")
_NAMED = re.compile(r"\[:([a-z]*):\]")  # of POSIX, within a class
_MEMBERS = {
    "alnum": "0-9A-Za-z", "alpha": "A-Za-z", "blank": r" \t", "cntrl": r"\0-\x1f\x7f", "digit": "0-9",
    "graph": "!-~", "lower": "a-z", "print": " -~", "punct": r"!-/:-@\[-`{-~", "space": r"\s", "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}  # fmt: skip
_ALL_FOLDERS = re.compile(r"\*\*+(/|$)")


@frozen
class Rule:
    """One pattern: what it fits, whether it takes back, whether it means folders alone."""

    pattern: re.Pattern[str] | Steps
    takes_back: bool
    folders_only: bool

    def fits(self, path: str, is_folder: bool) -> bool:
        return (is_folder or not self.folders_only) and bool(self.pattern.fullmatch(path))


class Steps:
    """A pattern with many wildcards, which takes time in proportion to its length and the path's: a regular
    expression would try all ways of sharing the path out among them.

    pieces:  the expressions of the pattern, each for one character but for wildcards.
    """

    def __init__(self, pieces: Sequence[str]) -> None:
        self._pieces = [piece if piece in _WILDCARDS else re.compile(piece, re.DOTALL) for piece in pieces]

    def fullmatch(self, path: str) -> bool:
        """Whether the pattern fits all of a path."""
        places = self._with_skipped({0})
        for character in path:
            places = self._with_skipped({after for at in places for after in self._after(at, character)})
        return len(self._pieces) in places

    def _after(self, at: int, character: str) -> Iterator[int]:
        """Where in the pattern one may be after a character; ~place is inside of the folders at a place."""
        place = ~at if at < 0 else at
        piece = self._pieces[place] if place < len(self._pieces) else None
        if piece == _FOLDERS:
            yield ~place
            if character == "/":
                yield place + 1
        elif piece == _ANY:
            yield from (place, place + 1)
        elif piece == _NAME:
            if character != "/":
                yield place
        elif isinstance(piece, re.Pattern) and piece.fullmatch(character):
            yield place + 1

    def _with_skipped(self, places: set[int]) -> set[int]:
        """The places, and those after wildcards that stand for nothing."""
        waiting = list(places)
        while waiting:
            at = waiting.pop()
            if 0 <= at < len(self._pieces) and self._pieces[at] in (_FOLDERS, _NAME) and at + 1 not in places:
                places.add(at + 1)
                waiting.append(at + 1)
        return places


@frozen
class Rules:
    """The rules of one file, for paths below the folder that it lies in.

    origin:  what a person is told: the file's name.
    base:    the folder, as a path from where the walk began, with a / at its end; "" for that itself.
    prefix:  where the walk began, as a path from the folder, with a / at its end, if that is further up.
    """

    origin: str
    rules: Sequence[Rule]
    base: str = ""
    prefix: str = ""

    def verdict(self, path: str, is_folder: bool) -> bool | None:
        """Whether a path is left out; None where no rule fits."""
        if not path.startswith(self.base):
            return None
        below = self.prefix + path[len(self.base) :]
        fitting = (rule for rule in reversed(self.rules) if rule.fits(below, is_folder))
        rule = next(fitting, None)
        return None if rule is None else not rule.takes_back


def left_out_by(stack: Sequence[Rules], path: str, is_folder: bool) -> str | None:
    """Which rules leave a path out, the innermost first; None if none do.

    path:  from where the walk began, with / between its parts.
    """
    for rules in reversed(stack):
        verdict = rules.verdict(path, is_folder)
        if verdict is not None:
            return rules.origin if verdict else None
    return None


def rules_of(patterns: Iterable[str], origin: str, base: str = "", prefix: str = "") -> Rules:
    """Rules made of lines."""
    rules = (_rule(line) for line in patterns)
    return Rules(origin, [rule for rule in rules if rule is not None], base, prefix)


def rules_in(folder: str, base: str, names: Iterable[str]) -> list[Rules]:
    """The rules that a folder's own files state; one that cannot be read states none.

    names:  what is in the folder.
    """
    present = set(names)
    return [rules_of(_lines(os.path.join(folder, name)), name, base) for name in FILES if name in present]


def rules_above(folder: str) -> list[Rules]:
    """The rules of the repository that a folder lies in, from its root down to the folder above this one."""
    chain, parent_folder = [], os.path.realpath(folder)
    while not os.path.lexists(os.path.join(parent_folder, ".git")):
        parent_folder, below = os.path.dirname(parent_folder), parent_folder
        if parent_folder == below:
            return []  # no repository
        chain.append(parent_folder)
    stated = [
        (".git/info/exclude", parent_folder, _lines(os.path.join(parent_folder, ".git", "info", "exclude")))
    ]
    stated += [
        (name, parent, _lines(os.path.join(parent, name))) for parent in reversed(chain) for name in FILES
    ]
    start = os.path.realpath(folder)
    return [
        rules_of(lines, name, prefix="" if start == parent else _below(start, parent))
        for name, parent, lines in stated
        if lines
    ]


def _below(path: str, folder: str) -> str:
    """A path from a folder further up, with / between its parts and at its end."""
    return os.path.relpath(path, folder).replace(os.sep, "/") + "/"


def is_unwanted(name: str, children: Iterable[str]) -> bool:
    """Whether a folder is one of packages, of caches, or a virtual environment."""
    present = set(children)
    return name in FOLDERS or any(marker in present for marker in MARKERS)


def _lines(path: str) -> list[str]:
    try:
        with open(path, "rb") as file:
            return file.read(_MOST_BYTES).decode("utf-8-sig", "surrogateescape").splitlines()
    except OSError:
        return []


@lru_cache(maxsize=4096)
def _rule(line: str) -> Rule | None:
    """The rule of a line, or None where it states none."""
    text = line.rstrip("\r\n")
    text = re.sub(r"(?<!\\) +$", "", text)
    if not text or text.startswith("#"):
        return None
    takes_back = text.startswith("!")
    text = text[1:] if takes_back else text
    text = text[1:] if text.startswith("\\") and text[1:2] in "#!" else text
    folders_only = text.endswith("/")
    text = text.rstrip("/") if folders_only else text
    if not text:
        return None
    try:
        return Rule(_pattern(text), takes_back, folders_only)
    except re.error:  # a class such as [z-a], which fits nothing
        return None


def _pattern(glob: str) -> re.Pattern[str] | Steps:
    """What the paths fit that a pattern fits. Raises re.error."""
    pieces = [] if "/" in glob else [_FOLDERS]
    glob, position = glob.lstrip("/"), 0
    while position < len(glob):
        piece, position = _next(glob, position)
        pieces.append(piece)
    if sum(piece in _WILDCARDS for piece in pieces) > _MOST_WILDCARDS:
        return Steps(pieces)
    return re.compile("".join(pieces), re.DOTALL)


def _next(glob: str, at: int) -> tuple[str, int]:
    """The expression of what a pattern has at a place, and the place after it."""
    if (stars := _ALL_FOLDERS.match(glob, at)) and (at == 0 or glob[at - 1] == "/"):
        return _FOLDERS if stars[1] else _ANY, stars.end()
    character = glob[at]
    if character == "*":
        while glob.startswith("*", at):
            at += 1
        return _NAME, at
    if character == "?":
        return "[^/]", at + 1
    if character == "[" and (match := _CLASS.match(glob, at)):
        return f"(?!/)[{'^' if match[1] else ''}{_inside(match[2])}]", match.end()
    if character == "\\" and at + 1 < len(glob):
        return re.escape(glob[at + 1]), at + 2
    return re.escape(character), at + 1


def _inside(members: str) -> str:
    """What stands in the brackets of a class, as a regular expression has it. Raises re.error."""
    pieces = _NAMED.split(members)  # a name is every second one
    for at, piece in enumerate(pieces):
        if at % 2 and piece not in _MEMBERS:
            raise re.error(f"there is no class {piece}")
        pieces[at] = _MEMBERS[piece] if at % 2 else piece.replace("\\", "\\\\").replace("[", "\\[")
    return "".join(pieces)
