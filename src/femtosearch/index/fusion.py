"""What a document's score is made of: MaxSim, less what a long document has by luck, and BM25."""

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

WEIGHT = 0.37  # of BM25 in a score, the rest being MaxSim's
PENALTY = 0.15  # of what the best of so many passages gains by chance
SPREADS = 8.0  # how many standard deviations of MaxSim count as much as all words
_SAMPLE = 512  # passages that a query's MaxSim is taken to be spread over like all
_UNIT = 1 << 14  # of a MaxSim, when its moments are summed as whole numbers
_MOST = 4096.0  # what a larger MaxSim counts as there
_TOGETHER = 1024  # squares that an int64 holds the sum of


@frozen(eq=False)
class Fused:
    """A ranking by fused scores, and the parts of the score of each document.

    ranking:  its `scores` are those that count.
    maxsim:   [K] float32, the best passage's.
    bm25:     [K] float64, 0 where a document has none of the words; None without words.
    shares:   what is added to a score for the words and what is quoted, and taken off for its length, by the
              names that `Explanation.parts` has: [K] each.
    weight:   that of words in a score.
    """

    ranking: Ranking
    maxsim: np.ndarray
    bm25: np.ndarray | None = None
    shares: Mapping[str, np.ndarray] = field(default_factory=dict)
    weight: float = 0.0

    def parts(self, number: int) -> dict[str, float]:
        """What the score of one document of the ranking is the sum of, without parts that are 0."""
        addends = {name: float(share[number]) for name, share in self.shares.items() if share[number]}
        if self.weight == 1:
            return addends
        return {"maxsim": float(self.ranking.scores[number]) - sum(addends.values()), **addends}


@frozen
class Moments:
    """How a query's MaxSim is spread over passages: sums of whole numbers, which are the same in any order
    and over any shards.

    passages:  how many the sums stand for.
    count:     how many were summed.
    total:     the sum of their MaxSim, in 16,384ths; squares: the sum of its squares.
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
        """Its standard deviation."""
        count = max(1, self.count)
        return math.sqrt((count * self.squares - self.total**2) / count**2) / _UNIT

    @classmethod
    def of(cls, scores: np.ndarray, passages: int) -> Moments:
        """Those of some scores, [N] float32, that stand for so many passages; -inf, that of a passage without
        rows, does not count, and neither do the passages that it stands for.
        """
        units = np.rint(np.clip(scores[np.isfinite(scores)], -_MOST, _MOST).astype(np.float64) * _UNIT)
        units = units.astype(np.int64)
        if not len(units):
            return cls()
        passages = round(passages * len(units) / len(scores))
        squares = np.add.reduceat(units * units, np.arange(0, len(units), _TOGETHER))
        return cls(passages, len(units), int(units.sum()), sum(squares.tolist()))

    @classmethod
    def joined(cls, several: Iterable[Moments]) -> Moments:
        """Those of all passages together: exact where all were summed; else each stands for its passages."""
        summed = [moments for moments in several if moments.count]
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
    """The score of each document: (1 - weight) · (MaxSim - mean) / (8 s) + weight · BM25 / sqrt(2 · best ·
    most), and 1 more where all that stands in quotes is there. `most` is what BM25 could be for the query,
    `best` what a document has: halfway between what its words are worth to the query and how many of them
    are to be found together. Of words alone it is BM25 / most; without words it is MaxSim.

    From MaxSim goes penalty · s · sqrt(2 ln n), for a document of n passages: what the best of n draws gains
    by chance. Mean and s, the standard deviation, are those of the query's MaxSim over all passages; of a
    query in pieces what goes is that of each. A document without rows counts as the least that is scored.

    moments, lowest:  as `moments_of` and `lowest_of` give them, where the passages here are not all; None:
              those of the snapshot.
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
    """The lowest MaxSim of the documents that are ranked, for each number of passages that some of them have.

    Of all shards together it says what a document without rows counts as. Raises CorruptError.
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
        raise CorruptError("the segments name documents in no order: femtosearch check says where")
    counts: np.ndarray = snapshot.counts[documents]
    return counts


def _least(lowest: Mapping[int, float], penalty: float) -> float:
    counts, maxsim = np.array([*lowest], np.int64), np.array([*lowest.values()], np.float64)
    return float((maxsim - _luck_of(counts, penalty)).min(initial=np.inf))


def _luck_of(counts: np.ndarray, penalty: float) -> np.ndarray:
    """What documents of so many passages lose of their MaxSim. penalty: times the spread of the query's."""
    return np.asarray(penalty * np.sqrt(2 * np.log(counts)))


def moments_of(
    snapshot: Snapshot, pieces: Pieces, ranking: Ranking, sample: int = _SAMPLE
) -> tuple[Moments, ...]:
    """The moments of a query's MaxSim over the passages: over all of them if they have been scored, else over
    some that lie evenly among them. Behind them, for a query in several pieces, those of each piece.
    """
    by_piece = ranking.by_piece
    if ranking.places is not None:
        by_piece = snapshot.sample_scores(pieces, sample)
    rankings = [by_piece.sum(axis=0), *(by_piece if len(pieces) > 1 else ())]
    return tuple(Moments.of(scores, snapshot.passages) for scores in rankings)


def _aligned(words: WordScores, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """BM25, its shares, and whether the phrases are there, for the documents of those keys."""
    columns = np.zeros((3, len(keys)))
    present = contains(keys, words.keys)
    columns[:, np.searchsorted(keys, words.keys[present])] = np.stack(
        [words.bm25[present], words.shares[present], words.phrases[present]]
    )
    return columns[0], columns[1], columns[2]


def _scored(ranking: Ranking, scores: np.ndarray) -> Ranking:
    return replace(ranking, scores=scores.astype(np.float32))
