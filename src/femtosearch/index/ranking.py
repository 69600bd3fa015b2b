"""The documents of a snapshot in the order of a plan: which passages are candidates, and their MaxSim."""

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
    """The documents, of all or of a selection, with their scores by a plan.

    pieces:   of the query, [Q, D] float32 each.
    vectors:  [pieces, P] float32, the FDE of each; None where no plan needs them.
    words:    documents that are candidates, too.
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
        lambda some: snapshot.scores(pieces[0], places[some]),
        most_missed=plan.most_missed,
        k=plan.documents,
        widening=widening_of(snapshot.encoding.size, plan.prefix),
    )
    return _joined(snapshot, pieces, places[chosen], scores, more)


def _joined(
    snapshot: Snapshot, pieces: Pieces, places: np.ndarray, scores: np.ndarray, more: np.ndarray
) -> Ranking:
    """The documents of passages that have been scored, and of some more."""
    more = more[~contains(places, more)]
    every = np.concatenate([places, more])
    by_piece = np.concatenate([scores, snapshot.scores(pieces[0], more)])
    order = np.argsort(every)
    return snapshot.rank(by_piece[None, order], every[order])


def _candidates(
    snapshot: Snapshot, vectors: np.ndarray, plan: Plan, selection: Selection | None
) -> tuple[np.ndarray, np.ndarray]:
    """The candidates' places, rising, as many as planned, or as many as are of `plan.documents` documents;
    and the FDE's products of a query of one piece.

    The pieces of a query share them, but for ten that each has in any case; all of those are scored, and so
    they are no more than a calibration says.
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
    """The places of the best documents by their words, as many as do not take long to score."""
    order = np.argsort(-words.bm25, kind="stable")
    counts = snapshot.counts[positions(snapshot.keys, words.keys[order])]
    few = order[np.cumsum(counts) <= WORD_PASSAGES]
    return snapshot.places_of(np.sort(words.keys[few]))
