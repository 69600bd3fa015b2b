"""The tables of sources, of their files, and of the documents that each file gave.

A source is a path that a user named: a folder, or a file. A file is known by its path, whichever source leads
to it, so it is one file however it is spelled. A document of it is known by a name that is the file's own.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from typing import Any, NamedTuple

from femtosearch.disk import on_disk
from femtosearch.errors import CorruptError
from femtosearch.frozen import frozen

NEVER = ""  # the stamp of a file that was not read completely


@frozen
class Source:
    """A path whose files an index follows.

    path:       absolute; "-" is standard input.
    options:    how its files are read.
    files:      how many of them gave the documents.
    documents:  how many documents they gave.
    """

    path: str
    options: dict[str, Any]
    files: int = 0
    documents: int = 0


class FileRow(NamedTuple):
    """A file that was read.

    source:  the number of its source.
    stamp:   its size and times, and how it was read; NEVER if it was not read completely.
    digest:  the digest of its bytes.
    documents:  how many documents it gave.
    """

    number: int
    source: int
    stamp: str
    digest: bytes
    documents: int = 0


class DocumentRow(NamedTuple):
    """A document of a file. turn: the last reading of the file in which it occurred; marks: as JSON text."""

    key: int
    turn: int
    marks: str


class Place(NamedTuple):
    """The file of a document, and where in its text lines, pages, cells and headings begin.

    marks:  pairs of an offset in the text, in characters, rising, and the facts that begin there.
    """

    path: str
    marks: list[tuple[int, dict[str, Any]]]


class SourceTable:
    """The tables of sources, files and origins within a transaction. Every method raises StoreError."""

    def __init__(self, connection: sqlite3.Connection, place: str) -> None:
        self.place = place
        self._connection = connection
        self._execute = connection.execute

    @on_disk
    def add_source(self, path: str, options: dict[str, Any]) -> int:
        """Store a source and how it is read. Returns its number."""
        text, name = json.dumps(options, sort_keys=True), os.fsencode(path)
        insert = (
            "INSERT INTO sources (path, options) VALUES (?, ?) ON CONFLICT (path) DO UPDATE SET options = ?"
        )
        self._execute(insert, (name, text, text))
        return int(self._execute("SELECT number FROM sources WHERE path = ?", (name,)).fetchone()[0])

    @on_disk
    def source_number(self, path: str) -> int | None:
        row = self._execute("SELECT number FROM sources WHERE path = ?", (os.fsencode(path),)).fetchone()
        return None if row is None else int(row[0])

    @on_disk
    def paths_of(self, number: int) -> list[str]:
        """The files of a source."""
        rows = self._execute("SELECT path FROM files WHERE source = ? ORDER BY number", (number,))
        return [os.fsdecode(path) for (path,) in rows.fetchall()]

    @on_disk
    def hand_over(self, number: int) -> None:
        """Give the files of a source that also lie below other sources to the nearest of these."""
        rows = self._execute("SELECT path, number FROM sources WHERE number != ?", (number,)).fetchall()
        numbers = {os.fsdecode(path): source for path, source in rows}
        for path in self.paths_of(number) if numbers else ():
            above = path
            while above not in numbers and above != os.path.dirname(above):
                above = os.path.dirname(above)
            if above in numbers:
                update = "UPDATE files SET source = ? WHERE path = ?"
                self._execute(update, (numbers[above], os.fsencode(path)))

    @on_disk
    def remove_source(self, number: int) -> None:
        self._execute("DELETE FROM sources WHERE number = ?", (number,))

    @on_disk
    def file(self, path: str) -> FileRow | None:
        query = "SELECT number, source, stamp, digest FROM files WHERE path = ?"
        row = self._execute(query, (os.fsencode(path),)).fetchone()
        return None if row is None else FileRow(*row)

    @on_disk
    def begin(self, source: int, path: str) -> tuple[int, int]:
        """Begin to read a file. Returns its number and the turn, which rises by 1 each time."""
        name = os.fsencode(path)
        insert = "INSERT INTO files (source, path, turn, stamp, digest) VALUES (?, ?, 1, ?, x'')"
        upsert = f"{insert} ON CONFLICT (path) DO UPDATE SET turn = turn + 1, stamp = ?"
        self._execute(upsert, (source, name, NEVER, NEVER))
        number, turn = self._execute("SELECT number, turn FROM files WHERE path = ?", (name,)).fetchone()
        return int(number), int(turn)

    @on_disk
    def end(self, number: int, stamp: str, digest: bytes) -> None:
        """Store the stamp and digest of a file that was read completely, or has not changed."""
        self._execute("UPDATE files SET stamp = ?, digest = ? WHERE number = ?", (stamp, digest, number))

    @on_disk
    def remove_file(self, number: int) -> None:
        self._execute("DELETE FROM files WHERE number = ?", (number,))

    @on_disk
    def document(self, file: int, name: str) -> DocumentRow | None:
        query = "SELECT key, turn, marks FROM origins WHERE file = ? AND name = ?"
        row = self._execute(query, (file, name)).fetchone()
        return None if row is None else DocumentRow(*row)

    @on_disk
    def put_document(self, key: int, file: int, name: str, turn: int, marks: str) -> None:
        self._execute("INSERT OR REPLACE INTO origins VALUES (?, ?, ?, ?, ?)", (key, file, name, turn, marks))

    @on_disk
    def keys_before(self, file: int, turn: int) -> list[int]:
        """The keys of a file's documents that last occurred before a turn of reading."""
        query = "SELECT key FROM origins WHERE file = ? AND turn < ? ORDER BY key"
        return [key for (key,) in self._execute(query, (file, turn)).fetchall()]

    @on_disk
    def place_of(self, key: int) -> Place | None:
        """The place of a document, or None if it is not known to be of a file."""
        return read_places(self._connection, [key]).get(key)


def read_sources(connection: sqlite3.Connection) -> list[Source]:
    """All sources, by path."""
    query = """
    SELECT sources.path, options, count(DISTINCT files.number), count(origins.key)
    FROM sources LEFT JOIN files ON files.source = sources.number
                 LEFT JOIN origins ON origins.file = files.number
    GROUP BY sources.number ORDER BY sources.path
    """
    rows = connection.execute(query).fetchall()
    return [
        Source(os.fsdecode(path), _options(options), files, count) for path, options, files, count in rows
    ]


def read_files(connection: sqlite3.Connection) -> dict[str, FileRow]:
    """All files, by path."""
    query = """
    SELECT path, number, source, stamp, digest, (SELECT count(*) FROM origins WHERE file = files.number)
    FROM files
    """
    return {os.fsdecode(row[0]): FileRow(*row[1:]) for row in connection.execute(query)}


def read_places(connection: sqlite3.Connection, keys: list[int]) -> dict[int, Place]:
    """The places of documents, by key; documents that are of no file are left out. Raises CorruptError."""
    marks = ", ".join("?" * len(keys))
    query = f"""
    SELECT key, path, marks FROM origins JOIN files ON files.number = origins.file WHERE key IN ({marks})
    """
    return {
        key: Place(os.fsdecode(path), _marks(text)) for key, path, text in connection.execute(query, keys)
    }


def are_marks(text: object) -> bool:
    """Whether the marks of a document can be read."""
    try:
        _marks(text)
    except CorruptError:
        return False
    return True


def place_damage(connection: sqlite3.Connection) -> Iterator[str]:
    """The damage of the tables of sources. It costs no document."""
    orphans = {
        "a file of an unknown source": "files WHERE source NOT IN (SELECT number FROM sources)",
        "a place in an unknown file": "origins WHERE file NOT IN (SELECT number FROM files)",
        "a place of an unknown document": "origins WHERE key NOT IN (SELECT key FROM documents)",
    }
    for name, condition in orphans.items():
        (count,) = connection.execute(f"SELECT count(*) FROM {condition}").fetchone()
        if count:
            yield f"{name} ({count:,} of them): forget the source and index it again"
    for options, path in connection.execute("SELECT options, path FROM sources"):
        try:
            _options(options)
        except CorruptError as error:
            yield f"{os.fsdecode(path)}: {error}"
    for key, marks in connection.execute("SELECT key, marks FROM origins ORDER BY key"):
        if not are_marks(marks):
            yield f"the place of the document of key {key} cannot be read"


def _marks(text: object) -> list[tuple[int, dict[str, Any]]]:
    try:
        pairs = json.loads(str(text))
        return [(int(offset), dict(facts)) for offset, facts in pairs]
    except (TypeError, ValueError, RecursionError) as error:
        raise CorruptError(f"the place of a document is damaged: index its file again ({error})") from error


def _options(text: object) -> dict[str, Any]:
    try:
        return dict(json.loads(str(text)))
    except (TypeError, ValueError, RecursionError) as error:
        raise CorruptError(f"the options of a source are damaged: index it again ({error})") from error
