"""`rank` and `predict` have the shape of Sentence Transformers' CrossEncoder."""

import numpy as np
import pytest

from femtosearch.compat.cross_encoder import CrossEncoder
from femtosearch.errors import QueryError

TEXTS = ["stock markets fell", "a small cat", ""]


@pytest.fixture(scope="module")
def encoder():
    return CrossEncoder("femto")


def test_documents_are_ranked(encoder):
    ranked = encoder.rank("a small cat", TEXTS, return_documents=True)
    assert [entry["corpus_id"] for entry in ranked] == [1, 0, 2]
    assert ranked[0]["text"] == "a small cat" and 0.9 < ranked[0]["score"] <= 1.0001
    assert ranked[2]["score"] == -1
    assert encoder.rank("a small cat", TEXTS, top_k=1) == [{"corpus_id": 1, "score": ranked[0]["score"]}]
    assert encoder.rank("a small cat", []) == []


@pytest.mark.filterwarnings("ignore::femtosearch.UnknownQueryWarning")
def test_a_query_without_a_known_word_leaves_the_order_as_it_is(encoder):
    ranked = encoder.rank("\u4f60\u597d", TEXTS, top_k=2)
    assert ranked == [{"corpus_id": 0, "score": -1.0}, {"corpus_id": 1, "score": -1.0}]
    assert encoder.predict([("\u4f60\u597d", text) for text in TEXTS]).tolist() == [-1, -1, -1]


def test_pairs_are_scored_as_they_are_ranked(encoder):
    pairs = [("a small cat", text) for text in TEXTS] + [("stock markets", TEXTS[0])]
    scores = encoder.predict(pairs)
    assert scores.shape == (4,) and scores.dtype == np.float32
    ranked = {entry["corpus_id"]: entry["score"] for entry in encoder.rank("a small cat", TEXTS)}
    np.testing.assert_allclose(scores[:3], [ranked[0], ranked[1], ranked[2]], rtol=1e-6)
    assert encoder.predict([]).shape == (0,)


@pytest.mark.parametrize("pairs", ["ab", [("a",)], [("a", "b", "c")]])
def test_what_is_no_pair_is_told(encoder, pairs):
    with pytest.raises(QueryError, match="pairs"):
        encoder.predict(pairs)
