"""A judged collection, and the one figure that most benchmarks take of a ranking."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from femtosearch.errors import ReadError
from femtosearch.evaluation import read_source
from femtosearch.evaluation.rankings import ScoredCollection
from femtosearch.evaluation.rules import rules_named


def collection(folder: Path) -> ScoredCollection:
    """Read a folder under BEIR's rules; one that is no collection ends the program with the reason."""
    try:
        return ScoredCollection.of(read_source(folder)[0], rules_named("beir"))
    except ReadError as error:
        sys.exit(f"{error}; give another --data")


def texts(folder: Path, limit: int | None = None) -> list[str]:
    """The texts of a folder's first documents; None takes all."""
    return [document.text for document in collection(folder).documents[:limit]]


def ndcg(ranked: list[str], grades: Mapping[str, int], k: int = 10) -> float:
    """trec_eval's nDCG: gain = grade, discount = log2(rank + 1), over the ideal order of all that is judged.

    >>> ndcg(["a", "b", "c"], {"a": 1})
    1.0
    >>> round(ndcg(["x", "a"], {"a": 2, "b": 1}), 4)
    0.4796
    """
    gain = _discounted(grades.get(document, 0) for document in ranked[:k])
    return gain / _discounted(sorted(grades.values(), reverse=True)[:k])


def _discounted(grades: Iterable[int]) -> float:
    return sum(grade / math.log2(rank + 1) for rank, grade in enumerate(grades, 1))
