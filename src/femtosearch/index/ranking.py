"""Ranking: a plan is applied to a snapshot, from the candidates to the MaxSim of their documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from femtosearch.index.keys import contains, positions
from femtosearch.index.keywords import WordScores
from femtosearch.index.plan import MORE, Plan
from femtosearch.index.rescoring import scored_far_enough, widening_of
from femtosearch.index.snapshot import Pieces, Ranking, Snapshot

if TYPE_CHECKING:
    from femtosearch.index.filtering import Selection

WORD_PASSAGES = 4096  # passages of documents that words find, beside the FDE's candidates


def rank(
    snapshot: Snapshot,
    pieces: Pieces,
    plan: Plan,
    vectors: np.ndarray | None,
    selection: Selection | None = None,
    words: WordScores | None = None,
) -> Ranking:
    """Rank the documents of a snapshot, or of a selection, after a plan.

    pieces:   of the query, [Q, D] float32 each.
    vectors:  [pieces, P] float32, the FDE of each piece; None if no plan needs them.
    words:    documents found by words, which are candidates in addition to those of the FDE.
    """
    places = None if selection is None else selection.places
    if vectors is None or plan.mode == "maxsim":
        return snapshot.rank(snapshot.piece_scores(pieces, places), places)
    if plan.mode == "fde":
        products = np.stack([snapshot.products(vector) for vector in vectors])
        return snapshot.rank(products if places is None else products[:, places], places)
    places, products = _candidates(snapshot, vectors[:, : plan.prefix], plan, selection)
    more = np.empty(0, np.int64) if words is None else _places_of_words(snapshot, words)
    if len(pieces) > 1 or not plan.most_missed:
        places = np.union1d(places, more)
        return snapshot.rank(snapshot.piece_scores(pieces, places), places)
    chosen, scores = scored_far_enough(
        products,
        snapshot.owners[places],
        lambda chosen: snapshot.scores(pieces[0], places[chosen]),
        most_missed=plan.most_missed,
        k=plan.documents,
        widening=widening_of(snapshot.encoding.size, plan.prefix),
    )
    return _joined(snapshot, pieces, places[chosen], scores, more)


def _joined(
    snapshot: Snapshot, pieces: Pieces, places: np.ndarray, scores: np.ndarray, more: np.ndarray
) -> Ranking:
    """Rank the documents of passages that were scored, and of `more` passages, which are scored now."""
    more = more[~contains(places, more)]
    every = np.concatenate([places, more])
    by_piece = np.concatenate([scores, snapshot.scores(pieces[0], more)])
    order = np.argsort(every)
    return snapshot.rank(by_piece[None, order], every[order])


def _candidates(
    snapshot: Snapshot, vectors: np.ndarray, plan: Plan, selection: Selection | None
) -> tuple[np.ndarray, np.ndarray]:
    """Find the candidates by FDE: their places, rising, and for a query of one piece their products.

    There are as many as planned, or more, until they belong to `plan.documents` documents. The pieces of a
    query share the number of candidates, but each has ten at least. All candidates of a query in pieces are
    scored, so there are only as many as the calibration says.
    """
    from femtosearch.fde.calibration import BEST

    alive = None if selection is None else selection.alive
    most = snapshot.passages if selection is None else len(selection.places)
    count, coarse = plan.candidates, plan.coarse
    if len(vectors) > 1:
        calibrated = count // MORE if coarse else count
        count, coarse = max(BEST, -(-calibrated // len(vectors))), -(-coarse // len(vectors))
    while True:
        places, products = snapshot.candidates(vectors[0], count, alive, coarse)
        for vector in vectors[1:]:
            places = np.union1d(places, snapshot.candidates(vector, count, alive, coarse)[0])
        documents = np.count_nonzero(np.diff(snapshot.owners[places], prepend=-1))
        if documents >= plan.documents or count >= most:
            return places, products
        count *= 4


def _places_of_words(snapshot: Snapshot, words: WordScores) -> np.ndarray:
    """The places of the passages of the best documents by words, at most WORD_PASSAGES of them."""
    order = np.argsort(-words.bm25, kind="stable")
    counts = snapshot.counts[positions(snapshot.keys, words.keys[order])]
    few = order[np.cumsum(counts) <= WORD_PASSAGES]
    return snapshot.places_of(np.sort(words.keys[few]))
