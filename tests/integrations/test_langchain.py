"""The real LangChain runs our retriever and our reranker."""

import pytest

pytest.importorskip("langchain_core")

from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda

from femtosearch.compat.langchain import FemtosearchRerank, FemtosearchRetriever

from .conftest import TEXTS


def test_a_retriever_finds_and_joins_a_chain(index):
    retriever = FemtosearchRetriever(index=index, k=2)
    best, _ = retriever.invoke("a cat on a mat")
    assert best.page_content == TEXTS["cat"] and best.id == "cat"
    assert best.metadata["length"] == 22 and best.metadata["start_index"] == 0
    chain = retriever | RunnableLambda(lambda documents: [document.id for document in documents])
    assert chain.batch(["a dog", "the moon"]) == [
        [hit.id for hit in index.search("a dog", k=2)],
        [hit.id for hit in index.search("the moon", k=2)],
    ]
    filtered = FemtosearchRetriever(index=index, where={"length": {"$lt": 17}})
    assert [document.id for document in filtered.invoke("a cat")] == ["dog"]


def test_a_reranker_keeps_the_best(encoder):
    documents = [Document(page_content=text, id=name) for name, text in TEXTS.items()]
    kept = FemtosearchRerank(model=encoder, top_n=2).compress_documents(documents, "the moon at night")
    assert kept[0].id == "moon" and len(kept) == 2
    assert kept[0].metadata["relevance_score"] > kept[1].metadata["relevance_score"]
