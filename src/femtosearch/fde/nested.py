"""Numbers of a vector made alike, block by block, so that few bits code all of them equally well, and the
first 64, 128, 256, ... of them stay a vector of their own.

Letters: F numbers of a vector, N vectors.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

SMALLEST = 64  # numbers of the first block


def blocks_of(size: int) -> list[tuple[int, int]]:
    """Where blocks begin and end: F is 64 · 2^n, and each block is as long as all before it together.

    >>> blocks_of(256)
    [(0, 64), (64, 128), (128, 256)]
    """
    ends = [0, *(SMALLEST << n for n in range(size.bit_length()) if SMALLEST << n <= size)]
    return list(pairwise(ends))


def spread(vectors: np.ndarray) -> np.ndarray:
    """[N, F] float32: each block multiplied with the Hadamard matrix of its size, which is orthonormal.

    Afterwards every number is a sum of all of the block's, and so about Gaussian, with one variance.
    """
    out = np.empty_like(vectors)
    for begin, end in blocks_of(vectors.shape[1]):
        out[:, begin:end] = _hadamard(vectors[:, begin:end])
    return out


def gains_of(vectors: np.ndarray) -> np.ndarray:
    """The root mean square of each block of [N, F], as float32; 1 for a block of zeros."""
    blocks = blocks_of(vectors.shape[1])
    gains = [float(np.sqrt(np.square(vectors[:, begin:end]).mean())) for begin, end in blocks]
    return np.array([value or 1.0 for value in gains], dtype=np.float32)


def for_each_number(gains: np.ndarray, size: int) -> np.ndarray:
    """[F]: of each number its block's gain."""
    return np.repeat(gains, [end - begin for begin, end in blocks_of(size)])


def _hadamard(vectors: np.ndarray) -> np.ndarray:
    """By the fast transform: sums and differences of halves."""
    count, size = vectors.shape
    half = 1
    while half < size:
        pairs = vectors.reshape(count, size // (2 * half), 2, half)
        first, second = pairs[:, :, 0], pairs[:, :, 1]
        vectors = np.stack([first + second, first - second], axis=2).reshape(count, size)
        half *= 2
    return vectors * np.float32(1 / math.sqrt(size))
