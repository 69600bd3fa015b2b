"""The catalogue's tables, its layout number and its features. A database with anything else is refused.

Layouts 1 and 2 are femtosearch 0.1's: 1 without FDEs, 2 with them. Since layout 3 a new feature gets a name
instead of a number: `meta` has a row `features`, a JSON list of the names that a reader has to know. Since
layout 4 a feature may have tables of its own, and an index gets that layout with the first one that has.

    digests  a digest of every document, by which damage is seen
    fde      the segments, or some of them, have FDEs; `meta.fde` is the digest of the table `fde`
    sources  which files documents come from: the tables `sources`, `files` and `origins`
    keys     keys of the metadata whose values have indexes: the tables `keys` and `fields`
    words    the words of every document: the full-text table `words`, and what SQLite keeps for it
    plain    these words are in plain letters
    bits     the rows have fewer bits a number than 8: `meta.row_bits`
    split    new segments have FDEs that are split
"""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime
from functools import lru_cache

from femtosearch.disk import blake2b
from femtosearch.errors import CorruptError, StoreError
from femtosearch.frozen import frozen

APPLICATION = 0x46656D74  # "Femt", in SQLite's header
LAYOUT = 3  # the first layout whose features are listed
NEWEST = 4  # the layout of a new index
DIGESTS, FDE, SOURCES, WORDS, FIELDS, BITS = "digests", "fde", "sources", "words", "keys", "bits"
SPLIT, PLAIN = "split", "plain"
FEATURES = frozenset({DIGESTS, FDE, SOURCES, WORDS, FIELDS, BITS, SPLIT, PLAIN})
COUNTS = ("tokens", "unknown_tokens")  # rows of `meta`: of all that was encoded, if counted from the start
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
_SOURCES = """
CREATE TABLE sources (number INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE, options TEXT NOT NULL)
"""
_FILES = """
CREATE TABLE files (number INTEGER PRIMARY KEY, source INTEGER NOT NULL, path BLOB NOT NULL UNIQUE,
                    turn INTEGER NOT NULL, stamp TEXT NOT NULL, digest BLOB NOT NULL)
"""
_ORIGINS = """
CREATE TABLE origins (key INTEGER PRIMARY KEY, file INTEGER NOT NULL, name TEXT NOT NULL,
                      turn INTEGER NOT NULL, marks TEXT NOT NULL, UNIQUE (file, name))
"""
_WORDS = """
CREATE VIRTUAL TABLE words USING fts5(names, text, parts, content='',
                                      tokenize='porter unicode61 remove_diacritics 2')
"""
_FIELDS = """
CREATE TABLE fields (number INTEGER NOT NULL, kind INTEGER NOT NULL, value, listed INTEGER NOT NULL,
                     key INTEGER NOT NULL)
"""
_DECLARED = (
    "CREATE TABLE keys (number INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE)",
    _FIELDS,
    "CREATE INDEX fields_by_value ON fields (number, kind, value, key)",
    "CREATE INDEX fields_by_key ON fields (key)",
)
_TABLES_OF = {
    SOURCES: (_SOURCES, _FILES, _ORIGINS),
    WORDS: (_WORDS,),
    FIELDS: _DECLARED,
    **dict.fromkeys((BITS, SPLIT, PLAIN), ()),
}
_SHADOWS_OF = {  # tables that SQLite makes for a virtual one
    WORDS: (
        "CREATE TABLE 'words_data'(id INTEGER PRIMARY KEY, block BLOB)",
        "CREATE TABLE 'words_idx'(segid, term, pgno, PRIMARY KEY(segid, term)) WITHOUT ROWID",
        "CREATE TABLE 'words_docsize'(id INTEGER PRIMARY KEY, sz BLOB)",
        "CREATE TABLE 'words_config'(k PRIMARY KEY, v) WITHOUT ROWID",
    )
}
_SEQUENCE = "CREATE TABLE sqlite_sequence(name,seq)"  # SQLite's own, for AUTOINCREMENT


@frozen
class Origin:
    """The model that an index was made with."""

    name: str
    fingerprint: str
    dims: int


@frozen
class Schema:
    """The schema of a catalogue: its layout number and the names of its features."""

    layout: int
    features: frozenset[str]

    @property
    def has_digests(self) -> bool:
        return DIGESTS in self.features

    @property
    def has_fde(self) -> bool:
        return FDE in self.features

    @property
    def has_sources(self) -> bool:
        return SOURCES in self.features

    @property
    def has_words(self) -> bool:
        return WORDS in self.features

    @property
    def has_plain_words(self) -> bool:
        return PLAIN in self.features

    @property
    def has_fields(self) -> bool:
        return FIELDS in self.features

    @property
    def has_bits(self) -> bool:
        return BITS in self.features

    @property
    def has_split(self) -> bool:
        return SPLIT in self.features


def create_tables(connection: sqlite3.Connection, origin: Origin) -> None:
    """Make the tables of an empty catalogue of the newest layout."""
    created = datetime.now(UTC).isoformat(timespec="seconds")
    features = [DIGESTS, PLAIN, SPLIT, WORDS]
    meta = {
        "model": origin.name,
        "fingerprint": origin.fingerprint,
        "dims": origin.dims,
        "created": created,
        "features": json.dumps(features),
        **dict.fromkeys(COUNTS, 0),
    }
    connection.execute("BEGIN")
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {NEWEST}")
    by_sqlite = {_SEQUENCE, *(statement for tables in _SHADOWS_OF.values() for statement in tables)}
    for statement in _tables(NEWEST, frozenset(features)):
        if statement not in by_sqlite:  # which SQLite makes
            connection.execute(statement)
    connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
    connection.execute("COMMIT")


def create_words(connection: sqlite3.Connection) -> None:
    """Make an empty table of words in another database, to compare the stored one with."""
    connection.execute(_WORDS)


def read_schema(connection: sqlite3.Connection, place: str) -> Schema:
    """The layout and the features of a database, once it is known to be a catalogue and nothing else.

    No other statement may run before: a view or a trigger in somebody else's database could do anything.
    Raises CorruptError, or StoreError for a database of another program or of a newer femtosearch.
    """
    application = _number(connection, "application_id")
    layout = _number(connection, "user_version")
    if application != APPLICATION:
        raise StoreError(f"{place}: a database of another program, not of femtosearch: choose another folder")
    if layout > NEWEST:
        raise StoreError(f"{place}: format version {layout}; this femtosearch reads {NEWEST}: upgrade it")
    query = "SELECT type, name, sql FROM sqlite_schema ORDER BY rowid LIMIT ?"
    entries = tuple(connection.execute(query, (_MOST_TABLES,)).fetchall())
    features = frozenset({FDE} if layout == 2 else ())
    if layout >= LAYOUT and ("table", "meta", _META) in entries:  # its features say which tables it has
        features = _features(connection, place)
        if layout == NEWEST and features.isdisjoint(_TABLES_OF):  # which alone give an index that layout
            raise StoreError(
                f"{place}: format version {layout} with nothing that needs it: upgrade femtosearch"
            )
    if difference := _difference(entries, layout, features):
        raise CorruptError(f"{place}: {difference}")
    return Schema(layout, features)


def read_origin(connection: sqlite3.Connection, place: str) -> Origin:
    """The model that the index was made with. Raises CorruptError."""
    meta = _read_meta(connection)
    name, fingerprint, dims = meta.get("model"), meta.get("fingerprint"), meta.get("dims")
    if not (isinstance(name, str) and isinstance(fingerprint, str) and isinstance(dims, int)):
        raise CorruptError(f"{place}: the name of the model is missing; restore a copy of it")
    return Origin(name, fingerprint, dims)


def write_features(connection: sqlite3.Connection, features: frozenset[str]) -> None:
    """Write the list of the features that a reader has to know."""
    names = json.dumps(sorted(features))
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('features', ?)", (names,))


def add_feature(connection: sqlite3.Connection, schema: Schema, feature: str) -> Schema:
    """Add a feature to a catalogue, which gets the newest layout with it. Older readers then refuse it.

    A transaction must be open.
    """
    if feature in schema.features:
        return schema
    if schema.layout < LAYOUT:
        _upgrade(connection, schema)
    for statement in _TABLES_OF[feature]:
        connection.execute(statement)
    features = schema.features | {feature}
    write_features(connection, features)
    connection.execute(f"PRAGMA user_version = {NEWEST}")
    return Schema(NEWEST, features)


def drop_feature(connection: sqlite3.Connection, schema: Schema, feature: str) -> Schema:
    """Remove a feature from a catalogue. Without any feature of the newest layout it gets an older one.

    A transaction must be open.
    """
    if feature not in schema.features:
        return schema
    for statement in _TABLES_OF[feature]:
        if "TABLE" in statement:  # whose indexes go with it
            connection.execute(f"DROP TABLE {statement.split('TABLE')[1].split()[0]}")
    features = schema.features - {feature}
    if features <= {FDE}:  # it was of layout 1 or 2
        return _downgrade(connection, features)
    write_features(connection, features)
    layout = LAYOUT if features.isdisjoint(_TABLES_OF) else NEWEST
    connection.execute(f"PRAGMA user_version = {layout}")
    return Schema(layout, features)


def _upgrade(connection: sqlite3.Connection, schema: Schema) -> None:
    """Give a catalogue of layout 1 or 2 what layout 3 says about an FDE."""
    if not schema.has_fde:
        connection.execute(_FDE)
        return
    (content,) = connection.execute("SELECT content FROM fde").fetchone()
    meta = {"fde": fde_digest(content), "fde_when": "always"}
    connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())


def _downgrade(connection: sqlite3.Connection, features: frozenset[str]) -> Schema:
    """Take back what `_upgrade` did: documents without digests are of layout 1 or 2."""
    connection.execute("DELETE FROM meta WHERE name IN ('features', 'fde', 'fde_when')")
    if FDE not in features:
        connection.execute("DROP TABLE fde")
    layout = 2 if FDE in features else 1
    connection.execute(f"PRAGMA user_version = {layout}")
    return Schema(layout, features)


def fde_digest(content: bytes) -> str:
    """The digest of the stored bytes of an FDE."""
    return blake2b(content, digest_size=16).hexdigest()


def digest(*values: str) -> bytes:
    """A digest of texts, 16 bytes: BLAKE2b over the length and the UTF-8 of each."""
    state = blake2b(digest_size=16)
    for value in values:
        content = value.encode()
        state.update(len(content).to_bytes(8, "little"))
        state.update(content)
    return state.digest()


def _tables(layout: int, features: frozenset[str]) -> tuple[str, ...]:
    """The statements of all tables that a catalogue of that layout and those features has."""
    documents = _DOCUMENTS if DIGESTS in features or layout == LAYOUT else _OLD_DOCUMENTS
    fde = (_FDE,) if layout >= 2 else ()
    of_features = (
        statement
        for feature in features
        for tables in (_TABLES_OF, _SHADOWS_OF)
        for statement in tables.get(feature, ())
    )
    return (_META, documents, _SEGMENTS, _TOMBSTONES, *fde, *of_features, _SEQUENCE)


@lru_cache(maxsize=8)  # because every write checks it
def _difference(entries: tuple[tuple[object, ...], ...], layout: int, features: frozenset[str]) -> str | None:
    """How the entries (type, name, sql) of a database differ from those of a catalogue; None if
    they do not.
    """
    expected = {_words(statement) for statement in _tables(layout, features)}
    for kind, name, statement in entries:
        if kind == "index" and statement is None:  # SQLite makes it for UNIQUE
            continue
        if (
            kind not in ("table", "index")
            or not isinstance(statement, str)
            or _words(statement) not in expected
        ):
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
