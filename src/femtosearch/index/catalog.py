"""The catalogue: a SQLite database of the documents, and of which segments and passages count.

A commit here is a commit of the index: what no transaction names does not exist. A document is never changed
in place: an upsert gives it a new key, and the passages of the old one are dead.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from femtosearch.disk import on_disk
from femtosearch.errors import CorruptError, StoreError
from femtosearch.index import connection as connections
from femtosearch.index.schema import Origin, digest, read_origin, read_schema
from femtosearch.index.segment import Summary
from femtosearch.index.segments import OutdatedError
from femtosearch.index.sources import FileRow, Place, Source, read_files, read_places, read_sources
from femtosearch.index.transaction import (
    ALWAYS,
    Transaction,
    read_fde_content,
    read_fde_digest,
    read_segments,
    read_tombstones,
    rising,
)
from femtosearch.system import in_a_forked_child
from femtosearch.types import Document

T = TypeVar("T")

_ATTEMPTS = 100
_PAUSE = 0.01  # seconds between two attempts
_CHUNK = 500  # parameters of one statement
_CLOSED = "the index is closed: open it again with Index(folder)"


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """What counts at one moment.

    version:     compares equal to `Catalog.version()` while nothing was committed since.
    segments:    by number, in the order of their first keys, which is the order of their documents.
    tombstones:  [*] int64, rising: keys whose passages may still lie in a segment and do not count.
    fde:         the digest of the FDE, or None where the index has none.
    layout:      the number of the catalogue's layout.
    has_words:   whether there is the table of words.
    """

    version: tuple[int, ...]
    segments: dict[int, Summary]
    tombstones: np.ndarray
    fde: str | None
    layout: int
    has_words: bool = False


class Catalog:
    """One index's catalogue. Safe to use from several threads; a `write` needs the writer's lock.

    Readers see the last commit, of this process or another, while a `write` goes on. Every method raises
    StoreError, or CorruptError where the database is damaged.

    timeout:  seconds that a write waits for another one.
    origin:   the model that the index was made with.
    """

    origin: Origin

    def __init__(self, path: Path | None, *, writable: bool = True, timeout: float = 10.0) -> None:
        self.place = "the index in memory" if path is None else os.fspath(path)
        self._path = path
        self._writable = writable
        self._timeout = timeout
        self._lock = threading.RLock()
        self._closed = False
        self._reader: sqlite3.Connection | None = None
        self._writer: sqlite3.Connection | None = None
        self._transaction: weakref.ref[Transaction] | None = None  # in memory: the one that is open
        self._generation = 0  # of the reader's connection
        self._seen: tuple[int, ...] = ()
        _catalogs.add(self)
        if path is not None:
            self.origin = self._open()

    @classmethod
    def in_memory(cls, origin: Origin, fde: bytes | None = None, when: str = ALWAYS) -> Catalog:
        """A new catalogue that dies with its process."""
        catalog = cls(None)
        catalog.origin = origin
        catalog._reader = connections.connect_to_memory()
        connections.fill(catalog._reader, origin, fde, when)
        return catalog

    @on_disk
    def version(self) -> tuple[int, ...]:
        """A value that differs after a commit by any process."""
        with self._lock:
            return self._steady(self._version_of)

    @on_disk
    def state(self) -> State:
        """What counts as of the last commit."""
        return self.read(self._state_of)

    @on_disk
    def fde_content(self, digest: str) -> bytes:
        """The bytes of the FDE that the index has. Raises OutdatedError if it has another one by now."""

        def content(reader: sqlite3.Connection) -> bytes | None:
            current = read_fde_digest(reader, read_schema(reader, self.place))
            return read_fde_content(reader) if current == digest else None

        fde = self.read(content)
        if fde is None:
            raise OutdatedError(f"{self.place}: the FDE that it named is gone; restore a copy or index again")
        return fde

    @on_disk
    def count(self) -> int:
        """How many documents there are."""
        return self.read(lambda reader: int(reader.execute("SELECT count(*) FROM documents").fetchone()[0]))

    @on_disk
    def get(self, document_id: str) -> Document | None:
        query = "SELECT * FROM documents WHERE id = ?"
        row = self.read(lambda reader: reader.execute(query, (document_id,)).fetchone())
        return None if row is None else self.document(row)

    @on_disk
    def get_all(self, document_ids: Sequence[str]) -> dict[str, Document]:
        """The documents of those ids that there are, as of one moment."""
        return {row[1]: self.document(row) for row in self._select("*", document_ids, "id")}

    @on_disk
    def fetch(self, keys: Sequence[int]) -> dict[int, Document]:
        """The documents of those keys that there still are, as of one moment."""
        return {row[0]: self.document(row) for row in self._select("*", keys)}

    @on_disk
    def ids(self, keys: Sequence[int]) -> dict[int, str]:
        """The ids of those keys that there still are."""
        return dict(self._select("key, id", keys))

    @on_disk
    def rows(self, after: int, limit: int) -> list[tuple[Any, ...]]:
        """At most `limit` rows of documents with the smallest keys above `after`, rising; see `document`."""
        return self.read_rows(
            "SELECT * FROM documents WHERE key > ? ORDER BY key LIMIT ?", (after, limit), after
        )

    @on_disk
    def read_rows(self, query: str, parameters: Sequence[Any], after: int) -> list[tuple[Any, ...]]:
        """The rows of documents that a query gives, whose keys rise and are above `after`."""

        def rows(reader: sqlite3.Connection) -> list[tuple[Any, ...]]:
            return list(rising(reader.execute(query, parameters), "documents", after))

        return self.read(rows)

    @on_disk
    def sources(self) -> list[Source]:
        """The files and folders whose documents the index keeps, by path."""
        return self.read(lambda reader: self._of_sources(reader, read_sources, []))

    @on_disk
    def files(self) -> dict[str, FileRow]:
        """The files that gave documents, by path."""
        return self.read(lambda reader: self._of_sources(reader, read_files, {}))

    @on_disk
    def places(self, keys: Sequence[int]) -> dict[int, Place]:
        """Where the documents of those keys come from; one that no file gave is left out."""

        def places(reader: sqlite3.Connection) -> dict[int, Place]:
            chunks = [[*keys[at : at + _CHUNK]] for at in range(0, len(keys), _CHUNK)]
            return {key: place for chunk in chunks for key, place in read_places(reader, chunk).items()}

        return self.read(lambda reader: self._of_sources(reader, places, {}))

    @on_disk
    def places_of(self, ids: Sequence[str]) -> dict[str, Place]:
        """The same by id."""

        def places(reader: sqlite3.Connection) -> dict[str, Place]:
            places_of: dict[str, Place] = {}
            for at in range(0, len(ids), _CHUNK):
                chunk = [*ids[at : at + _CHUNK]]
                query = f"SELECT key, id FROM documents WHERE id IN ({','.join('?' * len(chunk))})"
                names = dict(reader.execute(query, chunk))
                places_of.update({names[key]: place for key, place in read_places(reader, [*names]).items()})
            return places_of

        return self.read(lambda reader: self._of_sources(reader, places, {}))

    def _of_sources(self, reader: sqlite3.Connection, query: Callable[[sqlite3.Connection], T], none: T) -> T:
        """What a function reads of the tables of sources, or `none` where there are no such tables."""
        return query(reader) if read_schema(reader, self.place).has_sources else none

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """One transaction: committed at the end, or rolled back by any exception."""
        if self._path is None:
            with self._lock:
                yield from self._write_to(self._memory())
        else:
            yield from self._write_to(self._take_writer())

    def close(self) -> None:
        """Close the database; SQLite folds its log into it if nobody else has it open."""
        with self._lock, suppress(sqlite3.Error):
            self._closed = True
            for connection in (self._writer, self._reader):
                if connection is not None:
                    connection.close()
            self._writer = self._reader = None

    def connections(self) -> list[sqlite3.Connection]:
        """The connections that are open and idle."""
        return [connection for connection in (self._reader, self._writer) if connection is not None]

    def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """What a function reads, seeing one moment."""
        with self._lock:
            return self._steady(lambda reader: _in_transaction(reader, query))

    @on_disk
    def ask(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """What a function reads, seeing one moment; SQLite's errors become ours."""
        return self.read(query)

    @on_disk
    def read_at(self, state: State, query: Callable[[sqlite3.Connection], T]) -> T:
        """What a function reads, seeing the moment of a state. Raises OutdatedError after a commit since."""

        def checked(reader: sqlite3.Connection) -> T:
            if self._version_of(reader) != state.version:
                raise OutdatedError(f"{self.place}: it has moved on since it was read")
            return query(reader)

        return self.read(checked)

    def document(self, row: Sequence[Any]) -> Document:
        """The document in a row (key, id, text, metadata[, digest]). Raises CorruptError if it is damaged."""
        _, document_id, text, metadata, *digests = row
        try:
            content = json.loads(metadata)
            intact = not digests or digests[0] == digest(document_id, text, metadata)
        except (TypeError, ValueError, AttributeError, RecursionError):
            content, intact = None, False
        if not (
            intact and isinstance(document_id, str) and isinstance(text, str) and isinstance(content, dict)
        ):
            raise CorruptError(f"{self.place}: document {str(document_id)[:80]!r} is damaged; add it again")
        return Document(document_id, text, content)

    @on_disk
    def _open(self) -> Origin:
        with self._lock:
            return self._steady(lambda reader: read_origin(reader, self.place))

    def _steady(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """What a function reads while the files stay as they are; the lock is held.

        Only a reader that may not write has to look: SQLite keeps all others apart.
        """
        for attempt in range(_ATTEMPTS):
            before = self._signature()
            try:
                value = query(self._current_reader(before))
            except sqlite3.OperationalError:
                if self._writable or (before == self._signature() and attempt > 1):
                    raise
            else:
                if before == self._signature():
                    return value
            time.sleep(_PAUSE)
        raise StoreError(f"{self.place}: it was changed faster than it could be read: try again")

    def _current_reader(self, signature: tuple[int, ...]) -> sqlite3.Connection:
        """The reader's connection; a new one where the files of a read-only catalogue have changed."""
        if self._closed:
            raise StoreError(_CLOSED)
        if self._reader is None or signature != self._seen:
            assert self._path is not None
            connection = connections.connect(self._path, writable=self._writable)
            self._generation += 1
            self._seen = signature
            stale, self._reader = self._reader, connection
            if stale is not None:
                stale.close()
        self._heal(self._reader)
        return self._reader

    def _heal(self, reader: sqlite3.Connection) -> None:
        """Roll back what an interrupt left open. Raises StoreError inside an open write in memory."""
        if reader.in_transaction:
            if self._transaction is not None and self._transaction() is not None:
                raise StoreError("an index in memory cannot be read inside its own add: read it later")
            reader.execute("ROLLBACK")

    def _signature(self) -> tuple[int, ...]:
        """What changes when somebody else writes to a catalogue that this process may only read."""
        if self._path is None or self._writable:
            return ()
        numbers: list[int] = []
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                status = os.stat(self._path.with_name(self._path.name + suffix))
                # The index of the log changes with every reader: only whether it is there counts.
                numbers += (
                    [status.st_ino]
                    if suffix == "-shm"
                    else [status.st_ino, status.st_size, status.st_mtime_ns]
                )
        return tuple(numbers)

    def _version_of(self, reader: sqlite3.Connection) -> tuple[int, ...]:
        changes = reader.total_changes if self._path is None else 0  # in memory one connection does all
        return (self._generation, *reader.execute("PRAGMA data_version").fetchone(), changes)

    def _state_of(self, reader: sqlite3.Connection) -> State:
        schema = read_schema(reader, self.place)
        segments, tombstones = read_segments(reader), read_tombstones(reader)
        fde = read_fde_digest(reader, schema)
        version = self._version_of(reader)
        return State(version, segments, tombstones, fde, schema.layout, schema.has_words)

    def _select(self, columns: str, keys: Sequence[int | str], by: str = "key") -> list[tuple[Any, ...]]:
        def rows(reader: sqlite3.Connection) -> list[tuple[Any, ...]]:
            chunks = [keys[at : at + _CHUNK] for at in range(0, len(keys), _CHUNK)]
            return [row for chunk in chunks for row in reader.execute(_by(by, columns, len(chunk)), chunk)]

        return self.read(rows)

    def _memory(self) -> sqlite3.Connection:
        """The connection of an index in memory, ready for a write; the lock is held."""
        return self._current_reader(())

    @on_disk
    def _take_writer(self) -> sqlite3.Connection:
        """The connection for a write. It is nobody's until the write has ended well, so that an interrupt at
        any moment drops it, and with it whatever it had open.
        """
        assert self._path is not None
        with self._lock:
            if self._closed:
                raise StoreError(_CLOSED)
            if not self._writable:
                raise StoreError(
                    f"{self.place}: opened for reading only, because the folder cannot be written"
                )
            connection, self._writer = self._writer, None
        if connection is None:
            connection = connections.connect(self._path, writable=True, patience=self._timeout)
            connection.execute(f"PRAGMA journal_size_limit = {1 << 26}")
        else:
            connections.check_files(self._path)
        return connection

    def _write_to(self, connection: sqlite3.Connection) -> Iterator[Transaction]:
        """One transaction on a connection; see `write`."""
        transaction = None
        try:
            try:
                transaction = self._begin(connection)
                yield transaction
                transaction.commit()
                self._give_back(connection)
            finally:
                transaction = None
                self._end(connection)
        finally:  # again, in case an interrupt came in the lines before
            self._end(connection)

    @on_disk
    def _begin(self, connection: sqlite3.Connection) -> Transaction:
        connection.execute("BEGIN IMMEDIATE")
        transaction = Transaction(connection, read_schema(connection, self.place), self.place)
        if self._path is None:
            self._transaction = weakref.ref(transaction)
        return transaction

    def _give_back(self, connection: sqlite3.Connection) -> None:
        """Keep a file's connection, which has committed, for the next write."""
        if self._path is not None:
            with self._lock:
                self._writer = None if self._closed else connection

    def _end(self, connection: sqlite3.Connection) -> None:
        """Roll back what is open, and close a file's connection that was not given back: after a disk's error
        it is in an unknown state.
        """
        with suppress(sqlite3.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        if self._path is not None and connection is not self._writer:
            with suppress(sqlite3.Error):
                connection.close()


_catalogs: weakref.WeakSet[Catalog] = weakref.WeakSet()
_inherited: list[sqlite3.Connection] = []


def _keep_inherited() -> None:
    """In a forked child: keep the parent's connections, which it must neither use nor close."""
    for catalog in list(_catalogs):
        _inherited.extend(catalog.connections())


in_a_forked_child(_keep_inherited)


def _in_transaction(reader: sqlite3.Connection, query: Callable[[sqlite3.Connection], T]) -> T:
    try:
        try:
            reader.execute("BEGIN")
            return query(reader)
        finally:
            _roll_back(reader)
    finally:  # again, in case an interrupt came in the line before
        _roll_back(reader)


def _roll_back(reader: sqlite3.Connection) -> None:
    with suppress(sqlite3.Error):
        if reader.in_transaction:
            reader.execute("ROLLBACK")


def _by(name: str, columns: str, count: int) -> str:
    return f"SELECT {columns} FROM documents WHERE {name} IN ({','.join('?' * count)})"
