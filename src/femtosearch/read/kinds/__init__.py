"""Which kind of file is read by which module: one function each, from a file's content to its documents."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from femtosearch.read.entries import Entry, Fault

MODULES = {  # of each kind
    "text": "text",
    "lines": "lines",
    "markdown": "markdown",
    "jsonl": "json_lines",
    "json": "json_lines",
    "csv": "table",
    "tsv": "table",
}
EXTENSIONS = {
    ".txt": "text",
    ".text": "text",
    ".rst": "text",
    ".adoc": "text",
    ".org": "text",
    ".md": "markdown",
    ".markdown": "markdown",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
}
NAMES = {  # of files without an extension, in small letters
    **dict.fromkeys(
        ("readme", "license", "licence", "copying", "copyright", "news", "authors", "todo"), "text"
    ),
    **dict.fromkeys(("changelog", "changes", "install", "contributing", "history", "thanks"), "text"),
}


def kind_of_file(path: str) -> str | None:
    """The kind of a file by its name, or None where that says nothing."""
    base = os.path.basename(path).lower().removesuffix(".gz")
    return EXTENSIONS.get(os.path.splitext(base)[1]) or NAMES.get(base)


def entries(content: Any) -> Iterator[Entry | Fault]:
    """The documents of a file, and what is wrong in it.

    Raises NotTextError, TooLongError, UnicodeError, OSError, MissingExtraError.
    """
    module = importlib.import_module(f"femtosearch.read.kinds.{MODULES[content.file.kind]}")
    read: Callable[[Any], Iterator[Entry | Fault]] = module.entries
    return read(content)
