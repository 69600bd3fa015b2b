"""The learned FDE: its kernels are their references, and it is a ridge regression over its anchors."""

import dataclasses
from functools import cache

import numpy as np
import pytest

from femtosearch import _core
from femtosearch.codes import quantise
from femtosearch.errors import FdeError, ShapeError
from femtosearch.fde import Features, Lemur, nested, reference, restore_fde, store_fde
from femtosearch.fde.lemur import LOSS, pack_nibbles, unpack_nibbles
from femtosearch.fde.whitening import coded, coded_forms, decoded, lower_inverse
from femtosearch.model import reference_int8
from femtosearch.types import Rows

D, H, F, A = 6, 16, 128, 300


def rng(seed=0):
    return np.random.Generator(np.random.PCG64(seed))


def small(array):
    return array.astype(np.float16).astype(np.float32)


def features(seed=1, size=F):
    draw = rng(seed)
    norm = [
        small(np.stack([1 + 0.1 * draw.standard_normal(n), 0.1 * draw.standard_normal(n)])) for n in (H, size)
    ]
    outer = draw.integers(-127, 128, (size, H)).astype(np.int8)
    return Features(
        small(2 * draw.standard_normal((H, D))), norm[0], outer, np.full(size, 0.01, np.float32), norm[1]
    )


def lemur(**changes):
    draw = rng(2)
    parts = {
        "features": features(),
        "anchors": draw.integers(-7, 8, (A, D)).astype(np.int8),
        "scale": small(0.1 + 0.05 * draw.random(A)),
        "centre": small(draw.random(A)),
        "gains": np.array([2.0, 0.5], np.float32),
        "ridge": 0.01,
    }
    return Lemur(**{**parts, **changes})


def unit_rows(lengths, seed=3):
    rows = rng(seed).standard_normal((sum(lengths), D)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True) + 1e-9
    return Rows(rows, np.cumsum([0, *lengths]))


ROWS = unit_rows([1, 5, 0, 40, 17])


def by_hand(fde, rows, documents):
    """The definition, in float64: docs/fde.md."""

    def phi(x):
        for weight, norm in (
            (fde.features.inner, fde.features.inner_norm),
            (fde.features.outer * fde.features.scale[:, None], fde.features.outer_norm),
        ):
            x = x @ weight.T.astype(np.float64)
            x = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5) * norm[0] + norm[1]
            x = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
        return x

    anchors = fde.anchors * fde.scale[:, None].astype(np.float64)
    gram = phi(anchors).T @ phi(anchors)
    gram += fde.ridge * np.trace(gram) / len(gram) * np.eye(len(gram))
    inverse = np.linalg.inv(np.linalg.cholesky(gram))
    vectors = np.zeros((len(rows), F))
    for n, text in enumerate(rows):
        if documents and len(text):
            vectors[n] = inverse @ phi(anchors).T @ ((text @ anchors.T).max(0) - fde.centre)
        elif len(text):
            vectors[n] = inverse @ phi(text.astype(np.float64)).sum(0)
    hadamard = np.array([[(-1) ** (i & j).bit_count() for j in range(64)] for i in range(64)]) / 8
    turned = np.concatenate([vectors[:, :64] @ hadamard, vectors[:, 64:] @ hadamard], axis=1)
    gains = np.repeat(fde.gains, 64)
    return turned / gains if documents else turned * gains


@cache
def defined(documents):
    return by_hand(lemur(), ROWS, documents)


@pytest.mark.parametrize("documents", [False, True])
def test_it_is_its_definition(kernel, documents):
    fde = lemur()
    vectors = fde.documents(ROWS) if documents else fde.queries(ROWS)
    expected = defined(documents)
    assert vectors.shape == (5, F) and vectors.dtype == np.float32
    atol = 0.02 * np.abs(expected).max()  # rows and anchors are in int8
    np.testing.assert_allclose(vectors, expected, atol=atol)


@pytest.mark.parametrize("documents", [False, True])
def test_a_text_is_the_same_alone_and_on_any_threads(kernel, documents):
    fde = lemur()
    encode = fde.documents if documents else fde.queries
    together = encode(ROWS)
    assert not together[2].any()
    for n, text in enumerate(ROWS):
        alone = encode(Rows(text, np.array([0, len(text)])), threads=n)
        assert alone.tobytes() == together[n].tobytes()


def test_no_texts():
    empty = Rows(np.zeros((0, D), np.float32), np.zeros(1, np.int64))
    assert lemur().documents(empty).shape == lemur().queries(empty).shape == (0, F)


@pytest.mark.parametrize("anchors", [1, 3, 255, 256, 600])
def test_maxima_are_the_reference_bit_for_bit(kernel, anchors):
    rows, some = unit_rows([16, 1, 0, 33]), rng(4).standard_normal((anchors, D)).astype(np.float32)
    expected = reference.maxima(some, *dataclasses.astuple(rows))
    for threads in (0, 1, 5):
        assert _core.Anchors(some).maxima(rows.rows, rows.starts, threads).tobytes() == expected.tobytes()


@pytest.mark.parametrize("shape", [(1, 1), (3, 70), (100, 5), (500, 900)])
def test_a_dense_layer_is_a_product(kernel, shape):
    weight, rows = (
        rng(5).standard_normal(shape).astype("f4"),
        rng(6).standard_normal((97, shape[1])).astype("f4"),
    )
    bias = rng(7).standard_normal(shape[0]).astype("f4")
    found = _core.Dense(weight, bias).apply(rows)
    np.testing.assert_allclose(found, rows @ weight.T + bias, atol=2e-3)
    assert _core.Dense(weight, bias).apply(rows[40:41], 2).tobytes() == found[40:41].tobytes()
    np.testing.assert_allclose(_core.Dense(weight).apply(rows), rows @ weight.T, atol=2e-3)


@pytest.mark.parametrize("shape", [(1, 1), (3, 70), (100, 5), (500, 900), (65, 8192)])
def test_a_layer_in_int8_is_its_reference_bit_for_bit(kernel, shape):
    weight, bias = rng(5).standard_normal(shape).astype("f4"), rng(7).standard_normal(shape[0]).astype("f4")
    rows = rng(6).standard_normal((97, shape[1])).astype("f4")
    rows[3], rows[50] = 0, 2.5
    for some in (bias, None):
        layer = _core.Dense(weight, some, True)
        expected = reference_int8.layer(weight, some, rows)
        for threads in (1, 0, 3):
            assert layer.apply(rows, threads).tobytes() == expected.tobytes()
        assert layer.apply(rows[40:41]).tobytes() == expected[40:41].tobytes()


def test_codes_of_a_layer_are_coded_again_to_themselves():
    weight = rng(5).standard_normal((600, 300)).astype("f4") * np.logspace(-20, 20, 600, dtype="f4")[:, None]
    weight[7] = 0
    arrays = coded(weight)
    assert [(array.dtype, array.shape) for array in arrays] == coded_forms(600, 300)
    again = coded(np.concatenate(list(decoded(arrays))))
    assert all((codes == others).all() for codes, others in zip(arrays[::2], again[::2], strict=True))


def test_the_first_numbers_are_an_fde_of_the_first_features():
    """A prefix approximates no worse than the regression on as many features does: it is one itself."""
    fde = lemur(gains=np.ones(2, np.float32))
    queries, documents = fde.queries(ROWS)[:, :64], fde.documents(ROWS)[:, :64]
    x = fde.features.of(fde.anchors * fde.scale[:, None])
    gram = (x.T @ x).astype(np.float64)
    gram += np.float64(np.float32(0.01 * np.trace(gram) / F)) * np.eye(F)
    maxima = reference.maxima(fde.anchors * fde.scale[:, None], *dataclasses.astuple(ROWS)) - fde.centre
    weights = np.linalg.solve(gram[:64, :64], x[:, :64].T.astype(np.float64) @ maxima.T).T
    weights[2] = 0
    sums = np.array([fde.features.of(text)[:, :64].sum(0) if len(text) else np.zeros(64) for text in ROWS])
    np.testing.assert_allclose(queries @ documents.T, sums @ weights.T, rtol=1e-2, atol=1e-2)


def test_a_query_may_have_its_first_numbers_only():
    rows = unit_rows([5, 0, 9])
    fde = lemur()
    np.testing.assert_allclose(fde.queries(rows, numbers=64), fde.queries(rows)[:, :64], rtol=1e-3, atol=1e-3)
    assert fde.queries(rows, numbers=F).tobytes() == fde.queries(rows).tobytes()


def test_a_shortened_one_gives_the_first_numbers():
    fde = lemur(gains=np.array([2, 0.5], np.float32))
    short = restore_fde(store_fde(fde.shortened(64), D), "here")
    assert short.size(D) == 64 and short.spec() != fde.spec()
    np.testing.assert_allclose(short.queries(ROWS), fde.queries(ROWS)[:, :64], atol=1e-4)
    # Both matrices are in int8: where BLAS rounds one otherwise, a code may be the next one.
    np.testing.assert_allclose(short.documents(ROWS), fde.documents(ROWS)[:, :64], atol=5e-3)


def test_stored_and_restored_it_is_the_same():
    fde = lemur(model="a model", code_bits=2)
    other = restore_fde(store_fde(fde, D), "here")
    assert other.spec() == fde.spec() and (other.model, other.code_bits) == ("a model", 2)
    assert other.documents(ROWS).tobytes() == fde.documents(ROWS).tobytes()
    assert other.queries(ROWS).tobytes() == fde.queries(ROWS).tobytes()
    assert lemur(ridge=0.02).spec() != fde.spec() and fde.size(D) == F


def test_odd_dims_survive_storing():
    anchors = rng().integers(-7, 8, (9, 5)).astype(np.int8)
    assert (unpack_nibbles(pack_nibbles(anchors), 5) == anchors).all()


def test_spreading_keeps_lengths_and_makes_numbers_alike():
    spike = np.zeros((1, 256), np.float32)
    spike[0, 70] = 1
    found = nested.spread(spike)
    assert np.allclose(np.linalg.norm(found), 1) and np.allclose(np.abs(found[0, 64:128]), 1 / 8)
    assert not found[0, :64].any() and not found[0, 128:].any()
    assert nested.gains_of(found).tolist() == [1, 0.125, 1]


@pytest.mark.parametrize("size", [1, 64, 65, 130, 256])
def test_a_lower_inverse(size):
    lower = np.tril(rng().standard_normal((size, size))) + 4 * np.sqrt(size) * np.eye(size)
    np.testing.assert_allclose(lower_inverse(lower) @ lower, np.eye(size), atol=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": features(size=100)}, r"64 · 2\^n of them, at most 8,192, found 100"),
        (
            {"anchors": np.zeros((A, D + 1), np.int8)},
            r"anchors: expected int8 \[300, 6\], found int8 \[300, 7\]",
        ),
        ({"anchors": np.zeros((0, D), np.int8)}, "anchors"),
        ({"anchors": np.zeros(A, np.int8)}, "anchors"),
        ({"scale": np.ones(3, np.float32)}, r"scale: expected float32 \[300\]"),
        ({"centre": np.full(A, np.nan, np.float32)}, "centre: expected finite"),
        ({"gains": np.ones(3, np.float32)}, r"gains: expected float32 \[2\]"),
        ({"gains": np.array([1, 0], np.float32)}, "gains: expected numbers above 0"),
        ({"ridge": 0.0}, "ridge: expected a number from 1e-6"),
        ({"ridge": float("nan")}, "ridge"),
        ({"numbers": 100}, r"numbers: expected 64 · 2\^n, at most 128, found 100"),
        ({"code_bits": 3}, "code_bits: expected 8, 4 or 2, found 3"),
        ({"code_bits": True}, "code_bits"),
    ],
)
def test_parts_that_do_not_fit(change, message):
    with pytest.raises(FdeError, match=message):
        lemur(**change)


def test_rows_that_are_refused():
    fde = lemur()
    with pytest.raises(FdeError, match="fitted for rows of 6 dims, found 7"):
        fde.queries(Rows(np.zeros((1, 7), np.float32), np.array([0, 1])))
    for encode in (fde.queries, fde.documents):
        for bad in (np.full((1, D), np.nan, np.float32), np.zeros((1, D))):
            with pytest.raises(ShapeError, match="finite float32"):
                encode(Rows(bad, np.array([0, 1])))
        with pytest.raises(ShapeError, match="starts"):
            encode(Rows(np.zeros((1, D), np.float32), np.array([0, 2])))
        with pytest.raises(ShapeError, match=r"rows: expected float32 \[T, D\]"):
            encode(Rows(np.zeros(D, np.float32), np.array([0, 1])))


def test_a_file_that_was_changed_is_damaged():
    stored = store_fde(lemur(), D)
    at = stored.index(pack_nibbles(lemur().anchors).tobytes()[:40])
    with pytest.raises(FdeError, match="not those that it was stored with"):
        restore_fde(stored[:at] + bytes([stored[at] ^ 0x11]) + stored[at + 1 :], "here")
    with pytest.raises(FdeError, match="here"):
        restore_fde(stored[:-1], "here")
    with pytest.raises(FdeError, match="upgrade it"):
        restore_fde(stored.replace(b'features.inner"', b'features.other"'), "here")


def test_its_numbers_are_worth_coding_in_four_bits():
    fde = lemur(gains=nested.gains_of(lemur(gains=np.ones(2, np.float32)).documents(unit_rows([9] * 50))))
    documents, query = fde.documents(unit_rows([9] * 200, seed=8)), fde.queries(unit_rows([4], seed=9))[0]
    exact, coded = documents @ query, quantise(documents, 4).rows() @ query
    assert np.corrcoef(exact, coded)[0, 1] > 0.97


def test_what_two_bits_lose_of_the_first_numbers_is_in_the_last():
    four = lemur(gains=nested.gains_of(lemur(gains=np.ones(2, np.float32)).documents(unit_rows([9] * 50))))
    two = dataclasses.replace(four, code_bits=2)
    rows, asked = unit_rows([9] * 200, seed=8), unit_rows([4, 5], seed=9)
    plain, documents = four.documents(rows), two.documents(rows)
    assert (documents[:, :-64] == plain[:, :-64]).all()
    queries = two.queries(asked)
    assert (queries[:, :-64] == four.queries(asked)[:, :-64]).all()
    np.testing.assert_allclose(queries[:, -64:], LOSS * queries[:, :64])
    np.testing.assert_allclose(two.queries(asked, numbers=64), queries[:, :64], rtol=1e-3, atol=1e-3)
    exact = plain[:, :64] @ queries[:, :64].T
    bare = quantise(plain, 2).rows()[:, :64] @ queries[:, :64].T
    coded = quantise(documents, 2).rows()
    mended = coded[:, :64] @ queries[:, :64].T + coded[:, -64:] @ queries[:, -64:].T
    assert np.square(mended - exact).mean() < 0.5 * np.square(bare - exact).mean()
    assert not two.documents(unit_rows([0])).any()


@pytest.mark.parametrize(("size", "anchors"), [(8192, 9000), (4096, 40_000)])
def test_more_work_than_seconds_is_refused_before_it_begins(size, anchors):
    gains = np.ones(len(nested.blocks_of(size)), np.float32)
    numbers = np.ones(anchors, np.float32)
    with pytest.raises(FdeError, match="multiplications; expected at most 600,000,000,000"):
        lemur(
            features=features(size=size), anchors=np.ones((anchors, D), np.int8), scale=numbers,
            centre=numbers, gains=gains,
        )  # fmt: skip


def test_features_that_cannot_be_made_orthonormal_are_named():
    fde = lemur(anchors=np.zeros((A, D), np.int8), features=without_norms())
    with pytest.raises(FdeError, match="the features of the anchors depend on one another"):
        fde.documents(ROWS)


def without_norms():
    found = features()
    zeros = [np.zeros_like(norm) for norm in (found.inner_norm, found.outer_norm)]
    return dataclasses.replace(found, inner_norm=zeros[0], outer_norm=zeros[1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": 5}, "model: expected a fingerprint or none, found 5"),
        ({"scale": np.full(A, 1e35, np.float32)}, r"scale: expected numbers up to 1e\+30"),
        (
            {"features": dataclasses.replace(features(), scale=np.full(F, 1e38, np.float32))},
            r"scale: expected numbers up to 1e\+30",
        ),
    ],
)
def test_numbers_that_would_overflow_and_models_of_another_kind_are_refused(changes, message):
    with pytest.raises(FdeError, match=message):
        lemur(**changes)
