"""The catalogue: a SQLite database of the documents, and of which segments and passages count.

A commit here is a commit of the index: a segment that no transaction has named does not count. A document is
never changed in place: an upsert gives it a new key, and the old key becomes a tombstone.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from femtosearch.disk import on_disk
from femtosearch.errors import CorruptError
from femtosearch.frozen import frozen
from femtosearch.index import connection as connections
from femtosearch.index.database import Database
from femtosearch.index.schema import Origin, digest, read_schema
from femtosearch.index.segment_header import Summary
from femtosearch.index.segments import OutdatedError
from femtosearch.index.sources import (
    FileRow,
    Place,
    Source,
    place_damage,
    read_files,
    read_places,
    read_sources,
)
from femtosearch.index.tables import (
    ALWAYS,
    read_counts,
    read_fde_content,
    read_fde_digest,
    read_row_bits,
    read_segments,
    read_tombstones,
    rising,
)
from femtosearch.types import Document

T = TypeVar("T")

_CHUNK = 500  # parameters of one statement


@frozen(eq=False)
class State:
    """The state of the catalogue at one moment.

    version:     equal to `Catalog.version()` as long as nothing has been committed since.
    segments:    by number, in the order of their first keys, which is the order of their documents.
    tombstones:  [*] int64, rising: keys whose passages may still lie in a segment and do not count.
    fde:         the digest of the FDE, or None where the index has none.
    layout:      the number of the catalogue's layout.
    has_words:   whether there is the table of words; has_plain_words: whether it has them in plain letters.
    counts:      how many tokens were encoded, and how many of them are unknown to the model; None if an older
                 femtosearch made the index, which did not count them.
    row_bits:    how many bits a number of the rows has, 8 or 4.
    """

    version: tuple[int, ...]
    segments: dict[int, Summary]
    tombstones: np.ndarray
    fde: str | None
    layout: int
    has_words: bool = False
    has_plain_words: bool = False
    counts: tuple[int, int] | None = None
    row_bits: int = 8


class Catalog(Database):
    """The catalogue of one index, as far as it is read. `Transaction` has what changes it."""

    @classmethod
    def in_memory(cls, origin: Origin, fde: bytes | None = None, when: str = ALWAYS) -> Catalog:
        """Make a catalogue in memory, which ends with its process."""
        catalog = cls(None)
        catalog.origin = origin
        catalog._reader = connections.connect_to_memory()
        connections.fill(catalog._reader, origin, fde, when)
        return catalog

    @on_disk
    def state(self) -> State:
        """The state as of the last commit."""
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
        """The document with that id, or None."""
        query = "SELECT * FROM documents WHERE id = ?"
        row = self.read(lambda reader: reader.execute(query, (document_id,)).fetchone())
        return None if row is None else self.document(row)

    @on_disk
    def get_all(self, document_ids: Sequence[str]) -> dict[str, Document]:
        """The documents with those ids, by id, as of one moment; ids that no document has are left out."""
        return {row[1]: self.document(row) for row in self._select("*", document_ids, "id")}

    @on_disk
    def fetch(self, keys: Sequence[int]) -> dict[int, Document]:
        """The documents with those keys, by key, as of one moment; keys that no longer exist are left out."""
        return {row[0]: self.document(row) for row in self._select("*", keys)}

    @on_disk
    def ids(self, keys: Sequence[int]) -> dict[int, str]:
        """The ids of the documents with those keys, by key; keys that no longer exist are left out."""
        return dict(self._select("key, id", keys))

    @on_disk
    def keys(self, document_ids: Sequence[str]) -> dict[str, int]:
        """The keys of the documents with those ids, by id; ids that no document has are left out."""
        return {name: key for key, name in self._select("key, id", document_ids, "id")}

    @on_disk
    def rows(self, after: int, limit: int) -> list[tuple[Any, ...]]:
        """At most `limit` rows of documents with the smallest keys above `after`, rising; see `document`."""
        return self.read_rows(
            "SELECT * FROM documents WHERE key > ? ORDER BY key LIMIT ?", (after, limit), after
        )

    @on_disk
    def read_rows(self, query: str, parameters: Sequence[Any], after: int) -> list[tuple[Any, ...]]:
        """Run a query for rows of documents, whose keys must rise and be above `after`. Raises
        CorruptError.
        """

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
        """The places in files of the documents with those keys; documents that no file gave are left out."""

        def places(reader: sqlite3.Connection) -> dict[int, Place]:
            chunks = [[*keys[at : at + _CHUNK]] for at in range(0, len(keys), _CHUNK)]
            return {key: place for chunk in chunks for key, place in read_places(reader, chunk).items()}

        return self.read(lambda reader: self._of_sources(reader, places, {}))

    @on_disk
    def places_of(self, ids: Sequence[str]) -> dict[str, Place]:
        """The places in files of the documents with those ids; documents that no file gave are left out."""

        def places(reader: sqlite3.Connection) -> dict[str, Place]:
            places_of: dict[str, Place] = {}
            for at in range(0, len(ids), _CHUNK):
                chunk = [*ids[at : at + _CHUNK]]
                names = dict(reader.execute(_by("id", "key, id", len(chunk)), chunk))
                places_of.update({names[key]: place for key, place in read_places(reader, [*names]).items()})
            return places_of

        return self.read(lambda reader: self._of_sources(reader, places, {}))

    @on_disk
    def place_damage(self) -> list[str]:
        """What is wrong with the tables of sources."""
        return self.read(lambda reader: self._of_sources(reader, lambda _: list(place_damage(reader)), []))

    def _of_sources(self, reader: sqlite3.Connection, query: Callable[[sqlite3.Connection], T], none: T) -> T:
        """Run a query on the tables of sources; `none` is the answer where there are no such tables."""
        return query(reader) if read_schema(reader, self.place).has_sources else none

    @on_disk
    def read_at(self, state: State, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run a query that sees the catalogue as of a state. Raises OutdatedError if there was a
        commit since.
        """

        def checked(reader: sqlite3.Connection) -> T:
            self._check_current(state, self._version_of(reader))
            return query(reader)

        return self.read(checked)

    @on_disk
    def read_long_at(self, state: State, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run a long query as `read_at` does, but on a connection of its own, so that other threads can read
        meanwhile; not so for an index in memory.
        """

        def checked(reader: sqlite3.Connection) -> T:
            reader.execute("SELECT count(*) FROM meta").fetchone()  # from here on it sees one moment
            self._check_current(state, self.version())
            return query(reader)

        return self.read_at(state, query) if self._path is None else self.read_apart(checked)

    def _check_current(self, state: State, version: tuple[int, ...]) -> None:
        if version != state.version:
            raise OutdatedError(f"{self.place}: it has moved on since it was read")

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

    def _state_of(self, reader: sqlite3.Connection) -> State:
        schema = read_schema(reader, self.place)
        segments, tombstones = read_segments(reader), read_tombstones(reader)
        fde = read_fde_digest(reader, schema)
        version = self._version_of(reader)
        counts = read_counts(reader)
        bits = read_row_bits(reader, schema)
        words = schema.has_words, schema.has_plain_words
        return State(version, segments, tombstones, fde, schema.layout, *words, counts, bits)

    def _select(self, columns: str, keys: Sequence[int | str], by: str = "key") -> list[tuple[Any, ...]]:
        def rows(reader: sqlite3.Connection) -> list[tuple[Any, ...]]:
            chunks = [keys[at : at + _CHUNK] for at in range(0, len(keys), _CHUNK)]
            return [row for chunk in chunks for row in reader.execute(_by(by, columns, len(chunk)), chunk)]

        return self.read(rows)


def _by(name: str, columns: str, count: int) -> str:
    """A query for columns of the documents whose column `name` is one of `count` parameters."""
    return f"SELECT {columns} FROM documents WHERE {name} IN ({','.join('?' * count)})"
