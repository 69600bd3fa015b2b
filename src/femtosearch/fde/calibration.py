"""How many candidates find a stated share of MaxSim's best ten: measured, and carried over by a power law.

Letters: N passages, S sizes of samples, Q queries.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from typing import Any

import numpy as np

from femtosearch.errors import FdeError

BEST = 10  # of the exact order that are looked for
RECALLS = (0.8, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995, 0.999)
PASSAGES = tuple(1000 * 4**n for n in range(8))  # 1,000 to 16,384,000: what a table tells
LEAST_QUERIES = 20
SHARE = 0.9  # of the collections that a table suffices for
_SMALLEST = 500  # passages of a sample
_LEVELS = 8  # sizes of samples
_CHUNKS = 4  # samples of one size
_SLOPE = 0.8  # of a collection too small to show its own
_MOST = 1 << 40


@dataclass(frozen=True)
class Calibration:
    """How many candidates an FDE needs.

    prefixes:    how many of its first numbers are scanned, falling; the first is all of them.
    recalls:     shares of MaxSim's best ten, rising, above 0 and below 1.
    passages:    counts of passages, rising.
    candidates:  [prefixes][recalls][passages]: how many find that share among so many passages.
    measured:    of how many passages the largest collection was that this was measured on.
    """

    prefixes: tuple[int, ...]
    recalls: tuple[float, ...]
    passages: tuple[int, ...]
    candidates: tuple[tuple[tuple[int, ...], ...], ...]
    measured: int

    def count(self, prefix: int, recall: float, passages: int) -> int:
        """How many candidates find `recall` of the best ten among so many passages; all of them where no
        number in the table is known to.

        Between the table's recalls it is the next higher one's, between and beyond its counts of passages a
        power law of its neighbours.
        """
        enough = [n for n, measured in enumerate(self.recalls) if measured >= recall - 1e-9]
        if not enough or passages < 1:
            return passages
        row = self.candidates[self.prefixes.index(prefix)][enough[0]]
        at = min(max(bisect_left(self.passages, passages), 1), len(row) - 1)
        slope = 0.0
        if at:
            slope = math.log(row[at] / row[at - 1]) / math.log(self.passages[at] / self.passages[at - 1])
        count = row[at] * (max(passages, self.passages[0]) / self.passages[at]) ** slope
        return min(passages, math.ceil(count - 1e-6))

    def spec(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def restore(cls, spec: object) -> Calibration:
        """The calibration that `spec()` is of, which somebody else may have written. Raises FdeError."""
        if not isinstance(spec, Mapping) or set(spec) != {field.name for field in fields(cls)}:
            raise FdeError("calibration: expected prefixes, recalls, passages, candidates and measured")
        prefixes = _numbers(spec["prefixes"], "prefixes", falling=True)
        recalls = _numbers(spec["recalls"], "recalls", below=1)
        passages = _numbers(spec["passages"], "passages")
        table = spec["candidates"]
        if not isinstance(table, (list, tuple)) or len(table) != len(prefixes):
            raise FdeError(f"calibration: candidates: expected {len(prefixes)} tables, one of each prefix")
        rows = tuple(_table(rows, len(recalls), len(passages)) for rows in table)
        measured = _numbers([spec["measured"]], "measured")[0]
        return cls(prefixes, recalls, passages, rows, measured)


class Sample:
    """What one collection shows: of each query, where the FDE has MaxSim's best ten, in samples of all sizes.

    passages:  N.
    prefixes:  how many of the FDE's first numbers are scanned, falling.
    Raises FdeError if there are too few passages.
    """

    def __init__(self, passages: int, prefixes: Sequence[int], seed: int = 0) -> None:
        if passages < 2 * BEST:
            raise FdeError(
                f"calibration: expected {2 * BEST} passages or more, found {passages}: add documents"
            )
        self.prefixes = tuple(prefixes)
        self.sizes = [passages >> n for n in range(_LEVELS) if n == 0 or passages >> n >= _SMALLEST]
        self._order = np.random.Generator(np.random.PCG64(seed)).permutation(passages)
        self._ranks: list[list[np.ndarray]] = []  # [Q][S] of [prefixes, chunks * best]

    def add(self, exact: np.ndarray, products: Sequence[np.ndarray]) -> None:
        """One query: MaxSim with every passage, and of each prefix the inner products, all [N] float32."""
        exact, stacked = exact[self._order], np.stack([vector[self._order] for vector in products])
        depths = []
        for size in self.sizes:
            chunks = range(0, min(_CHUNKS, len(exact) // size) * size, size)
            ranks = [_ranks(exact[at : at + size], stacked[:, at : at + size]) for at in chunks]
            depths.append(np.concatenate(ranks, axis=1))
        self._ranks.append(depths)

    def depths(self) -> np.ndarray:
        """[prefixes, recalls, sizes]: the fewest candidates that reach the recall in samples of each size, by
        the mean over queries less its standard error. Raises FdeError if there were too few queries.
        """
        if len(self._ranks) < LEAST_QUERIES:
            raise FdeError(
                f"calibration: expected {LEAST_QUERIES} queries or more with words in them, found "
                f"{len(self._ranks)}: give more"
            )
        sizes = range(len(self.sizes))
        counts = [
            [_depths([query[size][prefix] for query in self._ranks]) for size in sizes]
            for prefix in range(len(self.prefixes))
        ]
        return np.array(counts).transpose(0, 2, 1)


def fit(samples: Sequence[Sample]) -> Calibration:
    """One calibration of several collections: what suffices for 9 of 10 of them, so the most of fewer.

    For each the lowest power law of N that none of its sizes lies above; how steep it is the largest
    collection says for all. Raises FdeError if there are none, or if one has too few queries.
    """
    if not samples:
        raise FdeError("calibration: expected one collection or more, found none")
    depths = [sample.depths() for sample in samples]
    largest = max(range(len(samples)), key=lambda n: samples[n].sizes[0])
    slopes = _slopes(np.log(samples[largest].sizes), np.log(depths[largest]))
    curves = np.stack([_curves(s.sizes, depth, slopes) for s, depth in zip(samples, depths, strict=True)])
    counts = np.ceil(np.quantile(curves, SHARE, axis=0, method="higher") - 1e-6)
    counts = np.minimum(np.maximum.accumulate(counts, axis=1), PASSAGES).astype(int)
    rows = tuple(tuple(tuple(row) for row in table) for table in counts.tolist())
    most = max(sample.sizes[0] for sample in samples)
    return Calibration(samples[0].prefixes, RECALLS, PASSAGES, rows, most)


def prefixes_of(size: int) -> tuple[int, ...]:
    """How many of an FDE's F numbers are tried: all of them, and halves of that down to 64.

    >>> prefixes_of(1024)
    (1024, 512, 256, 128, 64)
    """
    return (size, *(size >> n for n in range(1, 6) if size >> n >= 64))


def _ranks(exact: np.ndarray, products: np.ndarray) -> np.ndarray:
    """[prefixes, best] int64: how many candidates it takes, at worst, until each of the best is found."""
    count = min(BEST, int(np.count_nonzero(exact > -np.inf)))
    best = np.argpartition(-exact, max(0, count - 1))[:count]
    return np.array([[np.count_nonzero(row >= row[n]) for n in best] for row in products])


def _depths(ranks: list[np.ndarray]) -> list[int]:
    """Of each recall, the fewest candidates that reach it. ranks: of each query, [best]."""
    ranks = [query for query in ranks if len(query)]
    tried = np.unique(np.concatenate(ranks))
    shares = np.array([np.searchsorted(np.sort(query), tried, side="right") / len(query) for query in ranks])
    sure = shares.mean(axis=0) - shares.std(axis=0, ddof=1) / math.sqrt(len(ranks))
    return [int(tried[np.argmax(sure >= recall)]) for recall in RECALLS]


def _slopes(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Of lines through the points (x, y[..., :]), by least squares, within 0 and 1."""
    if len(x) == 1:
        return np.full(y.shape[:-1], _SLOPE)
    apart = x - x.mean()
    return np.clip((y * apart).sum(-1) / np.square(apart).sum(), 0, 1)


def _curves(sizes: Sequence[int], depths: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """[prefixes, recalls, passages]: the lowest power laws of these slopes that no depth lies above."""
    above = (np.log(depths) - slopes[..., None] * np.log(sizes)).max(-1)
    return np.exp(slopes[..., None] * np.log(PASSAGES) + above[..., None])


def _numbers(values: object, name: str, *, below: int = _MOST, falling: bool = False) -> tuple[Any, ...]:
    """Numbers above 0 and below `below`, whole ones unless below 1, that rise or fall."""
    if isinstance(values, (list, tuple)) and 1 <= len(values) <= 64:
        kinds = (float,) if below == 1 else (int,)
        good = all(type(value) in kinds and 0 < value < below for value in values)
        if good and all((a > b) if falling else (a < b) for a, b in pairwise(values)):
            return tuple(values)
    raise FdeError(f"calibration: {name}: expected {'falling' if falling else 'rising'} numbers above 0")


def _table(rows: object, recalls: int, passages: int) -> tuple[tuple[int, ...], ...]:
    if isinstance(rows, (list, tuple)) and len(rows) == recalls:
        good = all(
            isinstance(row, (list, tuple))
            and len(row) == passages
            and all(type(value) is int and 0 < value < _MOST for value in row)
            for row in rows
        )
        if good:
            return tuple(tuple(row) for row in rows)
    raise FdeError(f"calibration: candidates: expected {recalls} rows of {passages} whole numbers above 0")
