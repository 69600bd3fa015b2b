"""Whitening: features are made orthonormal over the anchors by the inverse of a Cholesky factor, in bands.

Letters: A anchors, F features, S numbers of a band.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from femtosearch import _core
from femtosearch.errors import FdeError
from femtosearch.fde.nested import SMALLEST

Form = tuple[np.dtype[Any], tuple[int, ...]]  # the dtype and the shape of an array
BAND = 256  # S
CODED_BAND = 512  # S of layers in int8: wider, because each band codes its input again
_AT_ONCE = 256  # features whose Cholesky factor numpy computes in one call


class Bands:
    """A layer in bands of rows: each band reads only the first numbers of its input, as many as it is wide.

    So the zeros of a triangular matrix are neither stored nor multiplied, and a large layer is made band by
    band. The result is the same, to the bit, as that of one layer of all bands.

    matrices:  float32 [S, width] each, finite; those of an iterator are released one by one.
    int8:      whether numbers and rows are multiplied as codes of 8 bits.
    """

    def __init__(self, matrices: Iterable[np.ndarray], *, int8: bool = False) -> None:
        self._layers = [(matrix.shape[1], _core.Dense(matrix, None, int8)) for matrix in matrices]

    def apply(self, rows: np.ndarray, threads: int = 0) -> np.ndarray:
        """Apply the layer to rows [n, the largest width] float32: [n, S + S + ...] float32."""
        bands = [layer.apply(np.ascontiguousarray(rows[:, :width]), threads) for width, layer in self._layers]
        return np.concatenate(bands, axis=1)


def bands_of(triangle: np.ndarray) -> list[np.ndarray]:
    """The bands of a lower triangular matrix [F, F], in float32, without what is right of its diagonal."""
    shapes = shapes_of(len(triangle))
    return [
        np.ascontiguousarray(triangle[width - rows : width, :width], dtype=np.float32)
        for rows, width in shapes
    ]


def shapes_of(size: int) -> list[tuple[int, int]]:
    """The shapes of the bands of a lower triangular matrix of F = `size` rows.

    >>> shapes_of(600)
    [(256, 256), (256, 512), (88, 600)]
    """
    return [(min(BAND, size - begin), min(begin + BAND, size)) for begin in range(0, size, BAND)]


def coded(layer: np.ndarray) -> list[np.ndarray]:
    """Code a layer [F, A] float32 in 8 bits, band by band: the codes [S, A] int8 and the scales [S] float32
    of the first band, then those of the next one, and so on.
    """
    arrays = []
    for begin in range(0, len(layer), CODED_BAND):
        rows = np.ascontiguousarray(layer[begin : begin + CODED_BAND])
        scales = np.abs(rows).max(axis=1) / np.float32(127)
        codes = np.rint(rows / np.where(scales > 0, scales, np.float32(1))[:, None])
        arrays += [codes.astype(np.int8), scales]
    return arrays


def coded_forms(size: int, anchors: int) -> list[Form]:
    """The dtypes and shapes of the arrays that `coded` returns for a layer [size, anchors]."""
    rows = [min(CODED_BAND, size - begin) for begin in range(0, size, CODED_BAND)]
    byte, single = np.dtype(np.int8), np.dtype(np.float32)
    return [form for count in rows for form in ((byte, (count, anchors)), (single, (count,)))]


def decoded(arrays: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """Decode what `coded` returned: the bands of the layer, [S, A] float32 each."""
    for codes, scales in zip(arrays[::2], arrays[1::2], strict=True):
        yield codes * scales[:, None]


def factor_forms(size: int) -> list[Form]:
    """The dtypes and shapes of the bands of a triangular matrix [size, size]."""
    return [(np.dtype(np.float32), shape) for shape in shapes_of(size)]


def inverse_factor(pieces: Iterable[np.ndarray], size: int, ridge: float) -> np.ndarray:
    """The inverse L^-1, [size, size] float64, of the Cholesky factor of L L': the Gram matrix of the first
    `size` features over the anchors, plus `ridge` times the mean square of all features on its diagonal.

    pieces:  the features of a few anchors each, [*, F] float32.
    Raises FdeError if the features are linearly dependent.
    """
    gram, squares, count = np.zeros((size, size), dtype=np.float32), 0.0, 1
    for piece in pieces:
        first = piece[:, :size]
        gram += first.T @ first
        squares += float(np.vdot(piece, piece))
        count = piece.shape[1]
    gram[np.diag_indices(size)] += np.float32(ridge * squares / count)
    try:
        inverse = inverse_root(gram)
    except np.linalg.LinAlgError:
        inverse = np.full((1, 1), np.nan)
    if not np.isfinite(inverse).all():
        raise FdeError("the features of the anchors depend on one another: the FDE is damaged")
    return inverse


def inverse_root(gram: np.ndarray) -> np.ndarray:
    """The inverse of a Gram matrix's Cholesky factor, float64, computed by halves to save memory. Raises
    LinAlgError if the matrix has no such factor.
    """
    size = len(gram)
    if size <= _AT_ONCE:
        return lower_inverse(np.linalg.cholesky(gram.astype(np.float64)))
    half = size // 2
    first = inverse_root(gram[:half, :half])
    below = gram[half:, :half] @ first.T
    complement = gram[half:, half:] - below @ below.T
    last = inverse_root(complement)
    del complement
    return _joined(first, below, last)


def lower_inverse(lower: np.ndarray) -> np.ndarray:
    """The inverse of a lower triangular matrix, by halves."""
    size = len(lower)
    if size <= SMALLEST:
        return np.tril(np.linalg.inv(lower))
    half = size // 2
    first, last = lower_inverse(lower[:half, :half]), lower_inverse(lower[half:, half:])
    return _joined(first, lower[half:, :half], last)


def _joined(first: np.ndarray, below: np.ndarray, last: np.ndarray) -> np.ndarray:
    """The inverse of a lower triangular matrix in blocks.

    first, last:  the inverses of the two triangular blocks on the diagonal; below: the block under the first.
    """
    half, size = len(first), len(first) + len(last)
    inverse = np.zeros((size, size), dtype=first.dtype)
    inverse[:half, :half], inverse[half:, half:] = first, last
    np.matmul(last, below @ first, out=inverse[half:, :half])
    inverse[half:, :half] *= -1
    return inverse
