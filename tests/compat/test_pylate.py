"""PyLate's `encode`: its signature, and which of its options are told."""

import numpy as np
import pytest

from femtosearch.compat.pylate import models, rank
from femtosearch.errors import FemtosearchError

TEXTS = ["the cat sat on the mat", "the dog ran fast, and then it slept", "a red moon at night"]


@pytest.fixture(scope="module")
def model():
    return models.ColBERT("femto", device="cpu")


def equal(rows, others):
    assert all(np.array_equal(own, other) for own, other in zip(rows, others, strict=True))


def test_it_is_called_as_pylate_is(model):
    documents, queries = model.encode(TEXTS, is_query=False), model.encode(TEXTS, is_query=True)
    equal(
        model.encode(TEXTS, None, None, 2, False, "float32", True, False, False, "cpu", True, False),
        documents,
    )
    equal(model.encode(TEXTS, None, None, 2), queries)
    equal(model.encode(sentences=TEXTS, show_progress_bar=True, device="cpu"), queries)
    assert np.array_equal(model.encode(TEXTS[0]), queries[0]) and model.encode([]) == []
    for rows, expected in zip(model.encode([TEXTS[:1], TEXTS[1:]]), [queries[:1], queries[1:]], strict=True):
        equal(rows, expected)


def test_pooling_leaves_the_protected_rows_alone(model):
    documents = model.encode(TEXTS, is_query=False)
    for protected in (0, 1, 3):
        pooled = model.encode(TEXTS, is_query=False, pool_factor=2, protected_tokens=protected)
        assert all(len(few) < len(rows) for few, rows in zip(pooled, documents, strict=True))
        equal([few[:protected] for few in pooled], [rows[:protected] for rows in documents])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"is_querry": True}, TypeError, "is_querry"),
        ({"precision": "int8"}, FemtosearchError, "encode: precision='int8' .*ask for 'float32'"),
        ({"padding": True}, FemtosearchError, "padding=True"),
        ({"prompt": "query: "}, FemtosearchError, "prompt='query: ' is not supported here: leave it out$"),
        ({"prompt_name": "query"}, FemtosearchError, "prompt_name"),
        ({"convert_to_numpy": False}, FemtosearchError, "convert_to_numpy=False"),
        ({"convert_to_tensor": True}, FemtosearchError, "convert_to_tensor=True"),
        ({"normalize_embeddings": False}, FemtosearchError, "normalize_embeddings=False"),
    ],
)
def test_what_would_change_the_rows_is_told(model, options, error, message):
    with pytest.raises(error, match=message):
        model.encode(TEXTS, **options)


@pytest.mark.parametrize("sentences", [None, 3, b"text", {"a": 1}, [None], [["a"], "b"]])
def test_what_are_no_sentences_is_told(model, sentences):
    with pytest.raises(FemtosearchError, match="sentences: expected a list, found "):
        model.encode(sentences)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"query_length": "x"}, "query_length should be a whole number, found 'x'"),
        ({"do_query_expansion": "no"}, "should be true or false, found 'no'"),
        ({"skiplist_words": "abc"}, "skiplist_words: expected a list, found str"),
    ],
)
def test_conventions_of_another_type_are_told(options, message):
    with pytest.raises(FemtosearchError, match=message):
        models.ColBERT("femto", **options)


def test_a_pool_factor_below_one_is_told(model):
    with pytest.raises(FemtosearchError, match="pool_factor: expected a whole number of 1 or more, found 0"):
        model.encode(TEXTS, is_query=False, pool_factor=0)


def test_rows_of_any_type_are_ranked_and_ids_may_be_an_array(model):
    query, documents = model.encode(TEXTS[:1])[0], model.encode(TEXTS, is_query=False)
    (expected,) = rank.rerank([["a", "b", "c"]], [query], [documents])
    for kind in (np.float64, np.float16):
        rows = [[document.astype(kind) for document in documents]]
        (found,) = rank.rerank(np.array([["a", "b", "c"]]), [query.astype(kind)], rows)
        assert [result["id"] for result in found] == [result["id"] for result in expected]
        assert found[0]["score"] == pytest.approx(expected[0]["score"], rel=1e-3)
    with pytest.raises(FemtosearchError, match="documents_ids: expected a list, found NoneType"):
        rank.rerank(None, [query], [documents])
