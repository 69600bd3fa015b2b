"""Rerank: put the user's own documents in the order of their MaxSim with a query."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from femtosearch.index.documents import Draft, drafts
from femtosearch.index.request import check_request
from femtosearch.model.foldings import folded, folded_with_places
from femtosearch.model.model import Model
from femtosearch.scoring import maxsim
from femtosearch.types import Document, Hit


def rerank(
    model: Model, query: str, documents: Iterable[str | Mapping[str, Any] | Document], *, k: int | None = None
) -> list[Hit]:
    """The documents, best first; k keeps the first ones. A document that is a plain str has its position as
    id.

    Each document is scored by its best passage, so long ones are not cut off. A document without a word comes
    last, with score -inf. The score is MaxSim, or its mean over the query's rows if the conventions say so.
    Ties keep the order given. Raises QueryError for an empty query or a k below 1, and DocumentError for what
    is no document.

    >>> [hit.id for hit in rerank(Model.load(), "a small cat", ["stock markets fell", "a kitten slept"])]
    ['1', '0']
    """
    request = check_request([query], 1 if k is None else k)
    checked = list(drafts(documents))
    heard = [folded_with_places(draft.text) for draft in checked]
    passages = model.encode_passages(
        [draft.text if folding is None else folding[0] for draft, folding in zip(checked, heard, strict=True)]
    )
    rows = model.encode_queries([folded(text) for text in request.texts])
    passage_scores = maxsim(rows, passages.rows)[0]
    if model.conventions.scoring == "mean":
        passage_scores /= max(1, len(rows.rows))
    scores = np.full(len(checked), -np.inf, dtype=np.float32)
    spans = np.zeros((len(checked), 2), dtype=np.int64)
    for score, owner, span in zip(passage_scores, passages.owner, passages.spans, strict=True):
        if score > scores[owner]:
            folding = heard[owner]
            scores[owner], spans[owner] = score, span if folding is None else folding[1][span]
    best = np.argsort(-scores, kind="stable")[: None if k is None else request.k]
    return [_hit(checked[n], n, scores[n], spans[n]) for n in best.tolist()]


def _hit(document: Draft, position: int, score: np.float32, span: np.ndarray) -> Hit:
    name = str(position) if document.id is None else document.id
    start, stop = span.tolist()
    return Hit(name, float(score), document.text, json.loads(document.metadata), (start, stop))
