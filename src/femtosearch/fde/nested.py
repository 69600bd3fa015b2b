"""Rotate a vector block by block so that its numbers have equal variance, and few bits code all of them
equally well; the first 64, 128, 256, ... numbers stay a vector of their own.

Letters: F numbers of a vector, N vectors.
"""

from __future__ import annotations

import math
from functools import lru_cache
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
    """Multiply each block of vectors [N, F] float32 with the orthonormal Hadamard matrix of its size.

    Every number of the result is a sum over all numbers of its block, so it is about normally distributed,
    and all numbers of a block have the same variance.
    """
    out, half = vectors.copy(), 1
    while 2 * half <= max(SMALLEST, out.shape[1] // 2):
        larger = out[:, 2 * half if half >= SMALLEST else 0 :]  # the blocks that are as long as two halves
        pairs = larger.reshape(len(out), larger.shape[1] // (2 * half), 2, half)
        first, second = pairs[:, :, 0], pairs[:, :, 1]
        larger[:] = np.stack([first + second, first - second], axis=2).reshape(larger.shape)
        half *= 2
    return out * _scales(out.shape[1])


@lru_cache(maxsize=8)
def _scales(size: int) -> np.ndarray:
    """For each number 1 / sqrt(length of its block): [F] float32."""
    lengths = [end - begin for begin, end in blocks_of(size)]
    return np.repeat([np.float32(1 / math.sqrt(length)) for length in lengths], lengths)


def gains_of(vectors: np.ndarray) -> np.ndarray:
    """The root mean square of each block of [N, F], as float32; 1 for a block of zeros."""
    blocks = blocks_of(vectors.shape[1])
    gains = [float(np.sqrt(np.square(vectors[:, begin:end]).mean())) for begin, end in blocks]
    return np.array([value or 1.0 for value in gains], dtype=np.float32)


def for_each_number(gains: np.ndarray, size: int) -> np.ndarray:
    """Repeat each block's gain for all numbers of the block: [F], where F is `size`."""
    return np.repeat(gains, [end - begin for begin, end in blocks_of(size)])
