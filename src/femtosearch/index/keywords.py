"""Which documents have the words of a query, by BM25 over the catalogue's full-text table.

A search has no time for words that nearly every document has: of a query's words the rarest are looked up, as
long as the documents that have them are not too many to be scored.
"""

from __future__ import annotations

import math
import re
import sqlite3
import unicodedata
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import field
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

import numpy as np

from femtosearch.frozen import frozen
from femtosearch.index.catalog import Catalog
from femtosearch.index.snapshot import Snapshot, contains
from femtosearch.index.words import LUCENE_STOP_WORDS, WORD, parts, spaced

if TYPE_CHECKING:
    from femtosearch.index.filtering import Selection

DEPTH = 300  # documents that are scored by both words and meaning
MOST_TERMS = 64  # of a query
MOST_SCORED = 10_000  # occurrences of terms in documents, each about a microsecond, that a search scores
MOST_COUNTED = 60_000  # documents of a term that are counted where all are looked up; it is common then
_MOST_FREQUENCIES = 100_000  # that are remembered
PAIR_SHARE = 0.2  # what two words side by side count, of what they would as one word
MOST_ASKED = 20  # words of a query whose quotes ask for what stands in them; in prose they quote
TOP = 2.2  # the most that a term scores, in units of its rarity: k1 + 1
STOP_WORDS = LUCENE_STOP_WORDS | frozenset([
    "about", "all", "also", "am", "any", "been", "being", "between", "can", "could", "did", "do", "does",
    "from", "get", "had", "has", "have", "how", "i", "its", "many", "may", "me", "might", "more", "most",
    "much", "must", "my", "our", "should", "some", "than", "us", "use", "used", "using", "we", "what",
    "when", "where", "which", "who", "whom", "whose", "why", "would", "you", "your",
])  # fmt: skip
_QUOTED = r'"([^"]*\w[^"]*)"'


@frozen
class Keywords:
    """What a query looks up, each as a phrase of FTS5.

    terms:    words, and identifiers by their parts.
    pairs:    two words that stand side by side.
    phrases:  what stands in double quotes, in a query of at most MOST_ASKED words.
    forms:    of the terms, a word as it is typeset and in plain letters, of which one is meant.
    """

    terms: tuple[str, ...]
    pairs: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()
    forms: tuple[tuple[str, str], ...] = ()


@frozen(eq=False)
class WordScores:
    """Documents that have words of a query.

    keys:     [K] int64, rising.
    bm25:     [K] float64, above 0.
    shares:   [K] float64: of what a document could have at most, if it had every word often.
    phrases:  [K] bool: whether all that stands in quotes is there.
    top:      the share of the document that is best by the terms.
    terms:    what was looked up, and how many documents have it.
    """

    keys: np.ndarray
    bm25: np.ndarray
    shares: np.ndarray
    phrases: np.ndarray
    top: float
    terms: dict[str, int] = field(default_factory=dict)


def keywords_of(query: str) -> Keywords:
    """What a query looks up.

    >>> keywords_of('how does lru_cache work "PX-7300"').terms
    ('"lru_cache"', '"work"', '"px"', '"7300"')

    Of typeset forms, as of a ligature, the plain letters are looked up too.

    >>> keywords_of("of\ufb01ce").terms
    ('"of\ufb01ce"', '"office"')
    """
    text = query if query.isascii() else unicodedata.normalize("NFKC", query)
    every, plain = _words(query), [] if text == query else _words(text)
    forms = [pair for pair in zip(every, plain, strict=False) if pair[0] != pair[1]]
    forms = forms if len(every) == len(plain) else []
    common = {typeset for typeset, word in forms if word in STOP_WORDS} | STOP_WORDS
    every_form = [*every, *(word for word in plain if word not in every)]
    words = [word for word in every_form if word not in common] or every_form
    split = [" ".join(parts(word)) for word in re.findall(WORD, query)]
    adjacent = list(pairwise(every))
    adjacent += [pair for pair in pairwise(plain) if pair not in adjacent]
    pairs = [f"{a} {b}" for a, b in adjacent if a in words and b in words]
    return Keywords(
        _quoted([*words, *(phrase.lower() for phrase in split if phrase)])[:MOST_TERMS],
        _quoted(pairs)[: MOST_TERMS // 2],
        _phrases(query, text)[:MOST_TERMS] if len(every) <= MOST_ASKED else (),
        tuple((f'"{typeset}"', f'"{word}"') for typeset, word in forms),
    )


def _phrases(query: str, plain: str) -> tuple[str, ...]:
    """What stands in double quotes: as it is typed, or in plain letters."""
    quoted = re.findall(_QUOTED, plain) if '"' in plain else []
    phrases = [" ".join(_words(phrase)) for phrase in quoted]
    typed = [" ".join(_words(phrase)) for phrase in re.findall(_QUOTED, query)] if query != plain else phrases
    if len(typed) != len(phrases):
        return _quoted(phrases)
    pairs = ([a] if a == b else [a, b] for a, b in zip(typed, phrases, strict=True))
    either = (" OR ".join(_quoted(pair)) for pair in pairs)
    return tuple(dict.fromkeys(f"({each})" if " OR " in each else each for each in either))


def _words(text: str) -> list[str]:
    return [word.lower() for word in re.findall(WORD, spaced(text))]


@frozen(eq=False)
class WordLists:
    """The best documents of each kind of match, key -> BM25, before they are put together.

    terms:   by the words; pairs: by words that stand side by side; quoted: those that have all that stands in
             quotes.
    counts:  the terms that were looked up, and how many documents have each.
    most:    what BM25 would be for a document that had every term, and had it very often.
    best:    the most that a document has by the terms; of shards, a document of any of them.
    """

    terms: dict[int, float]
    pairs: dict[int, float]
    quoted: dict[int, float]
    counts: dict[str, int]
    most: float
    best: float

    def together(self) -> WordScores:
        """The score of each document."""
        bm25 = dict(self.terms)
        for key, score in self.pairs.items():
            if key in bm25:
                bm25[key] += PAIR_SHARE * score
        for key, score in self.quoted.items():
            bm25.setdefault(key, score)
        keys = np.array(sorted(bm25), np.int64)
        scores = np.array([bm25[key] for key in keys.tolist()])
        has = np.array([key in self.quoted for key in keys.tolist()], bool)
        shares = np.minimum(1, np.array([*scores, self.best]) / max(self.most, 1e-9))
        return WordScores(keys, scores, shares[:-1], has, float(shares[-1]), self.counts)


def find(
    catalog: Catalog,
    snapshot: Snapshot,
    query: str,
    selection: Selection | None,
    *,
    depth: int,
    exhaustive: bool,
    shard: ShardWords | None = None,
) -> WordLists:
    """The best documents by BM25, of all or of a selection; those that tie with the last ones, too.

    depth:       how many, if that is more than are usually scored.
    exhaustive:  look all words up, however common.
    shard:       the words of all shards of which the index is one; None for an index of its own.
    Raises OutdatedError if a commit came in between.
    """
    keywords = keywords_of(query)

    def lists(reader: sqlite3.Connection) -> WordLists:
        keys = snapshot.keys if selection is None else selection.keys
        budget = math.inf if exhaustive else MOST_SCORED
        return _Lookup(_table(reader, snapshot, shard), keys, max(depth, DEPTH), budget).lists(keywords)

    return catalog.read_at(snapshot.state, lists)


def word_scores(
    catalog: Catalog,
    snapshot: Snapshot,
    terms: Iterable[str],
    keys: Sequence[int],
    shard: ShardWords | None = None,
) -> dict[int, dict[str, float]]:
    """For each document of these keys the words that it has, of those looked up, and the BM25 of each.

    terms:  as `WordScores` has them; shard: as for `find`.
    Raises OutdatedError if a commit came in between.
    """
    terms, scores = list(terms), {key: dict[str, float]() for key in keys}
    if not terms or not scores:
        return scores

    def read(reader: sqlite3.Connection) -> dict[int, dict[str, float]]:
        table = _table(reader, snapshot, shard)
        for term in terms:
            for key, bm25 in table.scores(term, keys):
                scores[key][term.strip('"')] = bm25
        return scores

    return catalog.read_at(snapshot.state, read)


def _table(reader: sqlite3.Connection, snapshot: Snapshot, shard: ShardWords | None) -> _Table:
    return _OwnWords(reader, snapshot) if shard is None else shard.reading(reader)


class _Table(Protocol):
    """A table of words: of an index, or of a shard, which counts by what all shards have."""

    @property
    def documents(self) -> int:
        """How many documents there are."""

    def frequency(self, phrase: str, most: int) -> int:
        """How many of them have a phrase, or `most` where there are more."""

    def best(self, phrases: tuple[str, ...], every: bool) -> AbstractContextManager[Ranked]:
        """The documents that have any of the phrases, or every one: (key, BM25), best first."""

    def scores(self, phrase: str, keys: Sequence[int]) -> list[tuple[int, float]]:
        """(key, BM25) of those of some documents that have a phrase."""


class Ranked(Protocol):
    """Rows that are read some at a time."""

    def fetchmany(self, size: int) -> list[tuple[int, float]]:
        """The next rows; none at the end."""


class ShardWords(Protocol):
    """The words of all shards, and a shard's own table of them when it is read."""

    def reading(self, reader: sqlite3.Connection) -> _Table:
        """The shard's table at one moment."""


class _OwnWords:
    """The table of words of an index at one moment."""

    def __init__(self, reader: sqlite3.Connection, snapshot: Snapshot) -> None:
        self._reader = reader
        self._frequencies = snapshot.frequencies
        self.documents = len(snapshot.keys)

    def frequency(self, phrase: str, most: int) -> int:
        count, limit = self._frequencies.get(phrase, (0, 0))
        if count == limit < most:  # not counted yet, or not so far
            if len(self._frequencies) >= _MOST_FREQUENCIES:
                self._frequencies.clear()
            count = frequency(self._reader, phrase, most)
            self._frequencies[phrase] = count, most
        return min(count, most)

    def best(self, phrases: tuple[str, ...], every: bool) -> AbstractContextManager[Ranked]:
        match = (" AND " if every else " OR ").join(phrases)
        # Not by FTS5's own `rank`, which sorts all that it has of each row, and computes it again afterwards.
        query = "SELECT rowid, -bm25(words) AS score FROM words WHERE words MATCH ? ORDER BY score DESC"
        return closing(self._reader.execute(query, (match,)))

    def scores(self, phrase: str, keys: Sequence[int]) -> list[tuple[int, float]]:
        marks = ", ".join("?" * len(keys))
        query = f"SELECT rowid, -rank FROM words WHERE words MATCH ? AND rowid IN ({marks})"
        return self._reader.execute(query, (phrase, *keys)).fetchall()


class _Lookup:
    """The words of one query, looked up.

    keys:    [K] int64, rising: the documents that count.
    depth:   how many documents of each kind of match.
    budget:  how many occurrences may be scored.
    """

    def __init__(self, table: _Table, keys: np.ndarray, depth: int, budget: float) -> None:
        self._table = table
        self._keys = keys
        self._depth = depth
        self._budget = budget
        self._most = int(min(budget + 1, MOST_COUNTED))  # to count: what is beyond the budget is not scored

    def lists(self, keywords: Keywords) -> WordLists:
        not_meant = self._not_meant(keywords.forms)
        meant = [term for term in keywords.terms if term not in not_meant]
        terms = self._affordable(meant)
        pairs = self._affordable(keywords.pairs) if len(terms) == len(meant) else {}
        most = sum(TOP * self._rarity(count) for count in terms.values())
        best = self._best(tuple(terms)), self._best(tuple(pairs)), self._best(keywords.phrases, every=True)
        return WordLists(*best, terms, most, max(best[0].values(), default=0.0))

    def _not_meant(self, forms: Iterable[tuple[str, str]]) -> set[str]:
        """Of two forms of a word the one that no document has; the typeset one if none has either."""
        return {
            typeset if self._count(word) or not self._count(typeset) else word
            for typeset, word in forms
            if not (self._count(typeset) and self._count(word))
        }

    def _affordable(self, phrases: Iterable[str]) -> dict[str, int]:
        """The rarest phrases that there is time to score, and how many documents have each."""
        counts = {phrase: self._count(phrase) for phrase in phrases}
        chosen: dict[str, int] = {}
        for phrase, count in sorted(counts.items(), key=lambda pair: pair[1]):
            if count > self._budget:
                break
            self._budget -= count
            chosen[phrase] = count
        return chosen

    def _count(self, phrase: str) -> int:
        return self._table.frequency(phrase, self._most)

    def _rarity(self, count: int) -> float:
        """The weight that FTS5 gives a term that so many documents have."""
        documents = self._table.documents
        if not count:
            return max(1e-6, math.log(2 * documents + 1))
        others = max(0, documents - count)  # fewer than none only in a damaged index
        return max(1e-6, math.log((others + 0.5) / (count + 0.5)))

    def _best(self, phrases: tuple[str, ...], every: bool = False) -> dict[int, float]:
        """The best documents that count, and those that tie with the last of them: so it does not matter in
        which order documents were added.
        """
        best: dict[int, float] = {}
        if not phrases:
            return best
        last = math.inf
        with self._table.best(phrases, every) as ranked:
            while rows := ranked.fetchmany(self._depth):
                counting = contains(self._keys, np.array([key for key, _ in rows], np.int64))
                for (key, score), counts in zip(rows, counting, strict=True):
                    if len(best) >= self._depth and score < last:
                        return best
                    if counts:
                        best[key] = last = score
        return best


def frequency(reader: sqlite3.Connection, phrase: str, most: int) -> int:
    """How many documents have a phrase, counted up to `most`; -1 counts all."""
    query = "SELECT count(*) FROM (SELECT 1 FROM words WHERE words MATCH ? LIMIT ?)"
    return int(reader.execute(query, (phrase, most)).fetchone()[0])


def _quoted(phrases: Iterable[str]) -> tuple[str, ...]:
    """Phrases as FTS5 writes them, each once; there is no quote within, for they are made of words."""
    return tuple(dict.fromkeys(f'"{phrase}"' for phrase in phrases))
