"""How many candidates find a stated share of MaxSim's best ten: a measured table, extended by a power law.

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

BEST = 10  # the passages that recall is about: the ten best by MaxSim
RECALLS = (0.8, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995, 0.999)
PASSAGES = tuple(1000 * 4**n for n in range(8))  # the columns of a table: 1,000 to 16,384,000
LEAST_QUERIES = 20
SHARE = 0.9  # a table suffices for this share of the collections that it was measured on
_SMALLEST = 500  # passages of a sample
_LEVELS = 8  # sizes of samples
_CHUNKS = 4  # samples of one size
_SLOPE = 0.8  # of a collection too small to show its own
_MOST = 1 << 40


@dataclass(frozen=True)
class Calibration:
    """A table of how many candidates an FDE needs.

    prefixes:    how many of the FDE's first numbers a search scans, falling; the first is all of them.
    recalls:     shares of MaxSim's best ten, rising, above 0 and below 1.
    passages:    numbers of passages in an index, rising.
    candidates:  [prefixes][recalls][passages]: how many candidates reach that recall in such an index.
    measured:    how many passages the largest collection had that this was measured on.
    """

    prefixes: tuple[int, ...]
    recalls: tuple[float, ...]
    passages: tuple[int, ...]
    candidates: tuple[tuple[tuple[int, ...], ...], ...]
    measured: int

    def count(self, prefix: int, recall: float, passages: int) -> int:
        """How many candidates reach a recall in an index of so many passages; all passages where the table
        has no recall that is as high.

        A recall between two of the table's counts as the higher one. Between two numbers of passages, and
        beyond the last, a power law through the two nearest columns is used.
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
        """The table as JSON."""
        return asdict(self)

    @classmethod
    def restore(cls, spec: object) -> Calibration:
        """Make a calibration from what `spec()` returned, after checking it. Raises FdeError."""
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
    """The measurements on one collection: the rank by FDE of each of MaxSim's best ten, for every query, in
    random samples of the passages of several sizes.

    passages:  N, of the collection.
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
        """Add a query.

        exact:     [N] float32, its MaxSim with every passage.
        products:  for each prefix [N] float32, the inner products of its FDE with every passage's.
        """
        exact, stacked = exact[self._order], np.stack([vector[self._order] for vector in products])
        depths = []
        for size in self.sizes:
            chunks = range(0, min(_CHUNKS, len(exact) // size) * size, size)
            ranks = [_ranks(exact[at : at + size], stacked[:, at : at + size]) for at in chunks]
            depths.append(np.concatenate(ranks, axis=1))
        self._ranks.append(depths)

    def depths(self) -> np.ndarray:
        """The fewest candidates that reach each recall in samples of each size: [prefixes, recalls, sizes]
        int.

        A recall counts as reached if the mean over queries, less its standard error, is that high. Raises
        FdeError if there were fewer than 20 queries.
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
    """Fit one calibration to several collections: it suffices for 9 of 10 of them, and for all of fewer than
    10.

    For each collection a power law of N is laid so that no measured size is above it; its slope is that of
    the largest collection. Raises FdeError if there is no collection, or if one has too few queries.
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
    """The prefixes that a calibration measures: all F numbers of an FDE, and halves of that down to 64.

    >>> prefixes_of(1024)
    (1024, 512, 256, 128, 64)
    """
    return (size, *(size >> n for n in range(1, 6) if size >> n >= 64))


def _ranks(exact: np.ndarray, products: np.ndarray) -> np.ndarray:
    """How many candidates it takes, at worst, until each of the best passages is found: [prefixes, best]
    int64.

    exact:  [N] float32, MaxSim; products: [prefixes, N] float32, of the FDEs.
    """
    count = min(BEST, int(np.count_nonzero(exact > -np.inf)))
    best = np.argpartition(-exact, max(0, count - 1))[:count]
    return np.array([[np.count_nonzero(row >= row[n]) for n in best] for row in products])


def _depths(ranks: list[np.ndarray]) -> list[int]:
    """The fewest candidates that reach each of RECALLS. ranks: of each query [best], from `_ranks`."""
    ranks = [query for query in ranks if len(query)]
    tried = np.unique(np.concatenate(ranks))
    shares = np.array([np.searchsorted(np.sort(query), tried, side="right") / len(query) for query in ranks])
    sure = shares.mean(axis=0) - shares.std(axis=0, ddof=1) / math.sqrt(len(ranks))
    return [int(tried[np.argmax(sure >= recall)]) for recall in RECALLS]


def _slopes(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The slopes of lines through the points (x, y[..., :]), by least squares, clipped to 0 and 1."""
    if len(x) == 1:
        return np.full(y.shape[:-1], _SLOPE)
    apart = x - x.mean()
    return np.clip((y * apart).sum(-1) / np.square(apart).sum(), 0, 1)


def _curves(sizes: Sequence[int], depths: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """The lowest power laws of these slopes that no measured depth is above, at PASSAGES: [prefixes, recalls,
    passages] float64.
    """
    above = (np.log(depths) - slopes[..., None] * np.log(sizes)).max(-1)
    return np.exp(slopes[..., None] * np.log(PASSAGES) + above[..., None])


def _numbers(values: object, name: str, *, below: int = _MOST, falling: bool = False) -> tuple[Any, ...]:
    """Check numbers of a stored calibration: above 0, below `below`, rising or falling; floats if `below` is
    1, else ints. Raises FdeError, which names them.
    """
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
