"""Codes of 4 and 2 bits: the kernels are the reference bit for bit, on every instruction set."""

import numpy as np
import pytest

from femtosearch import _core
from femtosearch.codes import Codes, quantise, width
from femtosearch.errors import ShapeError
from femtosearch.fde import inner_products, nearest, reference


def random_vectors(seed, count, dims):
    return np.random.default_rng(seed).standard_normal((count, dims)).astype(np.float32)


@pytest.mark.parametrize("bits", [4, 2])
@pytest.mark.parametrize("dims", [1, 3, 4, 5, 8, 13, 16, 17, 100, 2048])
@pytest.mark.parametrize("count", [0, 1, 15, 16, 40])
def test_codes_stand_for_their_numbers(bits, dims, count):
    rows = random_vectors(1, count, dims)
    codes, (low, scales) = quantise(rows, bits), reference.low_codes(rows, bits)
    assert codes.blocks.nbytes == -(-count // 16) * 16 * width(dims, bits)
    values = (low - np.float32(((1 << bits) - 1) / 2)) * scales[:, None]
    assert codes.rows().tobytes() == values.tobytes()


@pytest.mark.parametrize("bits", [4, 2])
@pytest.mark.parametrize("dims", [1, 3, 5, 13, 16, 100, 1024])
def test_the_kernel_is_the_reference_bit_for_bit(kernel, bits, dims):
    for count in (1, 7, 16, 100):
        assert_the_references_products(bits, count, dims)


def assert_the_references_products(bits, count, dims):
    codes, vector = quantise(random_vectors(1, count, dims), bits), random_vectors(2, 1, dims)[0]
    for query in (vector, np.where(np.arange(dims) // 8 % 3 == 1, vector, 0), 0 * vector):
        query = query.astype(np.float32)
        expected = reference.inner_products(query, codes.blocks, codes.scales, bits)
        assert inner_products(query, codes).tobytes() == expected[:count].tobytes()


@pytest.mark.parametrize(("bits", "share"), [(8, 1e-3), (4, 0.02), (2, 0.13)])
def test_the_error_is_that_of_the_best_steps_for_a_normal_distribution(bits, share):
    rows = random_vectors(1, 200, 1024)
    found = np.square(quantise(rows, bits).rows() - rows).mean()
    assert found < share  # Max 1960: 0.0115 and 0.1188


@pytest.mark.parametrize("bits", [4, 2])
@pytest.mark.parametrize("shorter", [4, 12, 16, 64, 100])
def test_a_shorter_vector_meets_the_first_numbers(kernel, bits, shorter):
    codes, vector = quantise(random_vectors(1, 500, 100), bits), random_vectors(2, 1, 100)[0]
    whole = np.where(np.arange(100) < shorter, vector, 0).astype(np.float32)
    for one, other in zip(
        nearest(whole, [(codes, None)], 9), nearest(vector[:shorter], [(codes, None)], 9), strict=True
    ):
        assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("bits", [4, 2])
def test_the_widest_codes_do_not_overflow(kernel, bits):
    dims = 65_536
    blocks, scales = np.full((1, width(dims, bits) // 4, 16, 4), -1, np.int8), np.ones(16, np.float32)
    for sign in (1, -1):
        vector = np.full(dims, sign, np.float32)
        expected = reference.inner_products(vector, blocks, scales, bits)
        assert _core.inner_products(vector, blocks, scales, bits).tobytes() == expected.tobytes()
        assert np.sign(expected[0]) == sign


def test_zero_vectors_stay_zero():
    codes = quantise(np.zeros((3, 20), np.float32), 4)
    assert not codes.rows().any() and not inner_products(np.ones(20, np.float32), codes).any()


def test_what_is_refused():
    rows = random_vectors(1, 3, 20)
    with pytest.raises(ShapeError, match="bits: expected 8, 4 or 2, found 3"):
        quantise(rows, 3)
    codes = quantise(rows, 4)
    with pytest.raises(ShapeError, match="found 5 bits"):
        Codes(codes.blocks, codes.scales, 3, 20, 5)
    with pytest.raises(ShapeError, match="blocks: expected int8"):
        Codes(codes.blocks, codes.scales, 3, 20, 2)
    with pytest.raises(ShapeError, match="of one size"):
        nearest(rows[0], [(codes, None), (quantise(rows), None)], 1)
