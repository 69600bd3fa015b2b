"""A shard: one index of several, whose answers together are equal to those of one index of all documents.

A query has two phases. In the first each shard reports the moments of the query's MaxSim over its passages,
and the BM25 of its best documents. The router joins these reports and sends the result back; in the second
phase each shard gives its best hits, with the scores that one index would give. A shard that took no part in
the first phase, because another copy of it did, does it then. A query that is to be explained has two more
phases: one for the numbers by which its hits are ranked, and one for how many documents rank before them.
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
_MOST_BEGUN = 32  # queries whose first phase is kept for the second
NO_WORDS = WordStatistics(0, 0, 0)


@frozen
class Totals:
    """The totals of a shard.

    rows, tokens:  of its table of words; has_words: whether it has one.
    long:          whether any document has more than one passage.
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

    name:        a unique name, by which a shard recognises the query in its second phase.
    query:       the query with its rows.
    request:     the request with one text; its quota is left to the router.
    statistics:  the words of all shards; None where words do not count.
    passages:    how many passages all shards have.
    spots:       give each hit the span where it matched best.
    explain:     explanations will be requested after the second phase.
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
        """How many best documents by words are scored."""
        documents = self.statistics.documents if self.statistics else 0
        return max(DEPTH, min(self.request.k, documents))


@frozen
class First:
    """A shard's report of the first phase.

    moments:  of the query's MaxSim, and of each of its pieces where there are several; see `moments_of`.
    words:    the BM25 of its best documents by terms, by pairs, and by quoted phrases.
    lowest:   the lowest MaxSim; see `lowest_of`.
    """

    moments: tuple[Moments, ...]
    words: tuple[list[float], list[float], list[float]]
    lowest: Mapping[int, float] = field(default_factory=dict)


@frozen
class Second:
    """The joined reports of all shards, which each shard gets for the second phase.

    moments, lowest:  as in `First`, over all shards.
    least:            the BM25 from which on a document counts, by terms, by pairs and by quoted phrases.
    best:             the largest BM25 of a document by terms.
    """

    moments: tuple[Moments, ...]
    least: tuple[float, float, float]
    best: float = 0.0
    lowest: Mapping[int, float] = field(default_factory=dict)


@frozen
class Reasons:
    """A shard's part of the explanation of one hit.

    words:     the share of each word that was looked up and that it has, in its BM25.
    measures:  the numbers by which the document is ranked; see `Measures`.
    parts:     the addends of its score.
    """

    words: dict[str, float]
    measures: dict[str, float]
    parts: dict[str, float]


def second_of(question: Question, firsts: Sequence[First]) -> Second:
    """Join the reports of all shards."""
    by_kind = zip(*(first.words for first in firsts), strict=True)
    least = [_least([score for scores in lists for score in scores], question.depth) for lists in by_kind]
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
    """A query after its first phase.

    vector:  [P] float32, the query's FDE, if it selects candidates; words: None where they do not count.
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
    """The fused scores of a query, and the word scores that went into them."""

    fused: Fused
    words: WordScores | None

    def measures(self, begun: _Begun, question: Question) -> Measures:
        """The numbers by which the documents are ranked."""
        query = question.query
        lookup = Lookup(query.text, query.rows, begun.vector, self.words, begun.selection)
        return Measures(begun.snapshot, lookup, self.fused)


@dataclass(eq=False)
class Shard:
    """One shard. It keeps queries between their two phases. Safe to use from several threads."""

    index: Index
    _begun: OrderedDict[str, _Begun] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def totals(self) -> Totals:
        """The totals of the shard. Also prepares its FDE, so that the first query need not wait for that.
        Raises StoreError.
        """

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
        """Run the first phase of a query. Raises QueryError, StoreError."""
        begun = self.index._snapshots.ask(lambda snapshot: self._beginning(snapshot, question))
        self._keep(question, begun)
        return begun.first

    def finish(self, question: Question, second: Second) -> list[Hit]:
        """Run the second phase of a query: the shard's best hits. Raises QueryError, StoreError."""
        hits = self._ask(
            question, lambda begun: self._hits(begun, question, second), last=not question.explain
        )
        if question.spots:
            token_rows = getattr(self.index.model, "token_rows", None)
            hits = spotted(question.query.rows, hits, token_rows)
        return located(self.index._store.catalog, hits)

    def reasons(self, question: Question, second: Second, ids: Sequence[str]) -> list[Reasons | None]:
        """The shard's part of the explanations of documents; None for one that it did not rank. Raises
        QueryError, StoreError.
        """
        return self._ask(question, lambda begun: self._reasons(begun, question, second, ids))

    def larger(
        self, question: Question, second: Second, measures: Sequence[dict[str, float]]
    ) -> list[dict[str, int]]:
        """How many documents or passages of the shard rank before hits of any shards, by each measure of each
        hit. Raises QueryError, StoreError.
        """

        def counts(begun: _Begun) -> list[dict[str, int]]:
            if begun.ranking is None:
                return [dict.fromkeys(numbers, 0) for numbers in measures]
            ranked_by = self._fusion(begun, question, second).measures(begun, question)
            return [
                {name: ranked_by.larger(name, number) for name, number in numbers.items()}
                for numbers in measures
            ]

        return self._ask(question, counts, last=True)

    def _keep(self, question: Question, begun: _Begun) -> None:
        with self._lock:
            self._begun[question.name] = begun
            while len(self._begun) > _MOST_BEGUN:
                self._begun.popitem(last=False)

    def _ask(self, question: Question, use: Callable[[_Begun], T | None], *, last: bool = False) -> T:
        """Apply a function to a query after its first phase, which is run now if it was not, or if the index
        has changed since. last: do not keep the query afterwards.
        """
        with self._lock:
            former = self._begun.pop(question.name, None)

        def answer(snapshot: Snapshot) -> T | None:
            is_current = former is not None and former.snapshot is snapshot
            begun = former if is_current else self._beginning(snapshot, question)
            assert begun is not None
            if not last:
                self._keep(question, begun)
            return use(begun)

        return self.index._snapshots.ask(answer)

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
            scores = None if words is None else words.joined()
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
        words = None if begun.words is None else _cut(begun.words, second).joined()
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
    terms, pairs, quoted = (scored.scores.tolist() for scored in (words.terms, words.pairs, words.quoted))
    return terms, pairs, quoted


def _cut(words: WordLists, second: Second) -> WordLists:
    """Remove from the lists the documents that are not among the best of all shards."""
    lists = zip((words.terms, words.pairs, words.quoted), second.least, strict=True)
    terms, pairs, quoted = (scored.only(scored.scores >= low) for scored, low in lists)
    return replace(words, terms=terms, pairs=pairs, quoted=quoted, best=max(second.best, words.best))
