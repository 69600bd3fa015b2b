"""MUVERA: the kernels against numpy, the peers' vectors, the paper's properties, and what must be refused."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from femtosearch import _core
from femtosearch.errors import FdeError, ShapeError
from femtosearch.fde import Matrices, Muvera, preset, reference
from femtosearch.fde.muvera import MOST_DIMS, draw
from femtosearch.scoring import maxsim
from femtosearch.types import Rows

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "fde"
SIZES = [0, 1, 2, 5, 7, 13, 100]


def random_rows(seed, lengths, dims) -> Rows:
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    rows = np.random.default_rng(seed).standard_normal((int(starts[-1]), dims)).astype(np.float32)
    return Rows(rows / np.linalg.norm(rows, axis=1, keepdims=True), starts)


def encode(muvera, rows, documents):
    return muvera.documents(rows) if documents else muvera.queries(rows)


@cache
def by_reference(muvera, dims, documents):
    rows = random_rows(dims, SIZES, dims)
    return reference.muvera(muvera, draw(muvera, dims), rows.rows, rows.starts, documents)


@pytest.mark.parametrize("documents", [True, False])
@pytest.mark.parametrize("fill", [True, False])
@pytest.mark.parametrize(
    ("dims", "parameters"),
    [
        (1, {"repetitions": 1, "bits": 0, "projection": None}),
        (5, {"repetitions": 2, "bits": 1, "projection": 2}),
        (7, {"repetitions": 13, "bits": 3, "projection": 7}),
        (50, {"repetitions": 5, "bits": 5, "projection": 16}),
        (50, {"repetitions": 20, "bits": 4, "projection": 13, "final": 100}),
        (100, {"repetitions": 3, "bits": 7, "projection": None}),
    ],
)
def test_the_kernel_is_the_reference(kernel, documents, fill, dims, parameters):
    rows = random_rows(dims, SIZES, dims)
    for variant in ("paper",) if "final" in parameters else ("paper", "txtai", "fastembed"):
        muvera = Muvera(**parameters, fill=fill, variant=variant)
        found = encode(muvera, rows, documents)
        expected = by_reference(muvera, dims, documents)
        assert found.shape == (len(SIZES), muvera.size(dims)) and found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * (1 if documents else 100))
        assert not found[0].any()


@pytest.mark.parametrize("peer", ["txtai", "fastembed"])
def test_a_peers_preset_gives_the_peers_vectors(kernel, peer):
    golden = np.load(GOLDEN / f"{peer}.npz")
    rows = Rows(golden["rows"], golden["starts"])
    for place, (repetitions, bits, projection, seed) in enumerate(golden["parameters"].tolist()):
        fill = preset(peer).fill
        muvera = Muvera(repetitions, bits, projection, fill=fill, seed=seed, variant=peer)
        np.testing.assert_allclose(muvera.queries(rows), golden[f"queries_{place}"], rtol=0, atol=1e-5)
        np.testing.assert_allclose(muvera.documents(rows), golden[f"documents_{place}"], rtol=0, atol=1e-5)


def test_presets_have_the_peers_defaults():
    assert preset("txtai") == Muvera(20, 5, 16, fill=False, seed=42, variant="txtai")
    assert preset("fastembed") == Muvera(20, 5, 16, fill=True, seed=42, variant="fastembed")
    assert preset("muvera") == Muvera(20, 5, 16, fill=False, seed=42)
    assert {preset(name).size(50) for name in ("muvera", "txtai", "fastembed")} == {10_240}


def products(muvera, query, documents):
    return (muvera.documents(documents) @ muvera.queries(query)[0]).astype(np.float64)


def test_projection_and_sketch_are_unbiased_over_seeds():
    """Buckets do not depend on the projection's width, so only its noise lies between the two."""
    query, documents = random_rows(1, [8], 12), random_rows(2, [10, 20], 12)
    found = []
    for seed in range(300):
        matrices = draw(Muvera(4, 3, 4, final=64, seed=seed), 12)
        plain = Muvera(4, 3, None, seed=seed, matrices=Matrices(matrices.planes))
        small = Muvera(4, 3, 4, final=64, seed=seed, matrices=matrices)
        found.append(products(small, query, documents) - products(plain, query, documents))
    errors = np.array(found)
    assert (np.abs(errors.mean(axis=0)) < 4 * errors.std(axis=0) / np.sqrt(len(errors))).all()
    assert (errors.std(axis=0) > 0.1).all()


@pytest.mark.parametrize(
    "growing",
    [
        [{"repetitions": n, "bits": 3, "projection": 8} for n in (2, 8, 32)],
        [{"repetitions": 8, "bits": 3, "projection": n} for n in (2, 8, 24)],
        [{"repetitions": 8, "bits": 3, "projection": 8, "final": n} for n in (32, 128, 512)],
    ],
)
def test_the_error_falls_as_the_dims_grow(growing):
    """Theorem 2.1's direction: the spread about the mean over seeds falls with every kind of dims."""
    query, documents = random_rows(3, [16], 24), random_rows(4, [30] * 20, 24)
    spread = [
        np.std([products(Muvera(**p, seed=seed), query, documents) for seed in range(12)], axis=0).mean()
        for p in growing
    ]
    assert spread[0] > 1.3 * spread[1] > 1.3 * 1.3 * spread[2]


def test_more_bits_bring_the_inner_product_nearer_to_maxsim():
    query, documents = random_rows(5, [16], 24), random_rows(6, [30] * 20, 24)
    exact = maxsim(query, documents)[0]
    errors = [np.abs(products(Muvera(40, bits, None), query, documents) - exact).mean() for bits in (0, 3, 6)]
    assert errors[0] > 1.1 * errors[1] > 1.1 * 1.1 * errors[2]


def test_with_fill_it_never_exceeds_maxsim_without_projection():
    """Each bucket of a document is a mean of its rows, and no mean is nearer than the nearest row."""
    query, documents = random_rows(7, [9], 10), random_rows(8, [1, 4, 40], 10)
    found = products(Muvera(6, 4, None), query, documents)
    assert (found <= maxsim(query, documents)[0] + 1e-5).all()


def test_a_document_of_one_row_is_exact():
    """Its filled FDE has the row in every bucket."""
    rows = random_rows(9, [1], 10)
    query = random_rows(10, [7], 10)
    found = products(Muvera(6, 4, None), query, rows)
    np.testing.assert_allclose(found, maxsim(query, rows)[0], atol=1e-5)


def test_queries_sum_and_documents_average():
    row = random_rows(11, [1], 6).rows
    twice = Rows(np.concatenate([row, row, row]), np.array([0, 1, 3], np.int64))
    muvera = Muvera(3, 2, 4, fill=False)
    once, doubled = muvera.queries(twice)
    np.testing.assert_allclose(doubled, 2 * once, rtol=1e-6)
    single, mean = muvera.documents(twice)
    np.testing.assert_allclose(mean, single, rtol=1e-6)
    np.testing.assert_allclose(single, once, rtol=1e-6)


def test_an_empty_bucket_gets_the_nearest_rows_by_brute_force():
    """Codes, distances and means written out, bucket by bucket: the decoding that peers got wrong."""
    muvera, rows = Muvera(4, 5, None, fill=True), random_rows(12, [12], 16)
    planes = draw(muvera, 16).planes.astype(np.float64)
    found = muvera.documents(rows)[0].reshape(4, 32, 16) * 2  # 2: the square root of four repetitions
    empty = 0
    for r in range(4):
        signs = rows.rows @ planes[r] > 0
        for bucket in range(32):
            wanted = np.array([bucket >> b & 1 for b in range(5)], bool)
            distance = (signs != wanted).sum(axis=1)
            empty += distance.min() > 0
            expected = rows.rows[distance == distance.min()].mean(axis=0)
            np.testing.assert_allclose(found[r, bucket], expected, atol=1e-6)
    assert empty > 40


def test_a_query_is_never_filled():
    rows = random_rows(13, [3], 8)
    filled, plain = (Muvera(4, 5, 4, fill=fill).queries(rows) for fill in (True, False))
    assert (filled == plain).all() and (plain == 0).mean() > 0.7


@pytest.mark.parametrize("variant", ["paper", "txtai"])
def test_the_order_of_rows_does_not_matter(kernel, variant):
    rows, muvera = random_rows(14, [40], 20), Muvera(5, 6, 8, variant=variant)
    shuffled = Rows(rows.rows[np.random.default_rng(0).permutation(40)], rows.starts)
    for documents in (True, False):
        np.testing.assert_allclose(
            encode(muvera, rows, documents), encode(muvera, shuffled, documents), rtol=0, atol=1e-6
        )


@pytest.mark.parametrize("documents", [True, False])
def test_a_vector_depends_on_its_rows_alone(kernel, documents):
    rows = random_rows(15, np.random.default_rng(1).integers(0, 90, 40), 50)
    muvera = Muvera(7, 5, 13, final=300)
    together = encode(muvera, rows, documents)
    for n in (0, 1, 17, 39):
        alone = Rows(rows[n].copy(), np.array([0, len(rows[n])], np.int64))
        assert (encode(muvera, alone, documents)[0] == together[n]).all()
    method = muvera.documents if documents else muvera.queries
    assert all((method(rows, threads=n) == together).all() for n in (1, 2, 3, 64))


def test_no_texts_and_texts_without_rows():
    muvera = Muvera(2, 3, 4)
    nothing = Rows(np.zeros((0, 9), np.float32), np.zeros(1, np.int64))
    assert muvera.documents(nothing).shape == (0, 64)
    empty = Rows(nothing.rows, np.zeros(4, np.int64))
    for found in (muvera.documents(empty), muvera.queries(empty)):
        assert found.shape == (3, 64) and not found.any()


def test_strided_rows_are_accepted():
    rows, muvera = random_rows(16, [10], 8), Muvera(2, 3, 4)
    strided = Rows(np.repeat(rows.rows, 2, axis=0)[::2], rows.starts)
    assert (muvera.documents(strided) == muvera.documents(rows)).all()


def test_one_seed_gives_one_encoding_and_another_another():
    rows = random_rows(17, [10], 8)
    assert (Muvera(2, 3, 4, seed=1).documents(rows) == Muvera(2, 3, 4, seed=1).documents(rows)).all()
    assert (Muvera(2, 3, 4, seed=1).documents(rows) != Muvera(2, 3, 4, seed=2).documents(rows)).any()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"repetitions": 0}, "repetitions: expected a whole number from 1"),
        ({"repetitions": 2.0}, "repetitions: expected a whole number from 1 to 1,048,576, found 2.0"),
        ({"repetitions": True}, "repetitions: expected"),
        ({"bits": -1}, "bits: expected a whole number from 0 to 16, found -1"),
        ({"bits": 17}, "bits: expected a whole number from 0 to 16, found 17"),
        ({"projection": 0}, "projection: expected"),
        ({"final": 0}, "final: expected"),
        ({"final": MOST_DIMS + 1}, "final: expected"),
        ({"seed": -1}, "seed: expected"),
        ({"fill": 1}, "fill: expected True or False, found 1"),
        ({"variant": "google"}, "variant: expected one of paper, txtai, fastembed, found 'google'"),
        ({"variant": "txtai", "final": 100}, "final: txtai has no count-sketch"),
        ({"repetitions": 1 << 20, "bits": 16}, "expected at most 1,048,576: lower one of them"),
        ({"repetitions": 200}, "make 102,400 numbers: expected at most 65,536"),
        ({"repetitions": 1, "bits": 1, "projection": 2, "final": 5}, "fewer than 5: leave final out"),
    ],
)
def test_parameters_that_cannot_be(parameters, message):
    with pytest.raises(FdeError, match=message):
        Muvera(**parameters)


def test_an_unknown_preset():
    with pytest.raises(FdeError, match="expected one of muvera, txtai, fastembed, or a Muvera, found"):
        preset("lemur")


def test_rows_that_cannot_be_encoded():
    muvera = Muvera(2, 3, 4)
    with pytest.raises(FdeError, match="projection: expected at most the rows' 3 dims, found 4"):
        muvera.documents(random_rows(1, [5], 3))
    with pytest.raises(FdeError, match="expected at most 65,536"):
        Muvera(20, 5, None).size(1000)
    with pytest.raises(FdeError, match="lower repetitions"):
        Muvera(60_000, 0, 1).size(60_000)
    bound = Muvera(2, 3, 4, matrices=draw(muvera, 9))
    with pytest.raises(FdeError, match="its matrices are for rows of 9 dims, found 8"):
        bound.queries(random_rows(1, [5], 8))
    good = random_rows(1, [5], 9)
    for bad in (good.rows[0], good.rows.astype(np.float64)):
        with pytest.raises(ShapeError, match="rows: expected float32"):
            bound.queries(Rows(bad, good.starts))
    with pytest.raises(ShapeError, match="the end of starts"):
        bound.queries(Rows(good.rows, np.array([0, 6])))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite(bad):
    rows = random_rows(1, [5], 9)
    rows.rows[3, 2] = bad
    for documents in (True, False):
        with pytest.raises(ShapeError, match="rows: expected finite numbers, found NaN or infinity"):
            encode(Muvera(2, 3, 4), rows, documents)


PLACES, SIGNS = np.zeros(48, np.int32), np.ones(48, np.float32)


def native(**changed):
    arguments = {
        "planes": np.zeros((2, 3, 4), np.float32), "projection": None, "order": np.arange(4, dtype=np.int32),
        "fill": 0, "scale": 1.0, "final": 0, "places": None, "signs": None,
    }  # fmt: skip
    return _core.Muvera(**(arguments | changed))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"planes": np.zeros((2, 3), np.float32)}, r"planes: expected float32 \[\*, \*, \*\]"),
        ({"planes": np.zeros((17, 1, 1), np.float32)}, "bits: expected 0 to 16, found 17"),
        ({"planes": np.zeros((2, 0, 4), np.float32)}, "repetitions: expected"),
        ({"planes": np.zeros((2, 3, 0), np.float32)}, "dims: expected"),
        ({"planes": np.zeros((16, 1, 100), np.float32)}, "numbers before the count-sketch: expected"),
        ({"projection": np.zeros((3, 5, 4), np.float32)}, "projection: expected 1 to the 4 dims, found 5"),
        ({"projection": np.zeros((2, 2, 4), np.float32)}, "projection: expected float32"),
        ({"order": np.arange(3, dtype=np.int32)}, r"order: expected int32 \[4\]"),
        ({"order": np.array([0, 1, 2, 4], np.int32)}, "order: expected 0 to 3, found 4"),
        ({"order": np.array([0, 1, 2, -1], np.int32)}, "order: expected 0 to 3, found -1"),
        ({"fill": 3}, "fill: expected 0, 1 or 2, found 3"),
        ({"final": 49}, "final: expected 0 to the 48 numbers before it, found 49"),
        ({"final": 8}, "places: expected int32"),
        ({"final": 8, "places": PLACES + 8, "signs": SIGNS}, "places: expected 0 to 7, found 8"),
        ({"final": 8, "places": PLACES, "signs": SIGNS[1:]}, r"signs: expected float32 \[48\]"),
    ],
)  # fmt: skip
def test_the_kernel_refuses_arrays_that_do_not_belong_together(changed, message):
    with pytest.raises(ShapeError, match=message):
        native(**changed)
    assert native().size == 48
