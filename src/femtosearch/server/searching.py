"""The paths that search and rank: search, context, rerank, embeddings, matches."""

from __future__ import annotations

import math
import os
from dataclasses import asdict, fields, replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response

from femtosearch.index.context import make_context
from femtosearch.index.index import Index
from femtosearch.index.rerank import passages_beside
from femtosearch.server import models
from femtosearch.server.bodies import (
    MOST_HITS,
    ContextBody,
    EmbeddedBody,
    EmbeddingsBody,
    HitsBody,
    MatchedBody,
    MatchesBody,
    QuestionBody,
    RanksBody,
    RerankBody,
    SearchBody,
)
from femtosearch.server.documents import WhereInLink, filter_of
from femtosearch.server.state import Shared, State, as_json
from femtosearch.types import Coverage, Hit

router = APIRouter()
OPTIONS = (
    "explain", "spots", "fold", "mode", "candidates", "recall", "where", "min_score", "per", "hybrid",
    "length_penalty",
)  # fmt: skip
SCORES = ("score", "maxsim", "bm25")
HIT_FIELDS = [entry.name for entry in fields(Hit)]


@router.post("/search", response_model=HitsBody, tags=["search"], operation_id="search")
async def search(body: SearchBody, shared: Shared) -> Response:
    """The documents that answer a query best, best first."""
    return as_json(await _search(shared, body))


@router.get("/search", response_model=HitsBody, tags=["search"], operation_id="search_by_link")
async def search_by_link(
    shared: Shared,
    q: Annotated[str, Query(max_length=4000, pattern=r"[^\s\x1c-\x1f]", description="The query.")],
    k: Annotated[int, Query(ge=1, le=MOST_HITS)] = 10,
    where: WhereInLink = None,
    text: Literal["document", "passage", "none"] = "document",
    index: str | None = None,
) -> Response:
    """The same, for a line of curl or a link: /search?q=a+small+cat&k=3."""
    body = SearchBody(query=q, k=k, where=filter_of(where), text=text, index=index)
    return as_json(await _search(shared, body))


@router.post("/context", response_model=ContextBody, tags=["search"], operation_id="context")
async def context(body: QuestionBody, shared: Shared) -> Response:
    """The best passages for a question, for a language model's prompt, each with its number and place."""
    index: Any = shared.indexes.get(body.index)

    def answer() -> dict[str, Any]:
        hits = [
            replace(hit, source=_public(hit))
            for hit in index.search(body.question, k=body.k, where=body.where)
        ]
        passages = make_context(hits, body.max_tokens, passages_beside(index.model, body.question))
        citations = [{**asdict(entry), "score": _finite(entry.score)} for entry in passages.citations]
        coverage = _coverage(index.coverage(body.question))
        return {
            "text": passages.text,
            "citations": citations,
            "tokens": passages.tokens,
            "coverage": coverage,
        }

    return as_json(await shared.workers.run(answer))


@router.post("/rerank", response_model=RanksBody, tags=["models"], operation_id="rerank")
@router.post("/v1/rerank", response_model=RanksBody, tags=["models"], operation_id="rerank_v1")
@router.post("/v2/rerank", response_model=RanksBody, tags=["models"], operation_id="rerank_v2")
async def rerank(body: RerankBody, shared: Shared, request: Request) -> Response:
    """Put texts in the order of a query, in the shape of Cohere's and Jina's clients."""
    ranks = await shared.workers.run(_with_model, shared, models.ranks, body, request.scope["request_id"])
    return as_json(ranks)


@router.post("/v1/embeddings", response_model=EmbeddedBody, tags=["models"], operation_id="embeddings")
async def embeddings(body: EmbeddingsBody, shared: Shared) -> Response:
    """One vector (an FDE) a text, in the shape of OpenAI's clients. A text that is too long is cut off."""
    return as_json(await shared.workers.run(_with_model, shared, models.embeddings, body))


@router.post("/matches", response_model=MatchedBody, tags=["models"], operation_id="matches")
async def matches(body: MatchesBody, shared: Shared) -> Response:
    """The product of every token of a query with every token of a text: what a heat map shows."""
    index = shared.indexes.get(body.index) if len(shared.indexes) else None

    def products() -> dict[str, Any]:
        model: Any = shared.indexes.model if index is None else index.model
        return models.matches(model, body)

    return as_json(await shared.workers.run(products))


@router.get("/v1/models", tags=["models"], operation_id="models")
async def list_models(shared: Shared) -> dict[str, Any]:
    """The one model of the server, in the shape of OpenAI's clients."""
    name = await shared.workers.run(lambda: shared.indexes.model.name)
    return {
        "object": "list",
        "data": [{"id": name, "object": "model", "created": 0, "owned_by": "femtosearch"}],
    }


async def _search(shared: State, body: SearchBody) -> dict[str, Any]:
    index = shared.indexes.get(body.index)

    def answer() -> dict[str, Any]:
        options: dict[str, Any] = {name: getattr(body, name) for name in OPTIONS}
        queries = body.query if isinstance(body.query, list) else [body.query]
        if not isinstance(index, Index) and body.partial is not None:  # one index is never there in part
            options["partial"] = body.partial
        answers = index.search(queries, k=body.k, **options)
        hits = [[_hit(hit, body.text) for hit in answer] for answer in answers]
        missing = getattr(answers[0], "missing", ()) if answers else ()
        coverages = [_coverage(index.coverage(query)) for query in queries]
        shards: dict[str, Any] = {"missing": missing} if missing else {}
        if isinstance(body.query, list):
            return {"hits": hits, "coverage": coverages, **shards}
        return {"hits": hits[0], "coverage": coverages[0], **shards}

    return await shared.workers.run(answer)


def _coverage(coverage: Coverage | None) -> dict[str, Any] | None:
    return None if coverage is None else {**asdict(coverage), "share": coverage.share}


def _hit(hit: Hit, text: str) -> dict[str, Any]:
    """A hit as JSON."""
    entry = {name: getattr(hit, name) for name in HIT_FIELDS}
    entry["source"] = _public(hit)
    if hit.explanation is not None:
        entry["explanation"] = asdict(hit.explanation)
    for name in SCORES:
        entry[name] = _finite(entry[name])
    if text == "none":
        entry["text"] = ""
    elif text == "passage" and hit.passage is not None:
        entry["text"] = hit.text[hit.passage[0] : hit.passage[1]]
    return entry


def _finite(number: float | None) -> float | None:
    """A number that JSON can hold; None for infinity and NaN."""
    return number if number is not None and math.isfinite(number) else None


def _public(hit: Hit) -> str | None:
    """The file of a hit as its metadata name it, else the file's name alone, so that no path of the server is
    shown.
    """
    if hit.source is None:
        return None
    path = hit.metadata.get("path")
    return path if isinstance(path, str) else os.path.basename(hit.source)


def _with_model(shared: State, function: Any, *arguments: Any) -> Any:
    """Call a function with the server's model, which is loaded in this thread if it is not yet."""
    return function(shared.indexes.model, *arguments)
