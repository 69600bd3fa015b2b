"""The search: a request becomes a plan, the plan a ranking of a snapshot's documents, the ranking hits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from femtosearch.errors import FdeError, QueryError
from femtosearch.frozen import frozen
from femtosearch.index.catalog import Catalog
from femtosearch.index.fusion import PENALTY, WEIGHT, Fused, fuse
from femtosearch.index.hits import Numbered, best_hits
from femtosearch.index.keywords import DEPTH, WordScores, find
from femtosearch.index.plan import Extent, Plan, choose
from femtosearch.index.queries import Query
from femtosearch.index.ranking import rank
from femtosearch.index.request import Request
from femtosearch.index.snapshot import Pieces, Ranking, Snapshot
from femtosearch.types import Hit, Rows

if TYPE_CHECKING:
    from femtosearch.fde import Calibration
    from femtosearch.index.encoding import Encoding
    from femtosearch.index.explain import TokenRows
    from femtosearch.index.filtering import Selection


def search(
    catalog: Catalog,
    snapshot: Snapshot,
    queries: Sequence[Query],
    request: Request,
    token_rows: TokenRows | None = None,
) -> list[list[Hit]] | None:
    """Search a snapshot: the hits of every query, best first; None if a document was deleted meanwhile.

    queries:     a query without rows and without words has no hits.
    token_rows:  gives the rows of a text, to explain hits; None if no explanations were requested.
    """
    selection = None
    if request.where is not None:
        from femtosearch.index.filtering import select

        selection = select(catalog, snapshot, request.where)
    extent = extent_of(snapshot, selection)
    plans = [choose(request, len(query.rows), extent, lambda: snapshot.encoding.fde) for query in queries]
    searches = _Searches(catalog, snapshot, request, selection, weight_of(snapshot, request), token_rows)
    answers: list[list[Hit]] = []
    vectors = fde_vectors(snapshot, [query.pieces for query in queries], plans)
    for query, plan, query_vectors in zip(queries, plans, vectors, strict=True):
        hits = searches.hits(query, plan, query_vectors)
        if hits is None:
            return None
        answers.append(hits)
    return answers


@frozen(eq=False)
class _Searches:
    """What the searches of one request have in common.

    weight:      the weight of words in a score.
    token_rows:  gives the rows of a text, to explain hits; None if no explanations were requested.
    """

    catalog: Catalog
    snapshot: Snapshot
    request: Request
    selection: Selection | None
    weight: float
    token_rows: TokenRows | None

    def hits(self, query: Query, plan: Plan, vectors: np.ndarray | None) -> list[Hit] | None:
        """The hits of one query; None if a document was deleted meanwhile."""
        hits: list[Numbered] = []
        for attempt, words in self._attempts(query, plan):
            fused = self._fused(query.pieces, attempt, vectors, words)
            answer = best_hits(self.catalog, self.snapshot, fused, self.request)
            if answer is None:
                return None
            hits = answer
            if len(hits) == self.request.k:
                break
        if self.token_rows is None or not hits:
            return [hit for _, hit in hits]
        from femtosearch.index.explain import Lookup, explained

        vector = None if vectors is None or attempt.mode == "maxsim" else vectors.sum(axis=0)
        lookup = Lookup(query.text, query.rows, vector, words, self.selection)
        return explained(self.catalog, self.snapshot, self.token_rows, lookup, fused, hits)

    def _attempts(self, query: Query, plan: Plan) -> Iterator[tuple[Plan, WordScores | None]]:
        """The plan and the documents by words; with a quota, then a plan that ranks all documents, in case
        the first attempt gave fewer than k hits.
        """
        every = len(self.snapshot.keys)
        words = self._words(query.text, min(self.request.k, every)) if self.weight else None
        if query.pieces or words is not None:
            yield plan, words
        if self.request.per is None:
            return
        if words is not None and (self.weight == 1 or not query.pieces):
            if DEPTH <= len(words.keys) < every:
                yield plan, self._words(query.text, every)
        elif plan.documents:
            yield Plan("maxsim"), words

    def _words(self, text: str, depth: int) -> WordScores:
        exhaustive = self.weight == 1
        return find(
            self.catalog, self.snapshot, text, self.selection, depth=depth, exhaustive=exhaustive
        ).joined()

    def _fused(
        self, pieces: Pieces, plan: Plan, vectors: np.ndarray | None, words: WordScores | None
    ) -> Fused:
        weight = self.weight if pieces else 1.0
        ranking = ranked(self.snapshot, pieces, plan, vectors, self.selection, words, weight)
        penalty = penalty_of(plan, self.request)
        return fuse(self.snapshot, pieces, ranking, words, weight=weight, penalty=penalty)


def ranked(
    snapshot: Snapshot,
    pieces: Pieces,
    plan: Plan,
    vectors: np.ndarray | None,
    selection: Selection | None,
    words: WordScores | None,
    weight: float,
) -> Ranking:
    """Rank documents by MaxSim after a plan; if only words count, rank the documents that have words."""
    if weight == 1.0 and words is not None:
        places = snapshot.places_of(words.keys)
        return snapshot.rank(snapshot.piece_scores(pieces, places), places)
    return rank(snapshot, pieces, plan, vectors, selection, words)


def penalty_of(plan: Plan, request: Request) -> float:
    """The length penalty of a request: `length_penalty` or the default; 0 in the mode "fde"."""
    penalty = 0.0 if plan.mode == "fde" else request.length_penalty
    return PENALTY if penalty is None else penalty


def weight_of(snapshot: Snapshot, request: Request) -> float:
    """The weight of words in a score. Raises QueryError if words are to count and the index has none."""
    if request.hybrid and not snapshot.has_words:
        raise QueryError(
            "hybrid: this index has no table of words: make it with set_words() (femtosearch compact FOLDER "
            "--words), or search with hybrid=0"
        )
    if request.hybrid is None:
        return WEIGHT if request.mode == "auto" and snapshot.has_words else 0.0
    return request.hybrid


def extent_of(snapshot: Snapshot, selection: Selection | None) -> Extent:
    """How much is searched. A selection is taken to have as many rows a passage as all passages have."""
    rows, passages, documents = snapshot.rows, snapshot.passages, len(snapshot.keys)
    if selection is not None:
        rows = rows * len(selection.places) // max(1, passages)
        passages, documents = len(selection.places), len(selection.keys)
    stored, split = snapshot.has_stored_fdes, snapshot.has_split_fdes
    return Extent(snapshot.dims, rows, passages, snapshot.has_fde, stored, documents, split)


def measure_fde(snapshot: Snapshot, queries: Rows) -> tuple[Encoding, Calibration]:
    """Calibrate the index's FDE on all living passages; returns the FDE and its calibration. Raises
    FdeError.
    """
    from femtosearch.fde.calibration import Sample, fit, prefixes_of

    if not snapshot.has_fde:
        raise FdeError("the index has no FDE to calibrate: give it one with set_fde")
    fde = snapshot.encoding.fde
    sample = Sample(snapshot.passages, prefixes_of(snapshot.encoding.size))
    for query, vector in zip(queries, fde.queries(queries), strict=True):
        if len(query):
            products = [snapshot.products(vector[:prefix]) for prefix in sample.prefixes]
            sample.add(snapshot.scores(query), products)
    return snapshot.encoding, fit([sample])


def fde_vectors(snapshot: Snapshot, queries: Sequence[Pieces], plans: list[Plan]) -> list[np.ndarray | None]:
    """The FDEs of each query's pieces, [pieces, P] float32, where P is what the longest scan needs; None for
    a query without pieces, and for all queries if no plan scans FDEs.
    """
    scanning = [plan for plan in plans if plan.mode != "maxsim"]
    if not scanning:
        return [None] * len(plans)
    prefixes = [plan.prefix for plan in scanning]
    numbers = None if None in prefixes else max(prefix for prefix in prefixes if prefix)
    every = [piece for pieces in queries for piece in pieces]
    counts = [len(pieces) for pieces in queries]
    starts = np.cumsum([0, *map(len, every)]).astype(np.int64)
    none = np.empty((0, snapshot.dims), np.float32)
    vectors = snapshot.encoding.fde.queries(Rows(np.concatenate([none, *every]), starts), numbers=numbers)
    split = np.split(vectors, np.cumsum(counts)[:-1])
    return [fdes if len(fdes) else None for fdes in split]
