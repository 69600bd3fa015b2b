"""The words of documents: what the full-text table of a catalogue holds for each, by its key.

SQLite's FTS5 keeps the terms and not the texts, so the row of a document that goes is taken out by the text
that it was made of.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from typing import Any

from femtosearch.index.plain import plain_text, words_beside
from femtosearch.model.identifiers import parts_of

NAMES = ("title", "heading", "path", "subject", "name")  # metadata that say what a document is called
MOST_LETTERS = 64  # of an identifier that is split
# Scripts that put no blanks between words: each character is a term.
UNSPACED = "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff])"
_SEAM = "[a-z][A-Z]|[A-Z][A-Z][a-z]|[A-Za-z][0-9]|[0-9][A-Za-z]"
_IDENTIFIER = rf"[A-Za-z0-9]{{1,{MOST_LETTERS}}}"
WORD = r"\w+"
LUCENE_STOP_WORDS = frozenset([
    "a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in", "into", "is", "it",
    "no", "not", "of", "on", "or", "such", "that", "the", "their", "then", "there", "these", "they",
    "this", "to", "was", "will", "with",
])  # fmt: skip

_INSERT = "INSERT INTO words (rowid, names, text, parts) VALUES (?, ?, ?, ?)"
_DELETE = "INSERT INTO words (words, rowid, names, text, parts) VALUES ('delete', ?, ?, ?, ?)"


def add(
    connection: sqlite3.Connection, key: int, name: str, text: str, metadata: str, *, in_plain: bool
) -> None:
    """Add the words of a new document. in_plain: as for `columns`. Raises sqlite3.Error."""
    connection.execute(_INSERT, (key, *columns(name, text, metadata, in_plain=in_plain)))


def remove(connection: sqlite3.Connection, key: int, *, in_plain: bool) -> None:
    """Take out the words of a document that is still in the table of documents. Raises sqlite3.Error."""
    query = "SELECT id, text, metadata FROM documents WHERE key = ?"
    document = connection.execute(query, (key,)).fetchone()
    if document is None:  # an index of SQLite's own names it
        raise sqlite3.DatabaseError(f"the document of key {key} is missing")
    connection.execute(_DELETE, (key, *columns(*document, in_plain=in_plain)))


def rebuild(connection: sqlite3.Connection) -> None:
    """Make the table anew from all documents, in plain letters. Raises sqlite3.Error."""
    connection.execute("INSERT INTO words (words) VALUES ('delete-all')")
    rows = connection.execute("SELECT key, id, text, metadata FROM documents ORDER BY key")
    for key, *document in rows:
        add(connection, key, *document, in_plain=True)


def columns(name: str, text: str, metadata: str, *, in_plain: bool = True) -> tuple[str, str, str]:
    """What the table holds of a document: its names, its text, and the parts of its identifiers.

    metadata:  JSON text; what is no JSON object names nothing.
    in_plain:  in plain letters; an index that an older femtosearch gave its words has them as written.
    In a damaged catalogue any of them may be bytes or a number, which have no words.
    """
    name, text, metadata = (value if isinstance(value, str) else "" for value in (name, text, metadata))
    names = " ".join([name, *_names(metadata)])
    beside = words_beside(f"{names}\n{text}") if in_plain else []
    names, text = (plain_text(names), plain_text(text)) if in_plain else (names, text)
    return spaced(names), spaced(text), " ".join([*parts(f"{names}\n{text}"), *beside])


def spaced(text: str) -> str:
    """The text with blanks round each character of a script that has none between words."""
    return text if text.isascii() else re.sub(UNSPACED, r" \1 ", text)


def parts(text: str) -> Iterator[str]:
    """The parts of identifiers that are written as one word.

    >>> list(parts("the getUserName of PX7300 and HTTPServer"))
    ['get', 'User', 'Name', 'PX', '7300', 'HTTP', 'Server']
    """
    if text.isalpha() and text.islower():  # as most words are
        return
    end, identifier = 0, re.compile(_IDENTIFIER)
    for seam in re.finditer(_SEAM, text):
        if seam.start() >= end:
            start = _start(text, seam.start())
            match = identifier.match(text, start)
            end = match.end() if match else seam.end()
            yield from parts_of(text[start:end])


def _start(text: str, at: int) -> int:
    """Where the identifier begins that a character is in, at most so many letters before it."""
    least = max(0, at - MOST_LETTERS // 2)
    while at > least and text[at - 1].isascii() and text[at - 1].isalnum():
        at -= 1
    return at


def _names(metadata: str) -> list[str]:
    try:
        content: Any = json.loads(metadata)
    except (TypeError, ValueError, RecursionError):
        return []
    if not isinstance(content, dict):
        return []
    return [value for name in NAMES if isinstance(value := content.get(name), str)]
