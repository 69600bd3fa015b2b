"""The search: a request becomes a plan, the plan a ranking of a snapshot's documents, the ranking hits."""

from __future__ import annotations

import numpy as np

from femtosearch.errors import FdeError
from femtosearch.fde import Calibration
from femtosearch.fde.calibration import Sample, fit, prefixes_of
from femtosearch.index.catalog import Catalog
from femtosearch.index.encoding import Encoding
from femtosearch.index.plan import Extent, Plan, choose
from femtosearch.index.request import Request
from femtosearch.index.snapshot import Ranking, Snapshot
from femtosearch.types import Hit, Rows


def search(catalog: Catalog, snapshot: Snapshot, rows: Rows, request: Request) -> list[list[Hit]] | None:
    """The hits of every query, best first; None where a document has gone since the snapshot was taken.

    rows:  the queries' token vectors; a query without rows finds nothing.
    """
    extent = Extent(
        snapshot.dims, snapshot.rows, snapshot.passages, snapshot.has_fde, snapshot.has_stored_fdes
    )
    plans = [choose(request, len(query), extent, lambda: snapshot.encoding.fde) for query in rows]
    vectors = _fde_vectors(snapshot, rows, plans)
    answers: list[list[Hit]] = []
    for query, plan, vector in zip(rows, plans, vectors, strict=True):
        ranking = rank(snapshot, query, plan, vector) if len(query) else None
        hits = [] if ranking is None else _hits(catalog, snapshot, ranking, request.k)
        if hits is None:
            return None
        answers.append(hits)
    return answers


def rank(snapshot: Snapshot, query: np.ndarray, plan: Plan, vector: np.ndarray | None) -> Ranking:
    """The documents with their scores by a plan.

    query:   [Q, D] float32.
    vector:  [P] float32, the query's FDE; None where no plan needs it.
    """
    if vector is None or plan.mode == "maxsim":
        return snapshot.rank(snapshot.scores(query))
    if plan.mode == "fde":
        return snapshot.rank(snapshot.products(vector))
    places = snapshot.candidates(vector[: plan.prefix], plan.candidates)
    return snapshot.rank(snapshot.scores(query, places), places)


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


def best(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The places of the k largest scores: those that are so for sure, and those that tie for the last ones.

    scores:  [N] float32, -inf where there is no hit.
    >>> best(np.array([1, 3, 2, 2, -np.inf], np.float32), 2)
    (array([1]), array([2, 3]))
    """
    k = min(k, int(np.count_nonzero(scores > -np.inf)))
    if k == 0:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    last = np.partition(scores, len(scores) - k)[len(scores) - k]
    return np.flatnonzero(scores > last), np.flatnonzero(scores == last)


def _fde_vectors(snapshot: Snapshot, rows: Rows, plans: list[Plan]) -> list[np.ndarray | None]:
    """Each query's FDE, as long as the longest scan needs it; None for all where no plan scans."""
    scanning = [plan for plan in plans if plan.mode != "maxsim"]
    if not scanning:
        return [None] * len(plans)
    prefixes = [plan.prefix for plan in scanning]
    numbers = None if None in prefixes else max(prefix for prefix in prefixes if prefix)
    return list(snapshot.encoding.fde.queries(rows, numbers=numbers))


def _hits(catalog: Catalog, snapshot: Snapshot, ranking: Ranking, k: int) -> list[Hit] | None:
    """The k best documents; of equals the smaller id first. None where one has gone meanwhile."""
    keys, scores = ranking.keys, ranking.scores
    sure, tied = best(scores, k)
    open_places = min(k, len(sure) + len(tied)) - len(sure)
    if open_places < len(tied):
        ids = catalog.ids(keys[tied].tolist())
        if len(ids) < len(tied):
            return None
        tied = np.array(sorted(tied, key=lambda number: ids[int(keys[number])])[:open_places])
    numbers = [*sure.tolist(), *tied.tolist()]
    documents = catalog.fetch([int(keys[number]) for number in numbers])
    if len(documents) < len(numbers):
        return None
    hits = []
    for number in numbers:
        document, span = documents[int(keys[number])], snapshot.span(ranking.place(number))
        hits.append(Hit(document.id, float(scores[number]), document.text, document.metadata, span))
    return sorted(hits, key=lambda hit: (-hit.score, hit.id))
