"""What each mode finds: for every query the best documents, of equal scores the smaller id first."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np

from femtosearch.codes import width
from femtosearch.evaluation.collection import Collection
from femtosearch.evaluation.rules import DEPTH, Rules
from femtosearch.index.index import Index
from femtosearch.index.lexical import ENGLISH, LexicalIndex
from femtosearch.model.model import Model
from femtosearch.scoring import maxsim
from femtosearch.types import Document, Rows

INDEXED = ("maxsim", "rerank", "fde")
MODES = (*INDEXED, "bm25", "exact", "float32")
CANDIDATES = 100  # passages that "rerank" scores, as in the model cards
CHUNK = 1000  # documents whose float rows are in memory at a time
PADDED = 50_000  # of those that are padded to the longest among them, as in PyLate's evaluator

Ranked = list[tuple[str, float]]  # documents and their scores, best first
Scored = tuple[Iterable[np.ndarray], int]  # of each query MaxSim with each text; the texts' rows
Say = Callable[[str, int, int], object]  # what is done, how far, of how many


@dataclass(frozen=True, slots=True)
class Subject:
    """A collection as some rules see it.

    documents:  what is searched.
    queries:    id -> text of what is asked.
    relevant:   query id -> document id -> grade, 1 or more.
    """

    name: str
    documents: list[Document]
    queries: Mapping[str, str]
    relevant: Mapping[str, Mapping[str, int]]
    rules: Rules

    @classmethod
    def of(cls, collection: Collection, rules: Rules) -> Subject:
        documents, queries = rules.documents(collection), rules.queries(collection)
        relevant = rules.relevant(collection)
        judged = {query: relevant[query] for query in queries}
        return cls(collection.name, documents, queries, judged, rules)

    def kept(self, query: str, found: Ranked) -> Ranked:
        """The first hundred, without the document that has the query's own id where the rules say so."""
        return [pair for pair in found if not (self.rules.drops_own and pair[0] == query)][:DEPTH]


@dataclass(frozen=True, slots=True)
class Found:
    """What one mode found in one collection.

    rankings:      query id -> documents and scores, best first.
    milliseconds:  of each query, from text to hits; none of a mode that is no search engine.
    bytes:         a document, of what is searched; None where that is not defined.
    """

    rankings: Mapping[str, Ranked]
    milliseconds: list[float] = field(default_factory=list)
    bytes: float | None = None


def by_index(subject: Subject, index: Index, mode: str, candidates: int, say: Say) -> Found:
    """What an index finds: long documents in passages, int8 rows."""

    how = {"candidates": candidates} if mode == "rerank" else {}
    k = min(candidates, DEPTH + 1) if mode == "rerank" else DEPTH + 1  # an index scores k passages at least

    def search(query: str) -> Ranked:
        return [(hit.id, hit.score) for hit in index.search(query, k=k, mode=mode, **how)]

    return _asked(subject, search, say, mode, _bytes(index, mode) / max(1, len(subject.documents)))


def by_bm25(subject: Subject, say: Say) -> Found:
    """What SQLite's full-text search finds."""
    documents = sorted(subject.documents, key=lambda document: document.id)  # ties go by number
    with closing(sqlite3.connect(":memory:")) as database:
        lexical = LexicalIndex(database, ENGLISH)
        lexical.add((number, document.text) for number, document in enumerate(documents))

        def search(query: str) -> Ranked:
            return [(documents[number].id, score) for number, score in lexical.search(query, DEPTH + 1)]

        return _asked(subject, search, say, "bm25", None)


def by_rows(subject: Subject, model: Model, say: Say, *, whole: bool) -> Found:
    """What exact MaxSim over float32 rows finds: of texts cut at the model's document length, as PyLate and
    Sentence Transformers score them, or of the `whole` texts in passages, of which a document has the best.
    """
    asked = {query: text for query, text in subject.queries.items() if text.strip()}
    rows = model.encode_queries(list(asked.values())) if asked else None
    best: dict[str, Ranked] = {query: [] for query in subject.queries}
    count, seen = len(subject.documents), 0
    pads = subject.rules.padded and not whole
    step = PADDED if pads else CHUNK
    for begin in range(0, count, step):
        some = subject.documents[begin : begin + step]
        texts = [document.text for document in some]
        scores, used = _of_passages(rows, texts, model) if whole else _of_texts(rows, texts, model, pads)
        seen += used
        ids = np.array([document.id for document in some], dtype=object)
        for query, row in zip(asked, scores, strict=True):
            best[query] = _merged(best[query], row, ids)
        say("float32" if whole else "exact", begin + len(some), count)
    rankings = {query: subject.kept(query, found) for query, found in best.items()}
    return Found(rankings, bytes=4.0 * model.dims * seen / max(1, count))


def _asked(
    subject: Subject, search: Callable[[str], Ranked], say: Say, mode: str, size: float | None
) -> Found:
    """Every query by itself, timed; a query without a word finds nothing."""
    rankings: dict[str, Ranked] = {}
    took = []
    for query, text in subject.queries.items():
        start = time.perf_counter()
        found = search(text) if text.strip() else []
        took.append(1e3 * (time.perf_counter() - start))
        rankings[query] = subject.kept(query, found)
        say(mode, len(rankings), len(subject.queries))
    return Found(rankings, took, size)


def _bytes(index: Index, mode: str) -> float:
    """What a mode reads at most: rows of D int8 codes and a scale, FDEs of so many bits and a scale."""
    stats = index.stats()
    rows = float(stats.rows * (stats.dims + 4))
    said = stats.fde or {"dims": 0}
    encodings = float(stats.passages * (width(said["dims"], said.get("code_bits", 8)) + 4))
    return {"maxsim": rows, "rerank": rows + encodings, "fde": encodings}[mode]


def _of_texts(queries: Rows | None, texts: list[str], model: Model, pads: bool) -> Scored:
    rows = model.encode_documents(texts)
    used = len(rows.rows)
    if queries is None:
        return [], used
    return maxsim(queries, _padded(rows) if pads else rows), used


def _of_passages(queries: Rows | None, texts: list[str], model: Model) -> Scored:
    passages = model.encode_passages(texts)
    by_passage = np.empty((0, 0)) if queries is None else maxsim(queries, passages.rows)
    found = np.full((len(by_passage), len(texts)), -np.inf, np.float32)
    for row, of_passages in zip(found, by_passage, strict=True):
        np.maximum.at(row, passages.owner, of_passages)
    return found, len(passages.rows.rows)


def _padded(rows: Rows) -> Rows:
    """With a row of zeros after each text that is shorter than the longest: one does what many would."""
    lengths = np.diff(rows.starts)
    short = lengths < lengths.max(initial=0)
    starts = rows.starts + np.append(0, np.cumsum(short))
    return Rows(np.insert(rows.rows, rows.starts[1:][short], 0, axis=0), starts)


def _merged(before: Ranked, scores: np.ndarray, ids: np.ndarray) -> Ranked:
    """The first of both, one more than DEPTH."""
    usable = np.isfinite(scores)
    if len(before) > DEPTH:
        usable &= scores >= before[-1][1]
    elif np.count_nonzero(usable) > DEPTH:
        usable &= scores >= np.partition(scores[usable], -(DEPTH + 1))[-(DEPTH + 1)]
    new = [(str(ids[n]), float(scores[n])) for n in np.flatnonzero(usable)]
    return sorted(before + new, key=lambda pair: (-pair[1], pair[0]))[: DEPTH + 1]
