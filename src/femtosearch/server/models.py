"""Answers that need a model but no index: reranking, embeddings, and products of tokens."""

from __future__ import annotations

import base64
from functools import partial
from typing import Any

import numpy as np

from femtosearch.errors import QueryError
from femtosearch.index.rerank import similarities
from femtosearch.model.foldings import rows_of_folded
from femtosearch.model.model import Model
from femtosearch.server.bodies import EmbeddingsBody, MatchesBody, RerankBody
from femtosearch.types import Rows


def ranks(model: Model, body: RerankBody, request_id: str) -> dict[str, Any]:
    """Documents in the order of a query. Raises QueryError."""
    texts = [document if isinstance(document, str) else document.text for document in body.documents]
    reranked = []
    for hit in similarities(model, body.query, texts, body.top_n):
        entry: dict[str, Any] = {"index": int(hit.id), "relevance_score": hit.score}
        reranked.append({**entry, "document": {"text": hit.text}} if body.return_documents else entry)
    total = sum(map(len, texts))
    return {"id": request_id, "model": model.name, "results": reranked, "usage": {"characters": total}}


def embeddings(model: Model, body: EmbeddingsBody) -> dict[str, Any]:
    """The FDEs of texts. Raises QueryError where the model brings none."""
    if model.fde is None:
        raise QueryError(
            f"embeddings: the model {model.name!r} brings no FDE, so it has one vector a token only: serve "
            "one that brings an FDE, as built-in ones do"
        )
    texts = [body.input] if isinstance(body.input, str) else body.input
    as_queries = (body.input_type or "document").endswith("query")
    rows = model.encode_queries(texts) if as_queries else model.encode_documents(texts)
    vectors = model.fde.queries(rows) if as_queries else model.fde.documents(rows)
    vectors = np.ascontiguousarray(vectors[:, : body.dimensions], "<f4")
    entries = [_embedding(body, number, vector, rows) for number, vector in enumerate(vectors)]
    count = len(rows.rows)
    usage = {"prompt_tokens": count, "total_tokens": count}
    return {"object": "list", "model": model.name, "data": entries, "usage": usage}


def matches(model: Any, body: MatchesBody) -> dict[str, Any]:
    """The tokens of a query and of a text, and the product of each pair. Raises QueryError."""
    if not hasattr(model, "token_rows"):
        raise QueryError(f"matches: the model {model.name!r} does not say which rows its tokens have")
    query = rows_of_folded(partial(model.token_rows, query=True), body.query)
    text = rows_of_folded(model.token_rows, body.text)
    products = np.round(query[0] @ text[0].T, 4)
    return {
        "query": _tokens(body.query, query[1]),
        "passage": _tokens(body.text, text[1]),
        "products": products.tolist(),
    }


def _tokens(text: str, spans: np.ndarray) -> list[str]:
    """Each token as it stands in the text; a dot for one of the model's own."""
    return [text[start:end] if start >= 0 else "\u00b7" for start, end in spans.tolist()]


def _embedding(body: EmbeddingsBody, number: int, vector: np.ndarray, rows: Rows) -> dict[str, Any]:
    coded = (
        base64.b64encode(vector.tobytes()).decode() if body.encoding_format == "base64" else vector.tolist()
    )
    entry = {"object": "embedding", "index": number, "embedding": coded}
    return {**entry, "rows": rows[number].tolist()} if body.rows else entry
