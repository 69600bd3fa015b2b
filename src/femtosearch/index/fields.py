"""The table of declared fields: it holds the values of these keys of the metadata, with indexes for
filters.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable

from femtosearch.errors import CorruptError
from femtosearch.index.where import EVERYTHING, Condition, values_of
from femtosearch.index.where.tree import Path


def declared(connection: sqlite3.Connection) -> dict[Path, int]:
    """The declared fields and their numbers in the table; empty if there are none. Raises sqlite3.Error."""
    if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'keys'").fetchall():
        return {}
    rows = connection.execute("SELECT path, number FROM keys ORDER BY number").fetchall()
    return {_path(text): number for text, number in rows}


def declare(connection: sqlite3.Connection, paths: Iterable[Path]) -> None:
    """Replace the declared fields, and store their values for all documents. Raises sqlite3.Error."""
    connection.execute("DELETE FROM fields")
    connection.execute("DELETE FROM keys")
    connection.executemany("INSERT INTO keys (path) VALUES (?)", [(json.dumps(path),) for path in paths])
    for path, number in declared(connection).items():
        _insert(connection, path, number, EVERYTHING)


def add(connection: sqlite3.Connection, key: int, paths: dict[Path, int]) -> None:
    """Store the values of the declared fields of a new document. Raises sqlite3.Error."""
    for path, number in paths.items():
        _insert(connection, path, number, Condition("documents.key = ?", (key,)))


def remove(connection: sqlite3.Connection, key: int) -> None:
    """Remove the values of a document. Raises sqlite3.Error."""
    connection.execute("DELETE FROM fields WHERE key = ?", (key,))


def differing(connection: sqlite3.Connection) -> list[Path]:
    """The declared fields whose stored values differ from those in the documents. Raises sqlite3.Error."""
    return [path for path, number in declared(connection).items() if _differs(connection, path, number)]


def _insert(connection: sqlite3.Connection, path: Path, number: int, condition: Condition) -> None:
    values = values_of(path, condition)
    insert = f"INSERT INTO fields SELECT ?, kind, value, listed, key FROM ({values.sql})"
    connection.execute(insert, (number, *values.parameters))


def _differs(connection: sqlite3.Connection, path: Path, number: int) -> bool:
    values = values_of(path, EVERYTHING)
    stored = "SELECT kind, value, listed, key FROM fields WHERE number = ?"
    expected = f"SELECT kind, value, listed, key FROM ({values.sql})"
    for first, second, parameters in (
        (stored, expected, (number, *values.parameters)),
        (expected, stored, (*values.parameters, number)),
    ):
        query = f"SELECT 1 FROM ({first} EXCEPT {second}) LIMIT 1"
        if connection.execute(query, parameters).fetchall():
            return True
    return False


def _path(text: object) -> Path:
    try:
        names = json.loads(str(text))
    except ValueError:
        names = None
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise CorruptError(
            f"the catalogue declares the field {str(text)[:80]!r}, expected a JSON list of names: restore a "
            "copy of the index, or declare the fields again with set_keys"
        )
    return tuple(names)
