"""For Haystack: a retriever over an index, and a ranker, as components of a pipeline. Needs haystack-ai."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from haystack import Document, component

from femtosearch.compat.cross_encoder import CrossEncoder
from femtosearch.types import Hit


@component
class FemtosearchRetriever:
    """Finds the best passages of an index's documents.

    index:  an `Index`, or what `connect` gives.
    top_k:  how many documents; where: a filter on metadata.
    """

    def __init__(self, index: Any, top_k: int = 10, where: Any = None) -> None:
        self.index, self.top_k, self.where = index, top_k, where

    @component.output_types(documents=list[Document])
    def run(self, query: str, top_k: int | None = None) -> dict[str, list[Document]]:
        """The documents of the best passages, best first."""
        hits = self.index.search(query, k=self.top_k if top_k is None else top_k, where=self.where)
        return {"documents": [_document(hit) for hit in hits]}


@component
class FemtosearchRanker:
    """Orders documents by how well they answer a query.

    model:  a `CrossEncoder` of femtosearch; top_k: how many are kept.
    """

    def __init__(self, model: CrossEncoder, top_k: int = 10) -> None:
        self.model, self.top_k = model, top_k

    @component.output_types(documents=list[Document])
    def run(
        self, query: str, documents: list[Document], top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """The documents, best first, with their scores."""
        texts = [document.content or "" for document in documents]
        most = self.top_k if top_k is None else top_k
        ranked = self.model.rank(query, texts, most) if documents else []
        return {"documents": [replace(documents[row["corpus_id"]], score=row["score"]) for row in ranked]}


def _document(hit: Hit) -> Document:
    """The best passage, with the document's metadata and where it stands."""
    start, end = hit.passage or (0, len(hit.text))
    meta = {**hit.metadata, "id": hit.id, "start": start, "end": end}
    return Document(id=f"{hit.id}:{start}-{end}", content=hit.text[start:end], meta=meta, score=hit.score)
