"""Compare two evaluations, and tell which differences may be noise."""

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

    first, second:  the measure's mean in each evaluation.
    p_value:        the p-value of the paired randomisation test.
    """

    collection: str
    modes: tuple[str, str]
    queries: int
    first: float
    second: float
    p_value: float

    @property
    def noise(self) -> bool:
        """Whether the difference may be noise."""
        return self.p_value >= NOISE


def compare(first: Evaluation, second: Evaluation, measure: str = "ndcg@10") -> list[Difference]:
    """Compare each mode that both have on each collection that both have, or the only mode of each.

    Raises QueryError if they have no collection, or no mode, in common.
    """
    if measure not in MEASURES:
        raise QueryError(f"measure: expected one of {', '.join(MEASURES)}, found {measure!r}")
    ours, theirs = ({result.name: result for result in evaluation.sets} for evaluation in (first, second))
    shared = [name for name in ours if name in theirs]
    if not shared:
        raise QueryError(
            f"expected evaluations of the same collections, found {', '.join(ours)} and {', '.join(theirs)}: "
            "evaluate both on one of them"
        )
    return [
        difference(name, modes, ours[name].modes[modes[0]], theirs[name].modes[modes[1]], measure)
        for name in shared
        for modes in _pairs(ours[name].modes, theirs[name].modes)
    ]


def difference(
    name: str, modes: tuple[str, str], first: ModeResult, second: ModeResult, measure: str
) -> Difference:
    """The difference over the queries that both asked. Raises QueryError if there are none."""
    shared = [query for query in first.queries if query in second.queries]
    if not shared:
        raise QueryError(f"{name}: expected evaluations of the same queries, found none that both asked")
    values = [np.array([mode.queries[query][measure] for query in shared]) for mode in (first, second)]
    means = [float(value.mean()) for value in values]
    return Difference(name, modes, len(shared), means[0], means[1], randomisation(values[0], values[1]))


def _pairs(first: Mapping[str, object], second: Mapping[str, object]) -> list[tuple[str, str]]:
    shared = [(mode, mode) for mode in first if mode in second]
    if not shared and len(first) == len(second) == 1:
        return [(next(iter(first)), next(iter(second)))]
    if not shared:
        raise QueryError(f"expected a mode that both have, found {', '.join(first)} and {', '.join(second)}")
    return shared
