"""int8 codes: their layout, their error, and MaxSim over them, bit for bit on every instruction set."""

import numpy as np
import pytest

from femtosearch import _core, reference
from femtosearch.codes import Codes, maxsim_codes, maxsim_parts, quantise, shapes
from femtosearch.errors import ShapeError

SIZES = [0, 1, 2, 5, 7, 13, 100]


def random_rows(seed, count, dims):
    return np.random.default_rng(seed).normal(size=(count, dims)).astype(np.float32)


def ends(lengths):
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


@pytest.mark.parametrize("dims", [1, 3, 4, 50])
@pytest.mark.parametrize("count", [*SIZES, 16, 17, 32])
def test_quantise_is_the_reference(count, dims):
    rows = random_rows(1, count, dims)
    rows[::5] = 0
    codes, (blocks, scales) = quantise(rows), reference.quantise(rows)
    assert (codes.blocks == blocks).all() and codes.blocks.dtype == np.int8
    assert codes.scales.tobytes() == scales.tobytes()
    assert (codes.blocks.shape, codes.scales.shape) == shapes(count, dims)
    assert len(codes) == count and codes.rows().shape == (count, dims)


def test_the_error_is_at_most_half_a_step():
    rows = random_rows(2, 200, 50)
    codes = quantise(rows)
    error = np.abs(codes.rows() - rows).max(axis=1)
    assert (error <= codes.scales[:200] * 0.5001).all()


def test_a_code_depends_on_its_row_alone():
    rows = random_rows(3, 40, 50)
    together = quantise(rows).rows()
    for t in (0, 15, 16, 39):
        assert (quantise(rows[t : t + 1]).rows()[0] == together[t]).all()


def test_zero_and_tiny_and_huge_rows():
    tiny = np.float32(1e-45)
    rows = np.array([[0, 0], [tiny, -tiny], [190 * tiny, tiny], [3e38, -3e38], [1e-38, 0]], dtype=np.float32)
    codes = quantise(rows)
    assert np.isfinite(codes.rows()).all()
    assert (codes.blocks >= -127).all()
    blocks, scales = reference.quantise(rows)
    assert (codes.blocks == blocks).all() and (codes.scales == scales).all()


def test_strided_rows_are_accepted():
    rows = random_rows(4, 40, 6)
    assert (quantise(rows[::2, ::3]).blocks == quantise(rows[::2, ::3].copy()).blocks).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused(bad):
    rows = random_rows(5, 3, 5)
    codes, rows[1, 2] = quantise(rows), bad
    with pytest.raises(ShapeError, match="rows: expected finite numbers"):
        quantise(rows)
    with pytest.raises(ShapeError, match="query: expected finite numbers"):
        maxsim_codes(rows, codes, ends([3]))


def test_quantise_refuses_other_arrays():
    for bad in (np.zeros(3, np.float32), np.zeros((3, 2)), np.zeros((3, 0), np.float32)):
        with pytest.raises(ShapeError, match="rows"):
            quantise(bad)


@pytest.mark.parametrize("count", [0, 1, 2, 5, 7, 13, 16, 32, 100])
def test_maxsim_codes_is_the_reference_bit_for_bit(kernel, count):
    for dims in (1, 3, 4, 13, 50, 128):
        query, starts = random_rows(1, count, dims), ends([*SIZES, 0, 16, 32, 3])
        codes = quantise(random_rows(2, starts[-1], dims))
        expected = reference.maxsim_codes(query, codes.blocks, codes.scales, starts)
        assert maxsim_codes(query, codes, starts).tobytes() == expected.tobytes(), dims
        which = np.random.default_rng(3).integers(0, len(starts) - 1, 30)
        assert maxsim_codes(query, codes, starts, which).tobytes() == expected[which].tobytes(), dims


def test_threads_do_not_change_scores(kernel):
    query, starts = random_rows(1, 32, 50), ends(np.random.default_rng(3).integers(0, 40, 1000))
    codes = quantise(random_rows(2, starts[-1], 50))
    one = maxsim_codes(query, codes, starts, threads=1)
    assert all((maxsim_codes(query, codes, starts, threads=n) == one).all() for n in (0, 2, 3, 64))


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_parts_are_scored_as_if_each_were_alone(kernel, threads):
    query, rng = random_rows(1, 7, 13), np.random.default_rng(4)
    parts = []
    for number, passages in enumerate((300, 0, 1, 70, 64)):
        starts = ends(rng.integers(0, 9, passages))
        which = rng.integers(0, passages, 130) if number == 3 else None
        parts.append((quantise(random_rows(number, starts[-1], 13)), starts, which))
    expected = np.concatenate([maxsim_codes(query, *part) for part in parts])
    assert maxsim_parts(query, parts, threads=threads).tobytes() == expected.tobytes()
    assert len(maxsim_parts(query, [])) == 0


def test_scores_are_near_those_of_the_rows():
    query, starts = reference.normalise(random_rows(1, 32, 50)).astype("f4"), ends([100] * 20)
    rows = reference.normalise(random_rows(2, 2000, 50)).astype("f4")
    exact = reference.maxsim(query, rows, starts)
    assert np.abs(maxsim_codes(query, quantise(rows), starts) - exact).max() < 0.005 * 32


def test_the_widest_codes_do_not_saturate(kernel):
    """Every byte that a damaged file can hold, against the largest codes that a query can have."""
    query = np.ones((5, 50), np.float32) * np.array([[1], [-1], [1], [-1], [1]], np.float32)
    for byte in (-128, -127, 127):
        blocks = np.full((2, 13, 16, 4), byte, np.int8)
        scales = np.ones(32, np.float32)
        expected = reference.maxsim_codes(query, blocks, scales, ends([20, 12]))
        assert (
            _core.maxsim_codes(query, [(blocks, scales, ends([20, 12]), None, 8)]).tobytes()
            == expected.tobytes()
        )


def test_negative_similarities_are_not_beaten_by_padding(kernel):
    query = np.array([[1, 0]], dtype=np.float32)
    codes = quantise(np.array([[-0.5, 0], [-1, 0], [-1, 0]], dtype=np.float32))
    scores = maxsim_codes(query, codes, ends([1, 2]))
    np.testing.assert_allclose(scores, [-0.5, -1.0], rtol=1e-6)


CODES, QUERY = quantise(random_rows(1, 20, 5)), random_rows(2, 2, 5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((QUERY, CODES, np.array([0, 21])), "starts: expected at most 20, the coded rows, found 21"),
        ((QUERY, CODES, np.array([0, 2**40])), "starts: expected"),
        ((QUERY, CODES, np.array([-1, 20])), r"starts\[0\]: expected at least 0, found -1"),
        ((QUERY, CODES, np.array([0, 9, 3])), r"starts\[2\]: expected at least 9, found 3"),
        ((QUERY, CODES, np.zeros(0, np.int64)), "starts: expected at least one number"),
        ((QUERY, CODES, np.array([0, 20]), np.array([1])), "which: expected numbers of the 1 passages"),
        ((QUERY, CODES, np.array([0, 20]), np.array([-1])), "which: expected"),
        ((QUERY, CODES, np.array([0, 20]), np.array([0.0])), r"which: expected int64 \[\*\]"),
        ((QUERY[:, :4], CODES, np.array([0, 20])), r"query: expected \[Q, 5\] as in the codes"),
        ((QUERY.astype("f8"), CODES, np.array([0, 20])), "query: expected float32"),
    ],
)
def test_maxsim_codes_refuses(arguments, message):
    with pytest.raises(ShapeError, match=message):
        maxsim_codes(*arguments)


def test_the_native_scan_refuses_arrays_that_do_not_belong_together():
    starts = ends([20])
    with pytest.raises(ShapeError, match=r"blocks: expected int8 \[\*, 2, 16, 4\]"):
        _core.maxsim_codes(QUERY, [(CODES.blocks[:, :1].copy(), CODES.scales, starts, None, 8)])
    with pytest.raises(ShapeError, match=r"scales: expected float32 \[32\]"):
        _core.maxsim_codes(QUERY, [(CODES.blocks, CODES.scales[:20], starts, None, 8)])
    with pytest.raises(ShapeError, match=r"part: expected \(blocks, .*, bits\), found 2 items"):
        _core.maxsim_codes(QUERY, [(CODES.blocks, CODES.scales)])
    for bad in ([0, 9, 3, 4], [0, -1, 3, 4], [0, 1, 33, 4]):
        with pytest.raises(
            ShapeError, match="starts of passage 1: expected two rising numbers of the 32 rows"
        ):
            _core.maxsim_codes(QUERY, [(CODES.blocks, CODES.scales, np.array(bad), np.array([1]), 8)])


def test_codes_refuse_arrays_of_other_shapes():
    with pytest.raises(ShapeError, match=r"blocks: expected int8 \[3, 2, 16, 4\] in C order"):
        Codes(CODES.blocks, CODES.scales, 33, 5)
    with pytest.raises(ShapeError, match="scales: expected float32"):
        Codes(CODES.blocks, CODES.scales[:20], 20, 5)
    with pytest.raises(ShapeError, match="count >= 0 and dims >= 1"):
        Codes(CODES.blocks, CODES.scales, -1, 5)
