"""The search: a request becomes a plan, the plan a ranking of a snapshot's documents, the ranking hits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from femtosearch.errors import FdeError, QueryError
from femtosearch.fde import Calibration
from femtosearch.fde.calibration import Sample, fit, prefixes_of
from femtosearch.index.catalog import Catalog
from femtosearch.index.encoding import Encoding
from femtosearch.index.explain import Question, TokenRows, explained
from femtosearch.index.filtering import Selection, select
from femtosearch.index.fusion import PENALTY, WEIGHT, Fused, fuse
from femtosearch.index.hits import Numbered, best_hits
from femtosearch.index.keywords import WordScores, find
from femtosearch.index.plan import Extent, Plan, choose
from femtosearch.index.request import Request
from femtosearch.index.snapshot import Ranking, Snapshot
from femtosearch.types import Hit, Rows

WORD_PASSAGES = 4096  # passages of documents that words find, beside the FDE's candidates


def search(
    catalog: Catalog, snapshot: Snapshot, rows: Rows, request: Request, token_rows: TokenRows | None = None
) -> list[list[Hit]] | None:
    """The hits of every query, best first; None where a document has gone since the snapshot was taken.

    rows:        the queries' token vectors; a query without rows and without words finds nothing.
    token_rows:  gives the rows of a text, with which hits are explained.
    """
    selection = None if request.where is None else select(catalog, snapshot, request.where)
    extent = extent_of(snapshot, selection)
    plans = [choose(request, len(query), extent, lambda: snapshot.encoding.fde) for query in rows]
    searches = _Searches(catalog, snapshot, request, selection, weight_of(snapshot, request), token_rows)
    answers: list[list[Hit]] = []
    for query in zip(request.texts, rows, plans, fde_vectors(snapshot, rows, plans), strict=True):
        hits = searches.hits(*query)
        if hits is None:
            return None
        answers.append(hits)
    return answers


@dataclass(frozen=True, slots=True, eq=False)
class _Searches:
    """What the searches of one request have in common.

    weight:      that of words in a score.
    token_rows:  what explains hits; None where nobody asked.
    """

    catalog: Catalog
    snapshot: Snapshot
    request: Request
    selection: Selection | None
    weight: float
    token_rows: TokenRows | None

    def hits(self, text: str, query: np.ndarray, plan: Plan, vector: np.ndarray | None) -> list[Hit] | None:
        """The hits of one query; None where a document has gone meanwhile."""
        words = self._words(text) if self.weight else None
        hits: list[Numbered] = []
        for attempt in _attempts(plan, self.request) if len(query) or words else ():
            fused = self._fused(query, attempt, vector, words)
            answer = best_hits(self.catalog, self.snapshot, fused, self.request)
            if answer is None:
                return None
            hits = answer
            if len(hits) == self.request.k:
                break
        if self.token_rows is None or not hits:
            return [hit for _, hit in hits]
        question = Question(text, query, vector if attempt.mode != "maxsim" else None, words, self.selection)
        return explained(self.catalog, self.snapshot, self.token_rows, question, fused, hits)

    def _words(self, text: str) -> WordScores:
        exhaustive, depth = self.weight == 1, min(self.request.k, len(self.snapshot.keys))
        return find(
            self.catalog, self.snapshot, text, self.selection, depth=depth, exhaustive=exhaustive
        ).together()

    def _fused(
        self, query: np.ndarray, plan: Plan, vector: np.ndarray | None, words: WordScores | None
    ) -> Fused:
        weight = self.weight if len(query) else 1.0
        ranking = ranked(self.snapshot, query, plan, vector, self.selection, words, weight)
        penalty = penalty_of(plan, self.request)
        return fuse(self.snapshot, query, ranking, words, weight=weight, penalty=penalty)


def ranked(
    snapshot: Snapshot,
    query: np.ndarray,
    plan: Plan,
    vector: np.ndarray | None,
    selection: Selection | None,
    words: WordScores | None,
    weight: float,
) -> Ranking:
    """The documents with their MaxSim by a plan; with words alone those that have some."""
    if weight == 1.0 and words is not None:
        places = snapshot.places_of(words.keys)
        return snapshot.rank(snapshot.scores(query, places), places)
    return rank(snapshot, query, plan, vector, selection, words)


def penalty_of(plan: Plan, request: Request) -> float:
    """How much of what long documents have by luck is taken off."""
    penalty = 0.0 if plan.mode == "fde" else request.length_penalty
    return PENALTY if penalty is None else penalty


def weight_of(snapshot: Snapshot, request: Request) -> float:
    """How much words count. Raises QueryError where there are none to look up."""
    if request.hybrid and not snapshot.has_words:
        raise QueryError(
            "hybrid: this index has no table of words: make it with set_words() (femtosearch compact FOLDER "
            "--words), or search with hybrid=0"
        )
    if request.hybrid is None:
        return WEIGHT if request.mode == "auto" and snapshot.has_words else 0.0
    return request.hybrid


def _attempts(plan: Plan, request: Request) -> list[Plan]:
    """The plan; and everything, where candidates may be of too few sources for k hits."""
    widens = request.per is not None and plan.documents
    return [plan, Plan("maxsim")] if widens else [plan]


def rank(
    snapshot: Snapshot,
    query: np.ndarray,
    plan: Plan,
    vector: np.ndarray | None,
    selection: Selection | None = None,
    words: WordScores | None = None,
) -> Ranking:
    """The documents, of all or of a selection, with their scores by a plan.

    query:   [Q, D] float32.
    vector:  [P] float32, the query's FDE; None where no plan needs it.
    words:   documents that are candidates, too.
    """
    places = None if selection is None else selection.places
    if vector is None or plan.mode == "maxsim":
        return snapshot.rank(snapshot.scores(query, places), places)
    if plan.mode == "fde":
        products = snapshot.products(vector)
        return snapshot.rank(products if places is None else products[places], places)
    places = _candidates(snapshot, vector[: plan.prefix], plan, selection)
    if words is not None:
        places = np.union1d(places, _places_of_words(snapshot, words))
    return snapshot.rank(snapshot.scores(query, places), places)


def _candidates(
    snapshot: Snapshot, vector: np.ndarray, plan: Plan, selection: Selection | None
) -> np.ndarray:
    """The candidates' places, rising: as many as planned, or as many as are of `plan.documents` documents."""
    alive = None if selection is None else selection.alive
    most = snapshot.passages if selection is None else len(selection.places)
    count = plan.candidates
    while True:
        places = snapshot.candidates(vector, count, alive)
        documents = np.count_nonzero(np.diff(snapshot.owners[places], prepend=-1))
        if documents >= plan.documents or count >= most:
            return places
        count *= 4


def _places_of_words(snapshot: Snapshot, words: WordScores) -> np.ndarray:
    """The places of the best documents by their words, as many as do not take long to score."""
    order = np.argsort(-words.bm25, kind="stable")
    counts = snapshot.counts[np.searchsorted(snapshot.keys, words.keys[order])]
    few = order[np.cumsum(counts) <= WORD_PASSAGES]
    return snapshot.places_of(np.sort(words.keys[few]))


def extent_of(snapshot: Snapshot, selection: Selection | None) -> Extent:
    """How much is searched; a selection's rows are taken to be as many a passage as all have."""
    rows, passages, documents = snapshot.rows, snapshot.passages, len(snapshot.keys)
    if selection is not None:
        rows = rows * len(selection.places) // max(1, passages)
        passages, documents = len(selection.places), len(selection.keys)
    return Extent(snapshot.dims, rows, passages, snapshot.has_fde, snapshot.has_stored_fdes, documents)


def measure_fde(snapshot: Snapshot, queries: Rows) -> tuple[Encoding, Calibration]:
    """The index's FDE, and how many candidates it needs for which recall, on all living passages. Raises
    FdeError.
    """
    if not snapshot.has_fde:
        raise FdeError("the index has no FDE to calibrate: give it one with set_fde")
    fde = snapshot.encoding.fde
    sample = Sample(snapshot.passages, prefixes_of(snapshot.encoding.size))
    for query, vector in zip(queries, fde.queries(queries), strict=True):
        if len(query):
            products = [snapshot.products(vector[:prefix]) for prefix in sample.prefixes]
            sample.add(snapshot.scores(query), products)
    return snapshot.encoding, fit([sample])


def fde_vectors(snapshot: Snapshot, rows: Rows, plans: list[Plan]) -> list[np.ndarray | None]:
    """Each query's FDE, as long as the longest scan needs it; None for all where no plan scans."""
    scanning = [plan for plan in plans if plan.mode != "maxsim"]
    if not scanning:
        return [None] * len(plans)
    prefixes = [plan.prefix for plan in scanning]
    numbers = None if None in prefixes else max(prefix for prefix in prefixes if prefix)
    return list(snapshot.encoding.fde.queries(rows, numbers=numbers))
