"""BM25 of one shard by the words of all: what FTS5 would say of a document if all shards were one index.

FTS5 counts by its own table: how many documents have a phrase, and how long documents are on average. From
its score of one phrase follows how often the phrase is there, a whole number; and from that, and the counts
of all shards, the score, by the same sums in the same order.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import field

import numpy as np

from femtosearch.frozen import frozen
from femtosearch.index.keywords import frequency
from femtosearch.index.snapshot import contains

_K1, _B = 1.2, 0.75  # of FTS5, which has no others
_LEAST = 1e-6  # the weight of a phrase that most documents have
_COLUMNS = 3  # of the table of words


@frozen
class WordStatistics:
    """What all shards together have.

    documents:  that have passages.
    rows:       of the tables of words; tokens: in all of them.
    counts:     phrase -> how many documents have it.
    """

    documents: int
    rows: int
    tokens: int
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def mean_length(self) -> float:
        """The tokens of a document, on average."""
        return self.tokens / self.rows if self.rows else 1.0

    def rarity(self, phrase: str) -> float:
        """The weight of a phrase."""
        return rarity(self.rows, self.counts.get(phrase, 0))


def rarity(rows: int, count: int) -> float:
    """The weight that FTS5 gives to a phrase that so many of its rows have."""
    weight = math.log((rows - count + 0.5) / (count + 0.5))
    return weight if weight > 0 else _LEAST


@frozen(eq=False)
class Lengths:
    """How many tokens each document of a shard has.

    keys:  [K] int64, rising; tokens: [K] float64.
    """

    keys: np.ndarray
    tokens: np.ndarray

    @classmethod
    def read(cls, reader: sqlite3.Connection) -> Lengths:
        """Those of the table of words. Raises sqlite3.Error."""
        rows = reader.execute("SELECT id, sz FROM words_docsize ORDER BY id").fetchall()
        sizes = _whole_numbers(b"".join(size for _, size in rows))
        return cls(
            np.array([key for key, _ in rows], np.int64),
            sizes.reshape(-1, _COLUMNS).sum(axis=1).astype(np.float64),
        )

    def of(self, keys: np.ndarray) -> np.ndarray:
        """Those of some documents."""
        return np.asarray(self.tokens[np.searchsorted(self.keys, keys)])


def totals_of(reader: sqlite3.Connection) -> tuple[int, int]:
    """The rows of a table of words, and the tokens in all of them. Raises sqlite3.Error."""
    averages = reader.execute("SELECT block FROM words_data WHERE id = 1").fetchone()
    numbers = _whole_numbers(averages[0]).tolist() if averages and averages[0] else [0]
    return numbers[0], sum(numbers[1 : 1 + _COLUMNS])


@frozen(eq=False)
class SharedWords:
    """The words of all shards, for one of them.

    of_shard:  what the shard itself has.
    lengths:   of its documents.
    """

    statistics: WordStatistics
    of_shard: WordStatistics
    lengths: Lengths

    def reading(self, reader: sqlite3.Connection) -> SharedTable:
        """The shard's table at one moment."""
        return SharedTable(reader, self)


class SharedTable:
    """A shard's table of words at one moment, which counts by what all shards have."""

    def __init__(self, reader: sqlite3.Connection, words: SharedWords) -> None:
        self._reader = reader
        self._words = words
        self.documents = words.statistics.documents

    def frequency(self, phrase: str, most: int) -> int:
        """How many documents of all shards have a phrase, counted up to `most`."""
        return min(most, self._words.statistics.counts.get(phrase, 0))

    @contextmanager
    def best(self, phrases: tuple[str, ...], every: bool) -> Iterator[_Rows]:
        """The documents that have any of the phrases, or every one: (key, BM25), best first."""
        statistics = self._words.statistics
        times = [self._times(phrase) for phrase in phrases]
        keys = np.unique(np.concatenate([keys for keys, _ in times]))
        if every:
            keys = keys[np.logical_and.reduce([contains(having, keys) for having, _ in times])]
        lengths = self._words.lengths.of(keys)
        scores = np.zeros(len(keys))
        for phrase, (having, counts) in zip(phrases, times, strict=True):
            often = np.zeros(len(keys))
            chosen = contains(keys, having)
            often[np.searchsorted(keys, having[chosen])] = counts[chosen]
            scores += statistics.rarity(phrase) * _saturated(often, lengths, statistics.mean_length)
        order = np.argsort(-scores, kind="stable")
        yield _Rows(keys[order], scores[order])

    def scores(self, phrase: str, keys: Sequence[int]) -> list[tuple[int, float]]:
        """(key, BM25) of those of some documents that have a phrase."""
        with self.best((phrase,), every=False) as ranked:
            return ranked.those_of(np.array(sorted(keys), np.int64))

    def _times(self, phrase: str) -> tuple[np.ndarray, np.ndarray]:
        """The documents that have a phrase, and how often each has it: [K] int64, rising, and [K] float64."""
        query = "SELECT rowid, -bm25(words) FROM words WHERE words MATCH ?"
        rows = self._reader.execute(query, (phrase,)).fetchall()
        keys = np.array([key for key, _ in rows], np.int64)
        order = np.argsort(keys)
        keys, scores = keys[order], np.array([score for _, score in rows], np.float64)[order]
        statistics = self._words.of_shard
        share = scores / rarity(statistics.rows, len(rows))  # times (K1 + 1) / (times + weight)
        weight = _K1 * (1 - _B + _B * self._words.lengths.of(keys) / statistics.mean_length)
        return keys, np.rint(share * weight / (_K1 + 1 - share))

    def counts(self, phrases: tuple[str, ...]) -> list[int]:
        """How many documents of this shard have each phrase."""
        return [frequency(self._reader, phrase, -1) for phrase in phrases]


class _Rows:
    """Documents and their scores, read some at a time."""

    def __init__(self, keys: np.ndarray, scores: np.ndarray) -> None:
        self._keys, self._scores, self._at = keys, scores, 0

    def fetchmany(self, size: int) -> list[tuple[int, float]]:
        begin, self._at = self._at, self._at + size
        return self._pairs(slice(begin, self._at))

    def those_of(self, keys: np.ndarray) -> list[tuple[int, float]]:
        """The rows of some documents. keys: [K] int64, rising."""
        return self._pairs(contains(keys, self._keys))

    def _pairs(self, chosen: slice | np.ndarray) -> list[tuple[int, float]]:
        return list(zip(self._keys[chosen].tolist(), self._scores[chosen].tolist(), strict=True))


def _saturated(times: np.ndarray, lengths: np.ndarray, mean: float) -> np.ndarray:
    """BM25's share of a phrase for documents that have it so often, in the order of FTS5's own sums."""
    return np.asarray((times * (_K1 + 1.0)) / (times + _K1 * (1 - _B + _B * lengths / mean)))


def _whole_numbers(content: bytes) -> np.ndarray:
    """SQLite's numbers of variable length, the highest seven bits first: [N] int64."""
    digits = np.frombuffer(content, np.uint8).astype(np.int64)
    if not len(digits):
        return np.empty(0, np.int64)
    ends = np.flatnonzero(digits < 0x80)
    starts = np.concatenate([[0], ends[:-1] + 1])
    behind = np.repeat(ends, ends - starts + 1) - np.arange(ends[-1] + 1)
    return np.add.reduceat((digits[: ends[-1] + 1] & 0x7F) << (7 * behind), starts)
