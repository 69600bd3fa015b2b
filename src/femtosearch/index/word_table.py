"""BM25 by the table of words: of an index of its own, or of one shard by the words of all shards.

The scores are those that FTS5 would give, by the same sums in the same order; of a shard those that it would
give if all shards were one index.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import field
from itertools import compress

import numpy as np

from femtosearch.frozen import frozen
from femtosearch.index.keys import contains
from femtosearch.index.postings import K1, B, Postings, TableState, Totals, inverse_document_frequency

MOST_READ = 20_000  # occurrences of phrases that one query may read; where there are more, FTS5 ranks


@frozen
class WordStatistics:
    """The statistics of words over all shards.

    documents:  how many documents have passages.
    rows:       how many rows the tables of words have; tokens: how many tokens all rows have.
    counts:     phrase -> how many documents have it.
    """

    documents: int
    rows: int
    tokens: int
    counts: Mapping[str, int] = field(default_factory=dict)


@frozen(eq=False)
class Scored:
    """Documents and their BM25. keys: [K] int64, rising; scores: [K] float64."""

    keys: np.ndarray
    scores: np.ndarray

    @classmethod
    def nothing(cls) -> Scored:
        """An empty list."""
        return cls(np.empty(0, np.int64), np.empty(0))

    @classmethod
    def by_key(cls, rows: Sequence[tuple[int, float]]) -> Scored:
        """Make a list of rows (key, BM25) in any order."""
        rows = sorted(rows)
        keys = np.array([key for key, _ in rows], np.int64)
        return cls(keys, np.array([score for _, score in rows], np.float64))

    def of(self, keys: np.ndarray) -> Scored:
        """The documents that are among `keys`, [K] int64, rising."""
        return self.only(contains(keys, self.keys))

    def only(self, chosen: np.ndarray) -> Scored:
        """The documents where `chosen`, [K] bool, is true."""
        return self if chosen.all() else Scored(self.keys[chosen], self.scores[chosen])

    def best(self, depth: int) -> Scored:
        """The `depth` best documents, and those that tie with the last of them."""
        if len(self.keys) <= depth:
            return self
        return self.only(self.scores >= np.partition(self.scores, len(self.keys) - depth)[-depth])


class WordTable:
    """The table of words of an index in one state.

    statistics:  of all shards, if the index is one of several; None to use the table's own.
    """

    def __init__(
        self, reader: sqlite3.Connection, state: TableState, statistics: WordStatistics | None = None
    ) -> None:
        self._reader = reader
        self._state = state
        self._statistics = statistics
        self.documents = len(state.keys) if statistics is None else statistics.documents

    def document_frequency(self, phrase: str, most: int | None = None) -> int:
        """How many documents of all shards have a phrase, counted up to `most`."""
        if self._statistics is None:
            return self._state.document_frequency(self._reader, phrase, most)
        count = self._statistics.counts.get(phrase, 0)
        return count if most is None else min(most, count)

    def with_any(self, phrases: Sequence[str], keys: np.ndarray, depth: int) -> Scored:
        """The best documents that have any of the phrases; those that tie with the last are included.

        keys:  [K] int64, rising: the documents to rank; depth: how many to find.
        """
        if not phrases:
            return Scored.nothing()
        if self._are_many(phrases):
            return self._by_fts5(" OR ".join(phrases), keys, depth)
        return self._sums(phrases).of(keys).best(depth)

    def with_every(self, groups: Sequence[Sequence[str]], keys: np.ndarray, depth: int) -> Scored:
        """The best documents that have a phrase of every group. keys, depth: as for `with_any`."""
        if not groups:
            return Scored.nothing()
        phrases = [phrase for group in groups for phrase in group]
        if self._are_many(phrases):
            match = " AND ".join(f"({' OR '.join(group)})" for group in groups)
            return self._by_fts5(match, keys, depth)
        scored = self._sums(phrases).of(keys)
        for group in groups:
            having = [contains(self._postings(phrase).keys, scored.keys) for phrase in group]
            scored = scored.only(np.logical_or.reduce(having))
        return scored.best(depth)

    def scores(self, phrase: str, keys: np.ndarray) -> Scored:
        """The BM25 of a phrase in those of the documents `keys`, [K] int64, rising, that have it."""
        if not self._are_many([phrase]):
            return self._sums([phrase]).of(keys)
        marks = ", ".join("?" * len(keys))
        query = f"SELECT rowid, -bm25(words) FROM words WHERE words MATCH ? AND rowid IN ({marks})"
        return Scored.by_key(self._reader.execute(query, (phrase, *keys.tolist())).fetchall())

    def _postings(self, phrase: str) -> Postings:
        return self._state.postings(self._reader, phrase)

    def _are_many(self, phrases: Sequence[str]) -> bool:
        """Whether the phrases have more postings than are read here: then FTS5 ranks, with the
        same scores.
        """
        if self._statistics is not None:
            return False
        return sum(self.document_frequency(phrase, MOST_READ + 1) for phrase in phrases) > MOST_READ

    def _by_fts5(self, match: str, keys: np.ndarray, depth: int) -> Scored:
        # Not by FTS5's own `rank`, which sorts all that it has of each row, and computes it again afterwards.
        query = "SELECT rowid, -bm25(words) AS score FROM words WHERE words MATCH ? ORDER BY score DESC"
        best: list[tuple[int, float]] = []
        with closing(self._reader.execute(query, (match,))) as ranked:
            while rows := ranked.fetchmany(depth):
                counting = contains(keys, np.array([key for key, _ in rows], np.int64))
                best += compress(rows, counting)
                if len(best) >= depth and rows[-1][1] < best[depth - 1][1]:
                    break
        return Scored.by_key(best).best(depth)

    def _sums(self, phrases: Sequence[str]) -> Scored:
        """The BM25 of documents by all phrases, summed in their order, as FTS5 does."""
        shared = self._statistics
        totals = self._state.totals(self._reader) if shared is None else Totals(shared.rows, shared.tokens)
        postings = [self._postings(phrase) for phrase in phrases]
        idfs = [inverse_document_frequency(totals.rows, self.document_frequency(p)) for p in phrases]
        tf, lengths = (
            np.concatenate([getattr(of, name) for of in postings]) for name in ("term_frequencies", "lengths")
        )
        norms = K1 * (1 - B + B * lengths / totals.average_length)
        scores = np.repeat(idfs, [*map(len, postings)]) * ((tf * (K1 + 1.0)) / (tf + norms))
        keys, places = np.unique(np.concatenate([of.keys for of in postings]), return_inverse=True)
        return Scored(keys, np.bincount(places, scores, len(keys)))
