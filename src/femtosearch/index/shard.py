"""An index that is one shard of several, whose answers together are those of one index of all documents.

A query comes twice. First each shard says how the query's MaxSim is spread over its passages, and how good
its best documents are by words; then, told what that is over all shards, it gives its best hits, whose scores
are those that one index would give. A shard that was not asked the first time, because another copy of it
was, does that then. A query that is to be explained comes twice more: for what its hits are ranked by, and
for how many documents are ranked before them.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from femtosearch.frozen import frozen
from femtosearch.index.explain import Lookup, Measures
from femtosearch.index.filtering import Selection, select
from femtosearch.index.fusion import SAMPLE, Fused, Moments, fuse, lowest_of, moments_of
from femtosearch.index.hits import best_hits
from femtosearch.index.index import Index
from femtosearch.index.keys import contains
from femtosearch.index.keywords import DEPTH, WordLists, WordScores, find, word_scores
from femtosearch.index.places import located, spotted
from femtosearch.index.plan import Plan, choose
from femtosearch.index.postings import Totals as TableTotals
from femtosearch.index.queries import Query
from femtosearch.index.request import Request
from femtosearch.index.search import extent_of, fde_vectors, penalty_of, ranked, weight_of
from femtosearch.index.snapshot import Ranking, Snapshot
from femtosearch.index.word_table import WordStatistics
from femtosearch.types import Hit, Rows

T = TypeVar("T")
_MOST_BEGUN = 32  # queries whose first half is kept for the second
NO_WORDS = WordStatistics(0, 0, 0)


@frozen
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


@frozen(eq=False)
class Question:
    """A query to all shards.

    name:        of this query alone, by which a shard knows it again.
    query:       with its rows.
    request:     with the one text; its quota is the router's.
    statistics:  the words of all shards; None where words do not count.
    passages:    of all shards.
    spots:       say of each hit where it matched best.
    explain:     the shard will be asked why its hits are hits.
    """

    name: str
    query: Query
    request: Request
    statistics: WordStatistics | None
    passages: int
    spots: bool = False
    explain: bool = False

    @property
    def depth(self) -> int:
        """How many documents are scored by words."""
        documents = self.statistics.documents if self.statistics else 0
        return max(DEPTH, min(self.request.k, documents))


@frozen
class First:
    """What a shard says first: how MaxSim is spread there, and the BM25 of its best documents by terms, by
    pairs and by what is quoted.

    moments:  of the query, and of each of its pieces where there are several; see `moments_of`.
    lowest:   the lowest MaxSim; see `lowest_of`.
    """

    moments: tuple[Moments, ...]
    words: tuple[list[float], list[float], list[float]]
    lowest: Mapping[int, float] = field(default_factory=dict)


@frozen
class Second:
    """What all shards are told then: how MaxSim is spread over all, and from what BM25 on a document counts,
    of each kind of match, and what the best one has by the terms; and the lowest MaxSim.
    """

    moments: tuple[Moments, ...]
    least: tuple[float, float, float]
    best: float = 0.0
    lowest: Mapping[int, float] = field(default_factory=dict)


@frozen
class Reasons:
    """What a shard says of one of its hits.

    words:     what each word counts that was looked up and is there.
    measures:  what the document is ranked by; see `Measures`.
    parts:     what its score is the sum of.
    """

    words: dict[str, float]
    measures: dict[str, float]
    parts: dict[str, float]


def second_of(question: Question, firsts: Sequence[First]) -> Second:
    """What all shards have said first, put together."""
    several = zip(*(first.words for first in firsts), strict=True)
    least = [_least([score for scores in lists for score in scores], question.depth) for lists in several]
    by_piece = zip(*(first.moments for first in firsts), strict=True)
    moments = tuple(Moments.joined(of_shards) for of_shards in by_piece) or (Moments(),)
    best = max((score for first in firsts for score in first.words[0]), default=0.0)
    lowest: dict[int, float] = {}
    for first in firsts:
        lowest |= {n: min(score, lowest.get(n, np.inf)) for n, score in first.lowest.items()}
    return Second(moments, (least[0], least[1], least[2]) if least else (-np.inf,) * 3, best, lowest)


def _least(scores: list[float], depth: int) -> float:
    return -np.inf if len(scores) <= depth else sorted(scores, reverse=True)[depth - 1]


@frozen(eq=False)
class _Begun:
    """A query whose passages have been scored.

    vector:  [P] float32, the query's FDE, where it finds; words: None where they do not count.
    """

    snapshot: Snapshot
    selection: Selection | None
    plan: Plan
    vector: np.ndarray | None
    weight: float
    ranking: Ranking | None
    words: WordLists | None
    first: First


@frozen(eq=False)
class _Fusion:
    """The scores of a query that count, and the words that are in them."""

    fused: Fused
    words: WordScores | None

    def measures(self, begun: _Begun, question: Question) -> Measures:
        """What the documents are ranked by."""
        query = question.query
        lookup = Lookup(query.text, query.rows, begun.vector, self.words, begun.selection)
        return Measures(begun.snapshot, lookup, self.fused)


@dataclass(eq=False)
class Shard:
    """One shard, and what it keeps between the two halves of a query. Safe to use from several threads."""

    index: Index
    _begun: OrderedDict[str, _Begun] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def totals(self) -> Totals:
        """What the shard has; and what the first query by FDE needs is made now. Raises StoreError."""

        def totals(snapshot: Snapshot) -> Totals:
            if snapshot.has_stored_fdes:
                snapshot.encoding.fde.queries(
                    Rows(np.zeros((1, snapshot.dims), np.float32), np.array([0, 1]))
                )
            documents = len(snapshot.keys)
            words = self._at(snapshot, snapshot.words.totals) if snapshot.has_words else TableTotals(0, 0)
            long = snapshot.passages > documents
            return Totals(documents, snapshot.passages, words.rows, words.tokens, snapshot.has_words, long)

        return self.index._snapshots.ask(totals)

    def counts(self, phrases: Sequence[str]) -> list[int]:
        """How many documents have each phrase. Raises StoreError."""

        def counts(snapshot: Snapshot) -> list[int]:
            words = snapshot.words
            return self._at(
                snapshot, lambda reader: [words.document_frequency(reader, phrase) for phrase in phrases]
            )

        return self.index._snapshots.ask(counts)

    def begin(self, question: Question) -> First:
        """The first half of a query. Raises QueryError, StoreError."""
        begun = self.index._snapshots.ask(lambda snapshot: self._beginning(snapshot, question))
        self._keep(question, begun)
        return begun.first

    def finish(self, question: Question, second: Second) -> list[Hit]:
        """The second half: the shard's best hits. Raises QueryError, StoreError."""
        hits = self._ask(
            question, lambda begun: self._hits(begun, question, second), last=not question.explain
        )
        if question.spots:
            token_rows = getattr(self.index.model, "token_rows", None)
            hits = spotted(question.query.rows, hits, token_rows)
        return located(self.index._store.catalog, hits)

    def reasons(self, question: Question, second: Second, ids: Sequence[str]) -> list[Reasons | None]:
        """Why some documents of the shard are hits, as far as one shard knows; None for one that is none.
        Raises QueryError, StoreError.
        """
        return self._ask(question, lambda begun: self._reasons(begun, question, second, ids))

    def larger(
        self, question: Question, second: Second, measures: Sequence[dict[str, float]]
    ) -> list[dict[str, int]]:
        """How many documents or passages of the shard are ranked before some hits of any shards, by each of
        their measures. Raises QueryError, StoreError.
        """

        def counts(begun: _Begun) -> list[dict[str, int]]:
            if begun.ranking is None:
                return [dict.fromkeys(numbers, 0) for numbers in measures]
            own_measures = self._fusion(begun, question, second).measures(begun, question)
            return [
                {name: own_measures.larger(name, number) for name, number in of.items()} for of in measures
            ]

        return self._ask(question, counts, last=True)

    def _keep(self, question: Question, begun: _Begun) -> None:
        with self._lock:
            self._begun[question.name] = begun
            while len(self._begun) > _MOST_BEGUN:
                self._begun.popitem(last=False)

    def _ask(self, question: Question, use: Callable[[_Begun], T | None], *, last: bool = False) -> T:
        """What is made of a query that has begun; one that has not begins now. last: it is not kept."""
        with self._lock:
            former = self._begun.pop(question.name, None)

        def asked(snapshot: Snapshot) -> T | None:
            is_current = former is not None and former.snapshot is snapshot
            begun = former if is_current else self._beginning(snapshot, question)
            assert begun is not None
            if not last:
                self._keep(question, begun)
            return use(begun)

        return self.index._snapshots.ask(asked)

    def _beginning(self, snapshot: Snapshot, question: Question) -> _Begun:
        request, pieces = question.request, question.query.pieces
        selection = (
            None if request.where is None else select(self.index._store.catalog, snapshot, request.where)
        )
        extent = extent_of(snapshot, selection)
        plan = choose(request, len(question.query.rows), extent, lambda: snapshot.encoding.fde)
        weight = weight_of(snapshot, request)
        words = self._words(snapshot, selection, question, weight) if weight else None
        weight = weight if pieces else 1.0
        vectors = fde_vectors(snapshot, [pieces], [plan])[0]
        vector = None if vectors is None or plan.mode == "maxsim" else vectors.sum(axis=0)
        moments: tuple[Moments, ...] = (Moments(),) * (1 if len(pieces) < 2 else 1 + len(pieces))
        ranking, lowest = None, dict[int, float]()
        if pieces or words is not None:
            scores = None if words is None else words.together()
            ranking = ranked(snapshot, pieces, plan, vectors, selection, scores, weight)
            sample = max(1, round(SAMPLE * snapshot.passages / max(1, question.passages)))
            moments = moments_of(snapshot, pieces, ranking, sample) if snapshot.passages else moments
            lowest = lowest if words is None else lowest_of(snapshot, ranking)
        first = First(moments, _scores(words), lowest)
        return _Begun(snapshot, selection, plan, vector, weight, ranking, words, first)

    def _words(
        self, snapshot: Snapshot, selection: Selection | None, question: Question, weight: float
    ) -> WordLists:
        return find(
            self.index._store.catalog,
            snapshot,
            question.request.texts[0],
            selection,
            depth=question.depth,
            exhaustive=weight == 1,
            statistics=question.statistics or NO_WORDS,
        )

    def _hits(self, begun: _Begun, question: Question, second: Second) -> list[Hit] | None:
        if begun.ranking is None:
            return []
        fused = self._fusion(begun, question, second).fused
        numbered = best_hits(self.index._store.catalog, begun.snapshot, fused, question.request)
        return None if numbered is None else [hit for _, hit in numbered]

    def _reasons(
        self, begun: _Begun, question: Question, second: Second, ids: Sequence[str]
    ) -> list[Reasons | None]:
        if begun.ranking is None:
            return [None] * len(ids)
        catalog, snapshot = self.index._store.catalog, begun.snapshot
        fusion = self._fusion(begun, question, second)
        measures, ranking = fusion.measures(begun, question), fusion.fused.ranking
        keys = catalog.keys(ids)
        keys = {name: key for name, key in keys.items() if contains(ranking.keys, np.array([key]))[0]}
        statistics = question.statistics or NO_WORDS
        scores = word_scores(catalog, snapshot, fusion.words, keys.values(), statistics)
        numbers = {key: int(np.searchsorted(ranking.keys, key)) for key in keys.values()}
        reasons = {
            name: Reasons(scores[key], measures.of(numbers[key], key), fusion.fused.parts(numbers[key]))
            for name, key in keys.items()
        }
        return [reasons.get(name) for name in ids]

    def _fusion(self, begun: _Begun, question: Question, second: Second) -> _Fusion:
        assert begun.ranking is not None
        words = None if begun.words is None else _cut(begun.words, second).together()
        fused = fuse(
            begun.snapshot,
            question.query.pieces,
            begun.ranking,
            words,
            weight=begun.weight,
            penalty=penalty_of(begun.plan, question.request),
            moments=second.moments,
            lowest=second.lowest,
        )
        return _Fusion(fused, words)

    def _at(self, snapshot: Snapshot, query: Callable[[sqlite3.Connection], T]) -> T:
        return self.index._store.catalog.read_at(snapshot.state, query)


def _scores(words: WordLists | None) -> tuple[list[float], list[float], list[float]]:
    if words is None:
        return [], [], []
    terms, pairs, quoted = (of.scores.tolist() for of in (words.terms, words.pairs, words.quoted))
    return terms, pairs, quoted


def _cut(words: WordLists, second: Second) -> WordLists:
    """The lists without the documents that are not among the best of all shards."""
    lists = zip((words.terms, words.pairs, words.quoted), second.least, strict=True)
    terms, pairs, quoted = (of.those(of.scores >= low) for of, low in lists)
    return replace(words, terms=terms, pairs=pairs, quoted=quoted, best=max(second.best, words.best))
