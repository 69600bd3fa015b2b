"""A judged collection, and the one figure that most benchmarks take of a ranking."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from femtosearch.errors import ReadError
from femtosearch.evaluation import Collection, read_source


def collection(folder: Path) -> Collection:
    """Read a folder; one that is no collection ends the program with what was expected."""
    try:
        return read_source(folder)[0]
    except ReadError as error:
        sys.exit(f"{error}; give another --data")


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
