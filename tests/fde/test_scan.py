"""Inner products over codes: bit for bit numpy's, on every instruction set."""

import numpy as np
import pytest

from femtosearch import _core
from femtosearch.codes import quantise
from femtosearch.errors import ShapeError
from femtosearch.fde import inner_products, reference


def random_vectors(seed, count, dims):
    return np.random.default_rng(seed).standard_normal((count, dims)).astype(np.float32)


@pytest.mark.parametrize("dims", [1, 2, 5, 7, 13, 100, 1024])
@pytest.mark.parametrize("count", [0, 1, 2, 5, 7, 13, 16, 100])
def test_the_kernel_is_the_reference_bit_for_bit(kernel, count, dims):
    codes, vector = quantise(random_vectors(1, count, dims)), random_vectors(2, 1, dims)[0]
    for query in (vector, np.where(np.arange(dims) // 8 % 3 == 1, vector, 0), 0 * vector):
        expected = reference.inner_products(query.astype(np.float32), codes.blocks, codes.scales)
        assert inner_products(query.astype(np.float32), codes).tobytes() == expected[:count].tobytes()


def test_threads_do_not_change_products(kernel):
    codes, vector = quantise(random_vectors(1, 2000, 600)), random_vectors(2, 1, 600)[0]
    one = inner_products(vector, codes, threads=1)
    assert all((inner_products(vector, codes, threads=n) == one).all() for n in (0, 2, 3, 64))


def test_products_are_near_those_of_the_vectors():
    vectors, vector = random_vectors(1, 50, 512), random_vectors(2, 1, 512)[0]
    np.testing.assert_allclose(inner_products(vector, quantise(vectors)), vectors @ vector, atol=1.5)


def test_the_widest_codes_do_not_overflow(kernel):
    """Every byte that a damaged file can hold, over the most dims that there may be."""
    dims = 65_536
    for byte, sign in ((-128, 1), (-128, -1), (127, 1), (127, -1)):
        blocks, scales = np.full((1, dims // 4, 16, 4), byte, np.int8), np.ones(16, np.float32)
        vector = np.full(dims, sign, np.float32)
        expected = reference.inner_products(vector, blocks, scales)
        assert _core.inner_products(vector, blocks, scales).tobytes() == expected.tobytes()
        assert np.sign(expected[0]) == np.sign(byte) * sign


CODES, VECTOR = quantise(random_vectors(1, 20, 6)), random_vectors(2, 1, 6)[0]


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        (VECTOR[:5], r"vector: expected \[6\] as in the codes, found \[5\]"),
        (VECTOR[None], r"vector: expected \[6\]"),
        (VECTOR.astype(np.float64), r"vector: expected float32"),
        (np.full(6, np.nan, np.float32), "vector: expected finite numbers"),
    ],
)
def test_vectors_that_are_refused(vector, message):
    with pytest.raises(ShapeError, match=message):
        inner_products(vector, CODES)


def test_the_native_scan_refuses_arrays_that_do_not_belong_together():
    with pytest.raises(ShapeError, match=r"blocks: expected int8 \[\*, 2, 16, 4\]"):
        _core.inner_products(VECTOR, CODES.blocks[:, :1].copy(), CODES.scales)
    with pytest.raises(ShapeError, match=r"scales: expected float32 \[32\]"):
        _core.inner_products(VECTOR, CODES.blocks, CODES.scales[:16])
    with pytest.raises(ShapeError, match="dims of vector: expected 1 to 65536, found 0"):
        _core.inner_products(VECTOR[:0], CODES.blocks, CODES.scales)
