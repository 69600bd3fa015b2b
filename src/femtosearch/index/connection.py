"""Opening and making a catalogue's database: by SQLite alone, and only after checking what lies at its path.

SQLite's locks are the process's (POSIX): closing any descriptor of the file drops them all, so that another
process could delete the log while it is in use (sqlite.org/howtocorrupt.html, 2.2). So nothing in the package
opens `catalog.db` or its log but SQLite itself.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from femtosearch import system
from femtosearch.codes import row_bits_of
from femtosearch.disk import check_regular
from femtosearch.errors import CorruptError, StoreError
from femtosearch.index.schema import Origin, Schema, create_tables, read_schema
from femtosearch.index.tables import ALWAYS

_READ_PATIENCE = 30.0  # seconds that a reader waits for SQLite's own short locks
_DURABLE = ("synchronous = FULL", "fullfsync = ON", "checkpoint_fullfsync = ON")  # the last two for macOS
_SAFE = ("trusted_schema = OFF", "cell_size_check = ON", "cache_size = -8192")
_HEADER_BYTES = 100
_SHARED_BYTES = 1 << 15  # the least size of a log's index (-shm) that is in use
_NO_LOCKS = "vfs=win32-none" if os.name == "nt" else "vfs=unix-none"  # as SQLite calls them


def log_of(path: Path) -> Path:
    """The path of the write-ahead log of a database."""
    return path.with_name(path.name + "-wal")


def connect_to_memory() -> sqlite3.Connection:
    """Make a database in memory, which ends with its connection."""
    return sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)


def connect(path: Path, *, writable: bool, patience: float = _READ_PATIENCE) -> sqlite3.Connection:
    """Open a catalogue and check that it is one. Raises StoreError, CorruptError, sqlite3.Error, OSError."""
    check_files(path)
    mode = "mode=rw" if writable else _read_only(path)
    uri = f"file:{quote(os.fsencode(path))}?{mode}"
    connection = sqlite3.connect(
        uri, uri=True, isolation_level=None, check_same_thread=False, timeout=patience
    )
    connection.text_factory = _text
    try:
        if _NO_LOCKS in mode:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE").fetchall()
        for setting in (*_SAFE, *_DURABLE):
            connection.execute(f"PRAGMA {setting}")
        connection.execute("BEGIN")  # or tables could come between two looks
        read_schema(connection, os.fspath(path))
        connection.execute("COMMIT")
    except BaseException as error:
        connection.close()
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
            raise CorruptError(
                f"{path}: expected an index's catalog, found another kind of file: {_RESTORE}"
            ) from error
        raise
    return connection


def _text(content: bytes) -> str:
    """Decode a stored text. Bytes that are no UTF-8 are replaced; the document's digest then shows
    the damage.
    """
    return content.decode(errors="replace")


def check_files(path: Path) -> None:
    """Raise StoreError for a link or special file among a catalogue's, CorruptError for an empty one."""
    if check_regular(path) and os.lstat(path).st_size < _HEADER_BYTES:
        raise CorruptError(
            f"{path}: expected an index's catalog, found {os.lstat(path).st_size} bytes: {_RESTORE}"
        )
    for suffix in ("-wal", "-shm"):
        check_regular(f"{path}{suffix}")
    journal = f"{path}-journal"
    if os.path.lexists(journal):  # SQLite would play it back, whoever wrote it; an index never has one
        raise StoreError(
            f"{journal}: expected no such file in an index: remove it, or restore a copy of the index"
        )


_RESTORE = "restore a copy of the index, or choose another folder if this is none"


def _read_only(path: Path) -> str:
    """The SQLite mode for reading a catalogue that this process may not write.

    SQLite reads a log only with its index file (-shm). Where there is no log, SQLite has to be told that
    nobody writes (`immutable`); where there is a log without that file, it has to keep the index in its own
    memory. A full disk leaves an empty log and a part of its index behind: nobody writes there either.
    """
    log, shared = log_of(path), path.with_name(path.name + "-shm")
    if not log.exists() or (shared.exists() and _bytes(shared) < _SHARED_BYTES and not _bytes(log)):
        return "mode=ro&immutable=1"
    return "mode=ro" if shared.exists() else f"mode=ro&{_NO_LOCKS}"


def _bytes(path: Path) -> int:
    """The size of a file in bytes; 0 if it does not exist."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def create(path: Path, origin: Origin, fde: bytes | None = None, when: str = ALWAYS) -> None:
    """Write a new catalogue, whole or not at all.

    fde, when:  the bytes of the index's FDE, and when segments get FDEs (ALWAYS or LARGE).
    Raises StoreError, sqlite3.Error, OSError.
    """
    draft = path.with_name(path.name + ".part")
    for leftover in path.parent.glob(draft.name + "*"):
        leftover.unlink()
    connection = sqlite3.connect(f"file:{quote(os.fsencode(draft))}", uri=True, isolation_level=None)
    try:
        for setting in ("auto_vacuum = INCREMENTAL", *_DURABLE):
            connection.execute(f"PRAGMA {setting}")
        fill(connection, origin, fde, when)
        # Only now, while there is no log: closing folds a log into the file, and swallows the errors of it.
        if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
            raise StoreError(f"{path}: this file system cannot hold it: use a local disk")
    finally:
        connection.close()
    log = log_of(draft)
    if log.exists() and log.stat().st_size:
        raise StoreError(f"{path}: it could not be written whole: check the space of the disk and try again")
    with suppress(FileNotFoundError):
        log.unlink()
    os.replace(draft, path)
    system.sync_folder(path.parent)


def fill(connection: sqlite3.Connection, origin: Origin, fde: bytes | None, when: str) -> None:
    """Make the tables of a new catalogue, and write the model, the FDE and the bits of rows of the index."""
    from femtosearch.index.tables import write_fde, write_row_bits

    create_tables(connection, origin)
    schema: Schema = read_schema(connection, "the new catalog")
    connection.execute("BEGIN")
    if (bits := row_bits_of(origin.dims)) < 8:
        schema = write_row_bits(connection, schema, bits)
    if fde is not None:
        write_fde(connection, schema, fde, when)
    connection.execute("COMMIT")
