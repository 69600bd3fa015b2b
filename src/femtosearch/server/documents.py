"""Paths of documents: stored, read, listed, deleted."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response

from femtosearch.errors import DocumentError, QueryError
from femtosearch.server.bodies import (
    AddBody,
    AddedBody,
    CountBody,
    DeleteBody,
    DeletedBody,
    DocumentBody,
    DocumentsBody,
    FacetsBody,
    NewDocument,
    UpdateBody,
    UpdatedBody,
)
from femtosearch.server.problems import refusal
from femtosearch.server.state import Shared, as_json
from femtosearch.types import Document

router = APIRouter(tags=["documents"])
IdInPath = Annotated[str, Path(max_length=4096, description="A document's id; it may have slashes.")]
WhereInLink = Annotated[
    str | None, Query(max_length=10_000, description="Only documents that pass, in words: year >= 2020")
]
MOST_BY_ID = 100


@router.post("/documents", response_model=AddedBody, operation_id="add")
async def add(body: AddBody, shared: Shared) -> Response:
    """Store documents, each in the place of one with the same id. The answer means: safe on the disk."""
    documents = [_stored(document, body.exact) for document in body.documents]
    return as_json({"ids": await shared.writer(body.index).add(documents)})


@router.post("/documents/delete", response_model=DeletedBody, operation_id="delete_many")
async def delete_many(body: DeleteBody, shared: Shared) -> Response:
    """Take documents out by their ids, or all that pass a filter; one that is not there is out."""
    return as_json({"deleted": await shared.writer(body.index).delete(body.ids, body.where)})


@router.patch("/documents", response_model=UpdatedBody, operation_id="update")
async def update(body: UpdateBody, shared: Shared) -> Response:
    """Change the metadata of documents, without encoding anything."""
    writer = shared.writer(body.index)
    return as_json({"updated": await writer.update(body.ids, body.metadata, body.replace)})


@router.get("/facets", response_model=FacetsBody, operation_id="facets")
async def facets(
    shared: Shared,
    field: Annotated[str, Query(min_length=1, max_length=1000, description="A key of the metadata, or a.b")],
    where: WhereInLink = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 100,
    index: str | None = None,
) -> Response:
    """How many documents have each value of a field, the commonest value first."""
    store = shared.indexes.get(index)
    counts = await shared.workers.run(lambda: store.facets(field, where=filter_of(where), limit=limit))
    return as_json({"facets": [{"value": value, "count": count} for value, count in counts.items()]})


@router.get("/count", response_model=CountBody, operation_id="count")
async def count(shared: Shared, where: WhereInLink = None, index: str | None = None) -> Response:
    """How many documents there are, or pass a filter."""
    return as_json({"count": await shared.workers.run(shared.indexes.get(index).count, filter_of(where))})


@router.get("/documents", response_model=DocumentsBody, operation_id="documents")
async def listed(
    shared: Shared,
    id: Annotated[list[str] | None, Query(max_length=MOST_BY_ID, description="Those of these ids.")] = None,
    after: Annotated[int, Query(ge=-1, le=1 << 62, description="What the last answer had.")] = -1,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    where: WhereInLink = None,
    index: str | None = None,
) -> Response:
    """Documents in the order in which they were added, some at a time; or those of some ids."""
    store = shared.indexes.get(index)

    def read() -> dict[str, Any]:
        if id is not None:
            documents = [document for document in store.get(id) if document is not None]
            return {"documents": [asdict(document) for document in documents], "after": None}
        page = store.page(after, limit, where=filter_of(where))
        return {"documents": [asdict(document) for document in page.documents], "after": page.after}

    return as_json(await shared.workers.run(read))


@router.get("/documents/{id:path}", response_model=DocumentBody, operation_id="document")
async def document(id: IdInPath, shared: Shared, index: str | None = None) -> Response:
    """One document."""
    stored = await shared.workers.run(shared.indexes.get(index).get, id)
    if stored is None:
        raise refusal(404, "document", "there is no document with this id")
    return as_json(asdict(stored))


@router.delete("/documents/{id:path}", response_model=DeletedBody, operation_id="delete")
async def delete(id: IdInPath, shared: Shared, index: str | None = None) -> Response:
    """Take one document out; one that is not there is out."""
    return as_json({"deleted": await shared.writer(index).delete([id])})


def filter_of(where: str | None) -> str | dict[str, Any] | None:
    """A filter in a link: in words, or a mapping as JSON. Raises QueryError."""
    if where is None or not where.lstrip().startswith("{"):
        return where
    try:
        mapping: dict[str, Any] = json.loads(where)
    except (ValueError, RecursionError) as error:
        raise QueryError(f"where: it begins as a mapping, but is not JSON: {error}"[:300]) from None
    return mapping


def _stored(document: str | NewDocument, exact: bool) -> str | dict[str, Any] | Document:
    """A document as `Index.add` takes it: what its body has beside text and id is metadata, or if it is exact
    all that is in `metadata`. Raises DocumentError.
    """
    if isinstance(document, str):
        return document
    named = {name: content for name, content in document.model_dump().items() if name != "id" or content}
    if not exact:
        return named
    if set(named) != {"id", "text", "metadata"} or not isinstance(named["metadata"], dict):
        raise DocumentError("exact: expected documents of an id, a text and a mapping of metadata")
    return Document(**named)
