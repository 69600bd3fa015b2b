"""nDCG@10 and recall@100, through an index and by full MaxSim over float rows."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from benchmarks.beir import Collection, collection
from benchmarks.encode import Row
from benchmarks.machine import about
from femtosearch.index import Index
from femtosearch.maxsim import maxsim
from femtosearch.model import Model

DEPTH = 100
Run = dict[str, list[str]]  # query id -> document ids, best first


def ndcg(ranked: list[str], grades: dict[str, int], k: int = 10) -> float:
    """trec_eval's nDCG: gain = grade, discount = log2(rank + 1), over the ideal order of all that is judged.

    >>> ndcg(["a", "b", "c"], {"a": 1})
    1.0
    >>> round(ndcg(["x", "a"], {"a": 2, "b": 1}), 4)
    0.4796
    """
    gain = _discounted(grades.get(document, 0) for document in ranked[:k])
    return gain / _discounted(sorted(grades.values(), reverse=True)[:k])


def recall(ranked: list[str], grades: dict[str, int], k: int = DEPTH) -> float:
    """The share of the relevant documents that is among the first k.

    >>> recall(["a", "x"], {"a": 1, "b": 1})
    0.5
    """
    return len(grades.keys() & set(ranked[:k])) / len(grades)


def measure(folders: list[Path], source: str | None) -> tuple[dict[str, Any], list[Row]]:
    """The results, and the rows of a table."""
    model = Model.load(source)
    results: dict[str, Any] = {"model": about(model), "collections": {}}
    rows: list[Row] = []
    for folder in folders:
        data_set = collection(folder)
        found = {
            "index": judge(_by_index(data_set, model), data_set),
            "maxsim": judge(by_maxsim(data_set, model), data_set),
        }
        sizes = {"documents": len(data_set.documents), "queries": len(data_set.queries)}
        results["collections"][data_set.name] = {**sizes, **found}
        for way, scores in found.items():
            rows += [(f"{data_set.name}, {way}: {name}", score, "") for name, score in scores.items()]
    return results, rows


def judge(run: Run, data_set: Collection) -> dict[str, float]:
    judged = data_set.judged
    return {
        "nDCG@10": fmean(ndcg(run[query], grades) for query, grades in judged.items()),
        "R@100": fmean(recall(run[query], grades) for query, grades in judged.items()),
    }


def _by_index(data_set: Collection, model: Model) -> Run:
    """What a user gets: int8 rows, long documents cut into passages."""
    with Index(model=model) as index:
        index.add(data_set.documents)
        return {
            name: [hit.id for hit in index.search(text, k=DEPTH)] for name, text in data_set.queries.items()
        }


def by_maxsim(data_set: Collection, model: Model) -> Run:
    """The reference: float32 rows of documents cut at the model's document length; ties go by document id."""
    scores = maxsim(
        model.encode_queries(list(data_set.queries.values())), model.encode_documents(data_set.texts)
    )
    ids = np.array([document.id for document in data_set.documents])
    run = {}
    for query, row in zip(data_set.queries, scores, strict=True):
        order = np.lexsort((ids, -row))[:DEPTH]
        run[query] = ids[order[np.isfinite(row[order])]].tolist()
    return run


def _discounted(grades: Iterable[int]) -> float:
    return sum(grade / math.log2(rank + 1) for rank, grade in enumerate(grades, 1))
