"""What one commit changes in the catalog's tables, and what the tables of segments say."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Sequence

import numpy as np

from femtosearch.disk import on_disk
from femtosearch.index.documents import Draft
from femtosearch.index.segment import Summary

VERSION = 2  # of a catalog with an FDE; one without is of version 1


class Transaction:
    """The changes of one commit. Every method raises StoreError."""

    def __init__(self, connection: sqlite3.Connection, place: str) -> None:
        self.place = place
        self._connection = connection

    @on_disk
    def put(self, draft: Draft) -> tuple[int, str]:
        """Store a document, in the place of one with its id. Its key, larger than all before, and its id."""
        chosen = draft.id
        if chosen is None:
            chosen = secrets.token_hex(8)
            while self._key(chosen) is not None:
                chosen = secrets.token_hex(8)
        else:
            self.remove(chosen)
        insert = "INSERT INTO documents (id, text, metadata) VALUES (?, ?, ?)"
        key = self._connection.execute(insert, (chosen, draft.text, draft.metadata)).lastrowid
        return int(key or 0), chosen

    @on_disk
    def remove(self, document_id: str) -> bool:
        """Take a document out; whether there was one."""
        key = self._key(document_id)
        if key is None:
            return False
        self._connection.execute("DELETE FROM documents WHERE key = ?", (key,))
        self._connection.execute("INSERT OR IGNORE INTO dead VALUES (?)", (key,))
        return True

    @on_disk
    def segments(self) -> dict[int, Summary]:
        """All segments by number, in the order of their first keys."""
        return read_segments(self._connection)

    @on_disk
    def dead(self) -> np.ndarray:
        """The dead keys, [*] int64, rising."""
        return read_dead(self._connection)

    @on_disk
    def fde(self) -> bytes | None:
        """What `State.fde` is."""
        return read_fde(self._connection)

    @on_disk
    def set_fde(self, fde: bytes | None) -> None:
        """Say that all segments have these FDEs, or none."""
        write_fde(self._connection, fde)

    @on_disk
    def next_number(self) -> int:
        """The number of the next segment; never one that was named before, or readers might mix them up."""
        row = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'segments'").fetchone()
        if row and type(row[0]) is not int:
            raise sqlite3.DatabaseError("the last segment's number is none")
        return 1 + (row[0] if row else 0)

    @on_disk
    def name(self, segments: dict[int, Summary]) -> None:
        """Make finished segments count."""
        rows = [(number, *_values(summary)) for number, summary in segments.items()]
        self._connection.executemany("INSERT INTO segments VALUES (?, ?, ?, ?, ?, ?)", rows)

    @on_disk
    def drop(self, numbers: Sequence[int], keys: np.ndarray) -> None:
        """Make segments count no more, and forget the dead keys that lay in them."""
        self._connection.executemany("DELETE FROM segments WHERE number = ?", [(n,) for n in numbers])
        self._connection.executemany("DELETE FROM dead WHERE key = ?", [(int(key),) for key in keys])

    @on_disk
    def shrink(self) -> None:
        """Forget all dead keys, which no segment has any more, and give free pages back to the disk."""
        self._connection.execute("DELETE FROM dead")
        self._connection.execute("PRAGMA incremental_vacuum").fetchall()

    @on_disk
    def commit(self) -> None:
        self._connection.execute("COMMIT")

    def _key(self, document_id: str) -> int | None:
        row = self._connection.execute("SELECT key FROM documents WHERE id = ?", (document_id,)).fetchone()
        return None if row is None else int(row[0])


def read_segments(connection: sqlite3.Connection) -> dict[int, Summary]:
    """All segments by number, in the order of their first keys."""
    columns = "number, first, passages, rows, bytes, checksum"
    rows = connection.execute(f"SELECT {columns} FROM segments ORDER BY first, number").fetchall()
    if not all(type(value) is int for row in rows for value in row):
        raise sqlite3.DatabaseError("the table of segments holds what are no numbers")
    return {row[0]: Summary(*row[1:]) for row in rows}


def read_dead(connection: sqlite3.Connection) -> np.ndarray:
    """The dead keys, [*] int64, rising."""
    keys = [key for (key,) in connection.execute("SELECT key FROM dead ORDER BY key")]
    if not all(type(key) is int for key in keys):
        raise sqlite3.DatabaseError("the table of dead keys holds what are no numbers")
    return np.array(keys, np.int64)


def read_fde(connection: sqlite3.Connection) -> bytes | None:
    """The bytes of the FDE, or None where the segments have none."""
    if connection.execute("PRAGMA user_version").fetchone()[0] < VERSION:
        return None
    rows = connection.execute("SELECT content FROM fde").fetchall()
    if len(rows) != 1 or not isinstance(rows[0][0], bytes):
        raise sqlite3.DatabaseError("the table of the FDE holds none")
    return bytes(rows[0][0])


def write_fde(connection: sqlite3.Connection, fde: bytes | None) -> None:
    """Put the bytes of an FDE in the place of those that are there; None takes them out."""
    connection.execute("DROP TABLE IF EXISTS fde")
    if fde is not None:
        connection.execute("CREATE TABLE fde (content BLOB NOT NULL)")
        connection.execute("INSERT INTO fde VALUES (?)", (fde,))
    connection.execute(f"PRAGMA user_version = {1 if fde is None else VERSION}")


def _values(summary: Summary) -> tuple[int, ...]:
    return summary.first, summary.passages, summary.rows, summary.bytes, summary.checksum
