"""The SQLite database of one index: its readers, its writer, and that each of them sees one moment."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from femtosearch.disk import on_disk
from femtosearch.errors import StoreError
from femtosearch.index import connection as connections
from femtosearch.index.schema import Origin, read_origin, read_schema
from femtosearch.index.segments import OutdatedError
from femtosearch.system import in_a_forked_child

if TYPE_CHECKING:
    from femtosearch.index.transaction import Transaction

T = TypeVar("T")

_ATTEMPTS = 100
_PAUSE = 0.01  # seconds between two attempts
_CLOSED = "the index is closed: open it again with Index(folder)"


class Database:
    """One index's database. Safe to use from several threads; a `write` needs the writer's lock.

    Readers see the last commit, of this process or another, while a `write` goes on. Every method raises
    StoreError, or CorruptError where the database is damaged.

    timeout:  seconds that a write waits for another one.
    reason:   why it is not writable, for messages.
    origin:   the model that the index was made with.
    """

    origin: Origin

    def __init__(
        self, path: Path | None, *, writable: bool = True, timeout: float = 10.0, reason: str = ""
    ) -> None:
        self.place = "the index in memory" if path is None else os.fspath(path)
        self._path = path
        self._writable, self._reason = writable, reason
        self._timeout = timeout
        self._lock = threading.RLock()
        self._closed = False
        self._reader: sqlite3.Connection | None = None
        self._writer: sqlite3.Connection | None = None
        self._transaction: weakref.ref[Transaction] | None = None  # in memory: the one that is open
        self._generation = 0  # of the reader's connection
        self._seen: tuple[int, ...] = ()  # the signature when the reader was connected,
        self._written: tuple[int, ...] = ()  # and when the writer was
        _databases.add(self)
        if path is not None:
            self.origin = self._open()

    @property
    def writable(self) -> bool:
        """Whether this process may write to it."""
        return self._writable

    @on_disk
    def version(self) -> tuple[int, ...]:
        """A value that changes with every commit by any process."""
        with self._lock:
            return self._steady(self._version_of)

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
        """Run a query in one read transaction, so that it sees one moment."""
        with self._lock:
            return self._steady(lambda reader: _in_transaction(reader, query))

    def read_apart(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run a query in one read transaction on a connection of its own, so that no other thread waits for
        it; not for an index in memory. Raises OutdatedError if the files of a read-only index changed
        meanwhile.
        """
        with self._lock:
            if self._closed:
                raise StoreError(_CLOSED)
            before = self._signature()
            reader = self._connect()
        with closing(reader):
            value = _in_transaction(reader, query)
        if before != self._signature():
            raise OutdatedError(f"{self.place}: it was changed while it was read")
        return value

    @on_disk
    def ask(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run a query as `read` does, and turn SQLite's errors into StoreError."""
        return self.read(query)

    @on_disk
    def _open(self) -> Origin:
        with self._lock:
            return self._steady(lambda reader: read_origin(reader, self.place))

    def _steady(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run a query, again if the files changed meanwhile; the lock must be held.

        Only a reader that may not write can meet such a change: SQLite's locks keep all others apart.
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
        """The reader's connection; a new one if the files of a read-only catalogue have changed, or if
        another file was put at the path.
        """
        if self._closed:
            raise StoreError(_CLOSED)
        if self._reader is None or signature != self._seen:
            connection = self._connect()
            self._generation += 1
            self._seen = signature
            stale, self._reader = self._reader, connection
            if stale is not None:
                stale.close()
        self._heal(self._reader)
        return self._reader

    def _connect(self, **options: float) -> sqlite3.Connection:
        """Connect to the file that lies at the path now. Raises StoreError if it is an index of
        another model.
        """
        assert self._path is not None
        connection = connections.connect(self._path, writable=self._writable, **options)
        origin = getattr(self, "origin", None)
        if origin is not None and read_origin(connection, self.place) != origin:
            connection.close()
            raise StoreError(f"{self.place}: an index of another model lies there now: open it again")
        return connection

    def _heal(self, reader: sqlite3.Connection) -> None:
        """Roll back a transaction that an interrupt left open. Raises StoreError inside a write in memory."""
        if reader.in_transaction:
            if self._transaction is not None and self._transaction() is not None:
                raise StoreError("an index in memory cannot be read inside its own add: read it later")
            reader.execute("ROLLBACK")

    def _signature(self) -> tuple[int, ...]:
        """A value that changes when another file is put at the path, and for a read-only catalogue also when
        another process writes to it.
        """
        if self._path is None:
            return ()
        if self._writable:
            with suppress(FileNotFoundError):
                status = os.stat(self._path)
                return (status.st_dev, status.st_ino)
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

    def _memory(self) -> sqlite3.Connection:
        """The connection of an index in memory, ready for a write; the lock is held."""
        return self._current_reader(())

    @on_disk
    def _take_writer(self) -> sqlite3.Connection:
        """Take the connection for a write. No attribute refers to it until the write has ended well, so that
        an interrupt at any moment drops it together with its open transaction.
        """
        assert self._path is not None
        with self._lock:
            if self._closed:
                raise StoreError(_CLOSED)
            if not self._writable:
                raise StoreError(f"{self.place}: opened for reading only, because {self._reason}")
            connection, self._writer = self._writer, None
            before = self._signature()
            if connection is not None and before != self._written:
                connection.close()
                connection = None
        if connection is None:
            connection = self._connect(patience=self._timeout)
            self._written = before
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
        from femtosearch.index.transaction import Transaction

        connection.execute("BEGIN IMMEDIATE")
        if self._path is not None and self._signature() != self._written:
            raise StoreError(f"{self.place}: another index was put in its place meanwhile: try again")
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
        """Roll back an open transaction, and close a file's connection that was not given back: after an
        error of the disk its state is unknown.
        """
        with suppress(sqlite3.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        if self._path is not None and connection is not self._writer:
            with suppress(sqlite3.Error):
                connection.close()


_databases: weakref.WeakSet[Database] = weakref.WeakSet()
_inherited: list[sqlite3.Connection] = []


def _keep_inherited() -> None:
    """In a forked child: keep the parent's connections, which it must neither use nor close."""
    for database in list(_databases):
        _inherited.extend(database.connections())


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
