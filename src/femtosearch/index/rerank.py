"""Rerank: put the user's own documents in the order of their MaxSim with a query."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from femtosearch.index.documents import Draft, drafts
from femtosearch.index.passage_encoder import PassageEncoder
from femtosearch.index.queries import Query, encoded, warn_of_unknown
from femtosearch.index.request import check_request
from femtosearch.model.foldings import folded_with_places
from femtosearch.model.model import Model
from femtosearch.scoring import maxsim
from femtosearch.types import Document, Hit, Passages, Rows

MOST_CHARACTERS = 1_000_000  # of a document whose other passages are looked at


def rerank(
    model: Model | str | Path | None,
    query: str,
    documents: Iterable[str | Mapping[str, Any] | Document],
    *,
    k: int | None = None,
) -> list[Hit]:
    """Rank documents by their MaxSim with a query, best first; documents with equal scores keep their order.

    model:      a Model, or the name or folder of one, or None for the default one: loaded at each call.
    documents:  a document that is a plain str gets its position as id.
    k:          how many to return; None for all.

    A document's score is that of its best passage, so long ones are not cut off; for a query in pieces the
    best passage for each piece counts. The score is MaxSim, or its mean over the query's rows if the model's
    conventions say so. A document of which the model knows no word comes last, with score -inf. If the model
    knows no word of the query, the result is empty, with an UnknownQueryWarning. Raises QueryError for an
    empty query or a k below 1, and DocumentError.

    >>> [hit.id for hit in rerank(Model.load(), "a small cat", ["stock markets fell", "a kitten slept"])]
    ['1', '0']
    """
    loaded = model if isinstance(model, Model) else Model.load(model)
    return _ranked(loaded, query, documents, k)[0]


def similarities(model: Model, query: str, texts: Iterable[str], k: int | None = None) -> list[Hit]:
    """Rank texts as clients of rerankers expect it: all of them, or the k best, with scores from -1 to 1.

    A hit's id is the text's position. Its score is the mean, over the query's rows, of the best products; -1
    for a text of which the model knows no word. If it knows no word of the query, all are at -1, in their
    order.

    Raises QueryError, DocumentError as `rerank` does.
    """
    documents = [Document(str(number), text) for number, text in enumerate(texts)]
    hits, rows = _ranked(model, query, documents, k)
    if not rows:
        hits = [Hit(document.id, -1.0, document.text, passage=(0, 0)) for document in documents[:k]]
    divisor = 1 if model.conventions.scoring == "mean" else max(1, rows)
    return [replace(hit, score=max(-1.0, hit.score / divisor)) for hit in hits]


def passages_beside(model: PassageEncoder, question: str) -> Callable[[Hit], list[tuple[float, int, int]]]:
    """Make a function that gives (MaxSim, start, end) of the other passages of a hit's document, in their
    order.

    It gives none if the model knows no word of the question, if the document is not twice as long as the
    hit's passage, or if it has more than a million characters.
    """
    (query,) = encoded(model, [question])
    return lambda hit: _beside(model, query, hit)


def _beside(model: PassageEncoder, query: Query, hit: Hit) -> list[tuple[float, int, int]]:
    begin, stop = hit.passage or (0, 0)
    if not query.pieces or not 2 * (stop - begin) < len(hit.text) <= MOST_CHARACTERS:
        return []
    passages, (folding,) = _passages_of(model, [hit.text])
    scores = _products(query, passages).sum(axis=0)
    spans = passages.spans if folding is None else folding[1][passages.spans]
    pairs = zip(scores.tolist(), spans.tolist(), strict=True)
    return [(score, start, end) for score, (start, end) in pairs if end <= begin or start >= stop]


def _ranked(
    model: Model, query: str, documents: Iterable[str | Mapping[str, Any] | Document], k: int | None
) -> tuple[list[Hit], int]:
    """The hits of `rerank`, and how many rows the query has."""
    request = check_request([query], 1 if k is None else k)
    checked = list(drafts(documents))
    (encoded_query,) = encoded(model, request.texts)
    warn_of_unknown([encoded_query], model.name, stacklevel=4)
    if not encoded_query.pieces:
        return [], 0
    passages, foldings = _passages_of(model, [draft.text for draft in checked])
    by_piece = _products(encoded_query, passages)
    if model.conventions.scoring == "mean":
        by_piece /= len(encoded_query.rows)
    best_of = np.full((len(by_piece), len(checked)), -np.inf, dtype=np.float32)
    for best, passage_scores in zip(best_of, by_piece, strict=True):
        np.maximum.at(best, passages.owner, passage_scores)
    scores = best_of.sum(axis=0)
    spans = _best_spans(by_piece.sum(axis=0), passages, foldings)
    order = np.argsort(-scores, kind="stable")[: None if k is None else request.k]
    return [_hit(checked[n], n, scores[n], spans[n]) for n in order.tolist()], len(encoded_query.rows)


def _passages_of(
    model: PassageEncoder, texts: Sequence[str]
) -> tuple[Passages, list[tuple[str, np.ndarray] | None]]:
    """Encode texts, folded; returns their passages, and for each text its folding, or None."""
    foldings = [folded_with_places(text) for text in texts]
    folded = [text if folding is None else folding[0] for text, folding in zip(texts, foldings, strict=True)]
    return model.encode_passages(folded), foldings


def _products(query: Query, passages: Passages) -> np.ndarray:
    """MaxSim of each piece of a query with each passage: [pieces, passages] float32."""
    return np.concatenate([maxsim(_of_one_text(piece), passages.rows) for piece in query.pieces])


def _of_one_text(rows: np.ndarray) -> Rows:
    return Rows(rows, np.array([0, len(rows)], np.int64))


def _best_spans(
    scores: np.ndarray, passages: Passages, foldings: Sequence[tuple[str, np.ndarray] | None]
) -> np.ndarray:
    """Where in each document its best passage is, the first of equals: [documents, 2] int64."""
    spans = np.zeros((len(foldings), 2), dtype=np.int64)
    best = np.full(len(foldings), -np.inf, dtype=np.float32)
    for score, owner, span in zip(scores, passages.owner, passages.spans, strict=True):
        if score > best[owner]:
            folding = foldings[owner]
            best[owner], spans[owner] = score, span if folding is None else folding[1][span]
    return spans


def _hit(document: Draft, position: int, score: np.float32, span: np.ndarray) -> Hit:
    name = str(position) if document.id is None else document.id
    start, stop = span.tolist()
    return Hit(name, float(score), document.text, json.loads(document.metadata), (start, stop))
