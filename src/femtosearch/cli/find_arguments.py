"""The arguments of the commands that need no index to be named: find, list, status."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Collection
from typing import Any

from femtosearch.cli.database_arguments import add_where
from femtosearch.cli.file_types import FILE_TYPES
from femtosearch.cli.values import offering, text, whole

FINDING = {"find": "find", "list": "list_indexes", "status": "status"}  # the command, and its function
ALIKE = 0.75  # of a word to a command's name, for it to be that one misspelled
HELP = ("-h", "--help", "--version")


def add_finding(commands: Any, command_of: Any) -> None:
    """Add the commands.

    command_of:  makes a command with the flags that every command has.
    """
    _add_find(command_of(commands, "find", "search files by meaning; the word find may be left out"))
    command_of(commands, "list", "list the indexes that were made without being named")
    status = command_of(commands, "status", "say what has changed since files were indexed")
    status.add_argument("path", metavar="PATH", nargs="?", default=".", help="default: this folder")


def with_find(arguments: list[str], commands: Collection[str]) -> list[str]:
    """A command line, `find` put before one that begins with a query in the place of a command.

    >>> with_find(["how are uploads retried", "src"], ["index", "search"])
    ['find', 'how are uploads retried', 'src']
    >>> with_find(["serach", "notes", "a cat"], ["index", "search"])
    ['serach', 'notes', 'a cat']
    >>> with_find(["searching"], ["index", "search"])
    ['find', 'searching']
    """
    if not arguments or arguments[0] in commands or arguments[0] in HELP:
        return arguments
    return arguments if _misspelled(arguments[0], commands) else ["find", *arguments]


def hint_of(word: str, commands: Collection[str]) -> str | None:
    """What to say of the name of a command misspelled; None for any other word."""
    command = _misspelled(word, commands)
    if command is None:
        return None
    query = shlex.quote(word)
    search = f"`femtosearch find {query}` to search for that word"
    return f"there is no command {query}: say `femtosearch {command}`, or {search}"


def _misspelled(word: str, commands: Collection[str]) -> str | None:
    """The command that a word is, but for a letter or two; None where it is more likely a query."""
    import difflib  # which few command lines need

    if word in commands:
        return None
    near = difflib.get_close_matches(word, commands, 1, ALIKE)
    if not near or word.startswith(near[0]) or abs(len(word) - len(near[0])) > 1:
        return None
    return near[0]


def _add_find(command: argparse.ArgumentParser) -> None:
    command.add_argument("query", type=text, metavar="QUERY", help="what to look for, in plain words")
    command.add_argument("path", metavar="PATH", nargs="*", help="files and folders (default: this folder)")
    command.add_argument(
        "-k", type=whole(1, 10_000), default=10, metavar="N", help="hits to show (default: 10)"
    )
    command.add_argument("-l", "--files", action="store_true", help="print the files alone")
    command.add_argument("-n", action="store_true", help="print line numbers, as is always done")
    command.add_argument(
        "-C",
        "--context",
        type=whole(0, 1000),
        default=0,
        metavar="N",
        help="lines round the best",
    )
    command.add_argument("-0", "--null", action="store_true", help="with -l: a NUL after each file")
    for flag, does in (("--include", "these files alone"), ("--exclude", "not these files")):
        command.add_argument(flag, action="append", default=[], metavar="GLOB", help=does)
    kinds = "files of a kind alone: py, md, js, ..."
    kind = command.add_argument("--type", action="append", default=[], metavar="KIND", help=kinds)
    offering(kind, *FILE_TYPES)
    add_where(command)
