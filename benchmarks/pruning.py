"""What storing fewer or smaller rows saves and costs: rows a document and nDCG@10 of float32 MaxSim."""

from __future__ import annotations

import json
import lzma
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import judged
from benchmarks.machine import about
from femtosearch.codes import quantise, quantise_rows, turned
from femtosearch.evaluation.rankings import ScoredCollection
from femtosearch.model.model import Model
from femtosearch.model.pruning import prune
from femtosearch.reference import normalise
from femtosearch.scoring import maxsim
from femtosearch.types import Rows

Row = tuple[str, float, str]
LIMITS = (1.0, 0.95, 0.9, 0.85, 0.8)  # 1: no row is pruned
PRUNED = 0.9  # the limit under which the other ways are tried
COMMONEST = (50, 100, 200, 400)  # pieces whose rows are left out


def measure(folders: list[Path], source: str | None, texts: Path | None) -> tuple[dict[str, Any], list[Row]]:
    """The results, and the rows of a table.

    texts: paragraphs, one a line, in a file of xz: they say which pieces are common. None: no such way.
    """
    model = Model.load(source)
    common = [] if texts is None else _commonest(model, texts)
    results = {folder.name: _results(model, judged.collection(folder), common) for folder in folders}
    rows: list[Row] = []
    for name, ways in results.items():
        for way, values in ways.items():
            rows.append((f"{name}: {way}, rows a document", values["rows"], ""))
            rows.append((f"{name}: {way}, nDCG@10", values["ndcg@10"], ""))
    return {"model": about(model), "pruned": results}, rows


def _results(model: Model, collection: ScoredCollection, common: list[str]) -> dict[str, dict[str, float]]:
    texts = [document.text for document in collection.documents]
    queries = model.encode_queries(list(collection.queries.values()))
    rows = model.encode_documents(texts)
    results = {}
    for way, stored in _ways(
        model, rows, lambda words: _without(model, words).encode_documents(texts), common
    ):
        count = float(np.diff(stored.starts).mean())
        results[way] = {"rows": count, "ndcg@10": _ndcg(collection, queries, stored)}
    return results


def _ways(
    model: Model, rows: Rows, encode_without: Callable[[list[str]], Rows], common: list[str]
) -> Iterator[tuple[str, Rows]]:
    """Each way of storing less, and the rows that it leaves."""
    framing = model._tokenizer.framing
    for limit in LIMITS:
        yield f"above {limit}", prune(rows, limit, framing)
    pruned = prune(rows, PRUNED, framing)
    yield f"above {PRUNED}, means of what is alike", _means(rows, PRUNED, framing)
    for way, stored_rows in _in_bits(pruned.rows):
        yield f"above {PRUNED}, {way}", replace(pruned, rows=stored_rows)
    for count in COMMONEST if common else ():
        yield f"without the {count} commonest pieces", encode_without(common[:count])


def _means(rows: Rows, limit: float, framing: tuple[int, int]) -> Rows:
    """Each kept row in the place of the mean of itself and of those that are most like it."""
    pruned, means = prune(rows, limit, framing), []
    for text, stored in zip(rows, pruned, strict=True):
        sums = np.zeros_like(stored)
        np.add.at(sums, (text @ stored.T).argmax(axis=1), text)
        means.append(normalise(sums).astype(np.float32))
    return replace(pruned, rows=np.concatenate(means))


def _in_bits(rows: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """What rows are in fewer bits: as an index keeps them, and in even steps whose error is the least."""
    yield "in 8 bits", quantise(rows).rows()
    yield "in 4 bits", quantise_rows(rows, 4).rows()
    yield "in 4 bits of even steps", quantise(rows, 4).rows()
    yield "turned, in 4 bits of even steps", turned(quantise(turned(rows), 4).rows())


def _commonest(model: Model, texts: Path) -> list[str]:
    """The most frequent pieces of a file's paragraphs, the commonest first."""
    tokenizer = model._tokenizer
    with lzma.open(texts, "rt", encoding="utf-8") as file:
        paragraphs = list(islice(file, 30_000))
    ids, _ = tokenizer._texts.ids(paragraphs)
    counts = np.bincount(ids)
    counts[np.flatnonzero(tokenizer.skipped[: len(counts)])] = 0
    settings = json.loads((model.source / "tokenizer.json").read_text(encoding="utf-8"))
    pieces = {number: piece for piece, number in settings["model"]["vocab"].items()}
    ranked = (pieces[int(number)] for number in np.argsort(-counts, kind="stable"))
    return list(islice(filter(_is_word, ranked), max(COMMONEST)))


def _is_word(piece: str) -> bool:
    return not piece.startswith("[")


def _without(model: Model, words: list[str]) -> Model:
    conventions = model.conventions
    return Model.load(
        model.source, conventions=replace(conventions, skiplist=(*conventions.skiplist, *words))
    )


def _ndcg(collection: ScoredCollection, queries: Rows, rows: Rows) -> float:
    names = [document.id for document in collection.documents]
    scores = []
    for query, by_document in zip(collection.queries, maxsim(queries, rows), strict=True):
        best = np.argsort(-by_document, kind="stable")[:10]
        scores.append(judged.ndcg([names[n] for n in best], collection.relevant[query]))
    return float(np.mean(scores))
