"""The real Haystack runs our retriever and our ranker in a pipeline."""

import pytest

pytest.importorskip("haystack")

from haystack import Pipeline

from femtosearch.compat.haystack import FemtosearchRanker, FemtosearchRetriever
from femtosearch.errors import QueryError

from .conftest import TEXTS


def test_a_pipeline_finds_and_ranks(index, encoder):
    pipeline = Pipeline()
    pipeline.add_component("retriever", FemtosearchRetriever(index, top_k=3))
    pipeline.add_component("ranker", FemtosearchRanker(encoder, top_k=2))
    pipeline.connect("retriever.documents", "ranker.documents")
    query = "the moon at night"
    ranked = pipeline.run({"retriever": {"query": query}, "ranker": {"query": query}})["ranker"]["documents"]
    assert ranked[0].content == TEXTS["moon"] and ranked[0].meta["id"] == "moon" and len(ranked) == 2
    assert ranked[0].score > ranked[1].score


def test_filters_and_nothing(index, encoder):
    found = FemtosearchRetriever(index, where={"length": {"$lt": 17}}).run("a cat")["documents"]
    assert [document.meta["id"] for document in found] == ["dog"]
    assert FemtosearchRanker(encoder).run("a", [])["documents"] == []
    with pytest.raises(QueryError, match="k: expected a whole number of 1 or more, found 0"):
        FemtosearchRetriever(index).run("a cat", top_k=0)
    with pytest.raises(QueryError, match="k: expected a whole number of 1 or more, found 0"):
        FemtosearchRanker(encoder).run("a cat", found, top_k=0)
