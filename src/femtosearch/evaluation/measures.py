"""Measures of a ranking: NanoBEIR's and recall@100, by ir-measures (trec_eval)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from femtosearch.errors import missing_extra

CUTS = (1, 3, 5, 10)
MEASURES = (
    "ndcg@10", *(f"{name}@{k}" for name in ("accuracy", "precision", "recall") for k in CUTS), "mrr@10",
    "map@100", "recall@100",
)  # fmt: skip
SHOWN = {"ndcg": "nDCG", "mrr": "MRR", "map": "MAP"}
THEIRS = {"ndcg": "nDCG", "accuracy": "Success", "precision": "P", "recall": "R", "mrr": "RR", "map": "AP"}

Ranking = Mapping[str, Sequence[str]]  # query id -> document ids, best first
Relevant = Mapping[str, Mapping[str, int]]  # query id -> document id -> grade, 1 or more


def measure(ranking: Ranking, relevant: Relevant, *, capped: bool = False) -> dict[str, dict[str, float]]:
    """Measure rankings: query id -> measure -> value, for every query in `relevant`. A query that is not
    ranked, or has no relevant document, has 0 in all.

    ranking:  each document once. The order of each list is kept, so ties are broken by whoever made it.
    capped:   divides average precision by min(100, relevant documents), as Sentence Transformers does.
    Raises MissingExtraError without ir-measures.

    nDCG: gain = grade, discount log2(rank + 1), over the ideal order of all relevant documents.
    """
    ir_measures = _ir_measures()
    ours = {ir_measures.parse_measure(_theirs(name)): name for name in MEASURES}
    # Falling scores of their own: trec_eval sorts by score, and equal ones in its own way.
    scored = {query: {name: -float(n) for n, name in enumerate(ranked)} for query, ranked in ranking.items()}
    judged = {query: dict(grades) for query, grades in relevant.items()}
    values = {query: dict.fromkeys(MEASURES, 0.0) for query in relevant}
    for metric in ir_measures.iter_calc(list(ours), judged, scored):
        values[metric.query_id][ours[metric.measure]] = float(metric.value)
    if capped:
        for query, by_measure in values.items():
            by_measure["map@100"] *= max(1.0, len(relevant[query]) / 100)
    return values


def shown(name: str) -> str:
    """A measure's name as a person writes it.

    >>> shown("ndcg@10"), shown("accuracy@1")
    ('nDCG@10', 'accuracy@1')
    """
    kind, _, cut = name.partition("@")
    return f"{SHOWN.get(kind, kind)}@{cut}"


def _theirs(name: str) -> str:
    kind, _, cut = name.partition("@")
    return f"{THEIRS[kind]}@{cut}"


def check_extra() -> None:
    """Raise MissingExtraError without ir-measures: better before hours of work than after."""
    _ir_measures()


def _ir_measures() -> Any:
    try:
        import ir_measures
    except ImportError as error:
        raise missing_extra("evaluation", error.name, "evaluate") from error
    return ir_measures
