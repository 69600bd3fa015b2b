"""PyLate's `encode`: its signature, and which of its options are told."""

import numpy as np
import pytest

from femtosearch.compat.pylate import models
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
