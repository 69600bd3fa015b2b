"""What kinds of file are made of: entries, each a document to be, and faults in their place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import Any

from femtosearch.frozen import frozen
from femtosearch.types import Document

Mark = tuple[int, dict[str, Any]]


@frozen
class Options:
    """How files are read.

    text_column, id_column:  of tables and JSON lines; see `read`.
    encoding:    of text without a byte order mark; None: UTF-8, else a guess, which is told.
    stdin_kind:  what comes through "-".
    strict:      what is wrong is an error, in a folder's file, too.
    keep_going:  what is wrong in a file that was named is skipped, as in a folder's.
    include, exclude:  patterns as in .gitignore, from the folder that was named: files that are read alone,
                 and what is left out.
    hidden:      files and folders whose names begin with a dot are read.
    ignore:      .gitignore, .ignore and .femtosearchignore are honoured.
    """

    text_column: str = "text"
    id_column: str | None = None
    encoding: str | None = None
    stdin_kind: str = "lines"
    strict: bool = False
    keep_going: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    hidden: bool = False
    ignore: bool = True


@frozen
class Entry:
    """A document of a file.

    id:    as the file states it, or None.
    line:  of a record: its line, from 1; None for a document that is the file.
    key:   what it is known by in its file if not by id or line.
    marks: where in the text lines ("lines": the first), pages, cells, rows and headings ("heading": a list)
           begin: pairs of an offset in characters and what begins there, rising.
    cuts:  where in the text no passage goes on, rising.
    splits_words:  it is found by the parts of identifiers such as camelCase, too.
    """

    text: str
    metadata: dict[str, Any] = field(default_factory=dict)
    id: str | None = None
    line: int | None = None
    key: str = ""
    marks: Sequence[Mark] = ()
    cuts: Sequence[int] = ()
    splits_words: bool = False


@frozen
class Fault:
    """Something in a file that is left out; `line` is where, or None for the file."""

    reason: str
    line: int | None = None


@frozen
class Skipped:
    """Something that was left out or, if it was kept, changed. `where` is a path, or path:line."""

    where: str
    reason: str
    kept: bool = False


@frozen
class Named:
    """An entry as a document with an id.

    ids:  what it may be called, the best first.
    """

    entry: Entry
    ids: Sequence[str]

    @property
    def document(self) -> Document:
        return Document(self.ids[0], self.entry.text, self.entry.metadata)
