"""What token pruning saves and costs: rows a document and nDCG@10 of float32 MaxSim, by the limit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import judged
from benchmarks.machine import about
from femtosearch.evaluation.rankings import ScoredCollection
from femtosearch.model.model import Model
from femtosearch.model.pruning import prune
from femtosearch.scoring import maxsim
from femtosearch.types import Rows

Row = tuple[str, float, str]
LIMITS = (1.0, 0.95, 0.9, 0.85, 0.8)  # 1: no row is pruned


def measure(folders: list[Path], source: str | None) -> tuple[dict[str, Any], list[Row]]:
    """The results, and the rows of a table."""
    model = Model.load(source)
    results = {folder.name: _results(model, judged.collection(folder)) for folder in folders}
    rows: list[Row] = []
    for name, by_limit in results.items():
        for limit, values in by_limit.items():
            rows.append((f"{name}: above {limit}, rows a document", values["rows"], ""))
            rows.append((f"{name}: above {limit}, nDCG@10", values["ndcg@10"], ""))
    return {"model": about(model), "pruned": results}, rows


def _results(model: Model, collection: ScoredCollection) -> dict[str, dict[str, float]]:
    queries = model.encode_queries(list(collection.queries.values()))
    rows = model.encode_documents([document.text for document in collection.documents])
    results = {}
    for limit in LIMITS:
        pruned = prune(rows, limit, model._tokenizer.framing)
        count = float(np.diff(pruned.starts).mean())
        results[str(limit)] = {"rows": count, "ndcg@10": _ndcg(collection, queries, pruned)}
    return results


def _ndcg(collection: ScoredCollection, queries: Rows, rows: Rows) -> float:
    names = [document.id for document in collection.documents]
    scores = []
    for query, by_document in zip(collection.queries, maxsim(queries, rows), strict=True):
        best = np.argsort(-by_document, kind="stable")[:10]
        scores.append(judged.ndcg([names[n] for n in best], collection.relevant[query]))
    return float(np.mean(scores))
