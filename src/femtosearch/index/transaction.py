"""The changes that one commit makes to the catalogue's tables."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from femtosearch.codes import Order
from femtosearch.disk import on_disk
from femtosearch.errors import CorruptError
from femtosearch.index import fields, words
from femtosearch.index.documents import Draft
from femtosearch.index.schema import (
    COUNTS,
    FIELDS,
    NEWEST,
    PLAIN,
    SOURCES,
    SPLIT,
    WORDS,
    Schema,
    add_feature,
    digest,
    drop_feature,
)
from femtosearch.index.segment_header import Summary
from femtosearch.index.sources import SourceTable, are_marks
from femtosearch.index.tables import (
    ALWAYS,
    LARGE,
    checked,
    read_fde_content,
    read_fde_digest,
    read_row_bits,
    read_segments,
    read_tombstones,
    segment_row,
    write_fde,
    write_row_bits,
)
from femtosearch.index.where import Filter, compile_filter
from femtosearch.index.where.tree import Path


class Transaction:
    """The changes of one commit. Every method raises StoreError."""

    def __init__(self, connection: sqlite3.Connection, schema: Schema, place: str) -> None:
        self.place = place
        self.removes = False  # whether a document has been taken out, or another put in its place
        self._connection = connection
        self._schema = schema
        self._fde_digest: str | None = None  # these four are read when first needed, and then kept
        self._row_bits: int | None = None
        self._segments: dict[int, Summary] | None = None
        self._declared: dict[Path, int] | None = None

    @on_disk
    def put(self, draft: Draft) -> int:
        """Store a document that has an id; it replaces one with the same id. Returns its key, which is larger
        than all before.
        """
        chosen = str(draft.id)
        self.remove(chosen)
        row: tuple[object, ...] = (chosen, draft.text, draft.metadata)
        if self._schema.has_digests:
            row = (*row, digest(chosen, draft.text, draft.metadata))
        marks = ", ".join("?" * len(row))
        columns = ("id", "text", "metadata", "digest")[: len(row)]
        insert = f"INSERT INTO documents ({', '.join(columns)}) VALUES ({marks})"
        key = checked(self._connection.execute(insert, row).lastrowid or 0, "a document's key")
        if self._schema.has_words:
            in_plain = self._schema.has_plain_words
            words.add(self._connection, key, chosen, draft.text, draft.metadata, in_plain=in_plain)
        if self._schema.has_fields:
            if self._declared is None:
                self._declared = fields.declared(self._connection)
            fields.add(self._connection, key, self._declared)
        return key

    @on_disk
    def remove(self, document_id: str) -> bool:
        """Delete a document. Returns whether there was one."""
        key = self._key(document_id)
        if key is None:
            return False
        self.remove_key(key)
        return True

    @on_disk
    def remove_key(self, key: int) -> None:
        """Delete the document of a key, which becomes a tombstone."""
        self.removes = True
        if self._schema.has_words:
            words.remove(self._connection, key, in_plain=self._schema.has_plain_words)
        if self._schema.has_fields:
            fields.remove(self._connection, key)
        self._connection.execute("DELETE FROM documents WHERE key = ?", (key,))
        self._connection.execute("INSERT OR IGNORE INTO dead VALUES (?)", (key,))
        if self._schema.has_sources:
            self._connection.execute("DELETE FROM origins WHERE key = ?", (key,))

    @on_disk
    def count_tokens(self, tokens: int, unknown: int) -> None:
        """Add to the counts of encoded and unknown tokens; an older index has no counts."""
        update = "UPDATE meta SET value = value + ? WHERE name = ?"
        self._connection.executemany(update, zip((tokens, unknown), COUNTS, strict=True))

    @on_disk
    def stored(self, document_id: str) -> tuple[int, str, str] | None:
        """The key, text and metadata (as JSON text) of a document by its id, as this transaction sees it."""
        query = "SELECT key, text, metadata FROM documents WHERE id = ?"
        row: tuple[int, str, str] | None = self._connection.execute(query, (document_id,)).fetchone()
        return row

    @on_disk
    def stored_key(self, key: int) -> tuple[str, str, str] | None:
        """The id, text and metadata (as JSON text) of a document by its key, as this transaction sees it."""
        query = "SELECT id, text, metadata FROM documents WHERE key = ?"
        row: tuple[str, str, str] | None = self._connection.execute(query, (key,)).fetchone()
        return row

    @on_disk
    def sources(self) -> SourceTable:
        """The tables of sources, made if there are none; then the index gets the feature `sources`."""
        if not self._schema.has_sources:
            self._schema = add_feature(self._connection, self._schema, SOURCES)
        return SourceTable(self._connection, self.place)

    @on_disk
    def dead_share(self) -> float:
        """How many tombstones there are for each document."""
        (dead,) = self._connection.execute("SELECT count(*) FROM dead").fetchone()
        (living,) = self._connection.execute("SELECT count(*) FROM documents").fetchone()
        return float(dead / max(1, living))

    @on_disk
    def ids(self, filter: Filter) -> list[str]:
        """The ids of the documents that pass a filter, in the order in which they were added."""
        condition = compile_filter(filter, fields.declared(self._connection))
        query = f"SELECT id FROM documents WHERE {condition.sql} ORDER BY key"
        return [name for (name,) in self._connection.execute(query, condition.parameters)]

    @on_disk
    def key_of(self, document_id: str) -> int | None:
        """The key of a document, or None if there is none."""
        return self._key(document_id)

    @on_disk
    def replace_metadata(self, key: int, change: Callable[[str], str]) -> int:
        """Change the metadata of the document of a key. Returns its new key, or the same if nothing
        changed.
        """
        query = "SELECT id, text, metadata, * FROM documents WHERE key = ?"
        name, text, metadata, *row = self._connection.execute(query, (key,)).fetchone()
        if self._schema.has_digests and row[-1] != digest(name, text, metadata):
            raise CorruptError(f"{self.place}: document {name[:80]!r} is damaged; add it again")
        changed = change(metadata)
        if changed == metadata:
            return key
        return self.renew(key, Draft(name, text, changed))

    @on_disk
    def renew(self, key: int, draft: Draft) -> int:
        """Replace the document of a key by one with the same id, of the same file. Returns the new key."""
        origin = "SELECT file, name, turn, marks FROM origins WHERE key = ?"
        origins = self._connection.execute(origin, (key,)).fetchall() if self._schema.has_sources else []
        renewed = self.put(draft)
        for row in origins:
            self._connection.execute("INSERT INTO origins VALUES (?, ?, ?, ?, ?)", (renewed, *row))
        return renewed

    @on_disk
    def segments(self) -> dict[int, Summary]:
        """All segments by number, in the order of their first keys."""
        if self._segments is None:
            self._segments = read_segments(self._connection)
        return self._segments

    @on_disk
    def tombstones(self) -> np.ndarray:
        """The keys of deleted documents, [*] int64, rising."""
        return read_tombstones(self._connection)

    @on_disk
    def fde_digest(self) -> str | None:
        """The digest of the FDE that the index has, or None."""
        if self._fde_digest is None:
            self._fde_digest = read_fde_digest(self._connection, self._schema)
        return self._fde_digest

    @on_disk
    def fde_content(self) -> bytes:
        """The bytes of the FDE that the index has."""
        return read_fde_content(self._connection)

    @on_disk
    def fde_when(self) -> str:
        """ALWAYS if every segment gets FDEs, LARGE if they are made when the index has grown large."""
        rows = self._connection.execute("SELECT value FROM meta WHERE name = 'fde_when'").fetchall()
        return LARGE if rows and rows[0][0] == LARGE else ALWAYS

    @on_disk
    def set_fde(self, content: bytes | None, when: str = ALWAYS) -> None:
        """Replace or remove the bytes of the FDE; the caller rewrites the segments in this commit."""
        self._schema = write_fde(self._connection, self._schema, content, when)
        self._fde_digest = None

    @property
    def fde_order(self) -> Order:
        """The order of the FDEs of new segments: one that every femtosearch knows that can read the
        catalogue.
        """
        return Order.SPLIT if self._schema.has_split else Order.SLICES

    @on_disk
    def split_fdes(self) -> None:
        """Write new segments with split FDEs from now on, unless the index has an older layout, which older
        versions of femtosearch have to stay able to read.
        """
        if self._schema.layout >= NEWEST:
            self._schema = add_feature(self._connection, self._schema, SPLIT)

    @on_disk
    def row_bits(self) -> int:
        """The bits of a number of the rows, 8 or 4."""
        if self._row_bits is None:
            self._row_bits = read_row_bits(self._connection, self._schema)
        return self._row_bits

    @on_disk
    def set_row_bits(self, bits: int) -> None:
        """Store how many bits a number of the rows has, 8 or 4; the caller rewrites the segments in this
        commit.
        """
        self._schema = write_row_bits(self._connection, self._schema, bits)
        self._row_bits = None

    @on_disk
    def reindex(self) -> None:
        """Make SQLite's own indexes anew."""
        self._connection.execute("REINDEX")

    @on_disk
    def revive(self) -> list[int]:
        """Remove the tombstones of documents that exist. Returns their keys."""
        query = "SELECT key FROM dead WHERE key IN (SELECT key FROM documents) ORDER BY key"
        keys = [key for (key,) in self._connection.execute(query).fetchall()]
        self._connection.executemany("DELETE FROM dead WHERE key = ?", [(key,) for key in keys])
        return keys

    @on_disk
    def bury(self, keys: Sequence[int]) -> None:
        """Add tombstones for keys whose passages may still lie in a segment."""
        self._connection.executemany("INSERT OR IGNORE INTO dead VALUES (?)", [(key,) for key in keys])

    @on_disk
    def known_keys(self, keys: Iterable[int]) -> set[int]:
        """The keys among these that are a document's or a tombstone's."""
        living = {key for (key,) in self._connection.execute("SELECT key FROM documents")}
        return set(keys) & (living | set(self.tombstones().tolist()))

    @on_disk
    def texts(self, first: int, end: int) -> dict[int, str]:
        """The texts of the documents with keys from `first` to below `end`, by rising key, without
        damaged ones.
        """
        query = "SELECT * FROM documents WHERE key >= ? AND key < ? ORDER BY key"
        rows = self._connection.execute(query, (first, end))
        return {row[0]: row[2] for row in rows if self._is_intact(row)}

    @on_disk
    def without(self, keys: set[int]) -> dict[int, tuple[str, str, str]]:
        """The documents with other keys than these, without damaged ones: key -> id, text and metadata."""
        rows = self._connection.execute("SELECT * FROM documents ORDER BY key")
        return {row[0]: row[1:4] for row in rows if row[0] not in keys and self._is_intact(row)}

    @on_disk
    def read_again(self) -> list[str]:
        """Mark the files of damaged documents, and of documents whose place in the file is damaged, so that
        the next refresh reads them. Returns the ids of these documents.
        """
        if not self._schema.has_sources:
            return []
        query = """
        SELECT documents.*, origins.file, origins.marks FROM origins JOIN documents USING (key) ORDER BY key
        """
        damaged = [
            (str(name), file)
            for key, name, *columns, file, marks in self._connection.execute(query)
            if not (self._is_intact((key, name, *columns)) and are_marks(marks))
        ]
        update = "UPDATE files SET stamp = '', digest = x'' WHERE number = ?"
        self._connection.executemany(update, [(file,) for _, file in damaged])
        return [name for name, _ in damaged]

    def _is_intact(self, row: Sequence[Any]) -> bool:
        try:
            return not self._schema.has_digests or row[4] == digest(*row[1:4])
        except (AttributeError, UnicodeError):  # what should be a text is none
            return False

    @property
    def has_fields(self) -> bool:
        """Whether fields are declared."""
        return self._schema.has_fields

    @property
    def has_words(self) -> bool:
        """Whether the index has the table of words."""
        return self._schema.has_words

    @on_disk
    def set_words(self, enabled: bool) -> None:
        """Make the table of words from all documents, in plain letters, or remove it."""
        for feature in (WORDS, PLAIN):
            change = add_feature if enabled else drop_feature
            self._schema = change(self._connection, self._schema, feature)
        if enabled:
            words.rebuild(self._connection)

    @on_disk
    def set_fields(self, paths: Iterable[Path] | None) -> None:
        """Declare the fields whose values have indexes, in place of those before; None makes the
        table anew.
        """
        before = fields.declared(self._connection)
        chosen = list(before if paths is None else paths)
        if not chosen:
            self._schema = drop_feature(self._connection, self._schema, FIELDS)
        else:
            self._schema = add_feature(self._connection, self._schema, FIELDS)
            fields.declare(self._connection, chosen)
        self._declared = None

    @on_disk
    def next_number(self) -> int:
        """The number of the next segment: never one that was used before, because readers may still
        know it.
        """
        row = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'segments'").fetchone()
        last = checked(row[0], "the last segment's number") if row else 0
        highest = self._connection.execute("SELECT max(number) FROM segments").fetchone()[0]
        if highest is not None and checked(highest, "a segment's number") > last:
            raise sqlite3.DatabaseError("a segment's number is beyond the last one")
        return 1 + last

    @on_disk
    def add_segments(self, segments: dict[int, Summary]) -> None:
        """Add finished segments to the catalogue. They become visible at commit."""
        rows = [(number, *segment_row(summary)) for number, summary in segments.items()]
        self._connection.executemany("INSERT INTO segments VALUES (?, ?, ?, ?, ?, ?)", rows)
        self._segments = None

    @on_disk
    def drop_segments(self, numbers: Sequence[int], keys: Iterable[int]) -> None:
        """Remove segments from the catalogue, and the tombstones of keys that are in no other segment."""
        self._connection.executemany("DELETE FROM segments WHERE number = ?", [(n,) for n in numbers])
        self._connection.executemany("DELETE FROM dead WHERE key = ?", [(int(key),) for key in keys])
        self._segments = None

    @on_disk
    def shrink(self) -> None:
        """Remove all tombstones, whose keys are in no segment any more, and give free pages back to
        the disk.
        """
        self._connection.execute("DELETE FROM dead")
        self._connection.execute("PRAGMA incremental_vacuum").fetchall()

    @on_disk
    def commit(self) -> None:
        """Commit the transaction."""
        self._connection.execute("COMMIT")

    def _key(self, document_id: str) -> int | None:
        row = self._connection.execute("SELECT key FROM documents WHERE id = ?", (document_id,)).fetchone()
        return None if row is None else int(row[0])
