"""Each mode's rankings: for every query the best documents, of equal scores the smaller id first."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from femtosearch.codes import width
from femtosearch.evaluation.collection import Collection
from femtosearch.evaluation.rules import DEPTH, Rules
from femtosearch.index.index import Index
from femtosearch.index.lexical import ENGLISH, LexicalIndex
from femtosearch.model.model import Model
from femtosearch.scoring import maxsim
from femtosearch.types import Document, Hit, Rows

INDEXED = ("maxsim", "rerank", "fde", "hybrid")
MODES = (*INDEXED, "bm25", "exact", "float32")
CANDIDATES = 100  # passages that "rerank" scores, as in the model cards
CHUNK = 1000  # documents whose float rows are in memory at a time
PADDED = 50_000  # of those that are padded to the longest among them, as in PyLate's evaluator

Ranked = list[tuple[str, float]]  # documents and their scores, best first
Scores = tuple[Iterable[np.ndarray], int]  # of each query with each text; how many rows the texts have
Progress = Callable[[str, int, int], object]  # takes what is being done, how many are done, of how many


@dataclass(frozen=True, slots=True)
class ScoredCollection:
    """A collection under scoring rules.

    documents:  the documents that are searched.
    queries:    query id -> text, of the queries that are asked.
    relevant:   query id -> document id -> grade, 1 or more.
    """

    name: str
    documents: list[Document]
    queries: Mapping[str, str]
    relevant: Mapping[str, Mapping[str, int]]
    rules: Rules

    @classmethod
    def of(cls, collection: Collection, rules: Rules) -> ScoredCollection:
        """Apply the rules to the collection's documents, queries and grades."""
        documents, queries = rules.documents(collection), rules.queries(collection)
        relevant = rules.relevant(collection)
        judged = {query: relevant[query] for query in queries}
        return cls(collection.name, documents, queries, judged, rules)

    def ranking(self, query: str, ranked: Ranked) -> Ranked:
        """The first hundred; where the rules say so, without the document that has the query's own id."""
        return [pair for pair in ranked if not (self.rules.drops_own and pair[0] == query)][:DEPTH]


@dataclass(frozen=True, slots=True)
class ModeRankings:
    """One mode's rankings of one collection.

    rankings:      query id -> documents and scores, best first.
    milliseconds:  each query's time from text to hits; empty for a mode that is no search engine.
    bytes:         bytes a document that are searched; None where that is not defined.
    """

    rankings: Mapping[str, Ranked]
    milliseconds: list[float] = field(default_factory=list)
    bytes: float | None = None


def by_index(
    scored: ScoredCollection, index: Index, mode: str, candidates: int, progress: Progress
) -> ModeRankings:
    """Rank by searching an index: long documents in passages, rows as codes.

    "hybrid" is what a search does that is told nothing; the other modes rank by the model alone.
    """
    options: dict[str, Any] = {"mode": mode, "hybrid": 0.0, "length_penalty": 0.0}
    if mode == "hybrid":
        options = {}
        if not index.stats().plain_words:  # one that was kept since before there were any
            index.set_words()
    elif mode == "rerank":
        options["candidates"] = candidates
    k = min(candidates, DEPTH + 1) if mode == "rerank" else DEPTH + 1  # an index scores k passages at least

    def search(query: str) -> Ranked:
        hits: list[Hit] = index.search(query, k=k, **options)
        return [(hit.id, hit.score) for hit in hits]

    size = _bytes(index, mode) / max(1, len(scored.documents))
    return _asked_in_turn(scored, search, progress, mode, size)


def by_bm25(scored: ScoredCollection, progress: Progress) -> ModeRankings:
    """Rank by SQLite's full-text search."""
    documents = sorted(scored.documents, key=lambda document: document.id)  # ties go by number
    with closing(sqlite3.connect(":memory:")) as database:
        lexical = LexicalIndex(database, ENGLISH)
        lexical.add((number, document.text) for number, document in enumerate(documents))

        def search(query: str) -> Ranked:
            return [(documents[number].id, score) for number, score in lexical.search(query, DEPTH + 1)]

        return _asked_in_turn(scored, search, progress, "bm25", None)


def by_rows(scored: ScoredCollection, model: Model, progress: Progress, *, uncut: bool) -> ModeRankings:
    """Rank by exact MaxSim over float32 rows.

    uncut:  False cuts texts at the model's document length, as PyLate and Sentence Transformers do; True
            splits them into passages, and a document has its best passage's score.
    """
    queries = {query: text for query, text in scored.queries.items() if text.strip()}
    rows = model.encode_queries(list(queries.values())) if queries else None
    if rows is not None and not np.diff(rows.starts).all():  # what has no known word finds nothing
        queries = {query: text for (query, text), row in zip(queries.items(), rows, strict=True) if len(row)}
        rows = model.encode_queries(list(queries.values())) if queries else None
    best: dict[str, Ranked] = {query: [] for query in scored.queries}
    count, row_count = len(scored.documents), 0
    pads = scored.rules.padded and not uncut
    step = PADDED if pads else CHUNK
    for begin in range(0, count, step):
        chunk = scored.documents[begin : begin + step]
        texts = [document.text for document in chunk]
        scores, used = _by_passages(rows, texts, model) if uncut else _by_texts(rows, texts, model, pads)
        row_count += used
        ids = np.array([document.id for document in chunk], dtype=object)
        for query, row in zip(queries, scores, strict=True):
            best[query] = _merged(best[query], row, ids)
        progress("float32" if uncut else "exact", begin + len(chunk), count)
    rankings = {query: scored.ranking(query, ranked) for query, ranked in best.items()}
    return ModeRankings(rankings, bytes=4.0 * model.dims * row_count / max(1, count))


def _asked_in_turn(
    scored: ScoredCollection,
    search: Callable[[str], Ranked],
    progress: Progress,
    mode: str,
    size: float | None,
) -> ModeRankings:
    """Ask and time every query by itself; a query without a word finds nothing."""
    rankings: dict[str, Ranked] = {}
    milliseconds = []
    for query, text in scored.queries.items():
        start = time.perf_counter()
        ranked = search(text) if text.strip() else []
        milliseconds.append(1e3 * (time.perf_counter() - start))
        rankings[query] = scored.ranking(query, ranked)
        progress(mode, len(rankings), len(scored.queries))
    return ModeRankings(rankings, milliseconds, size)


def _bytes(index: Index, mode: str) -> float:
    """The most bytes that a mode reads: rows and FDEs, each of its bits and with a scale."""
    stats = index.stats()
    rows = float(stats.rows * (width(stats.dims, stats.row_bits) + 4))
    fde = stats.fde or {"dims": 0}
    encodings = float(stats.passages * (width(fde["dims"], fde.get("code_bits", 8)) + 4))
    return {"maxsim": rows, "hybrid": rows, "rerank": rows + encodings, "fde": encodings}[mode]


def _by_texts(queries: Rows | None, texts: list[str], model: Model, pads: bool) -> Scores:
    rows = model.encode_documents(texts)
    used = len(rows.rows)
    if queries is None:
        return [], used
    return maxsim(queries, _padded(rows) if pads else rows), used


def _by_passages(queries: Rows | None, texts: list[str], model: Model) -> Scores:
    passages = model.encode_passages(texts)
    by_passage = np.empty((0, 0)) if queries is None else maxsim(queries, passages.rows)
    by_text = np.full((len(by_passage), len(texts)), -np.inf, np.float32)
    for row, passage_scores in zip(by_text, by_passage, strict=True):
        np.maximum.at(row, passages.owner, passage_scores)
    return by_text, len(passages.rows.rows)


def _padded(rows: Rows) -> Rows:
    """Add a row of zeros to each text that is shorter than the longest: one does what many would."""
    lengths = np.diff(rows.starts)
    short = lengths < lengths.max(initial=0)
    starts = rows.starts + np.append(0, np.cumsum(short))
    return Rows(np.insert(rows.rows, rows.starts[1:][short], 0, axis=0), starts)


def _merged(before: Ranked, scores: np.ndarray, ids: np.ndarray) -> Ranked:
    """Merge a ranking with new scores; DEPTH + 1 documents stay, for one may be the query's own."""
    usable = np.isfinite(scores)
    if len(before) > DEPTH:
        usable &= scores >= before[-1][1]
    elif np.count_nonzero(usable) > DEPTH:
        usable &= scores >= np.partition(scores[usable], -(DEPTH + 1))[-(DEPTH + 1)]
    new = [(str(ids[n]), float(scores[n])) for n in np.flatnonzero(usable)]
    return sorted(before + new, key=lambda pair: (-pair[1], pair[0]))[: DEPTH + 1]
