"""MaxSim, BM25 and both fused, for a collection's queries and for a few words of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.encode import Row
from benchmarks.judged import ndcg
from femtosearch.evaluation.collection import Collection
from femtosearch.evaluation.rankings import Ranked, ScoredCollection, by_bm25, by_rows
from femtosearch.evaluation.rules import rules_named
from femtosearch.evaluation.sources import read_source
from femtosearch.model.model import Model
from femtosearch.train.corpus import keywords

SEED = 0
RANK = 60  # of reciprocal rank fusion (Cormack, Clarke and Buettcher 2009)
SHARE = 0.7  # of MaxSim in the sum of scores that are scaled to [0, 1] (Bruch, Gai and Ingber 2023)

Rankings = Mapping[str, Ranked]  # query -> documents and scores, best first
Says = Mapping[str, Mapping[str, float]]  # query -> document -> what it is worth


def measure(folders: list[Path], source: str | None) -> tuple[dict[str, Any], list[Row]]:
    """The results, and the rows of a table."""
    model = Model.load(source)
    collections = {
        subject.name: _figures(subject, model) for folder in folders for subject in read_source(folder)
    }
    rows = [
        (f"{name}, {kind}, {way}: nDCG@10", value, "")
        for name, kinds in collections.items()
        for kind, ways in kinds.items()
        for way, value in ways.items()
    ]
    return {"model": model.name, "collections": collections}, rows


def _figures(collection: Collection, model: Model) -> dict[str, dict[str, float]]:
    """Kind of query -> way of ranking -> mean nDCG@10. All are asked at once: documents are encoded once."""
    subject = ScoredCollection.of(collection, rules_named("beir"))
    kinds = {"queries": subject.queries, "keywords": in_few_words(subject.queries)}
    asked = {f"{kind} {name}": text for kind, texts in kinds.items() for name, text in texts.items()}
    both = replace(subject, queries=asked)
    meaning, words = by_rows(both, model, _silent, uncut=False).rankings, by_bm25(both, _silent).rankings
    ranks = (_by_rank(meaning), _by_rank(words))
    scores = (_by_score(meaning, SHARE), _by_score(words, 1 - SHARE))
    ways = {"MaxSim": meaning, "BM25": words, "ranks fused": _fused(*ranks), "scores fused": _fused(*scores)}
    return {kind: {way: _mean(rankings, kind, subject) for way, rankings in ways.items()} for kind in kinds}


def in_few_words(queries: Mapping[str, str]) -> dict[str, str]:
    """Two to four words of each query, longer words more likely, as training cuts them."""
    rng = np.random.default_rng(SEED)
    return {name: keywords(text, rng) for name, text in queries.items()}


def _mean(rankings: Rankings, kind: str, subject: ScoredCollection) -> float:
    ranked = {name: [document for document, _ in rankings[f"{kind} {name}"]] for name in subject.relevant}
    return float(np.mean([ndcg(ranked[name], grades) for name, grades in subject.relevant.items()]))


def _fused(first: Says, second: Says) -> Rankings:
    """Documents by the sum of what both say of them."""
    fused: dict[str, list[tuple[str, float]]] = {}
    for query in first:
        total = Counter(first[query])
        total.update(second[query])
        fused[query] = sorted(total.items(), key=lambda pair: (-pair[1], pair[0]))
    return fused


def _by_rank(rankings: Rankings) -> Says:
    return {
        query: {name: 1 / (RANK + rank) for rank, (name, _) in enumerate(ranked, 1)}
        for query, ranked in rankings.items()
    }


def _by_score(rankings: Rankings, share: float) -> Says:
    """Scaled to [0, share]: the best document has all of it, the hundredth none."""
    normalised = {}
    for query, ranked in rankings.items():
        scores = np.array([score for _, score in ranked])
        spread = np.ptp(scores) if len(scores) else 0.0
        scaled = (scores - scores.min()) / spread if spread else np.ones(len(scores))
        normalised[query] = {
            name: share * float(value) for (name, _), value in zip(ranked, scaled, strict=True)
        }
    return normalised


def _silent(*_: object) -> None:
    pass
