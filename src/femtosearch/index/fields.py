"""The values of declared fields, keys of the metadata, in a table with indexes: filters read that alone."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable

from femtosearch.errors import CorruptError
from femtosearch.index.where import Condition, values_of
from femtosearch.index.where.tree import Path

_EVERYTHING = Condition("TRUE")


def declared(connection: sqlite3.Connection) -> dict[Path, int]:
    """The declared fields and their numbers; none where none was ever declared. Raises sqlite3.Error."""
    if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'keys'").fetchall():
        return {}
    rows = connection.execute("SELECT path, number FROM keys ORDER BY number").fetchall()
    return {_path(text): number for text, number in rows}


def declare(connection: sqlite3.Connection, paths: Iterable[Path]) -> None:
    """Keep the values of those fields, and of no others, for all documents. Raises sqlite3.Error."""
    connection.execute("DELETE FROM fields")
    connection.execute("DELETE FROM keys")
    connection.executemany("INSERT INTO keys (path) VALUES (?)", [(json.dumps(path),) for path in paths])
    for path, number in declared(connection).items():
        _insert(connection, path, number, _EVERYTHING)


def add(connection: sqlite3.Connection, key: int, paths: dict[Path, int]) -> None:
    """Keep the values of a document that has just been stored. Raises sqlite3.Error."""
    for path, number in paths.items():
        _insert(connection, path, number, Condition("documents.key = ?", (key,)))


def remove(connection: sqlite3.Connection, key: int) -> None:
    """Forget the values of a document. Raises sqlite3.Error."""
    connection.execute("DELETE FROM fields WHERE key = ?", (key,))


def differing(connection: sqlite3.Connection) -> list[Path]:
    """The declared fields whose values are not those of the documents. Raises sqlite3.Error."""
    return [path for path, number in declared(connection).items() if _differs(connection, path, number)]


def _insert(connection: sqlite3.Connection, path: Path, number: int, condition: Condition) -> None:
    values = values_of(path, condition)
    insert = f"INSERT INTO fields SELECT ?, kind, value, listed, key FROM ({values.sql})"
    connection.execute(insert, (number, *values.parameters))


def _differs(connection: sqlite3.Connection, path: Path, number: int) -> bool:
    values = values_of(path, _EVERYTHING)
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
            f"the catalog declares the field {str(text)[:80]!r}, which is none: restore a copy"
        )
    return tuple(names)
