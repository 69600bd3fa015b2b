"""Which documents have a phrase, and how often, as FTS5 counts it; kept from one search to the next.

The words of a document never change under its key: a document that changes gets a new key, larger than all
before. So what was read of a phrase stays true. After a commit the larger keys alone are read, and documents
that are gone are left out.

FTS5 does not say how often a phrase is in a document. But from its score of one phrase, the length of the
document and the counts of the table it follows, a whole number.
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
MOST_FREQUENCIES = 100_000  # that are remembered
MOST_REMEMBERED = 1 << 22  # occurrences of phrases in documents, of 16 bytes each
_LEAST = 1e-6  # the weight of a phrase that most documents have
_COLUMNS = 3  # of the table of words
_ROWS = (
    "SELECT words.rowid, -bm25(words), sz FROM words CROSS JOIN words_docsize ON id = words.rowid "
    "WHERE words MATCH ? AND words.rowid > ?"
)


@frozen(eq=False)
class Postings:
    """The documents that have a phrase.

    keys:    [K] int64, rising.
    times:   [K] uint32, how often each has it.
    tokens:  [K] uint32, how long each is.
    """

    keys: np.ndarray
    times: np.ndarray
    tokens: np.ndarray

    def __len__(self) -> int:
        return len(self.keys)

    def those(self, chosen: np.ndarray) -> Postings:
        """Some of them. chosen: [K] bool."""
        return Postings(self.keys[chosen], self.times[chosen], self.tokens[chosen])

    def followed_by(self, others: Postings) -> Postings:
        """Both, of which the others have larger keys."""
        return Postings(
            np.concatenate([self.keys, others.keys]),
            np.concatenate([self.times, others.times]),
            np.concatenate([self.tokens, others.tokens]),
        )


@frozen
class Totals:
    """The rows of a table of words, and the tokens in all of them."""

    rows: int
    tokens: int

    @property
    def mean_length(self) -> float:
        """The tokens of a document, on average."""
        return self.tokens / self.rows if self.rows and self.tokens else 1.0

    @classmethod
    def read(cls, reader: sqlite3.Connection) -> Totals:
        """Those of the table. Raises sqlite3.Error."""
        averages = reader.execute("SELECT block FROM words_data WHERE id = 1").fetchone()
        numbers = _whole_numbers(averages[0]).tolist() if averages and averages[0] else []
        numbers += [0] * (1 + _COLUMNS - len(numbers))
        return cls(numbers[0], sum(numbers[1 : 1 + _COLUMNS]))


def rarity(rows: int, count: int) -> float:
    """The weight that FTS5 gives to a phrase that so many of its rows have."""
    weight = math.log((rows - count + 0.5) / (count + 0.5)) if rows >= count else 0.0
    return weight if weight > 0 else _LEAST


def frequency(reader: sqlite3.Connection, phrase: str, most: int = -1) -> int:
    """How many documents have a phrase, counted up to `most`; -1 counts all."""
    query = "SELECT count(*) FROM (SELECT 1 FROM words WHERE words MATCH ? LIMIT ?)"
    return int(reader.execute(query, (phrase, most)).fetchone()[0])


@frozen(eq=False)
class _Entry:
    """What is remembered of a phrase.

    number:  of the table's state when it was read.
    last:    the largest key that the table may have had then.
    read:    all that was read, of documents that are gone, too; without: how many rows of the table no key
             of the state was for.
    current: those that were there in that state.
    """

    number: int
    last: int
    read: Postings
    without: int
    current: Postings


class TableState:
    """The table of words as of one commit.

    number:  larger than that of any commit before.
    keys:    [documents] int64, rising: the documents that count.
    """

    def __init__(self, remembered: Remembered, keys: np.ndarray) -> None:
        self.number = remembered.next_number()
        self.keys = keys
        self._remembered = remembered
        self._totals: Totals | None = None
        self._frequencies: dict[str, tuple[int, float]] = {}  # and how far each was counted

    def totals(self, reader: sqlite3.Connection) -> Totals:
        """What the table has in all. Raises sqlite3.Error."""
        if self._totals is None:
            self._totals = Totals.read(reader)
        return self._totals

    def frequency(self, reader: sqlite3.Connection, phrase: str, most: int | None = None) -> int:
        """How many documents have a phrase, counted up to `most`. Raises sqlite3.Error."""
        limit = math.inf if most is None else most
        count, counted = self._frequencies.get(phrase, (0, 0))
        if count == counted < limit:  # not counted yet, or not so far
            if len(self._frequencies) >= MOST_FREQUENCIES:
                self._frequencies.clear()
            count = frequency(reader, phrase, -1 if most is None else most)
            self._frequencies[phrase] = count, limit
        return count if most is None else min(count, most)

    def postings(self, reader: sqlite3.Connection, phrase: str) -> Postings:
        """Those of the documents that count. Raises sqlite3.Error."""
        return self._remembered.at(self, reader, phrase)


class Remembered:
    """The postings of phrases that were asked for, the last ones of all. Safe to use from several threads."""

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
        if entry is not None and entry.number == state.number:
            return entry.current
        newer = entry is not None and entry.number > state.number
        renewed = None if entry is None or newer else _renewed(entry, state, reader, phrase)
        renewed = renewed or _read(state, reader, phrase)
        if not newer:
            self._keep(phrase, renewed)
        return renewed.current

    def _entry(self, phrase: str) -> _Entry | None:
        with self._lock:
            if phrase in self._entries:
                self._entries.move_to_end(phrase)
            return self._entries.get(phrase)

    def _keep(self, phrase: str, entry: _Entry) -> None:
        with self._lock:
            self._entries.pop(phrase, None)
            self._entries[phrase] = entry
            self._size += _size(entry)  # and what it was before, until they are counted
            if self._size > MOST_REMEMBERED:
                self._forget()

    def _forget(self) -> None:
        """Keep three quarters of the most there may be: the phrases that were asked for last."""
        self._size = sum(map(_size, self._entries.values()))
        while self._entries and self._size > 3 * MOST_REMEMBERED // 4:
            self._size -= _size(self._entries.popitem(last=False)[1])


def _size(entry: _Entry) -> int:
    """Its occurrences, and something for the entry itself."""
    both = len(entry.read) if entry.current is entry.read else len(entry.read) + len(entry.current)
    return both + 16


def _read(state: TableState, reader: sqlite3.Connection, phrase: str) -> _Entry:
    """A phrase read anew."""
    postings = _postings(state, reader, phrase)
    current = _current(postings, state)
    return _Entry(state.number, _last(state, postings), postings, len(postings) - len(current), current)


def _renewed(entry: _Entry, state: TableState, reader: sqlite3.Connection, phrase: str) -> _Entry | None:
    """What was read before, in a later state; None if that is not what the table has: somebody has made it
    anew, or most of the documents are gone.
    """
    postings = entry.read.followed_by(_postings(state, reader, phrase, entry.last))
    current = _current(postings, state)
    documents = state.frequency(reader, phrase)
    if documents - len(current) != entry.without or len(postings) > 2 * documents + 64:
        return None
    return _Entry(state.number, _last(state, postings), postings, entry.without, current)


def _last(state: TableState, postings: Postings) -> int:
    return int(max([-1, *state.keys[-1:].tolist(), *postings.keys[-1:].tolist()]))


def _current(postings: Postings, state: TableState) -> Postings:
    """Those of documents that count."""
    counting = contains(state.keys, postings.keys)
    return postings if counting.all() else postings.those(counting)


def _postings(state: TableState, reader: sqlite3.Connection, phrase: str, after: int = -1) -> Postings:
    """The postings of keys above one, from the table."""
    rows: list[tuple[int, float, Any]] = reader.execute(_ROWS, (phrase, after)).fetchall()
    if not rows:
        return Postings(np.empty(0, np.int64), np.empty(0, np.uint32), np.empty(0, np.uint32))
    keys, scores, sizes = zip(*rows, strict=True)
    documents = state.frequency(reader, phrase)
    totals, tokens = state.totals(reader), _lengths(sizes)
    share = np.array(scores, np.float64) / rarity(totals.rows, documents)  # times (K1 + 1) / (times + weight)
    weight = K1 * (1 - B + B * tokens / totals.mean_length)
    with np.errstate(all="ignore"):
        times = np.rint(share * weight / (K1 + 1 - share))
    if not ((times >= 1) & (times < 1 << 31)).all():
        raise sqlite3.DatabaseError("the table of words is damaged")
    postings = Postings(np.array(keys, np.int64), times.astype(np.uint32), tokens.astype(np.uint32))
    rising = (np.diff(postings.keys) > 0).all()
    return postings if rising else postings.those(np.argsort(postings.keys))


def _lengths(sizes: tuple[Any, ...]) -> np.ndarray:
    """The tokens of documents, from what the table has of their columns: [K] int64."""
    if not all(isinstance(size, bytes) for size in sizes):
        raise sqlite3.DatabaseError("the table of words is damaged: a length is no number")
    numbers = _whole_numbers(b"".join(sizes))
    if len(numbers) != _COLUMNS * len(sizes):
        raise sqlite3.DatabaseError("the table of words is damaged: a length is missing")
    return np.asarray(numbers.reshape(-1, _COLUMNS).sum(axis=1))


def _whole_numbers(content: bytes) -> np.ndarray:
    """SQLite's numbers of variable length, the highest seven bits first: [N] int64."""
    digits = np.frombuffer(content, np.uint8).astype(np.int64)
    ends = np.flatnonzero(digits < 0x80)
    if not len(ends):
        return np.empty(0, np.int64)
    starts = np.concatenate([[0], ends[:-1] + 1])
    behind = np.repeat(ends, ends - starts + 1) - np.arange(ends[-1] + 1)
    return np.add.reduceat((digits[: ends[-1] + 1] & 0x7F) << (7 * np.minimum(behind, 8)), starts)
