"""Fusion: a document's score is made of MaxSim, less a penalty for many passages, and of BM25."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import field, replace

import numpy as np

from femtosearch.errors import CorruptError
from femtosearch.frozen import frozen
from femtosearch.index.keys import contains, positions
from femtosearch.index.keywords import WordScores
from femtosearch.index.snapshot import Pieces, Ranking, Snapshot

WEIGHT = 0.37  # of BM25 in a score; MaxSim has the remaining weight
PENALTY = 0.15  # the share that is taken off of what the best of many passages gains by chance
SPREADS = 8.0  # how many standard deviations of MaxSim count as much as all words
SAMPLE = 512  # passages by which the spread of a query's MaxSim over all passages is estimated
_UNIT = 1 << 14  # a MaxSim of 1 as a whole number, when moments are summed
_MOST = 4096.0  # a larger MaxSim counts as this when moments are summed
_TOGETHER = 1024  # squares whose sum an int64 can hold


@frozen(eq=False)
class Fused:
    """A ranking by fused scores, and the addends of each document's score.

    ranking:  the ranking whose `scores` are the fused ones.
    maxsim:   [K] float32, of each document's best passage.
    bm25:     [K] float64, 0 where a document has none of the words; None without words.
    shares:   the addends of the scores, [K] float64 each, by the names that `Explanation.parts` has: for
              words, for quoted phrases, and for the length (negative).
    weight:   the weight of words in a score.
    """

    ranking: Ranking
    maxsim: np.ndarray
    bm25: np.ndarray | None = None
    shares: Mapping[str, np.ndarray] = field(default_factory=dict)
    weight: float = 0.0

    def parts(self, number: int) -> dict[str, float]:
        """The addends of the score of one document of the ranking, by name, without those that are 0."""
        addends = {name: float(share[number]) for name, share in self.shares.items() if share[number]}
        if self.weight == 1:
            return addends
        return {"maxsim": float(self.ranking.scores[number]) - sum(addends.values()), **addends}


@frozen
class Moments:
    """The moments of a query's MaxSim over passages, as sums of whole numbers, which do not depend on the
    order of summing, nor on how passages are divided among shards.

    passages:  how many passages the sums stand for.
    count:     how many passages were summed.
    total:     the sum of their MaxSim, in units of 1/16,384; squares: the sum of its squares.
    """

    passages: int = 0
    count: int = 0
    total: int = 0
    squares: int = 0

    @property
    def mean(self) -> float:
        """The mean of the query's MaxSim."""
        return self.total / max(1, self.count) / _UNIT

    @property
    def spread(self) -> float:
        """The standard deviation of the query's MaxSim."""
        count = max(1, self.count)
        return math.sqrt((count * self.squares - self.total**2) / count**2) / _UNIT

    @classmethod
    def of(cls, scores: np.ndarray, passages: int) -> Moments:
        """The moments of scores, [N] float32, that are a sample of so many passages. A score of -inf, which a
        passage without rows has, is left out, together with the passages that it stands for.
        """
        units = np.rint(np.clip(scores[np.isfinite(scores)], -_MOST, _MOST).astype(np.float64) * _UNIT)
        units = units.astype(np.int64)
        if not len(units):
            return cls()
        passages = round(passages * len(units) / len(scores))
        squares = np.add.reduceat(units * units, np.arange(0, len(units), _TOGETHER))
        return cls(passages, len(units), int(units.sum()), sum(squares.tolist()))

    @classmethod
    def joined(cls, of_shards: Iterable[Moments]) -> Moments:
        """Join the moments of shards: exact if all passages were summed; else each sample is scaled to the
        passages that it stands for.
        """
        summed = [moments for moments in of_shards if moments.count]
        shares = [max(1, round(moments.passages / moments.count)) for moments in summed]
        return cls(
            sum(moments.passages for moments in summed),
            sum(moments.count * share for moments, share in zip(summed, shares, strict=True)),
            sum(moments.total * share for moments, share in zip(summed, shares, strict=True)),
            sum(moments.squares * share for moments, share in zip(summed, shares, strict=True)),
        )


def fuse(
    snapshot: Snapshot,
    pieces: Pieces,
    ranking: Ranking,
    words: WordScores | None,
    *,
    weight: float,
    penalty: float,
    moments: tuple[Moments, ...] | None = None,
    lowest: Mapping[int, float] | None = None,
) -> Fused:
    """Fuse MaxSim and BM25 to one score for each document.

        (1 - weight) · (MaxSim - mean) / (8 s) + weight · BM25 / sqrt(2 · best · most)

    and 1 more if the document has all that stands in quotes. Here `most` is the largest BM25 that any
    document could have for the query, and `best` the largest that a document of the index has; mean and s,
    the standard deviation, are those of the query's MaxSim over all passages. With weight 1 the score is BM25
    / most; without words it is MaxSim.

    Before, penalty · s · sqrt(2 ln n) is taken off the MaxSim of a document of n passages: about what the
    best of n draws gains by chance. For a query in pieces s is the sum over the pieces here. A document
    without rows gets the lowest MaxSim of all that are ranked.

    moments, lowest:  of all shards, as `moments_of` and `lowest_of` give them, if the index is one of
              several; None to use those of the snapshot.
    """
    counts = _counts_of(snapshot, ranking)
    mean, spread, luck = 0.0, 0.0, 0.0
    if penalty or words is not None:
        of_query, *by_piece = moments or moments_of(snapshot, pieces, ranking)
        mean, spread = of_query.mean, of_query.spread
        luck = sum(piece.spread for piece in by_piece) if by_piece else spread
    scores = ranking.scores.astype(np.float64)
    length = np.zeros(len(scores))
    if penalty:
        length = _luck_of(counts, penalty * luck)
        scores -= length
    if words is None:
        return Fused(_scored(ranking, scores), ranking.scores, shares={"length": -length})
    bm25, shares, phrases = _aligned(words, ranking.keys)
    if weight == 1:
        of_words = shares
        scores = np.where(bm25 > 0, of_words + phrases, -np.inf)
        length[:] = 0
    else:
        has_rows, unit = np.isfinite(scores), SPREADS * spread or 1.0
        least = scores[has_rows].min(initial=np.inf) if lowest is None else _least(lowest, penalty * luck)
        scores = np.where((bm25 > 0) & ~has_rows, least if np.isfinite(least) else mean, scores)
        of_words = weight * (shares / (math.sqrt(2 * words.top) or 1.0))
        scores = (1 - weight) * (scores - mean) / unit + of_words + phrases
        length *= np.where(has_rows, (1 - weight) / unit, 0.0)
    parts = {"words": of_words, "quotes": phrases, "length": -length}
    return Fused(_scored(ranking, scores), ranking.scores, bm25, parts, weight)


def lowest_of(snapshot: Snapshot, ranking: Ranking) -> dict[int, float]:
    """The lowest MaxSim among the ranked documents with the same number of passages: number -> MaxSim.

    Over all shards it determines the MaxSim that a document without rows gets. Raises CorruptError.
    """
    has_rows = np.isfinite(ranking.scores)
    counts = _counts_of(snapshot, ranking)[has_rows]
    lowest = np.full(counts.max(initial=0) + 1, np.inf, np.float32)
    np.minimum.at(lowest, counts, ranking.scores[has_rows])
    return {int(count): float(lowest[count]) for count in np.flatnonzero(np.isfinite(lowest))}


def _counts_of(snapshot: Snapshot, ranking: Ranking) -> np.ndarray:
    """How many passages the documents of a ranking have. Raises CorruptError."""
    documents = positions(snapshot.keys, ranking.keys)
    if documents.max(initial=-1) >= len(snapshot.keys):
        raise CorruptError(
            "expected segments that name documents in rising order, found others: femtosearch check FOLDER "
            "says where, and with --repair mends it"
        )
    counts: np.ndarray = snapshot.counts[documents]
    return counts


def _least(lowest: Mapping[int, float], penalty: float) -> float:
    counts, maxsim = np.array([*lowest], np.int64), np.array([*lowest.values()], np.float64)
    return float((maxsim - _luck_of(counts, penalty)).min(initial=np.inf))


def _luck_of(counts: np.ndarray, penalty: float) -> np.ndarray:
    """What is taken off the MaxSim of documents with so many passages. penalty: already times the spread."""
    return np.asarray(penalty * np.sqrt(2 * np.log(counts)))


def moments_of(
    snapshot: Snapshot, pieces: Pieces, ranking: Ranking, sample: int = SAMPLE
) -> tuple[Moments, ...]:
    """The moments of a query's MaxSim over all passages if these were scored, else over a sample that lies
    evenly among them. For a query in several pieces the moments of each piece follow.

    sample:  how many passages the sample has.
    """
    by_piece = ranking.by_piece
    if ranking.places is not None:
        by_piece = snapshot.sample_scores(pieces, sample)
    rankings = [by_piece.sum(axis=0), *(by_piece if len(pieces) > 1 else ())]
    return tuple(Moments.of(scores, snapshot.passages) for scores in rankings)


def _aligned(words: WordScores, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """BM25, its shares, and whether the quoted phrases occur, for documents by key: [K] float64 each."""
    columns = np.zeros((3, len(keys)))
    present = contains(keys, words.keys)
    columns[:, np.searchsorted(keys, words.keys[present])] = np.stack(
        [words.bm25[present], words.shares[present], words.phrases[present]]
    )
    return columns[0], columns[1], columns[2]


def _scored(ranking: Ranking, scores: np.ndarray) -> Ranking:
    return replace(ranking, scores=scores.astype(np.float32))
