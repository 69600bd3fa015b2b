"""The full-text table of a catalogue: the words of each document, by its key.

SQLite's FTS5 keeps the terms and not the texts, so a row is deleted by giving the text that it was made from.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from typing import Any

from femtosearch.index.plain import plain_text, words_beside
from femtosearch.model.identifiers import parts_of

NAMES = ("title", "heading", "path", "subject", "name")  # keys of the metadata that name a document
MOST_LETTERS = 64  # a longer identifier is not split
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
    """Remove the words of a document that is still in the table of documents. Raises sqlite3.Error."""
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
    """The columns of a document in the table: its names, its text, and the parts of its identifiers.

    metadata:  JSON text; if it is no JSON object, it has no names.
    in_plain:  whether words are in plain letters; tables of an older femtosearch have them as written.
    In a damaged catalogue the arguments may be bytes or numbers, which have no words.
    """
    name, text, metadata = (value if isinstance(value, str) else "" for value in (name, text, metadata))
    names = " ".join([name, *_names(metadata)])
    beside = words_beside(f"{names}\n{text}") if in_plain else []
    names, text = (plain_text(names), plain_text(text)) if in_plain else (names, text)
    return spaced(names), spaced(text), " ".join([*parts(f"{names}\n{text}"), *beside])


def spaced(text: str) -> str:
    """Put blanks round each character of a script that has no blanks between words."""
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
    """The beginning of the identifier that a character belongs to, at most 32 letters before it."""
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
