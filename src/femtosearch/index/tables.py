"""Reading and writing the catalogue's tables of segments, tombstones and the FDE, and of `meta`,
with checks.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from femtosearch.index.schema import (
    BITS,
    COUNTS,
    FDE,
    LAYOUT,
    Schema,
    add_feature,
    drop_feature,
    fde_digest,
    write_features,
)
from femtosearch.index.segment_header import Summary

_MOST = 1 << 62  # a larger key or number is damage: SQLite's own limit is near
ALWAYS, LARGE = "always", "large"


def read_segments(connection: sqlite3.Connection) -> dict[int, Summary]:
    """All segments by number, in the order of their first keys."""
    columns = "number, first, passages, rows, bytes, checksum"
    rows = list(rising(connection.execute(f"SELECT {columns} FROM segments ORDER BY number"), "segments"))
    wrong = [value for row in rows for value in row if type(value) is not int or not 0 <= value < _MOST]
    if wrong:
        checked(wrong[0], "a number in the table of segments")
    return {row[0]: Summary(*row[1:]) for row in sorted(rows, key=lambda row: (row[1], row[0]))}


def read_tombstones(connection: sqlite3.Connection) -> np.ndarray:
    """The keys of deleted documents, [*] int64, rising."""
    rows = rising(connection.execute("SELECT key FROM dead ORDER BY key"), "tombstones")
    return np.array([key for (key,) in rows], np.int64)


def rising(rows: Iterable[tuple[Any, ...]], table: str, after: int = -(1 << 63)) -> Iterator[tuple[Any, ...]]:
    """Yield rows while their first numbers rise, from above `after`.

    Raises sqlite3.DatabaseError at the first that does not: in a damaged tree of pages the same rows could
    come again and again without an end.
    """
    for row in rows:
        if type(row[0]) is not int:
            raise sqlite3.DatabaseError(f"the table of {table} holds a key that is no number")
        if row[0] <= after:
            raise sqlite3.DatabaseError(f"the table of {table} is out of order")
        after = row[0]
        yield row


def read_counts(connection: sqlite3.Connection) -> tuple[int, int] | None:
    """How many tokens were encoded, and how many of them are unknown; None if they were not counted."""
    query = "SELECT value FROM meta WHERE name IN (?, ?) ORDER BY name"
    counts = [count for (count,) in connection.execute(query, COUNTS)]
    counted = len(counts) == len(COUNTS) and all(type(count) is int for count in counts)
    return (counts[0], counts[1]) if counted and 0 <= counts[1] <= counts[0] else None


def read_row_bits(connection: sqlite3.Connection, schema: Schema) -> int:
    """The bits of a number of the rows: 8 or 4."""
    if not schema.has_bits:
        return 8
    rows = connection.execute("SELECT value FROM meta WHERE name = 'row_bits'").fetchall()
    if rows != [(4,)]:
        raise sqlite3.DatabaseError("the bits of the rows are missing, or not 4")
    return 4


def write_row_bits(connection: sqlite3.Connection, schema: Schema, bits: int) -> Schema:
    """Store how many bits a number of the rows has, 8 or 4. Returns the new schema."""
    connection.execute("DELETE FROM meta WHERE name = 'row_bits'")
    if bits == 8:
        return drop_feature(connection, schema, BITS)
    connection.execute("INSERT INTO meta VALUES ('row_bits', ?)", (bits,))
    return add_feature(connection, schema, BITS)


def read_fde_digest(connection: sqlite3.Connection, schema: Schema) -> str | None:
    """The digest of the index's FDE, or None if it has none."""
    if not schema.has_fde:
        return None
    if schema.layout < LAYOUT:
        return fde_digest(read_fde_content(connection))
    rows = connection.execute("SELECT value FROM meta WHERE name = 'fde'").fetchall()
    if len(rows) != 1 or not isinstance(rows[0][0], str):
        raise sqlite3.DatabaseError("the digest of the FDE is missing")
    return rows[0][0]


def read_fde_content(connection: sqlite3.Connection) -> bytes:
    """The bytes of the FDE."""
    rows = connection.execute("SELECT content FROM fde LIMIT 2").fetchall()
    if len(rows) != 1 or not isinstance(rows[0][0], bytes):
        raise sqlite3.DatabaseError("the table of the FDE holds none")
    return rows[0][0]


def write_fde(
    connection: sqlite3.Connection, schema: Schema, content: bytes | None, when: str = ALWAYS
) -> Schema:
    """Replace the bytes of the FDE, or remove them (None). Returns the new schema."""
    features = schema.features - {FDE} if content is None else schema.features | {FDE}
    if schema.layout >= LAYOUT:
        connection.execute("DELETE FROM fde")
        connection.execute("DELETE FROM meta WHERE name IN ('fde', 'fde_when')")
        write_features(connection, features)
        layout = schema.layout
    else:  # layouts 1 and 2 differ by whether there is an FDE
        connection.execute("DROP TABLE IF EXISTS fde")
        layout = 1 if content is None else 2
        if content is not None:
            connection.execute("CREATE TABLE fde (content BLOB NOT NULL)")
        connection.execute(f"PRAGMA user_version = {layout}")
    if content is not None:
        connection.execute("INSERT INTO fde VALUES (?)", (content,))
        if layout >= LAYOUT:
            meta = {"fde": fde_digest(content), "fde_when": when}
            connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
    return Schema(layout, features)


def checked(number: object, name: str) -> int:
    """Return a number if it can be a key or a count. Raises sqlite3.DatabaseError, which calls it `name`."""
    if type(number) is not int or not 0 <= number < _MOST:
        raise sqlite3.DatabaseError(f"{name}: expected a whole number from 0 on, found {str(number)[:30]!r}")
    return number


def segment_row(summary: Summary) -> tuple[int, ...]:
    """The row of a segment in the table, without its number."""
    return summary.first, summary.passages, summary.rows, summary.bytes, summary.checksum
