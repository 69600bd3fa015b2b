import math
from dataclasses import replace

import pytest

from femtosearch.errors import CheckpointError, DocumentError, QueryError
from femtosearch.index.rerank import rerank
from femtosearch.model.model import Model
from femtosearch.scoring import maxsim
from femtosearch.types import Document

from ..tiny import write_tiny_model

TEXTS = ["the dog ran", "a cat sat on the mat", "red moon", "night search"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return Model.load(write_tiny_model(tmp_path_factory.mktemp("models") / "tiny"))


def test_scores_are_maxsim_and_fall(model):
    hits = rerank(model, "cat", TEXTS)
    scores = maxsim(model.encode_queries(["cat"]), model.encode_documents(TEXTS))[0]
    assert [hit.score for hit in hits] == sorted(map(float, scores), reverse=True)
    assert all(hit.text == TEXTS[int(hit.id)] and hit.score == scores[int(hit.id)] for hit in hits)
    assert all(hit.passage == (0, len(hit.text)) for hit in hits)


def test_a_model_may_be_named_or_left_to_be_the_default_one():
    assert [hit.id for hit in rerank(None, "a cat", ["stock markets", "a cat"])] == ["1", "0"]
    for wrong in (3, b"femto", ""):
        with pytest.raises(CheckpointError, match=r"^(expected the path|an empty name: expected a model)"):
            rerank(wrong, "a cat", ["a cat"])


def test_k_keeps_the_first_and_may_be_more_than_there_is(model):
    assert rerank(model, "cat", TEXTS, k=2) == rerank(model, "cat", TEXTS)[:2]
    assert len(rerank(model, "cat", TEXTS, k=100)) == len(TEXTS)
    assert rerank(model, "cat", []) == []


def test_documents_keep_their_ids_and_metadata(model):
    documents = [{"id": "a", "text": "cat", "year": 2020}, Document("b", "dog", {"x": [1]}), "moon"]
    hits = {hit.id: hit for hit in rerank(model, "cat", documents)}
    assert hits["a"].metadata == {"year": 2020}
    assert hits["b"].metadata == {"x": [1]}
    assert hits["2"].text == "moon"


def test_ties_keep_the_order_given(model):
    assert [hit.id for hit in rerank(model, "cat", ["dog", "dog", "dog"])] == ["0", "1", "2"]


def test_a_long_document_is_scored_by_its_best_passage(model):
    long = "red moon. " * 40 + "night search index. " * 3
    best = rerank(model, "night search index", [long])[0]
    start, stop = best.passage
    alone = rerank(model, "night search index", [long[start:stop]])[0]
    assert start > 0
    assert best.score == alone.score


def test_a_document_without_a_word_comes_last(model):
    hits = rerank(model, "cat", ["", "...", "dog"])
    assert [hit.id for hit in hits] == ["2", "0", "1"]
    assert hits[-1].score == -math.inf


@pytest.mark.parametrize("query", ["", "  \n", None, ["cat"]])
def test_a_query_needs_a_word(model, query):
    message = "at least one word" if isinstance(query, str) else "query: expected a string, found"
    with pytest.raises(QueryError, match=message):
        rerank(model, query, TEXTS)


@pytest.mark.parametrize("k", [0, -1, 1.5, True])
def test_k_is_a_whole_number_of_at_least_one(model, k):
    with pytest.raises(QueryError, match="k: expected a whole number of 1 or more, found"):
        rerank(model, "cat", TEXTS, k=k)


@pytest.mark.parametrize("documents", ["one text", [3], [{"id": "a"}], [{"id": 3, "text": "x"}]])
def test_what_is_no_document_is_refused(model, documents):
    with pytest.raises(DocumentError):
        rerank(model, "cat", documents)


def test_the_mean_of_maxima_is_a_convention(tmp_path):
    folder = write_tiny_model(tmp_path / "tiny")
    summed = Model.load(folder)
    mean = Model.load(folder, conventions=replace(summed.conventions, scoring="mean"))
    texts = ["the cat", "a dog ran", ""]
    for one, other in zip(rerank(summed, "cat", texts), rerank(mean, "cat", texts), strict=True):
        assert one.id == other.id
        assert other.score == pytest.approx(one.score / 12)


def test_ligatures_are_letters():
    texts = ["bread and \ufb02our", "the \ufb01nancial of\ufb01ce", "needs yeast"]
    model = Model.load("femto")
    for query in ("\ufb01nancial of\ufb01ce", "financial office"):
        hit = rerank(model, query, texts)[0]
        assert hit.id == "1" and hit.passage == (0, len(texts[1]))
