"""The search: a request becomes a plan, the plan a ranking of a snapshot's documents, the ranking hits."""

from __future__ import annotations

import numpy as np

from femtosearch.errors import FdeError
from femtosearch.fde import Calibration
from femtosearch.fde.calibration import Sample, fit, prefixes_of
from femtosearch.index.catalog import Catalog
from femtosearch.index.encoding import Encoding
from femtosearch.index.filtering import Selection, select
from femtosearch.index.hits import best_hits
from femtosearch.index.plan import Extent, Plan, choose
from femtosearch.index.request import Request
from femtosearch.index.snapshot import Ranking, Snapshot
from femtosearch.types import Hit, Rows


def search(catalog: Catalog, snapshot: Snapshot, rows: Rows, request: Request) -> list[list[Hit]] | None:
    """The hits of every query, best first; None where a document has gone since the snapshot was taken.

    rows:  the queries' token vectors; a query without rows finds nothing.
    """
    selection = None if request.where is None else select(catalog, snapshot, request.where)
    extent = _extent(snapshot, selection)
    plans = [choose(request, len(query), extent, lambda: snapshot.encoding.fde) for query in rows]
    vectors = _fde_vectors(snapshot, rows, plans)
    answers: list[list[Hit]] = []
    for query, plan, vector in zip(rows, plans, vectors, strict=True):
        hits: list[Hit] = []
        for attempt in _attempts(plan, request) if len(query) else ():
            ranking = rank(snapshot, query, attempt, vector, selection)
            answer = best_hits(catalog, snapshot, ranking, request)
            if answer is None:
                return None
            hits = answer
            if len(hits) == request.k:
                break
        answers.append(hits)
    return answers


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
) -> Ranking:
    """The documents, of all or of a selection, with their scores by a plan.

    query:   [Q, D] float32.
    vector:  [P] float32, the query's FDE; None where no plan needs it.
    """
    places = None if selection is None else selection.places
    if vector is None or plan.mode == "maxsim":
        return snapshot.rank(snapshot.scores(query, places), places)
    if plan.mode == "fde":
        products = snapshot.products(vector)
        return snapshot.rank(products if places is None else products[places], places)
    places = _candidates(snapshot, vector[: plan.prefix], plan, selection)
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


def _extent(snapshot: Snapshot, selection: Selection | None) -> Extent:
    """How much is searched; a selection's rows are taken to be as many a passage as all have."""
    rows, passages, documents = snapshot.rows, snapshot.passages, len(snapshot.keys)
    if selection is not None:
        rows = rows * len(selection.places) // max(1, passages)
        passages, documents = len(selection.places), selection.documents
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


def _fde_vectors(snapshot: Snapshot, rows: Rows, plans: list[Plan]) -> list[np.ndarray | None]:
    """Each query's FDE, as long as the longest scan needs it; None for all where no plan scans."""
    scanning = [plan for plan in plans if plan.mode != "maxsim"]
    if not scanning:
        return [None] * len(plans)
    prefixes = [plan.prefix for plan in scanning]
    numbers = None if None in prefixes else max(prefix for prefix in prefixes if prefix)
    return list(snapshot.encoding.fde.queries(rows, numbers=numbers))
