"""Postings: which documents have a phrase, and how often, as FTS5 counts; kept from one search to the next.

The words of a document never change under its key: a document that changes gets a new key, larger than all
before. So the postings of a phrase stay true. After a commit the larger keys alone are read, and documents
that are gone are left out.

FTS5 does not say the term frequency, how often a phrase is in a document. But it follows, as a whole number,
from FTS5's BM25 of that phrase alone, the length of the document and the counts of the table.
"""

from __future__ import annotations

import math
import sqlite3
import threading
from collections import OrderedDict
from itertools import count
from typing import Any

import numpy as np

from femtosearch.frozen import frozen
from femtosearch.index.keys import contains

K1, B = 1.2, 0.75  # of FTS5, which has no others
MOST_FREQUENCIES = 100_000  # phrases whose document frequencies are kept
MOST_CACHED = 1 << 22  # occurrences of phrases in documents, of 16 bytes each
_LEAST = 1e-6  # the weight of a phrase that most documents have
_COLUMNS = 3  # of the table of words
_ROWS = (
    "SELECT words.rowid, -bm25(words), sz FROM words CROSS JOIN words_docsize ON id = words.rowid "
    "WHERE words MATCH ? AND words.rowid > ?"
)


@frozen(eq=False)
class Postings:
    """The documents that have a phrase.

    keys:              [K] int64, rising.
    term_frequencies:  [K] uint32, how often each has it.
    lengths:           [K] uint32, how many tokens each has.
    """

    keys: np.ndarray
    term_frequencies: np.ndarray
    lengths: np.ndarray

    def __len__(self) -> int:
        return len(self.keys)

    def only(self, chosen: np.ndarray) -> Postings:
        """The postings where `chosen`, [K] bool, is true."""
        return Postings(self.keys[chosen], self.term_frequencies[chosen], self.lengths[chosen])

    def followed_by(self, later: Postings) -> Postings:
        """These postings and later ones, all of which have larger keys."""
        return Postings(
            np.concatenate([self.keys, later.keys]),
            np.concatenate([self.term_frequencies, later.term_frequencies]),
            np.concatenate([self.lengths, later.lengths]),
        )


@frozen
class Totals:
    """The rows of a table of words, and the tokens in all of them."""

    rows: int
    tokens: int

    @property
    def average_length(self) -> float:
        """The average document length, in tokens."""
        return self.tokens / self.rows if self.rows and self.tokens else 1.0

    @classmethod
    def read(cls, reader: sqlite3.Connection) -> Totals:
        """Read the totals of the table of words. Raises sqlite3.Error."""
        averages = reader.execute("SELECT block FROM words_data WHERE id = 1").fetchone()
        numbers = _whole_numbers(averages[0]).tolist() if averages and averages[0] else []
        numbers += [0] * (1 + _COLUMNS - len(numbers))
        return cls(numbers[0], sum(numbers[1 : 1 + _COLUMNS]))


def inverse_document_frequency(rows: int, document_frequency: int) -> float:
    """The inverse document frequency by FTS5 of a phrase that so many of `rows` rows have."""
    if rows < document_frequency:
        return _LEAST
    weight = math.log((rows - document_frequency + 0.5) / (document_frequency + 0.5))
    return weight if weight > 0 else _LEAST


def document_frequency(reader: sqlite3.Connection, phrase: str, most: int = -1) -> int:
    """How many documents have a phrase, counted up to `most`; -1 counts all."""
    query = "SELECT count(*) FROM (SELECT 1 FROM words WHERE words MATCH ? LIMIT ?)"
    return int(reader.execute(query, (phrase, most)).fetchone()[0])


@frozen(eq=False)
class _Entry:
    """The entry of a phrase in the cache.

    state:     the number of the table's state when the phrase was read.
    last_key:  the largest key that the table could have had then.
    postings:  all postings that were read, including those of documents that were deleted since.
    orphans:   how many postings in the table belonged to no document of that state.
    living:    the postings of that state's documents.
    """

    state: int
    last_key: int
    postings: Postings
    orphans: int
    living: Postings


class TableState:
    """The table of words as of one commit.

    number:  larger than that of any commit before.
    keys:    [documents] int64, rising: the documents that count.
    """

    def __init__(self, cache: PostingsCache, keys: np.ndarray) -> None:
        self.number = cache.next_number()
        self.keys = keys
        self._cache = cache
        self._totals: Totals | None = None
        self._document_frequencies: dict[str, tuple[int, float]] = {}  # and how far each was counted

    def totals(self, reader: sqlite3.Connection) -> Totals:
        """The totals of the table. Raises sqlite3.Error."""
        if self._totals is None:
            self._totals = Totals.read(reader)
        return self._totals

    def document_frequency(self, reader: sqlite3.Connection, phrase: str, most: int | None = None) -> int:
        """How many documents have a phrase, counted up to `most`. Raises sqlite3.Error."""
        limit = math.inf if most is None else most
        count, counted = self._document_frequencies.get(phrase, (0, 0))
        if count == counted < limit:  # not counted yet, or not so far
            if len(self._document_frequencies) >= MOST_FREQUENCIES:
                self._document_frequencies.clear()
            count = document_frequency(reader, phrase, -1 if most is None else most)
            self._document_frequencies[phrase] = count, limit
        return count if most is None else min(count, most)

    def postings(self, reader: sqlite3.Connection, phrase: str) -> Postings:
        """The postings of a phrase in the documents of this state. Raises sqlite3.Error."""
        return self._cache.at(self, reader, phrase)


class PostingsCache:
    """A cache of the postings of the phrases that were used last. Safe to use from several threads."""

    def __init__(self) -> None:
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._size = 0
        self._lock = threading.RLock()  # not Lock: an interrupted thread must not wait for itself
        self._numbers = count()

    def next_number(self) -> int:
        """The number of the next state of the table."""
        return next(self._numbers)

    def at(self, state: TableState, reader: sqlite3.Connection, phrase: str) -> Postings:
        """The postings of a phrase in a state, which the reader sees. Raises sqlite3.Error."""
        entry = self._entry(phrase)
        if entry is not None and entry.state == state.number:
            return entry.living
        is_newer = entry is not None and entry.state > state.number
        renewed = None if entry is None or is_newer else _renewed(entry, state, reader, phrase)
        renewed = renewed or _read(state, reader, phrase)
        if not is_newer:
            self._keep(phrase, renewed)
        return renewed.living

    def _entry(self, phrase: str) -> _Entry | None:
        with self._lock:
            if phrase in self._entries:
                self._entries.move_to_end(phrase)
            return self._entries.get(phrase)

    def _keep(self, phrase: str, entry: _Entry) -> None:
        with self._lock:
            self._entries.pop(phrase, None)
            self._entries[phrase] = entry
            self._size += _size(entry)  # too large where an entry was replaced, until `_forget` counts
            if self._size > MOST_CACHED:
                self._forget()

    def _forget(self) -> None:
        """Shrink the cache to three quarters of its limit; the phrases that were used last stay."""
        self._size = sum(map(_size, self._entries.values()))
        while self._entries and self._size > 3 * MOST_CACHED // 4:
            self._size -= _size(self._entries.popitem(last=False)[1])


def _size(entry: _Entry) -> int:
    """The size of an entry in the cache: its postings, and 16 for the entry itself."""
    copied = 0 if entry.living is entry.postings else len(entry.living)
    return len(entry.postings) + copied + 16


def _read(state: TableState, reader: sqlite3.Connection, phrase: str) -> _Entry:
    """Read all postings of a phrase."""
    postings = _postings(state, reader, phrase)
    living = _living(postings, state)
    return _Entry(state.number, _last_key(state, postings), postings, len(postings) - len(living), living)


def _renewed(entry: _Entry, state: TableState, reader: sqlite3.Connection, phrase: str) -> _Entry | None:
    """Bring an entry to a later state by reading the larger keys alone; None if that does not give what the
    table has now, because it was made anew, or if most of the entry's documents were deleted.
    """
    postings = entry.postings.followed_by(_postings(state, reader, phrase, entry.last_key))
    living = _living(postings, state)
    frequency = state.document_frequency(reader, phrase)
    if frequency - len(living) != entry.orphans or len(postings) > 2 * frequency + 64:
        return None
    return _Entry(state.number, _last_key(state, postings), postings, entry.orphans, living)


def _last_key(state: TableState, postings: Postings) -> int:
    return int(max([-1, *state.keys[-1:].tolist(), *postings.keys[-1:].tolist()]))


def _living(postings: Postings, state: TableState) -> Postings:
    """The postings of the documents of a state."""
    lives = contains(state.keys, postings.keys)
    return postings if lives.all() else postings.only(lives)


def _postings(state: TableState, reader: sqlite3.Connection, phrase: str, after: int = -1) -> Postings:
    """Read the postings of a phrase whose keys are above `after`."""
    rows: list[tuple[int, float, Any]] = reader.execute(_ROWS, (phrase, after)).fetchall()
    if not rows:
        return Postings(np.empty(0, np.int64), np.empty(0, np.uint32), np.empty(0, np.uint32))
    keys, scores, sizes = zip(*rows, strict=True)
    totals, lengths = state.totals(reader), _lengths(sizes)
    idf = inverse_document_frequency(totals.rows, state.document_frequency(reader, phrase))
    saturation = np.array(scores, np.float64) / idf  # tf (K1 + 1) / (tf + norm)
    norm = K1 * (1 - B + B * lengths / totals.average_length)
    with np.errstate(all="ignore"):
        term_frequencies = np.rint(saturation * norm / (K1 + 1 - saturation))
    if not ((term_frequencies >= 1) & (term_frequencies < 1 << 31)).all():
        raise sqlite3.DatabaseError("the table of words is damaged: a score fits no term frequency")
    postings = Postings(
        np.array(keys, np.int64), term_frequencies.astype(np.uint32), lengths.astype(np.uint32)
    )
    rising = (np.diff(postings.keys) > 0).all()
    return postings if rising else postings.only(np.argsort(postings.keys))


def _lengths(sizes: tuple[Any, ...]) -> np.ndarray:
    """The lengths of documents in tokens, from what the table has of their columns: [K] int64."""
    if not all(isinstance(size, bytes) for size in sizes):
        raise sqlite3.DatabaseError("the table of words is damaged: a length is not stored as bytes")
    numbers = _whole_numbers(b"".join(sizes))
    if len(numbers) != _COLUMNS * len(sizes):
        raise sqlite3.DatabaseError("the table of words is damaged: a document's length is missing")
    return np.asarray(numbers.reshape(-1, _COLUMNS).sum(axis=1))


def _whole_numbers(content: bytes) -> np.ndarray:
    """Decode SQLite's variable-length integers, the highest seven bits first: [N] int64."""
    digits = np.frombuffer(content, np.uint8).astype(np.int64)
    ends = np.flatnonzero(digits < 0x80)
    if not len(ends):
        return np.empty(0, np.int64)
    starts = np.concatenate([[0], ends[:-1] + 1])
    behind = np.repeat(ends, ends - starts + 1) - np.arange(ends[-1] + 1)
    return np.add.reduceat((digits[: ends[-1] + 1] & 0x7F) << (7 * np.minimum(behind, 8)), starts)
