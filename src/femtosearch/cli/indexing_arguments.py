"""The arguments of the commands that index files: index, refresh, forget."""

from __future__ import annotations

import argparse
from typing import Any

from femtosearch.cli.values import offering, whole

FDES = ("auto", "muvera", "txtai", "fastembed", "none")
INDEXING = ("index", "refresh", "forget")
MOST_THREADS = 1_000_000


def add_indexing(commands: Any, make: Any, add_model: Any, *, lists: bool) -> None:
    """Add the commands.

    make:       makes a command with the flags that every command has.
    add_model:  adds the flags of a model to a command.
    lists:      a list of paths is given, so that `index` needs no path.
    """
    _add_index(commands, make, add_model, lists)
    _add_refresh(commands, make, add_model)
    _add_forget(commands, make)


def add_threads(command: argparse.ArgumentParser) -> None:
    """Add the flag for the number of threads."""
    command.add_argument(
        "--threads", type=whole(0, MOST_THREADS), default=0, metavar="N", help="threads (default: all cores)"
    )


def add_reading(command: argparse.ArgumentParser) -> None:
    """Add the flags of how files are read."""
    command.add_argument(
        "--text-column", default="text", metavar="NAME", help="JSON key or CSV column with the text"
    )
    command.add_argument("--id-column", metavar="NAME", help="the one with the id (default: id, else _id)")
    description = "the encoding of text without a byte order mark (default: UTF-8, else a guess)"
    command.add_argument("--encoding", metavar="NAME", help=description)
    description = "skip what is wrong in a file that is named, too"
    command.add_argument("--keep-going", action="store_true", help=description)


def _add_index(commands: Any, make: Any, add_model: Any, lists: bool) -> None:
    command = make(commands, "index", "bring files into an index, and make it if there is none")
    command.add_argument("folder", metavar="FOLDER", help="the index")
    kinds = "text, Markdown, JSON lines, CSV, code, HTML, notebooks, mail, PDF and more, each also with .gz"
    command.add_argument(
        "path", metavar="PATH", nargs="*" if lists else "+", help=f"files ({kinds}), folders of them, or - "
    )
    command.add_argument(
        "--files-from", metavar="FILE", help="read paths, one a line or with NULs between, from FILE or -"
    )
    add_reading(command)
    kinds = "lines (a document a line, the default), text, jsonl, csv or tsv"
    description = f"what comes through -: {kinds}"
    kind = command.add_argument("--stdin", default="lines", metavar="KIND", help=description)
    offering(kind, "lines", "text", "jsonl", "csv", "tsv")
    for flag, does in (("--include", "read these alone"), ("--exclude", "leave these out")):
        description = f"of folders {does}, as in .gitignore"
        command.add_argument(flag, action="append", default=[], metavar="GLOB", help=description)
    command.add_argument("--hidden", action="store_true", help="read hidden files and folders, too")
    description = "read what .gitignore, .ignore and .femtosearchignore leave out"
    command.add_argument("--no-ignore", dest="ignore", action="store_false", help=description)
    _add_refreshing(command)
    names = "auto (the model's own, the default), muvera, txtai, fastembed or none"
    description = f"the FDE of a new index: {names}"
    fde = command.add_argument("--fde", metavar="NAME", default="auto", help=description)
    offering(fde, *FDES)
    add_threads(command)
    add_model(command)


def _add_refreshing(command: argparse.ArgumentParser) -> None:
    """Add the flags of how an index is kept up to date with its files."""
    command.add_argument("--strict", action="store_true", help="fail at what would be skipped in a folder")
    description = "keep documents whose file or row is gone"
    command.add_argument("--no-prune", dest="prune", action="store_false", help=description)
    description = "stay, and follow what changes (needs the extra [watch])"
    command.add_argument("--watch", action="store_true", help=description)


def _add_refresh(commands: Any, make: Any, add_model: Any) -> None:
    command = make(commands, "refresh", "read the sources of an index again: what changed, what is gone")
    command.add_argument("folder", metavar="FOLDER", help="the index")
    _add_refreshing(command)
    add_threads(command)
    add_model(command)


def _add_forget(commands: Any, make: Any) -> None:
    command = make(commands, "forget", "take a source out of an index, with its documents")
    command.add_argument("folder", metavar="FOLDER", help="the index")
    description = "a file or folder, as info lists it (default: the index that `find` made of FOLDER goes)"
    command.add_argument("source", metavar="SOURCE", nargs="*", help=description)
