"""Which documents have the words of a query, by BM25 over the catalogue's full-text table.

A search has no time for words that nearly every document has: of a query's words the rarest are looked up, as
long as the documents that have them are not too many to be scored.
"""

from __future__ import annotations

import math
import re
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from femtosearch.index.catalog import Catalog
from femtosearch.index.filtering import Selection
from femtosearch.index.lexical import LUCENE_STOP_WORDS, WORD
from femtosearch.index.snapshot import Snapshot, contains
from femtosearch.index.words import parts, spaced

DEPTH = 300  # documents that are scored by both words and meaning
MOST_TERMS = 64  # of a query
MOST_SCORED = 10_000  # occurrences of terms in documents, each about a microsecond, that a search scores
MOST_COUNTED = 60_000  # documents of a term that are counted; it is common then
_MOST_FREQUENCIES = 100_000  # that are remembered
PAIR_SHARE = 0.2  # what two words side by side count, of what they would as one word
TOP = 2.2  # the most that a term scores, in units of its rarity: k1 + 1
STOP_WORDS = LUCENE_STOP_WORDS | frozenset([
    "about", "all", "also", "am", "any", "been", "being", "between", "can", "could", "did", "do", "does",
    "from", "get", "had", "has", "have", "how", "i", "its", "many", "may", "me", "might", "more", "most",
    "much", "must", "my", "our", "should", "some", "than", "us", "use", "used", "using", "we", "what",
    "when", "where", "which", "who", "whom", "whose", "why", "would", "you", "your",
])  # fmt: skip
_QUOTED = re.compile(r'"([^"]*\w[^"]*)"')
_UNSPACED_WORD = re.compile(r"\S*[^\x00-\u0dff]\S*")


@dataclass(frozen=True, slots=True)
class Keywords:
    """What a query looks up, each as a phrase of FTS5.

    terms:    words, and identifiers by their parts.
    pairs:    two words that stand side by side.
    phrases:  what stands in double quotes.
    """

    terms: tuple[str, ...]
    pairs: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class WordScores:
    """Documents that have words of a query.

    keys:     [K] int64, rising.
    bm25:     [K] float64, above 0.
    shares:   [K] float64: of what a document could have at most, if it had every word often.
    phrases:  [K] bool: whether all that stands in quotes is there.
    terms:    what was looked up, and how many documents have it.
    """

    keys: np.ndarray
    bm25: np.ndarray
    shares: np.ndarray
    phrases: np.ndarray
    terms: dict[str, int] = field(default_factory=dict)


def keywords_of(query: str) -> Keywords:
    """What a query looks up.

    >>> keywords_of('how does lru_cache work "PX-7300"').terms
    ('"lru_cache"', '"work"', '"px"', '"7300"')
    """
    phrases = [" ".join(WORD.findall(spaced(quoted))) for quoted in _QUOTED.findall(query)]
    every = [word.lower() for word in WORD.findall(spaced(query))]
    words = [word for word in every if word not in STOP_WORDS] or every
    split = [" ".join(parts(word)) for word in WORD.findall(query)]
    pairs = [f"{a} {b}" for a, b in pairwise(every) if a in words and b in words]
    return Keywords(
        _quoted([*words, *(phrase.lower() for phrase in split if phrase)])[:MOST_TERMS],
        _quoted(pairs)[: MOST_TERMS // 2],
        _quoted(phrase.lower() for phrase in phrases)[:MOST_TERMS],
    )


def find(
    catalog: Catalog,
    snapshot: Snapshot,
    query: str,
    selection: Selection | None,
    *,
    depth: int,
    exhaustive: bool,
) -> WordScores:
    """The best documents by BM25, of all or of a selection.

    depth:       how many, if that is more than are usually scored.
    exhaustive:  look all words up, however common.
    Raises OutdatedError if a commit came in between.
    """
    keywords = keywords_of(query)

    def scores(reader: sqlite3.Connection) -> WordScores:
        keys = snapshot.keys if selection is None else selection.keys
        budget = math.inf if exhaustive else MOST_SCORED
        return _Lookup(reader, snapshot, keys, max(depth, DEPTH), budget).scores(keywords)

    return catalog.read_at(snapshot.state, scores)


class _Lookup:
    """The table of words at one moment.

    keys:    [K] int64, rising: the documents that count.
    budget:  how many occurrences may be scored.
    """

    def __init__(
        self, reader: sqlite3.Connection, snapshot: Snapshot, keys: np.ndarray, depth: int, budget: float
    ) -> None:
        self._reader = reader
        self._documents = len(snapshot.keys)
        self._keys = keys
        self._depth = depth
        self._frequencies = snapshot.frequencies
        self._budget = budget

    def scores(self, keywords: Keywords) -> WordScores:
        terms = self._affordable(keywords.terms)
        pairs = self._affordable(keywords.pairs) if len(terms) == len(keywords.terms) else {}
        bm25 = dict(self._best(terms))
        for key, score in self._best(pairs):
            if key in bm25:
                bm25[key] += PAIR_SHARE * score
        quoted = self._having(keywords.phrases)
        for key, score in quoted.items():
            bm25.setdefault(key, score)
        keys = np.array(sorted(bm25), np.int64)
        scores = np.array([bm25[key] for key in keys.tolist()])
        most = sum(TOP * self._rarity(count) for count in terms.values())
        has = np.array([key in quoted for key in keys.tolist()], bool)
        return WordScores(keys, scores, np.minimum(1, scores / max(most, 1e-9)), has, terms)

    def _affordable(self, phrases: Iterable[str]) -> dict[str, int]:
        """The rarest phrases that there is time to score, and how many documents have each."""
        counts = {phrase: self._frequency(phrase) for phrase in phrases}
        chosen: dict[str, int] = {}
        for phrase, count in sorted(counts.items(), key=lambda pair: pair[1]):
            if count > self._budget:
                break
            self._budget -= count
            chosen[phrase] = count
        return chosen

    def _frequency(self, phrase: str) -> int:
        if phrase not in self._frequencies:
            if len(self._frequencies) >= _MOST_FREQUENCIES:
                self._frequencies.clear()
            query = "SELECT count(*) FROM (SELECT 1 FROM words WHERE words MATCH ? LIMIT ?)"
            parameters = (phrase, MOST_COUNTED)
            self._frequencies[phrase] = self._reader.execute(query, parameters).fetchone()[0]
        return self._frequencies[phrase]

    def _rarity(self, count: int) -> float:
        """The weight that FTS5 gives a term that so many documents have."""
        return max(1e-6, math.log((self._documents - count + 0.5) / (count + 0.5)) if count else self._unseen)

    @property
    def _unseen(self) -> float:
        return math.log(2 * self._documents + 1)

    def _best(self, phrases: Iterable[str]) -> list[tuple[int, float]]:
        """The best documents that have any of the phrases, of those that count: (key, BM25)."""
        match, limit = " OR ".join(phrases), self._depth
        query = "SELECT rowid, -rank FROM words WHERE words MATCH ? ORDER BY rank LIMIT ?"
        while match:
            rows = self._reader.execute(query, (match, limit)).fetchall()
            counting = contains(self._keys, np.array([key for key, _ in rows], np.int64))
            if len(rows) < limit or np.count_nonzero(counting) >= self._depth:
                return [row for row, counts in zip(rows, counting, strict=True) if counts]
            limit *= 8
        return []

    def _having(self, phrases: tuple[str, ...]) -> dict[int, float]:
        """The best documents that have all phrases."""
        return dict(self._best([" AND ".join(phrases)])) if phrases else {}


def _quoted(phrases: Iterable[str]) -> tuple[str, ...]:
    """Phrases as FTS5 writes them, each once; there is no quote within, for they are made of words."""
    return tuple(dict.fromkeys(f'"{phrase}"' for phrase in phrases))
