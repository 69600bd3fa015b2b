"""An index that is one shard of several, whose answers together are those of one index of all documents.

A query comes twice. First each shard says how the query's MaxSim is spread over its passages, and how good
its best documents are by words; then, told what that is over all shards, it gives its best hits, whose scores
are those that one index would give. A shard that was not asked the first time, because another copy of it
was, does that then.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from femtosearch.index.filtering import Selection, select
from femtosearch.index.fusion import Moments, fuse, moments_of
from femtosearch.index.hits import best_hits
from femtosearch.index.index import Index
from femtosearch.index.keywords import DEPTH, WordLists, find
from femtosearch.index.places import located, spotted
from femtosearch.index.plan import Plan, choose
from femtosearch.index.request import Request
from femtosearch.index.search import extent_of, fde_vectors, penalty_of, ranked, weight_of
from femtosearch.index.snapshot import Ranking, Snapshot
from femtosearch.index.word_table import Lengths, SharedTable, SharedWords, WordStatistics, totals_of
from femtosearch.types import Hit, Rows

T = TypeVar("T")
_MOST_BEGUN = 32  # queries whose first half is kept for the second
_SAMPLE = 512  # passages of all shards over which a MaxSim is taken to be spread


@dataclass(frozen=True, slots=True)
class Totals:
    """What a shard has in all.

    rows, tokens:  of its table of words; has_words: whether there is one.
    long:          whether a document has more than one passage.
    """

    documents: int
    passages: int
    rows: int
    tokens: int
    has_words: bool
    long: bool


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """A query to all shards.

    name:        of this query alone, by which a shard knows it again.
    rows:        [Q, D] float32, the query's rows.
    request:     with the one text; its quota is the router's.
    statistics:  the words of all shards; None where words do not count.
    passages:    of all shards.
    spots:       say of each hit where it matched best.
    """

    name: str
    rows: np.ndarray
    request: Request
    statistics: WordStatistics | None
    passages: int
    spots: bool = False

    @property
    def depth(self) -> int:
        """How many documents are scored by words."""
        documents = self.statistics.documents if self.statistics else 0
        return max(DEPTH, min(self.request.k, documents))


@dataclass(frozen=True, slots=True)
class First:
    """What a shard says first: how MaxSim is spread there, and the BM25 of its best documents by terms, by
    pairs and by what is quoted, best first.
    """

    moments: Moments
    words: tuple[list[float], list[float], list[float]]


@dataclass(frozen=True, slots=True)
class Second:
    """What all shards are told then: how MaxSim is spread over all, and from what BM25 on a document counts,
    of each kind of match.
    """

    moments: Moments
    least: tuple[float, float, float]


def second_of(question: Question, firsts: Sequence[First]) -> Second:
    """What all shards have said first, put together."""
    several = zip(*(first.words for first in firsts), strict=True)
    least = [_least([score for scores in lists for score in scores], question.depth) for lists in several]
    moments = Moments.joined(first.moments for first in firsts)
    return Second(moments, (least[0], least[1], least[2]) if least else (-np.inf,) * 3)


def _least(scores: list[float], depth: int) -> float:
    return -np.inf if len(scores) <= depth else sorted(scores, reverse=True)[depth - 1]


@dataclass(frozen=True, slots=True, eq=False)
class _Begun:
    """A query whose passages have been scored. words: None where they do not count."""

    snapshot: Snapshot
    selection: Selection | None
    plan: Plan
    weight: float
    ranking: Ranking | None
    words: WordLists | None
    first: First


@dataclass(eq=False)
class Shard:
    """One shard, and what it keeps between the two halves of a query. Safe to use from several threads."""

    index: Index
    _begun: OrderedDict[str, _Begun] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _own: tuple[WordStatistics, Lengths] | None = None

    def totals(self) -> Totals:
        """What the shard has; and what the first query by FDE needs is made now. Raises StoreError."""

        def totals(snapshot: Snapshot) -> Totals:
            if snapshot.has_stored_fdes:
                snapshot.encoding.fde.queries(
                    Rows(np.zeros((1, snapshot.dims), np.float32), np.array([0, 1]))
                )
            documents = len(snapshot.keys)
            rows, tokens = self._at(snapshot, totals_of) if snapshot.has_words else (0, 0)
            long = snapshot.passages > documents
            return Totals(documents, snapshot.passages, rows, tokens, snapshot.has_words, long)

        return self.index._snapshots.ask(totals)

    def counts(self, phrases: Sequence[str]) -> list[int]:
        """How many documents have each phrase. Raises StoreError."""

        def counts(snapshot: Snapshot) -> list[int]:
            words = self._shared(snapshot, WordStatistics(0, 0, 0))
            return self._at(snapshot, lambda reader: SharedTable(reader, words).counts(tuple(phrases)))

        return self.index._snapshots.ask(counts)

    def begin(self, question: Question) -> First:
        """The first half of a query. Raises QueryError, StoreError."""
        begun = self.index._snapshots.ask(lambda snapshot: self._beginning(snapshot, question))
        with self._lock:
            self._begun[question.name] = begun
            while len(self._begun) > _MOST_BEGUN:
                self._begun.popitem(last=False)
        return begun.first

    def finish(self, question: Question, second: Second) -> list[Hit]:
        """The second half: the shard's best hits. Raises QueryError, StoreError."""
        with self._lock:
            begun = self._begun.pop(question.name, None)

        def hits(snapshot: Snapshot) -> list[Hit] | None:
            if begun is not None and begun.snapshot is snapshot:
                return self._hits(begun, question, second)
            return self._hits(self._beginning(snapshot, question), question, second)

        hits_here: list[Hit] = self.index._snapshots.ask(hits)
        if question.spots:
            token_rows = getattr(self.index.model, "token_rows", None)
            hits_here = spotted(question.rows, hits_here, token_rows)
        return located(self.index._store.catalog, hits_here)

    def _beginning(self, snapshot: Snapshot, question: Question) -> _Begun:
        request, query = question.request, question.rows
        selection = (
            None if request.where is None else select(self.index._store.catalog, snapshot, request.where)
        )
        plan = choose(request, len(query), extent_of(snapshot, selection), lambda: snapshot.encoding.fde)
        weight = weight_of(snapshot, request)
        words = self._words(snapshot, selection, question, weight) if weight else None
        weight = weight if len(query) else 1.0
        if not len(query) and words is None:
            return _Begun(snapshot, selection, plan, weight, None, None, First(Moments(), ([], [], [])))
        pieces = (query,) if len(query) else ()
        vectors = fde_vectors(snapshot, [pieces], [plan])[0]
        scores = None if words is None else words.together()
        ranking = ranked(snapshot, pieces, plan, vectors, selection, scores, weight)
        sample = max(1, round(_SAMPLE * snapshot.passages / max(1, question.passages)))
        moments = moments_of(snapshot, pieces, ranking, sample) if snapshot.passages else Moments()
        first = First(moments, _scores(words))
        return _Begun(snapshot, selection, plan, weight, ranking, words, first)

    def _words(
        self, snapshot: Snapshot, selection: Selection | None, question: Question, weight: float
    ) -> WordLists:
        text, statistics = question.request.texts[0], question.statistics or WordStatistics(0, 0, 0)
        return find(
            self.index._store.catalog,
            snapshot,
            text,
            selection,
            depth=question.depth,
            exhaustive=weight == 1,
            shard=self._shared(snapshot, statistics),
        )

    def _hits(self, begun: _Begun, question: Question, second: Second) -> list[Hit] | None:
        if begun.ranking is None:
            return []
        words = None if begun.words is None else _cut(begun.words, second.least).together()
        fused = fuse(
            begun.snapshot,
            (question.rows,) if len(question.rows) else (),
            begun.ranking,
            words,
            weight=begun.weight,
            penalty=penalty_of(begun.plan, question.request),
            moments=second.moments,
        )
        numbered = best_hits(self.index._store.catalog, begun.snapshot, fused, question.request)
        return None if numbered is None else [hit for _, hit in numbered]

    def _shared(self, snapshot: Snapshot, statistics: WordStatistics) -> SharedWords:
        """The words of all shards, for this one; how long its own documents are is read once."""
        with self._lock:
            if self._own is None:
                rows, tokens = self._at(snapshot, totals_of)
                statistics_here = WordStatistics(len(snapshot.keys), rows, tokens)
                self._own = statistics_here, self._at(snapshot, Lengths.read)
            return SharedWords(statistics, *self._own)

    def _at(self, snapshot: Snapshot, query: Callable[[sqlite3.Connection], T]) -> T:
        return self.index._store.catalog.read_at(snapshot.state, query)


def _scores(words: WordLists | None) -> tuple[list[float], list[float], list[float]]:
    if words is None:
        return [], [], []
    return [*words.terms.values()], [*words.pairs.values()], [*words.quoted.values()]


def _cut(words: WordLists, least: tuple[float, float, float]) -> WordLists:
    """The lists without the documents that are not among the best of all shards."""
    lists = zip((words.terms, words.pairs, words.quoted), least, strict=True)
    terms, pairs, quoted = (
        {key: bm25 for key, bm25 in ranked_here.items() if bm25 >= low} for ranked_here, low in lists
    )
    return replace(words, terms=terms, pairs=pairs, quoted=quoted)
