"""The catalogue's tables, its layout number and its features; a database that has anything else is refused.

Layouts 1 and 2 are femtosearch 0.1's: 1 without FDEs, 2 with them. Since layout 3 a new feature gets a name
instead of a number: `meta` has a row `features`, a JSON list of the names that a reader has to know.

    digests  a digest of every document, by which damage is seen
    fde      the segments, or some of them, have FDEs; `meta.fde` is the digest of the table `fde`
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from femtosearch.errors import CorruptError, StoreError

APPLICATION = 0x46656D74  # "Femt", in SQLite's header
LAYOUT = 3
DIGESTS, FDE = "digests", "fde"
FEATURES = frozenset({DIGESTS, FDE})
_MOST_TABLES = 32
_MOST_META = 64

_META = "CREATE TABLE meta (name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID"
_SEGMENTS = """
CREATE TABLE segments (number INTEGER PRIMARY KEY AUTOINCREMENT, first INTEGER NOT NULL,
                       passages INTEGER NOT NULL, rows INTEGER NOT NULL, bytes INTEGER NOT NULL,
                       checksum INTEGER NOT NULL)
"""
_TOMBSTONES = "CREATE TABLE dead (key INTEGER PRIMARY KEY)"
_FDE = "CREATE TABLE fde (content BLOB NOT NULL)"
_KEYS = "key INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE"
_COLUMNS = f"{_KEYS}, text TEXT NOT NULL, metadata TEXT NOT NULL"
_DOCUMENTS = f"CREATE TABLE documents ({_COLUMNS}, digest BLOB NOT NULL)"
_OLD_DOCUMENTS = f"CREATE TABLE documents ({_COLUMNS})"
_SEQUENCE = "CREATE TABLE sqlite_sequence(name,seq)"  # SQLite's own, for AUTOINCREMENT


@dataclass(frozen=True, slots=True)
class Origin:
    """The model that an index was made with."""

    name: str
    fingerprint: str
    dims: int


@dataclass(frozen=True, slots=True)
class Schema:
    """What a catalogue is made of: its layout number and the names of its features."""

    layout: int
    features: frozenset[str]

    @property
    def has_digests(self) -> bool:
        return DIGESTS in self.features

    @property
    def has_fde(self) -> bool:
        return FDE in self.features


def create_tables(connection: sqlite3.Connection, origin: Origin) -> None:
    """Make the tables of an empty catalogue of the newest layout."""
    created = datetime.now(UTC).isoformat(timespec="seconds")
    meta = {
        "model": origin.name,
        "fingerprint": origin.fingerprint,
        "dims": origin.dims,
        "created": created,
        "features": json.dumps([DIGESTS]),
    }
    connection.execute("BEGIN")
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {LAYOUT}")
    for statement in _tables(LAYOUT):
        if statement != _SEQUENCE:
            connection.execute(statement)
    connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
    connection.execute("COMMIT")


def read_schema(connection: sqlite3.Connection, place: str) -> Schema:
    """The layout and the features of a database, once it is known to be a catalogue and nothing else.

    No other statement may run before: a view or a trigger in somebody else's database could do anything.
    Raises CorruptError, or StoreError for a database of another program or of a newer femtosearch.
    """
    application = _number(connection, "application_id")
    layout = _number(connection, "user_version")
    if application != APPLICATION:
        raise StoreError(f"{place}: a database of another program, not of femtosearch: choose another folder")
    if layout > LAYOUT:
        raise StoreError(f"{place}: format version {layout}; this femtosearch reads {LAYOUT}: upgrade it")
    _check_tables(connection, layout, place)
    if layout < LAYOUT:
        return Schema(layout, frozenset({FDE} if layout == 2 else ()))
    return Schema(layout, _features(connection, place))


def read_origin(connection: sqlite3.Connection, place: str) -> Origin:
    """The model that the index was made with. Raises CorruptError."""
    meta = _read_meta(connection)
    name, fingerprint, dims = meta.get("model"), meta.get("fingerprint"), meta.get("dims")
    if not (isinstance(name, str) and isinstance(fingerprint, str) and isinstance(dims, int)):
        raise CorruptError(f"{place}: the name of the model is missing; restore a copy of it")
    return Origin(name, fingerprint, dims)


def write_features(connection: sqlite3.Connection, features: frozenset[str]) -> None:
    """List the features that a reader has to know."""
    names = json.dumps(sorted(features))
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('features', ?)", (names,))


def digest(*values: str) -> bytes:
    """Sixteen bytes that differ for other texts: BLAKE2b over the length and the UTF-8 of each."""
    state = hashlib.blake2b(digest_size=16)
    for value in values:
        content = value.encode()
        state.update(len(content).to_bytes(8, "little"))
        state.update(content)
    return state.digest()


def _tables(layout: int) -> tuple[str, ...]:
    """The statements of all tables that a catalogue of that layout has."""
    if layout == LAYOUT:
        return (_META, _DOCUMENTS, _SEGMENTS, _TOMBSTONES, _FDE, _SEQUENCE)
    common = (_META, _OLD_DOCUMENTS, _SEGMENTS, _TOMBSTONES, _SEQUENCE)
    return (*common, _FDE) if layout == 2 else common


def _check_tables(connection: sqlite3.Connection, layout: int, place: str) -> None:
    """Raises CorruptError unless the database has just the tables of that layout."""
    query = "SELECT type, name, sql FROM sqlite_schema ORDER BY rowid LIMIT ?"
    entries = tuple(connection.execute(query, (_MOST_TABLES,)).fetchall())
    if difference := _difference(entries, layout):
        raise CorruptError(f"{place}: {difference}")


@lru_cache(maxsize=8)  # for each write looks
def _difference(entries: tuple[tuple[object, ...], ...], layout: int) -> str | None:
    """In what the entries (type, name, sql) of a database differ from a catalogue's of that layout."""
    expected = {_words(statement) for statement in _tables(layout)}
    for kind, name, statement in entries:
        if kind == "index" and statement is None:  # SQLite makes it for UNIQUE
            continue
        if kind != "table" or not isinstance(statement, str) or _words(statement) not in expected:
            return (
                f"expected the tables of an index, found the {kind} {str(name)[:80]!r}: it was not made by "
                "femtosearch; restore a copy of the index or index again"
            )
        expected.discard(_words(statement))
    if not expected:
        return None
    return (
        f"expected an index's catalog, found one without {sorted(expected)[0][:30]!r}: restore a copy of the "
        "index, or choose another folder if this is none"
    )


def _features(connection: sqlite3.Connection, place: str) -> frozenset[str]:
    try:
        names = json.loads(str(_read_meta(connection).get("features")))
    except (TypeError, ValueError, RecursionError):
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise CorruptError(f"{place}: the list of its features is damaged; restore a copy of it")
    unknown = sorted(set(names) - FEATURES)
    if unknown:
        raise StoreError(
            f"{place}: it needs {unknown[0]!r}, which this femtosearch does not know: upgrade it"
        )
    return frozenset(names)


def _read_meta(connection: sqlite3.Connection) -> dict[str, object]:
    return dict(connection.execute("SELECT name, value FROM meta LIMIT ?", (_MOST_META,)))


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])


def _words(statement: str) -> str:
    """A statement with single blanks, since old catalogues were made by statements over several lines."""
    return " ".join(statement.split())
