"""Confidence of a mean over queries, and of a difference between two means. Draws are seeded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DRAWS = 10_000
LEVEL = 0.95
SEED = 0
CHUNK = 1 << 22  # numbers that are drawn at a time


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and its 95% bootstrap interval over queries."""

    mean: float
    low: float
    high: float


def interval(groups: Sequence[np.ndarray], *, draws: int = DRAWS, seed: int = SEED) -> list[Interval]:
    """The mean of each measure over queries, or the mean of several sets' means, with its interval.

    groups:  an array for each set, [queries, measures] float64. A draw takes each set's queries anew,
             with replacement, and the interval lies between the draws' 2.5th and 97.5th percentile (Efron
             1979).
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    drawn = np.zeros((draws, groups[0].shape[1]))
    for group in groups:
        drawn += _resampled(group, draws, rng) / len(groups)
    low, high = np.percentile(drawn, [50 * (1 - LEVEL), 50 * (1 + LEVEL)], axis=0)
    means = np.mean([group.mean(axis=0) for group in groups], axis=0)
    return [Interval(*map(float, three)) for three in zip(means, low, high, strict=True)]


def randomisation(first: np.ndarray, second: np.ndarray, *, draws: int = DRAWS, seed: int = SEED) -> float:
    """The two-sided p-value of the difference of two systems' means over the same queries.

    first, second:  [queries] float64. A draw swaps the two systems' values of each query or not, by a coin;
                    p is the share of draws whose difference is at least as large as the observed one, which
                    counts as a draw (Smucker, Allan, Carterette 2007).

    >>> randomisation(np.ones(20), np.zeros(20)) < 0.001, randomisation(np.ones(3), np.ones(3))
    (True, 1.0)
    """
    apart = np.asarray(first, np.float64) - second
    observed = abs(apart.sum()) - 1e-12 * np.abs(apart).sum()
    rng = np.random.Generator(np.random.PCG64(seed))
    extreme, step = 0, max(1, CHUNK // max(1, len(apart)))
    for begin in range(0, draws, step):
        count = min(step, draws - begin)
        signs = 1.0 - 2.0 * rng.integers(0, 2, (count, len(apart)))
        extreme += int((np.abs(signs @ apart) >= observed).sum())
    return (extreme + 1) / (draws + 1)


def _resampled(group: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """The means of `draws` draws of as many queries, [draws, measures]."""
    queries = len(group)
    means = np.empty((draws, group.shape[1]))
    step = max(1, CHUNK // queries)
    for begin in range(0, draws, step):
        count = min(step, draws - begin)
        times = rng.multinomial(queries, np.full(queries, 1 / queries), count)
        means[begin : begin + count] = times @ group / queries
    return means
