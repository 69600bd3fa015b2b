"""Rows in 4 bits: the levels of turned rows, and MaxSim over them, bit for bit on every instruction set."""

import numpy as np
import pytest

from femtosearch import _core, reference
from femtosearch.codes import Codes, maxsim_codes, maxsim_parts, quantise, quantise_rows, shapes, turned
from femtosearch.errors import ShapeError
from femtosearch.index.batch import RowCodes

from .test_codes import ends, random_rows

DIMS = [1, 2, 3, 4, 5, 8, 13, 50, 64, 100]


def levels_of(codes: Codes) -> np.ndarray:
    """The levels [T, D] int8 that codes name: their bytes, read as the page of the format says."""
    packed = codes.blocks.view(np.uint8)
    levels = np.empty((codes.count, codes.dims), np.int8)
    for t in range(codes.count):
        for d in range(codes.dims):
            byte = packed[t // 16, d // 8, t % 16, d % 4]
            number = int(byte >> (d % 8 // 4 * 4) & 15)
            positive = number >= 8
            levels[t, d] = reference.LEVELS[number - 8] if positive else -reference.LEVELS[7 - number]
    return levels


@pytest.mark.parametrize("dims", DIMS)
@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 40])
def test_levels_are_the_reference(count, dims):
    rows = random_rows(dims, count, dims)
    rows[::5] = 0
    codes, (levels, scales) = quantise_rows(rows, 4), reference.level_rows(rows)
    assert (codes.blocks.shape, codes.scales.shape) == shapes(count, dims, 4)
    assert codes.scales[:count].tobytes() == scales.tobytes() and not codes.scales[count:].any()
    chosen = scales > 0
    assert (levels_of(codes)[chosen] == levels[chosen]).all()
    expected = reference.turned(levels * scales[:, None]) if count else np.empty((0, dims), np.float32)
    assert codes.rows().tobytes() == expected.tobytes()
    assert RowCodes.of(codes).rows(dims).tobytes() == expected.tobytes()


@pytest.mark.parametrize("dims", DIMS)
def test_a_row_that_is_turned_twice_is_as_before(dims):
    rows = random_rows(1, 7, dims)
    assert turned(rows).tobytes() == reference.turned(rows).tobytes()
    np.testing.assert_allclose(turned(turned(rows)), rows, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(turned(rows), axis=1), np.linalg.norm(rows, axis=1), rtol=1e-5)
    assert turned(turned(rows[:0])).shape == (0, dims)


def test_the_product_of_a_row_with_itself_stays():
    rows = reference.normalise(random_rows(2, 500, 64))
    stored = quantise_rows(rows, 4).rows()
    np.testing.assert_allclose((rows * stored).sum(axis=1), 1, rtol=1e-5)
    assert np.square(stored - rows).sum(axis=1).mean() < 0.01
    outlier = rows.copy()
    outlier[:, 0] += 5  # which the turn spreads over all numbers
    outlier = reference.normalise(outlier)
    assert np.square(quantise_rows(outlier, 4).rows() - outlier).sum(axis=1).mean() < 0.02


def test_a_code_depends_on_its_row_alone():
    rows = random_rows(3, 40, 50)
    together = quantise_rows(rows, 4).rows()
    for t in (0, 15, 16, 39):
        assert (quantise_rows(rows[t : t + 1], 4).rows()[0] == together[t]).all()


def test_zero_and_tiny_and_huge_rows():
    tiny = np.float32(1e-45)
    rows = np.array([[0, 0], [tiny, -tiny], [190 * tiny, tiny], [1e38, -1e38], [1e-38, 0]], np.float32)
    codes = quantise_rows(rows, 4)
    assert np.isfinite(codes.rows()).all() and not codes.rows()[0].any()


@pytest.mark.parametrize("count", [1, 3, 4, 5, 24, 33])
def test_maxsim_is_the_reference_bit_for_bit(kernel, count):
    starts = ends([0, 1, 2, 5, 7, 13, 100, 0, 16, 32, 3])
    for dims in DIMS:
        query, rows = random_rows(1, count, dims), random_rows(2, starts[-1], dims)
        codes = quantise_rows(rows, 4)
        levels, scales = reference.level_rows(rows)
        expected = reference.maxsim_levels(query, levels, scales, starts)
        assert maxsim_codes(query, codes, starts).tobytes() == expected.tobytes(), dims
        which = np.array([6, 1, 1, 10, 0])
        assert maxsim_codes(query, codes, starts, which).tobytes() == expected[which].tobytes(), dims


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_parts_may_have_either_number_of_bits(threads):
    query = random_rows(1, 5, 13)
    parts = []
    for number, bits in enumerate((4, 8, 4, 8)):
        starts = ends([3, 0, 70, 1])
        parts.append((quantise_rows(random_rows(number, starts[-1], 13), bits), starts, None))
    expected = np.concatenate([maxsim_codes(query, *part) for part in parts])
    assert maxsim_parts(query, parts, threads=threads).tobytes() == expected.tobytes()


def test_any_byte_of_a_damaged_file_is_a_level(kernel):
    query, starts = np.ones((5, 50), np.float32), ends([20, 12])
    for byte in (0, -1, 0x7F, -0x80):
        blocks = np.full((2, 7, 16, 4), byte, np.int8)
        codes = Codes(blocks, np.ones(32, np.float32), 32, 50, 4, levels=True)
        expected = reference.maxsim_levels(query, levels_of(codes), codes.scales, starts)
        assert maxsim_codes(query, codes, starts).tobytes() == expected.tobytes()


def test_what_has_other_bits_is_refused():
    rows = random_rows(1, 4, 5)
    with pytest.raises(ShapeError, match="bits: expected 8 or 4, found 2"):
        quantise_rows(rows, 2)
    with pytest.raises(ShapeError, match="codes: expected 8 bits or levels, found 4 bits"):
        maxsim_codes(rows, quantise(rows, 4), ends([4]))
    with pytest.raises(ShapeError, match="bits of levels: expected 4, found 8"):
        _core.quantise(rows, 8, True)
    codes = quantise_rows(rows, 4)
    with pytest.raises(ShapeError, match="bits: expected 8 or 4, found 2"):
        _core.maxsim_codes(rows, [(codes.blocks, codes.scales, ends([4]), None, 2)])
    with pytest.raises(ShapeError, match=r"values: expected int8 \[\*, 4\]"):
        _core.level_rows(np.zeros((3, 8), np.int8), np.ones(3, np.float32), 5)
    with pytest.raises(ShapeError, match=r"scales: expected float32 \[3\]"):
        _core.level_rows(np.zeros((3, 4), np.int8), np.ones(4, np.float32), 5)
    with pytest.raises(ShapeError, match="dims: expected 1 to 65536, found 0"):
        _core.level_rows(np.zeros((3, 4), np.int8), np.ones(3, np.float32), 0)
    with pytest.raises(ShapeError, match=r"blocks: expected int8 \[\*, 2, 16, 4\]"):
        _core.maxsim_codes(rows, [(codes.blocks, codes.scales, ends([4]), None, 8)])
    rows[1, 2] = np.nan
    with pytest.raises(ShapeError, match="rows: expected finite numbers"):
        quantise_rows(rows, 4)
