"""For LangChain: a retriever over an index, and a compressor that reranks. Needs langchain-core."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict

from femtosearch.compat.cross_encoder import CrossEncoder
from femtosearch.types import Hit


class FemtosearchRetriever(BaseRetriever):
    """Finds the best passages of an index's documents.

    index:    an `Index`, or what `connect` gives.
    k:        how many documents; where: a filter on metadata.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)
    index: Any
    k: int = 4
    where: Any = None

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        return [_document(hit) for hit in self.index.search(query, k=self.k, where=self.where)]


class FemtosearchRerank(BaseDocumentCompressor):
    """Keeps the documents that answer a query best, best first.

    model:  a `CrossEncoder` of femtosearch; top_n: how many are kept.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)
    model: CrossEncoder
    top_n: int = 3

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Any = None
    ) -> list[Document]:
        ranked = self.model.rank(query, [document.page_content for document in documents], self.top_n)
        reranked = []
        for entry in ranked:
            document = documents[entry["corpus_id"]]
            metadata = {**document.metadata, "relevance_score": entry["score"]}
            reranked.append(Document(page_content=document.page_content, metadata=metadata, id=document.id))
        return reranked


def _document(hit: Hit) -> Document:
    """The best passage, with the document's metadata and where it stands."""
    start, end = hit.passage or (0, len(hit.text))
    metadata = {**hit.metadata, "id": hit.id, "score": hit.score, "start_index": start}
    return Document(page_content=hit.text[start:end], metadata=metadata, id=hit.id)
