"""What a document's score is made of: MaxSim, less what a long document has by luck, and BM25."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from femtosearch.index.keywords import WordScores
from femtosearch.index.snapshot import Ranking, Snapshot, contains

WEIGHT = 0.36  # of BM25 in a score, the rest being MaxSim's
PENALTY = 0.1875  # of what the best of so many passages gains by chance
SPREADS = 8.0  # how many standard deviations of MaxSim count as much as all words
_SAMPLE = 512  # passages that a query's MaxSim is taken to be spread over like all


@dataclass(frozen=True, slots=True, eq=False)
class Fused:
    """A ranking by fused scores, and the parts of the score of each document.

    ranking:  its `scores` are those that count.
    maxsim:   [K] float32, the best passage's.
    bm25:     [K] float64, 0 where a document has none of the words; None without words.
    """

    ranking: Ranking
    maxsim: np.ndarray
    bm25: np.ndarray | None = None


def fuse(
    snapshot: Snapshot,
    query: np.ndarray,
    ranking: Ranking,
    words: WordScores | None,
    *,
    weight: float,
    penalty: float,
) -> Fused:
    """The score of each document: (1 - weight) · (MaxSim - mean) / (8 s) + weight · BM25 / the most possible,
    and 1 more where all that stands in quotes is there. Without words it is MaxSim.

    From MaxSim goes penalty · s · sqrt(2 ln n), for a document of n passages: what the best of n draws gains
    by chance. Mean and s, the standard deviation, are those of the query's MaxSim over all passages.
    """
    documents = np.searchsorted(snapshot.keys, ranking.keys)
    mean, spread = 0.0, 0.0
    if penalty or words is not None:
        mean, spread = spread_of(snapshot, query, ranking)
    scores = ranking.scores.astype(np.float64)
    if penalty:
        scores -= penalty * spread * np.sqrt(2 * np.log(snapshot.counts[documents]))
    if words is None:
        return Fused(_scored(ranking, scores), ranking.scores)
    bm25, shares, phrases = _aligned(words, ranking.keys)
    if weight == 1:
        scores = np.where(bm25 > 0, shares + phrases, -np.inf)
    else:
        scores = (1 - weight) * (scores - mean) / (SPREADS * spread or 1.0) + weight * shares + phrases
    return Fused(_scored(ranking, scores), ranking.scores, bm25)


def spread_of(snapshot: Snapshot, query: np.ndarray, ranking: Ranking) -> tuple[float, float]:
    """The mean and the standard deviation of a query's MaxSim over the passages: over all of them if they
    have been scored, else over some that lie evenly among them.
    """
    if ranking.places is None:
        scores = ranking.by_passage
    else:
        places = np.unique(np.linspace(0, snapshot.passages - 1, _SAMPLE).astype(np.int64))
        scores = snapshot.scores(query, places)
    scores = scores[np.isfinite(scores)].astype(np.float64)
    return (float(scores.mean()), float(scores.std())) if len(scores) else (0.0, 0.0)


def _aligned(words: WordScores, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """BM25, its shares, and whether the phrases are there, for the documents of those keys."""
    columns = np.zeros((3, len(keys)))
    present = contains(keys, words.keys)
    columns[:, np.searchsorted(keys, words.keys[present])] = np.stack(
        [words.bm25[present], words.shares[present], words.phrases[present]]
    )
    return columns[0], columns[1], columns[2]


def _scored(ranking: Ranking, scores: np.ndarray) -> Ranking:
    return Ranking(ranking.keys, scores.astype(np.float32), ranking.first, ranking.places, ranking.by_passage)
