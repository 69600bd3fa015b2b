"""The public MaxSim: shapes, empties and honest negatives."""

import numpy as np
import pytest

from femtosearch import reference
from femtosearch.errors import ShapeError
from femtosearch.scoring import maxsim
from femtosearch.types import Rows


def texts(seed, lengths, dims=7):
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Rows(np.random.default_rng(seed).normal(size=(starts[-1], dims)).astype(np.float32), starts)


def test_every_query_with_every_document():
    queries, documents = texts(1, [3, 0, 32, 1]), texts(2, [5, 0, 1, 100, 2])
    scores = maxsim(queries, documents)
    assert scores.shape == (4, 5) and scores.dtype == np.float32
    for m, query in enumerate(queries):
        expected = reference.maxsim(query, documents.rows, documents.starts)
        np.testing.assert_allclose(scores[m], expected, rtol=1e-5, atol=1e-5)


def test_empties():
    some, none, empty = texts(1, [3]), texts(1, []), texts(1, [0])
    assert maxsim(none, some).shape == (0, 1)
    assert maxsim(some, none).shape == (1, 0)
    assert maxsim(some, empty).tolist() == [[-np.inf]]
    assert maxsim(empty, some).tolist() == [[0.0]]
    assert maxsim(empty, empty).tolist() == [[-np.inf]]


def test_negative_similarities_are_not_beaten_by_padding():
    query = Rows(np.array([[1, 0]], dtype=np.float32), np.array([0, 1]))
    for length in range(1, 40):
        rows = np.tile(np.array([-1, 0], dtype=np.float32), (length + 1, 1))
        rows[0] = [-0.5, 0]
        documents = Rows(rows, np.array([0, 1, length + 1]))
        assert maxsim(query, documents).tolist() == [[-0.5, -1.0]]


def test_strided_rows_are_accepted():
    documents = texts(3, [5, 2])
    wide = np.repeat(documents.rows, 2, axis=1)[:, ::2]
    assert (maxsim(documents, Rows(wide, documents.starts)) == maxsim(documents, documents)).all()


def test_threads_do_not_change_scores():
    queries, documents = texts(1, [32, 32]), texts(2, [20] * 500)
    assert (maxsim(queries, documents, threads=1) == maxsim(queries, documents, threads=2)).all()


def test_different_dims_are_refused():
    with pytest.raises(ShapeError, match=r"rows: expected float32 \[\*, 7\].*found float32 \[3, 8\]"):
        maxsim(texts(1, [2]), texts(1, [3], dims=8))


def test_starts_of_queries_are_checked():
    query = Rows(np.ones((2, 7), np.float32), np.array([0, 5]))
    with pytest.raises(ShapeError, match="the end of starts: expected the 2 rows, found 5"):
        maxsim(query, texts(1, [3]))


def test_arrays_are_texts_too():
    queries, documents = texts(1, [3, 2]), texts(2, [5, 0, 2])
    expected = maxsim(queries, documents)
    np.testing.assert_array_equal(maxsim(list(queries), list(documents)), expected)
    np.testing.assert_array_equal(maxsim(queries[0], documents), expected[:1])
    np.testing.assert_array_equal(maxsim(queries, documents[0]), expected[:, :1])
    stacked = np.stack([documents[0], documents[0]])
    np.testing.assert_array_equal(maxsim(queries, stacked), expected[:, [0, 0]])


ONE = np.ones((2, 3), np.float32)


@pytest.mark.parametrize(
    ("queries", "documents", "message"),
    [
        (None, ONE, r"queries: expected Rows, an array \[T, D\].*, found NoneType"),
        ("text", ONE, "queries: expected Rows, .* found str"),
        (ONE, [], "documents: expected Rows, .* that is not empty, found an empty list"),
        (ONE[0], ONE, r"queries: expected Rows, .* found float32 \[3\]"),
        (np.float32(1), ONE, "queries: expected Rows, .* found float32"),
        (ONE.astype("f8"), ONE, r"queries\[0\]: expected float32 \[T, D\], found float64 \[2, 3\]"),
        ([ONE, None], ONE, r"queries\[1\]: expected float32 \[T, D\], found NoneType"),
        (
            ONE,
            [ONE, ONE[:, :2]],
            r"documents\[1\]: expected 3 dims as in documents\[0\], found float32 \[2, 2\]",
        ),
        (ONE, ONE[:, :2].copy(), r"rows: expected float32 \[\*, 3\]"),
        (ONE.tolist(), ONE, r"queries: expected Rows, .* found list"),
    ],
)
def test_what_is_no_texts_is_refused(queries, documents, message):
    with pytest.raises(ShapeError, match=message):
        maxsim(queries, documents)
