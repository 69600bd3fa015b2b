"""Weights in fewer bytes: what is written comes back, and parts that do not fit are named."""

import numpy as np
import pytest

from femtosearch.errors import CheckpointError
from femtosearch.model.checkpoint.packed import int8_matrix, packed, unpacked
from femtosearch.tensors import read_tensors, write_tensors

CODES = np.array([[0, 2], [1, 0], [1, 1]], dtype=np.uint8)
BOOKS = np.arange(2 * 3 * 2, dtype=np.float32).reshape(2, 3, 2)


def test_a_table_comes_back_from_its_codes_and_books(tmp_path):
    path = tmp_path / "model.safetensors"
    table = np.array([[0, 1, 10, 11], [2, 3, 6, 7], [2, 3, 8, 9]], dtype=np.float32)
    write_tensors(path, packed({"table": table, "bias": table[0]}, {"table": (CODES, BOOKS)}))
    found = unpacked(path, read_tensors(path))
    assert list(found) == ["table", "bias"]
    np.testing.assert_array_equal(found["table"], table)
    np.testing.assert_array_equal(found["bias"], table[0])


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (0, 4)])
def test_a_matrix_comes_back_to_half_a_step(tmp_path, shape):
    matrix = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    found = unpacked(tmp_path, packed({"matrix": matrix}, {}))["matrix"]
    steps = int8_matrix(matrix)[1][:, None] if shape[0] else 0
    assert found.dtype == np.float32
    assert (np.abs(found - matrix) <= steps / 2 * 1.0001).all()


def test_a_row_of_zeros_stays_zero(tmp_path):
    matrix = np.zeros((2, 3), dtype=np.float32)
    np.testing.assert_array_equal(unpacked(tmp_path, packed({"m": matrix}, {}))["m"], matrix)


@pytest.mark.parametrize(
    "parts",
    [
        {"t.codes": CODES},
        {"t.codes": CODES, "t.books": BOOKS[:1]},
        {"t.codes": CODES, "t.books": BOOKS[:, :2]},  # a code of 2 among two centroids
        {"t.codes": CODES.astype(np.int32), "t.books": BOOKS},
        {"t.codes": CODES[0], "t.books": BOOKS},
        {"t.codes": CODES, "t.books": BOOKS, "t": BOOKS[0]},
        {"t.int8": CODES.astype(np.int8)},
        {"t.int8": CODES.astype(np.int8), "t.scale": np.ones(2, dtype=np.float32)},
        {"t.int8": CODES, "t.scale": np.ones(3, dtype=np.float32)},
    ],
)
def test_parts_that_do_not_fit_are_named(tmp_path, parts):
    with pytest.raises(CheckpointError, match="'t"):
        unpacked(tmp_path, parts)


@pytest.mark.parametrize(
    ("codes", "books"),
    [
        ((1_000_000, 1), (1, 1, 1_000_000)),  # 5 MB that stand for 4 TB
        ((20_000, 1), (1, 1, 20_000)),
        ((2_000_000, 1), (1, 1, 256)),
        ((3, 0), (0, 2, 5)),
    ],
)
def test_codes_that_stand_for_too_much_or_nothing_are_refused_before_they_are_unpacked(
    tmp_path, codes, books
):
    tensors = {"t.codes": np.zeros(codes, np.uint8), "t.books": np.zeros(books, np.float32)}
    with pytest.raises(CheckpointError, match=r"'t\.codes'"):
        unpacked(tmp_path, tensors)


def test_numbers_that_overflow_become_infinity(tmp_path):
    tensors = {"t.int8": np.full((1, 1), 127, np.int8), "t.scale": np.full(1, 3e38, np.float32)}
    assert np.isinf(unpacked(tmp_path, tensors)["t"]).all()
