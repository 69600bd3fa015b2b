"""How much words should count beside MaxSim, and what is taken off long documents, as others choose."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.encode import Row
from benchmarks.judged import collection, ndcg
from benchmarks.words import in_few_words
from femtosearch.index import fusion, keywords
from femtosearch.index.fusion import fuse
from femtosearch.index.index import Index
from femtosearch.index.keywords import find
from femtosearch.index.queries import encoded

Setting = tuple[float, float, float]  # weight of BM25, penalty of long documents, share of pairs of words
GRID: list[Setting] = list(
    product(
        (0.3, 0.33, 0.35, 0.36, 0.37, 0.4, 0.45),
        (0.0, 0.1, 0.125, 0.15, 0.1875, 0.25, 0.375),
        (0.0, 0.1, 0.2),
    )
)
CHOSEN: Setting = (fusion.WEIGHT, fusion.PENALTY, keywords.PAIR_SHARE)
ALONE = {
    "MaxSim": (0.0, 0.0, 0.0),
    "MaxSim less luck": (0.0, fusion.PENALTY, 0.0),
    "BM25": (1.0, 0.0, CHOSEN[2]),
}
DEPTH = 10


@dataclass(frozen=True, slots=True)
class Subject:
    """An index with queries, and what each should find."""

    name: str
    folder: Path
    queries: Mapping[str, str]
    relevant: Mapping[str, Mapping[str, int]]


def measure(
    folders: list[Path], cache: Path, index: Path | None, questions: Path | None
) -> tuple[dict[str, Any], list[Row]]:
    """The results, and the rows of a table.

    cache:  where indexes are made and kept.
    index, questions:  an index, and a file of questions with patterns of the ids that are right.
    """
    subjects = [_subject(folder, cache, short) for short in (False, True) for folder in folders]
    figures = {subject.name: _figures(subject) for subject in subjects}
    whole = {name: by for name, by in figures.items() if not name.endswith("few words")}
    results: dict[str, Any] = {"chosen": CHOSEN, "left_out": _left_out(whole), "collections": _shown(figures)}
    if index and questions:
        results["questions"] = _answers(_asked(index, questions))
    return results, list(_rows(results))


def _subject(folder: Path, cache: Path, short: bool) -> Subject:
    scored = collection(folder)
    place = cache / folder.name
    if not place.exists():
        with Index(place, fde=None) as index:
            index.add(scored.documents)
    queries = in_few_words(scored.queries) if short else scored.queries
    return Subject(f"{folder.name}{', few words' if short else ''}", place, queries, scored.relevant)


def _figures(subject: Subject) -> dict[Setting, float]:
    """Setting -> mean nDCG@10."""
    totals: dict[Setting, list[float]] = {}
    for query, rankings in _rankings(subject, [*ALONE.values(), *GRID]):
        for setting, names in rankings.items():
            totals.setdefault(setting, []).append(ndcg(names, subject.relevant[query]))
    return {setting: float(np.mean(values)) for setting, values in totals.items()}


def _rankings(subject: Subject, settings: list[Setting]) -> Iterator[tuple[str, dict[Setting, list[str]]]]:
    """Each query, and for each setting the ids of its first hits: MaxSim and words are found once."""
    with Index(subject.folder) as index:
        snapshot, catalog = index._snapshots.take(), index._store.catalog
        queries = encoded(index.model, list(subject.queries.values()))
        for (name, text), query in zip(subject.queries.items(), queries, strict=True):
            ranking = snapshot.rank(snapshot.piece_scores(query.pieces, None))
            word_scores = {
                pairs: _words(catalog, snapshot, text, pairs) for pairs in {s[2] for s in settings}
            }
            orders = {}
            for weight, penalty, pairs in settings:
                words = word_scores[pairs] if weight else None
                fused = fuse(snapshot, query.pieces, ranking, words, weight=weight, penalty=penalty)
                best = np.argsort(-fused.ranking.scores, kind="stable")[:DEPTH]
                orders[weight, penalty, pairs] = ranking.keys[best].tolist()
            ids = catalog.ids(sorted({key for keys in orders.values() for key in keys}))
            yield name, {setting: [ids[key] for key in keys] for setting, keys in orders.items()}


def _words(catalog: Any, snapshot: Any, text: str, pairs: float) -> Any:
    keywords.PAIR_SHARE = pairs
    try:
        return find(catalog, snapshot, text, None, depth=0, exhaustive=False).joined()
    finally:
        keywords.PAIR_SHARE = CHOSEN[2]


def _left_out(figures: Mapping[str, Mapping[Setting, float]]) -> dict[str, Any]:
    """For each collection the setting that is best on the others, and what it gives."""
    left = {}
    for name, by_setting in figures.items():
        others = [by for other, by in figures.items() if other != name]
        best = max(GRID, key=lambda setting: float(np.mean([by[setting] for by in others])))
        left[name] = {"setting": best, "ndcg@10": by_setting[best]}
    best = max(GRID, key=lambda setting: float(np.mean([by[setting] for by in figures.values()])))
    return {"by_collection": left, "best_of_all": best}


def _shown(figures: Mapping[str, Mapping[Setting, float]]) -> dict[str, dict[str, float]]:
    named = {**ALONE, "hybrid": CHOSEN}
    return {name: {label: by[setting] for label, setting in named.items()} for name, by in figures.items()}


def _asked(index: Path, questions: Path) -> Subject:
    asked = json.loads(questions.read_text(encoding="utf-8"))
    with Index(index) as opened:
        ids = [document.id for document in opened]
    right = [re.compile("|".join(question["right"])) for question in asked]
    relevant = {str(n): {name: 1 for name in ids if pattern.search(name)} for n, pattern in enumerate(right)}
    queries = {str(n): question["question"] for n, question in enumerate(asked) if relevant[str(n)]}
    return Subject("questions", index, queries, relevant)


def _answers(subject: Subject) -> dict[str, dict[str, float]]:
    """Way of ranking -> how many questions have a right document among the first three, and the mean of the
    reciprocal ranks.
    """
    named = {**ALONE, "hybrid": CHOSEN}
    ranks: dict[Setting, list[int]] = {setting: [] for setting in named.values()}
    for query, rankings in _rankings(subject, list(named.values())):
        for setting, names in rankings.items():
            places = [rank for rank, name in enumerate(names, 1) if name in subject.relevant[query]]
            ranks[setting].append(places[0] if places else 0)
    return {
        label: {
            "questions": len(ranks[setting]),
            "in_three": sum(0 < rank <= 3 for rank in ranks[setting]),
            "reciprocal_rank": float(np.mean([1 / rank if rank else 0.0 for rank in ranks[setting]])),
        }
        for label, setting in named.items()
    }


def _rows(results: dict[str, Any]) -> Iterator[Row]:
    collections = results["collections"]
    for name, ways in collections.items():
        yield from ((f"{name}, {way}: nDCG@10", value, "") for way, value in ways.items())
    for kind in ("", ", few words"):
        group = [ways for name, ways in collections.items() if name.endswith("few words") == bool(kind)]
        for way in [*ALONE, "hybrid"]:
            yield f"mean{kind}, {way}: nDCG@10", float(np.mean([ways[way] for ways in group])), ""
    left = results["left_out"]["by_collection"]
    for name, chosen in left.items():
        yield f"{name}, as the others choose {chosen['setting']}: nDCG@10", chosen["ndcg@10"], ""
    mean = float(np.mean([chosen["ndcg@10"] for chosen in left.values()]))
    yield "mean, as the others choose: nDCG@10", mean, ""
    for way, figures in results.get("questions", {}).items():
        for name, value in figures.items():
            yield f"questions, {way}: {name}", value, ""
