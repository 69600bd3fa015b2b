"""The scan: the inner products of one vector with many coded vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from femtosearch import _core
from femtosearch.codes import Codes
from femtosearch.errors import ShapeError


def inner_products(vector: np.ndarray, codes: Codes, *, threads: int = 0) -> np.ndarray:
    """The inner product of a vector, which is coded as well, with each of N coded vectors: [N] float32.

    The products of codes are summed as integers, so every instruction set and any number of threads give the
    same bits. Groups of four numbers that are zero in the vector's codes are not read.

    vector:   [F] float32, finite.
    codes:    N vectors of F numbers.
    threads:  0 uses every core that this process may use.
    Raises ShapeError if a shape or dtype is another.

    >>> from femtosearch.codes import quantise
    >>> eye = np.eye(3, dtype="f4")
    >>> inner_products(eye[0] - eye[1], quantise(eye)).round(5).tolist()
    [1.0, -1.0, 0.0]
    """
    if np.shape(vector) != (codes.dims,):
        raise ShapeError(f"vector: expected [{codes.dims}] as in the codes, found {list(np.shape(vector))}")
    array = np.require(vector, requirements=["C", "A"])
    return _core.inner_products(array, codes.blocks, codes.scales, codes.bits, int(codes.order), threads)[
        : codes.count
    ]


def nearest(
    vector: np.ndarray,
    parts: Sequence[tuple[Codes, np.ndarray | None]],
    count: int,
    *,
    coarse: int = 0,
    threads: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """The coded vectors that have the `count` largest inner products with a vector: their numbers, [M] int64,
    rising, and the products, [M] float32.

    The parts' vectors are numbered end to end; of equal products the first count. A vector of P < F numbers
    is compared with the first P numbers of each, and no others are read: FDEs whose prefixes are FDEs.

    vector:  [P] float32, finite, 1 <= P <= F.
    parts:   codes of F numbers, each with alive, [N] bool: which of them count; None for all.
    count:   1 or more; M is less where there are not so many.
    coarse:  above 0: only this many vectors are compared in all numbers, those with the largest products of
             the first 128 numbers. A product is then the sum of two, of these numbers and of the remaining
             ones. All codes must be in the order SPLIT.
    Raises ShapeError if a shape or dtype is another.

    >>> from femtosearch.codes import quantise
    >>> nearest(np.array([1.0], "f4"), [(quantise(np.eye(3, dtype="f4")), None)], 1)[0].tolist()
    [0]
    """
    borrowed = [(codes.blocks, codes.scales, codes.count, alive, int(codes.order)) for codes, alive in parts]
    sizes = {(codes.dims, codes.bits) for codes, _ in parts}
    if len(sizes) > 1:
        raise ShapeError(f"parts: expected codes of one size, found {sorted(sizes)}")
    size, bits = sizes.pop() if sizes else (max(1, len(vector)), 8)
    return _core.nearest(
        np.require(vector, requirements=["C", "A"]), size, borrowed, count, bits, coarse, threads
    )
