"""For LlamaIndex: a retriever over an index, and a postprocessor that reranks. Needs llama-index-core."""

from __future__ import annotations

from typing import Any

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from femtosearch.compat.cross_encoder import CrossEncoder
from femtosearch.types import Hit


class FemtosearchRetriever(BaseRetriever):
    """Finds the best passages of an index's documents.

    index:             an `Index`, or what `connect` gives.
    similarity_top_k:  how many documents; where: a filter on metadata.
    """

    def __init__(self, index: Any, similarity_top_k: int = 4, where: Any = None, **options: Any) -> None:
        self._index, self._k, self._where = index, similarity_top_k, where
        super().__init__(**options)

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        hits = self._index.search(query_bundle.query_str, k=self._k, where=self._where)
        return [_node(hit) for hit in hits]


class FemtosearchRerank(BaseNodePostprocessor):
    """Keeps the nodes that answer a query best, best first.

    model:  a `CrossEncoder` of femtosearch; top_n: how many are kept.
    """

    top_n: int = 3
    _model: CrossEncoder = PrivateAttr()

    def __init__(self, model: CrossEncoder, top_n: int = 3, **options: Any) -> None:
        super().__init__(top_n=top_n, **options)
        self._model = model

    @classmethod
    def class_name(cls) -> str:
        """The name under which LlamaIndex stores it."""
        return "FemtosearchRerank"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if query_bundle is None or not nodes:
            return nodes[: self.top_n]
        ranked = self._model.rank(query_bundle.query_str, [node.get_content() for node in nodes], self.top_n)
        return [NodeWithScore(node=nodes[entry["corpus_id"]].node, score=entry["score"]) for entry in ranked]


def _node(hit: Hit) -> NodeWithScore:
    """The best passage, with the document's metadata and where it stands."""
    start, end = hit.passage or (0, len(hit.text))
    metadata = {**hit.metadata, "id": hit.id}
    node = TextNode(
        id_=f"{hit.id}:{start}-{end}",
        text=hit.text[start:end],
        metadata=metadata,
        start_char_idx=start,
        end_char_idx=end,
    )
    return NodeWithScore(node=node, score=hit.score)
