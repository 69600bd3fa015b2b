"""Inner products over codes: bit for bit numpy's, on every instruction set."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from femtosearch import _core
from femtosearch import codes as codes_module
from femtosearch.codes import Codes, Order, quantise
from femtosearch.errors import ShapeError
from femtosearch.fde import inner_products, nearest, reference


def random_vectors(seed, count, dims):
    return np.random.default_rng(seed).standard_normal((count, dims)).astype(np.float32)


@pytest.mark.parametrize("dims", [1, 2, 5, 7, 13, 100, 1024])
def test_the_kernel_is_the_reference_bit_for_bit(kernel, dims):
    for count in (0, 1, 2, 5, 7, 13, 16, 100):
        assert_the_references_products(count, dims)


def assert_the_references_products(count, dims):
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


def several(counts, dims, seed=3):
    """Codes in parts, and of every second part which of its vectors count."""
    rng = np.random.default_rng(seed)
    parts = [quantise(random_vectors(seed + n, count, dims)) for n, count in enumerate(counts)]
    return [(codes, None if n % 2 else rng.random(len(codes)) < 0.7) for n, codes in enumerate(parts)]


def by_reference(vector, parts, count):
    products = [
        reference.inner_products(vector, codes.blocks, codes.scales)[: len(codes)] for codes, _ in parts
    ]
    alive = [np.ones(len(codes), bool) if some is None else some for codes, some in parts]
    return reference.nearest(np.concatenate(products), np.concatenate(alive), count)


def same(found, expected):
    return all(a.tobytes() == b.tobytes() for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("dims", [1, 2, 5, 13, 100])
@pytest.mark.parametrize("count", [1, 2, 5, 7, 13, 100, 5000])
def test_the_nearest_are_those_of_the_reference(kernel, dims, count):
    parts = several([100, 0, 1, 16, 2000, 15], dims)
    for vector in (random_vectors(4, 1, dims)[0], np.zeros(dims, np.float32)):
        expected = by_reference(vector, parts, count)
        for threads in (1, 0, 3):
            assert same(nearest(vector, parts, count, threads=threads), expected)


@pytest.mark.parametrize("count", [1, 15, 16, 17, 100, 40_000])
@pytest.mark.parametrize("share", [0, 0.002, 0.05, 1])
def test_what_does_not_count_changes_nothing_where_it_is_not_read(kernel, count, share):
    """Blocks of vectors of which none counts are skipped, in the middle and at both ends of a piece."""
    codes, vector = quantise(random_vectors(1, count, 8), 4), random_vectors(2, 1, 8)[0]
    rng = np.random.default_rng(count)
    here_and_there = rng.random(count) < share
    products = inner_products(vector, codes)
    for alive in (here_and_there, np.sort(here_and_there), ~np.sort(~here_and_there)):
        for threads in (1, 0, 3):
            found = nearest(vector, [(codes, alive)], 9, threads=threads)
            assert same(found, reference.nearest(products, alive, 9))


@pytest.mark.parametrize("bits", [8, 4, 2])
@pytest.mark.parametrize("dims", [1, 256, 257, 1000, 2048])
@pytest.mark.parametrize("order", [Order.SLICES, Order.SPLIT])
def test_an_order_changes_where_numbers_lie_and_no_product(kernel, dims, bits, order):
    parts = [(quantise(random_vectors(n, n, dims), bits), None) for n in (1, 100, 700)]
    others = [(in_order(codes, order), some) for codes, some in parts]
    for (codes, _), (other, _) in zip(parts, others, strict=True):
        assert (other.all_blocks == codes.blocks).all() and (other.rows() == codes.rows()).all()
        assert (other.between(0, 1) == codes.blocks[:1]).all()
    mixed = [parts[0], others[1], parts[2]]
    for size in {1, min(dims, 100), min(dims, 256), min(dims, 300), dims}:
        vector = random_vectors(4, 1, size)[0]
        for threads in (1, 0, 3):
            expected = nearest(vector, parts, 9)
            assert same(nearest(vector, others, 9, threads=threads), expected)
            assert same(nearest(vector, mixed, 9, threads=threads), expected)
    for (codes, _), (other, _) in zip(parts, others, strict=True):
        assert inner_products(random_vectors(5, 1, dims)[0], other).tobytes() == (
            inner_products(random_vectors(5, 1, dims)[0], codes).tobytes()
        )


def ordered(blocks, bits, order):
    runs = [run.reshape(-1) for run in codes_module.in_order([blocks], bits, order)]
    return np.concatenate([*runs, np.empty(0, blocks.dtype)]).reshape(blocks.shape)


def in_order(codes, order):
    return replace(codes, blocks=ordered(codes.blocks, codes.bits, order), order=order)


def test_what_is_scanned_is_one_run_of_bytes():
    blocks = np.arange(3 * 64 * 64, dtype=np.int64).astype(np.int8).reshape(3, 64, 16, 4)
    assert (ordered(blocks, 4, Order.SLICES).reshape(-1)[: 3 * 32 * 64] == blocks[:, :32].reshape(-1)).all()
    split = ordered(blocks, 4, Order.SPLIT).reshape(-1)
    assert (split[: 3 * 16 * 64] == blocks[:, :16].reshape(-1)).all()
    assert (split[3 * 16 * 64 :][: 48 * 4] == blocks[0, 16:, 0].reshape(-1)).all()  # of the first vector


@pytest.mark.parametrize("bits", [8, 4, 2])
@pytest.mark.parametrize("dims", [1, 128, 129, 130, 200, 256, 385, 1000, 2048])
def test_the_nearest_in_steps_are_those_of_the_reference(kernel, dims, bits):
    borders, draw = (0, 1, 1, 97, 3200), np.random.default_rng(dims)
    every, living = quantise(random_vectors(1, 3200, dims), bits), draw.random(3200) < 0.8
    parts = [
        (in_order(some_of(every, begin, end), Order.SPLIT), living[begin:end])
        for begin, end in pairwise(borders)
    ]
    for size in {min(dims, 60), min(dims, 192), min(dims, 193), dims}:
        vector = random_vectors(4, 1, size)[0]
        for numbers in (vector, np.where(np.arange(size) % 3 == 1, vector, 0), 0 * vector):
            numbers = numbers.astype(np.float32)
            for coarse, most in ((1, 1), (900, 40), (5000, 5000)):
                expected = reference.nearest_in_steps(numbers, every, living, coarse, most)
                for threads in (1, 0, 3):
                    assert same(nearest(numbers, parts, most, coarse=coarse, threads=threads), expected)


def some_of(codes, begin, end):
    """Vectors begin to end."""
    lanes = codes.blocks.transpose(0, 2, 1, 3).reshape(-1, *codes.blocks.shape[1::2])[begin:end]
    padded = np.pad(lanes, ((0, -len(lanes) % 16), (0, 0), (0, 0)))
    blocks = padded.reshape(-1, 16, *padded.shape[1:]).transpose(0, 2, 1, 3)
    scales = np.pad(codes.scales[begin:end], (0, len(padded) - len(lanes)))
    return replace(codes, blocks=np.ascontiguousarray(blocks), scales=scales, count=end - begin)


def test_of_all_in_steps_are_all(kernel):
    codes, vector = quantise(random_vectors(1, 500, 512), 4), random_vectors(2, 1, 512)[0]
    numbers, products = nearest(vector, [(in_order(codes, Order.SPLIT), None)], 500, coarse=500)
    assert (numbers == np.arange(500)).all()
    np.testing.assert_allclose(products, inner_products(vector, codes), atol=1.0)


def test_the_widest_codes_do_not_overflow_in_steps(kernel):
    dims = 65_536
    for byte in (-128, 127):
        codes = Codes(np.full((1, dims // 4, 16, 4), byte, np.int8), np.ones(16, np.float32), 16, dims)
        vector, every = np.ones(dims, np.float32), np.ones(16, bool)
        found = nearest(vector, [(replace(codes, order=Order.SPLIT), None)], 3, coarse=5)
        assert same(found, reference.nearest_in_steps(vector, codes, every, 5, 3))
        assert np.sign(found[1][0]) == np.sign(byte)


@pytest.mark.parametrize("order", [Order.BLOCKS, Order.SLICES])
def test_steps_need_numbers_that_are_split(order):
    codes = in_order(quantise(random_vectors(1, 20, 300)), order)
    with pytest.raises(ShapeError, match=f"order: expected 2, split, found {order:d}"):
        nearest(random_vectors(2, 1, 300)[0], [(codes, None)], 3, coarse=5)
    with pytest.raises(ShapeError, match="coarse: expected 0 or more, found -1"):
        nearest(VECTOR, [(CODES, None)], 3, coarse=-1)


@pytest.mark.parametrize("most", [31, 40, 100, 1000, 3000])
@pytest.mark.parametrize("borders", [(0, 40_000), (0, 5, 5, 700, 20_016, 40_000)])
def test_what_a_sample_says_of_the_rest_changes_nothing(kernel, most, borders):
    """A scan keeps what is above a floor read off a sample: too high a one where the sample has the best."""
    vectors, vector = random_vectors(1, 40_000, 4), np.array([1, 0, 0, 0], np.float32)
    sampled = np.arange(40_000) // 16 % 32 == 0
    alive = np.random.default_rng(most).random(40_000) < 0.3
    for chosen in (sampled, ~sampled, np.arange(40_000) < 5000, np.zeros(40_000, bool)):
        codes = quantise(vectors + np.where(chosen, 9, 0).astype(np.float32)[:, None])
        for living in (alive, alive & sampled, alive & ~sampled):
            expected = reference.nearest(inner_products(vector, codes), living, most)
            parts = [(some_of(codes, *ends), living[slice(*ends)].copy()) for ends in pairwise(borders)]
            for threads in (1, 3):
                assert same(nearest(vector, parts, most, threads=threads), expected)


@pytest.mark.parametrize("dims", [4, 16, 30, 64])
def test_a_shorter_vector_is_compared_with_the_first_numbers(kernel, dims):
    parts, vector = several([40, 1000], 64), random_vectors(4, 1, 64)[0]
    vector[dims:] = 0
    assert same(nearest(vector[:dims], parts, 9), by_reference(vector, parts, 9))


def test_of_equal_products_the_first_count():
    parts = [(quantise(np.ones((n, 3), np.float32)), None) for n in (20, 3000)]
    for count in (1, 19, 25, 1000):
        numbers, products = nearest(np.ones(3, np.float32), parts, count)
        assert (numbers == np.arange(count)).all() and len(set(products.tolist())) == 1


def test_damaged_scales_are_never_near():
    codes = quantise(np.ones((40, 3), np.float32))
    codes.scales[[1, 17, 33]] = np.nan, np.inf, -np.inf
    numbers, _ = nearest(np.ones(3, np.float32), [(codes, None)], 99)
    assert numbers.tolist() == [n for n in range(40) if n not in (1, 17, 33)]


def test_scales_that_are_damaged_but_finite_are_never_near_in_steps():
    codes = in_order(quantise(random_vectors(1, 40, 300) + 9, 4), Order.SPLIT)
    codes.scales[[1, 17]] = 3e38
    vector = np.concatenate([np.full(128, 1e-9, np.float32), np.ones(172, np.float32)])
    numbers, products = nearest(vector, [(codes, None)], 99, coarse=40)
    assert np.isfinite(products).all() and {1, 17}.isdisjoint(numbers) and len(numbers) == 38


def test_nothing_is_near_nothing():
    for parts in ([], [(quantise(np.ones((0, 3), np.float32)), None)]):
        numbers, products = nearest(np.ones(3, np.float32), parts, 5)
        assert (numbers.dtype, products.dtype, len(numbers), len(products)) == ("i8", "f4", 0, 0)


@pytest.mark.parametrize(
    ("vector", "parts", "message"),
    [
        (random_vectors(2, 1, 7)[0], [(CODES, None)], "dims of vector: expected 1 to the codes' 6, found 7"),
        (VECTOR[:0], [(CODES, None)], "dims of vector: expected 1"),
        (np.full(6, np.inf, np.float32), [(CODES, None)], "vector: expected finite numbers"),
        (VECTOR, [(CODES, np.ones(19, bool))], r"alive: expected bool \[20\]"),
        (VECTOR, [(CODES, np.ones(20, np.int8))], "alive: expected bool"),
        (
            VECTOR,
            [(CODES, None), (quantise(random_vectors(1, 3, 5)), None)],
            r"one size, found",
        ),
    ],
)
def test_the_nearest_of_what_does_not_belong_together(vector, parts, message):
    with pytest.raises(ShapeError, match=message):
        nearest(vector, parts, 3)


def test_the_native_search_refuses_what_would_leave_the_arrays():
    for count in (-1, 33):
        with pytest.raises(ShapeError, match=f"count: expected 0 to 32, found {count}"):
            _core.nearest(VECTOR, 6, [(CODES.blocks, CODES.scales, count, None, 0)], 3)
    for order in (-1, 3):
        with pytest.raises(ShapeError, match=f"order: expected 0, 1 or 2, found {order}"):
            _core.nearest(VECTOR, 6, [(CODES.blocks, CODES.scales, 3, None, order)], 3)
    expected = r"part: expected \(blocks, scales, count, alive, order\), found 2 items"
    with pytest.raises(ShapeError, match=expected):
        _core.nearest(VECTOR, 6, [(CODES.blocks, CODES.scales)], 3)
    with pytest.raises(ShapeError, match="most: expected 0 or more, found -1"):
        _core.nearest(VECTOR, 6, [], -1)
