"""Two evaluations side by side: which difference is noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from femtosearch.errors import QueryError
from femtosearch.evaluation.confidence import randomisation
from femtosearch.evaluation.measures import MEASURES
from femtosearch.evaluation.results import Evaluation, ModeResult

NOISE = 0.05  # a difference whose p-value is not below this may be noise


@dataclass(frozen=True, slots=True)
class Difference:
    """One mode of each of two evaluations on one collection, over the queries that both asked.

    first, second:  the means of the measure.
    p_value:        of the paired randomisation test.
    """

    collection: str
    modes: tuple[str, str]
    queries: int
    first: float
    second: float
    p_value: float

    @property
    def noise(self) -> bool:
        """Whether the two may as well be alike."""
        return self.p_value >= NOISE


def compare(first: Evaluation, second: Evaluation, measure: str = "ndcg@10") -> list[Difference]:
    """Each mode that both have on each collection that both have, or the one mode of each.

    Raises QueryError if they have no collection, or no mode, in common.
    """
    if measure not in MEASURES:
        raise QueryError(f"measure: expected one of {', '.join(MEASURES)}, found {measure!r}")
    others = {one.name: one for one in second.sets}
    pairs = [(one, others[one.name]) for one in first.sets if one.name in others]
    if not pairs:
        raise QueryError(
            "expected evaluations of the same collections, found "
            f"{', '.join(one.name for one in first.sets)} and {', '.join(others)}"
        )
    return [
        difference(one.name, modes, one.modes[modes[0]], other.modes[modes[1]], measure)
        for one, other in pairs
        for modes in _pairs(one.modes, other.modes)
    ]


def difference(
    name: str, modes: tuple[str, str], first: ModeResult, second: ModeResult, measure: str
) -> Difference:
    """Over the queries of both. Raises QueryError if there are none."""
    shared = [query for query in first.queries if query in second.queries]
    if not shared:
        raise QueryError(f"{name}: expected evaluations of the same queries, found none that both asked")
    values = [np.array([one.queries[query][measure] for query in shared]) for one in (first, second)]
    means = [float(value.mean()) for value in values]
    return Difference(name, modes, len(shared), means[0], means[1], randomisation(values[0], values[1]))


def _pairs(first: Mapping[str, object], second: Mapping[str, object]) -> list[tuple[str, str]]:
    shared = [(mode, mode) for mode in first if mode in second]
    if not shared and len(first) == len(second) == 1:
        return [(next(iter(first)), next(iter(second)))]
    if not shared:
        raise QueryError(f"expected a mode that both have, found {', '.join(first)} and {', '.join(second)}")
    return shared
