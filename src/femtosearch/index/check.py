"""The check for damage: every checksum of an index is verified, and its catalogue compared with its
segments.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import numpy as np

from femtosearch.errors import CorruptError, StoreError
from femtosearch.frozen import frozen
from femtosearch.index.catalog import Catalog, State
from femtosearch.index.check_words import word_damage
from femtosearch.index.encoding import Encoding, widths_of
from femtosearch.index.fields import differing
from femtosearch.index.segment import Segment
from femtosearch.index.segments import OutdatedError, check_widths, open_segment
from femtosearch.index.store import Store

_ATTEMPTS = 20  # beside writers; then they have to wait
_PAGE = 256  # documents that are read at a time
_MOST_PROBLEMS = 100  # that SQLite reports


@frozen
class Damage:
    """One damage of an index. place: the file or document that it is in; message: what is wrong."""

    place: str
    message: str


def verify(store: Store) -> list[Damage]:
    """All damage of a store, none if it is whole. Raises StoreError if it cannot be read at all.

    Every byte of every segment is read, and every document of the catalogue.
    """
    damage = store.beside_writers(lambda: _verify_once(store), _ATTEMPTS)
    if damage is None:
        raise StoreError(f"{store.catalog.place}: it was changed faster than it could be checked: try again")
    return damage


def _verify_once(store: Store) -> list[Damage] | None:
    """All damage of a store; None where something looks damaged and the index has moved on meanwhile."""
    state = store.catalog.state()
    damage = list(_database_damage(store.catalog))
    try:
        damage += _content_damage(store, state)
    except OutdatedError as error:
        damage = [Damage(store.directory.place, str(error))]
    except CorruptError as error:  # of a table that cannot be read to its end
        damage.append(Damage(store.catalog.place, str(error)))
    return damage if not damage or store.catalog.version() == state.version else None


def _database_damage(catalog: Catalog) -> Iterator[Damage]:
    """The damage that SQLite finds in the pages and indexes of the database."""
    query = f"PRAGMA integrity_check({_MOST_PROBLEMS})"
    try:
        messages = catalog.read(lambda reader: reader.execute(query).fetchall())
    except sqlite3.DatabaseError as error:
        messages = [(str(error),)]
    yield from (Damage(catalog.place, str(message)) for (message,) in messages if message != "ok")


def _content_damage(store: Store, state: State) -> Iterator[Damage]:
    """The damage of documents, of the tables made from them, of the FDE and of segments."""
    lengths: dict[int, int] = {}
    yield from _document_damage(store.catalog, lengths)
    if state.has_words:
        yield from _word_damage(store.catalog, in_plain=state.has_plain_words)
    yield from (Damage(store.catalog.place, message) for message in store.catalog.place_damage())
    for path in store.catalog.ask(differing):
        yield Damage(store.catalog.place, f"the values of the key {'.'.join(path)!r} are not the documents'")
    encoding = None
    try:
        encoding = store.encoding(state)
    except OutdatedError:
        raise
    except CorruptError as error:
        yield Damage(store.catalog.place, str(error))
    yield from _segment_damage(store, state, encoding, lengths)


def _document_damage(catalog: Catalog, lengths: dict[int, int]) -> Iterator[Damage]:
    """The damage of documents. Puts the length of each text, in characters, into `lengths` by key."""
    after = -1
    while rows := catalog.rows(after, _PAGE):
        for key, *columns in rows:
            try:
                lengths[key] = len(catalog.document((key, *columns)).text)
            except CorruptError as error:
                lengths[key] = len(str(columns[1]))
                yield Damage(f"document {str(columns[0])[:80]!r}", str(error))
        after = rows[-1][0]


def _word_damage(catalog: Catalog, *, in_plain: bool) -> Iterator[Damage]:
    """The damage of the table of words. It costs no document, for the table can be made anew."""
    try:
        yield from (Damage(catalog.place, message) for message in word_damage(catalog, in_plain=in_plain))
    except sqlite3.DatabaseError as error:
        yield Damage(catalog.place, f"the table of words: {error}")


def _segment_damage(
    store: Store, state: State, encoding: Encoding | None, lengths: dict[int, int]
) -> Iterator[Damage]:
    """The damage of segments, and where they disagree with the catalogue."""
    for number, summary in state.segments.items():
        try:
            segment = open_segment(store.directory, number, summary, store.origin.dims)
            segment.verify()
            segment.check_scales()
            segment.check_fde_scales()
            if encoding is not None:
                check_widths(segment, widths_of(store.origin.dims, encoding))
        except OutdatedError:
            raise
        except StoreError as error:
            yield Damage(f"segment {number}", str(error))
        else:
            yield from _unknown_passages(segment, state.tombstones, lengths)
    for key in np.intersect1d(state.tombstones, np.array(list(lengths), np.int64)).tolist():
        yield Damage(store.catalog.place, f"the document of key {key} is there and counted as deleted")


def _unknown_passages(segment: Segment, tombstones: np.ndarray, lengths: dict[int, int]) -> Iterator[Damage]:
    """Passages whose document does not exist, and passages beyond the end of their document."""
    keys = segment.keys.tolist()
    dead = set(tombstones.tolist())
    lost = {key for key in keys if key not in lengths and key not in dead}
    for key in sorted(lost):
        yield Damage(segment.name, f"passages of a document that is not in the catalog (key {key})")
    ends = zip(keys, segment.spans[:, 1].tolist(), strict=True)
    beyond = {key for key, end in ends if key in lengths and end > lengths[key]}
    for key in sorted(beyond):
        yield Damage(segment.name, f"a passage beyond the end of its document (key {key})")
