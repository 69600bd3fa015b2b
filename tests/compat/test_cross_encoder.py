"""`rank` and `predict` have the shape of Sentence Transformers' CrossEncoder."""

import numpy as np
import pytest

from femtosearch.compat.cross_encoder import CrossEncoder
from femtosearch.errors import FemtosearchError, QueryError

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


def test_one_pair_has_one_score(encoder):
    (score,) = encoder.predict([("a small cat", TEXTS[1])])
    for pair in (("a small cat", TEXTS[1]), ["a small cat", TEXTS[1]], np.array(["a small cat", TEXTS[1]])):
        single = encoder.predict(pair)
        assert isinstance(single, np.float32) and single == score
    assert encoder.predict(inputs=[("a small cat", TEXTS[1])]).tolist() == [score]
    assert encoder.predict(sentences=("a small cat", TEXTS[1])) == score
    assert encoder.predict(("ab", "cd")).shape == ()
    for none in ({}, {"inputs": [], "sentences": []}):
        with pytest.raises(TypeError, match="inputs or as sentences"):
            encoder.predict(**none)


@pytest.mark.parametrize(
    "pairs",
    ["ab", [("a",)], [("a", "b", "c")], ["ab"], ["a", "b", "c"], [("a", "b"), "cd"], [("a", 5)], [3], 3],
)
def test_what_is_no_pair_is_told(encoder, pairs):
    with pytest.raises(QueryError, match="pairs"):
        encoder.predict(pairs)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda encoder: CrossEncoder("femto", max_length=3), "max_length=3 is not supported"),
        (lambda encoder: CrossEncoder("femto", num_labels=5), "num_labels=5 .*ask for 1"),
        (lambda encoder: CrossEncoder("femto", activation_fn=abs), "activation_fn"),
        (lambda encoder: encoder.predict([], convert_to_tensor=True), "convert_to_tensor=True"),
        (lambda encoder: encoder.predict([], apply_softmax=True), "apply_softmax=True"),
        (lambda encoder: encoder.predict([], convert_to_numpy=False), "convert_to_numpy=False"),
        (lambda encoder: encoder.rank("a", [], prompt="x"), "rank: prompt='x'"),
        (lambda encoder: CrossEncoder(None, revision="../x"), "revision"),
    ],
)
def test_what_would_change_the_scores_is_told(encoder, call, message):
    with pytest.raises(FemtosearchError, match=message):
        call(encoder)


@pytest.mark.parametrize("documents", [None, "a text", b"bytes", {"a": 1}, 3])
def test_what_are_no_documents_is_told(encoder, documents):
    with pytest.raises(QueryError, match="documents: expected a list, found "):
        encoder.rank("a small cat", documents)


def test_options_that_nobody_has_are_told_and_those_of_speed_are_passed_over(encoder):
    for call in (
        lambda **options: CrossEncoder("femto", **options),
        lambda **options: encoder.rank("a", ["b"], **options),
        lambda **options: encoder.predict([("a", "b")], **options),
    ):
        with pytest.raises(TypeError, match="unexpected keyword argument 'batchsize'"):
            call(batchsize=2)
        call(device="cpu")
    assert CrossEncoder("femto", num_labels=1, max_length=None, backend="onnx").predict([]).shape == (0,)
    assert encoder.rank("a", ["b"], batch_size=2, show_progress_bar=False, apply_softmax=False)
