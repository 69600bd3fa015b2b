"""The real LlamaIndex runs our retriever and our reranker."""

import pytest

pytest.importorskip("llama_index.core")

from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from femtosearch.compat.llama_index import FemtosearchRerank, FemtosearchRetriever

from .conftest import TEXTS


def test_a_retriever_finds(index):
    best, _ = FemtosearchRetriever(index, similarity_top_k=2).retrieve("a cat on a mat")
    assert best.get_content() == TEXTS["cat"] and best.node.metadata == {"length": 22, "id": "cat"}
    assert best.score == index.search("a cat on a mat", k=1)[0].score
    assert (best.node.start_char_idx, best.node.end_char_idx) == (0, 22)
    (dog,) = FemtosearchRetriever(index, where="length < 17").retrieve("a cat")
    assert dog.node.metadata["id"] == "dog"


def test_a_reranker_keeps_the_best(encoder):
    nodes = [NodeWithScore(node=TextNode(text=text, id_=name), score=0.0) for name, text in TEXTS.items()]
    rerank = FemtosearchRerank(encoder, top_n=2)
    kept = rerank.postprocess_nodes(nodes, query_bundle=QueryBundle("the moon at night"))
    assert kept[0].node.id_ == "moon" and len(kept) == 2 and kept[0].score > kept[1].score
    assert rerank.postprocess_nodes([], query_str="a") == []
