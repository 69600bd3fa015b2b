"""How far down the list of an FDE's candidates MaxSim has to go for one query.

A calibration says how many candidates the hardest of many collections needed; a query seldom needs as many.
What has been scored shows how MaxSim follows from the FDE's product (a straight line) and how far it lies
off (a spread). So it can be said how many of the best are still to be expected among those that have not been
scored, and scoring ends when that is less than may be missed. The spread of candidates is that of a normal
distribution, made wider: real ones have longer tails, and the longer the fewer numbers of the FDE are read.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

FIRST = 512  # candidates that are scored first; then twice as many, and so on
WIDENING = 1.25  # the spread is taken as this many times larger, if all numbers of the FDE are read
TAIL = 0.16  # if n times fewer numbers are read, the widening grows by this power of n
_SAMPLES = 256  # of the products that have not been scored


def scored_far_enough(
    products: np.ndarray,
    owners: np.ndarray,
    score: Callable[[np.ndarray], np.ndarray],
    *,
    most_missed: float,
    k: int,
    widening: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Score candidates, best products first, until so few of the best documents are expected to be missed
    that it may stop. Returns which candidates were scored, [N] bool, and their scores, [M] float32.

    products:     [N] float32, of the FDEs; owners: [N] int, the document of each candidate.
    score:        gives the MaxSim of some candidates, [N] bool.
    most_missed:  how many of the k best documents may be missed, by expectation.
    widening:     by how much the spread is taken to be larger than it is.

    Equal products are scored together, so that their order does not matter.
    """
    falling = -np.sort(-products)
    scores = np.full(len(products), -np.inf, np.float32)
    scored, count = np.zeros(len(products), bool), 0
    while count < len(products):
        count = min(len(products), max(FIRST, 2 * count))
        chosen = (products >= falling[count - 1]) & ~scored
        scores[chosen] = score(chosen)
        scored |= chosen
        count = int(scored.sum())
        least = _kth_best(scores[scored], owners[scored], k)
        if _expected(products[scored], scores[scored], falling[count:], least, widening) <= most_missed:
            break
    return scored, scores[scored]


def widening_of(numbers: int, prefix: int | None) -> float:
    """The factor by which the spread is widened. numbers: of the FDE; prefix: how many are read, None
    for all.
    """
    return float(WIDENING * (numbers / (prefix or numbers)) ** TAIL)


def _kth_best(scores: np.ndarray, owners: np.ndarray, k: int) -> float:
    """The k-th best score of documents, which count by their best passages; -inf where there are fewer."""
    order = np.argsort(owners, kind="stable")
    first = np.flatnonzero(np.diff(owners[order], prepend=-1))
    best = np.maximum.reduceat(scores[order], first)
    return float(np.partition(best, len(best) - k)[len(best) - k]) if len(best) >= k else -np.inf


def _expected(
    products: np.ndarray, scores: np.ndarray, remaining: np.ndarray, least: float, widening: float
) -> float:
    """How many of the remaining candidates are expected to score more than `least`, the k-th best score so
    far.

    remaining:  their products, falling.
    """
    if not len(remaining):
        return 0.0
    has_rows = np.isfinite(scores)
    x, y = products[has_rows].astype(np.float64), scores[has_rows].astype(np.float64)
    if not np.isfinite(least) or len(x) < 2:
        return float(len(remaining))
    apart = x - x.mean()
    slope = float((apart * y).sum() / max(np.square(apart).sum(), 1e-30))  # no BLAS, whose threads linger
    spread = widening * float(np.std(y - slope * apart))
    places = np.linspace(0, len(remaining), _SAMPLES, endpoint=False).astype(np.int64)
    predicted = y.mean() + slope * (remaining[places] - x.mean())
    return float(len(remaining) * _above((least - predicted) / max(spread, 1e-9)).mean())


def _above(z: np.ndarray) -> np.ndarray:
    """The share of a normal distribution above z, to 1e-7 (Abramowitz and Stegun, 26.2.17)."""
    t = 1 / (1 + 0.2316419 * np.abs(z))
    series = t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
    tail = np.exp(-np.square(np.minimum(np.abs(z), 30)) / 2) / np.sqrt(2 * np.pi) * series
    return np.asarray(np.where(z >= 0, tail, 1 - tail))
