"""The catalog: a SQLite database of the documents, and of which segments and passages count.

A commit here is a commit of the index: what no transaction names does not exist. A document is never changed
in place: an upsert gives it a new key, and the passages of the old one are dead.
"""

from __future__ import annotations

import json
import os
import sqlite3
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from femtosearch.disk import on_disk, refusal, sync_folder
from femtosearch.errors import CorruptError, StoreError
from femtosearch.index.segment import Summary
from femtosearch.index.transaction import VERSION, Transaction, read_dead, read_fde, read_segments, write_fde
from femtosearch.types import Document

APPLICATION = 0x46656D74  # "Femt", in SQLite's header
_PATIENCE = 30.0  # seconds for SQLite's own short locks
_DURABLE = ("synchronous = FULL", "fullfsync = ON", "checkpoint_fullfsync = ON")  # the last two for macOS
_CHUNK = 500  # parameters of one statement
_SCHEMA = f"""
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = 1;
CREATE TABLE meta (name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
CREATE TABLE documents (key INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
                        text TEXT NOT NULL, metadata TEXT NOT NULL);
CREATE TABLE segments (number INTEGER PRIMARY KEY AUTOINCREMENT, first INTEGER NOT NULL,
                       passages INTEGER NOT NULL, rows INTEGER NOT NULL, bytes INTEGER NOT NULL,
                       checksum INTEGER NOT NULL);
CREATE TABLE dead (key INTEGER PRIMARY KEY);
"""


@dataclass(frozen=True, slots=True)
class Origin:
    """The model that an index was made with."""

    name: str
    fingerprint: str
    dims: int


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """What counts at one moment.

    version:   compares equal to `Catalog.version()` while nothing was committed since.
    segments:  by number, in the order of their first keys, which is the order of their documents.
    dead:      [*] int64, rising: keys whose passages may still lie in a segment and do not count.
    fde:       what `fde.rewrite_fde` reads, or None where the segments have no FDEs.
    """

    version: tuple[int, ...]
    segments: dict[int, Summary]
    dead: np.ndarray
    fde: bytes | None


def recognise(path: Path) -> None:
    """Check by its first bytes that a file is our catalog. Raises StoreError, CorruptError, OSError."""
    with open(path, "rb") as file:
        header = file.read(100)
    if len(header) < 100 or not header.startswith(b"SQLite format 3\0"):
        raise CorruptError(
            f"{path}: expected an index's catalog, found {header[:16]!r}: restore a copy of the index, or "
            "choose another folder if this is none"
        )
    version, application = struct.unpack(">I", header[60:64])[0], struct.unpack(">I", header[68:72])[0]
    if application != APPLICATION:
        raise StoreError(f"{path}: a database of another program, not of femtosearch: choose another folder")
    if version > VERSION:
        raise StoreError(f"{path}: format version {version}; this femtosearch reads {VERSION}: upgrade it")


class Catalog:
    """One index's catalog. Safe to use from several threads; a `write` needs the writer's lock.

    Readers see the last commit, of this process or another, while a `write` goes on. Every method raises
    StoreError, or CorruptError where the database is damaged.
    """

    def __init__(self, path: Path | None, *, writable: bool = True) -> None:
        self.place = "the index in memory" if path is None else os.fspath(path)
        self._path = path
        self._writable = writable
        self._lock = threading.RLock()
        self._writer: sqlite3.Connection | None = None
        self._commits = 0
        self._seen = self._signature()
        self._reader = self._connect()

    @classmethod
    def in_memory(cls, origin: Origin, fde: bytes | None = None) -> Catalog:
        """A new catalog that dies with its process."""
        catalog = cls(None)
        _fill(catalog._reader, origin, fde)
        return catalog

    @staticmethod
    def create(path: Path, origin: Origin, fde: bytes | None = None) -> None:
        """A new catalog, whole or not at all. Raises StoreError."""
        part = path.with_name(path.name + ".part")
        try:
            for leftover in path.parent.glob(part.name + "*"):
                leftover.unlink()
            connection = sqlite3.connect(part, isolation_level=None)
            try:
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
                if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
                    raise StoreError(f"{path}: this file system cannot hold it: use a local disk")
                for setting in _DURABLE:
                    connection.execute(f"PRAGMA {setting}")
                _fill(connection, origin, fde)
            finally:
                connection.close()
            os.replace(part, path)
            sync_folder(path.parent)
        except (OSError, sqlite3.Error) as error:
            raise refusal(error, os.fspath(path)) from error

    @on_disk
    def origin(self) -> Origin:
        with self._lock:
            meta = dict(self._reader.execute("SELECT name, value FROM meta"))
        name, fingerprint, dims = meta.get("model"), meta.get("fingerprint"), meta.get("dims")
        if not (isinstance(name, str) and isinstance(fingerprint, str) and isinstance(dims, int)):
            raise CorruptError(f"{self.place}: the name of the model is missing; restore a copy of it")
        return Origin(name, fingerprint, dims)

    @on_disk
    def version(self) -> tuple[int, ...]:
        """A value that differs after a commit by any process."""
        with self._lock:
            self._follow()
            return (*self._reader.execute("PRAGMA data_version").fetchone(), self._commits)

    @on_disk
    def state(self) -> State:
        with self._reading() as reader:
            segments = read_segments(reader)
            dead = read_dead(reader)
            fde = read_fde(reader)
            version = (*reader.execute("PRAGMA data_version").fetchone(), self._commits)
        return State(version, segments, dead, fde)

    @on_disk
    def count(self) -> int:
        """How many documents there are."""
        with self._reading() as reader:
            return int(reader.execute("SELECT count(*) FROM documents").fetchone()[0])

    @on_disk
    def get(self, document_id: str) -> Document | None:
        with self._reading() as reader:
            query = "SELECT id, text, metadata FROM documents WHERE id = ?"
            row = reader.execute(query, (document_id,)).fetchone()
        return None if row is None else self._document(row)

    @on_disk
    def fetch(self, keys: Sequence[int]) -> dict[int, Document]:
        """The documents of those keys that there still are, as of one moment."""
        rows = self._select("key, id, text, metadata", keys)
        return {key: self._document(rest) for key, *rest in rows}

    @on_disk
    def ids(self, keys: Sequence[int]) -> dict[int, str]:
        """The ids of those keys that there still are."""
        return dict(self._select("key, id", keys))

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """One transaction: committed at the end, or rolled back by any exception."""
        with self._lock if self._path is None else nullcontext():
            transaction = self._begin()
            try:
                yield transaction
                transaction.commit()
            except BaseException:
                self._roll_back()
                raise
            self._commits += 1

    def close(self) -> None:
        """Close the database; SQLite folds its log into it if nobody else has it open."""
        with self._lock, suppress(sqlite3.Error):
            if self._writer is not None:
                self._writer.close()
            self._reader.close()

    @on_disk
    def _connect(self) -> sqlite3.Connection:
        if self._path is None:
            return sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        mode = "mode=rw"
        if not self._writable:
            # Without the right to write, SQLite can follow a log only where it lies ready, and else needs our
            # word that nobody writes: `_follow` looks whether somebody did.
            logged = self._path.with_name(self._path.name + "-wal").exists()
            mode = "mode=ro" if logged else "mode=ro&immutable=1"
        uri = f"file:{quote(os.fspath(self._path.absolute()))}?{mode}"
        connection = sqlite3.connect(
            uri, uri=True, isolation_level=None, check_same_thread=False, timeout=_PATIENCE
        )
        try:
            for setting in ("trusted_schema = OFF", "cell_size_check = ON", *_DURABLE):
                connection.execute(f"PRAGMA {setting}")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _signature(self) -> tuple[int, ...]:
        """Of a catalog that we may only read: what changes when somebody else writes to it."""
        if self._path is None or self._writable:
            return ()
        found: list[int] = []
        for path in (self._path, self._path.with_name(self._path.name + "-wal")):
            with suppress(FileNotFoundError):
                status = os.stat(path)
                found += [status.st_ino, status.st_size, status.st_mtime_ns]
        return tuple(found)

    def _follow(self) -> None:
        """Open a read-only catalog anew when its files have changed."""
        seen = self._signature()
        if seen != self._seen:
            self._reader.close()
            self._reader, self._seen, self._commits = self._connect(), seen, self._commits + 1

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """The reader's connection, seeing one moment."""
        with self._lock:
            reader = self._reader
            if reader.in_transaction:  # only in memory, where one connection does all
                raise StoreError("an index in memory cannot be read inside its own add: read it later")
            reader.execute("BEGIN")
            try:
                yield reader
            finally:
                with suppress(sqlite3.Error):
                    reader.execute("ROLLBACK")

    def _select(self, columns: str, keys: Sequence[int]) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = []
        with self._reading() as reader:
            for at in range(0, len(keys), _CHUNK):
                chunk = keys[at : at + _CHUNK]
                marks = ",".join("?" * len(chunk))
                rows += reader.execute(f"SELECT {columns} FROM documents WHERE key IN ({marks})", chunk)
        return rows

    def _document(self, row: Sequence[Any]) -> Document:
        document_id, text, metadata = row
        try:
            content = json.loads(metadata)
        except (TypeError, ValueError, RecursionError):
            content = None
        if not (isinstance(document_id, str) and isinstance(text, str) and isinstance(content, dict)):
            raise CorruptError(f"{self.place}: document {document_id!r} is damaged; add it again")
        return Document(document_id, text, content)

    @on_disk
    def _begin(self) -> Transaction:
        if self._path is None:
            self._writer = self._reader
        elif not self._writable:
            raise StoreError(f"{self.place}: opened for reading only, because the folder cannot be written")
        elif self._writer is None:
            self._writer = self._connect()
            self._writer.execute(f"PRAGMA journal_size_limit = {1 << 26}")
        self._writer.execute("BEGIN IMMEDIATE")
        return Transaction(self._writer, self.place)

    def _roll_back(self) -> None:
        """Undo, and trust the connection no further: after a disk's error it is in an unknown state."""
        if self._writer is None:
            return
        with suppress(sqlite3.Error):
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
        if self._path is not None:
            with suppress(sqlite3.Error):
                self._writer.close()
            self._writer = None


def _fill(connection: sqlite3.Connection, origin: Origin, fde: bytes | None) -> None:
    """Make the tables and say which model the index is of, and which FDE it has."""
    connection.executescript(_SCHEMA)
    made = datetime.now(UTC).isoformat(timespec="seconds")
    meta = {"model": origin.name, "fingerprint": origin.fingerprint, "dims": origin.dims, "created": made}
    connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
    if fde is not None:
        write_fde(connection, fde)
