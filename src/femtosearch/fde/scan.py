"""The scan: one vector against every coded one."""

from __future__ import annotations

import numpy as np

from femtosearch import _core
from femtosearch.codes import Codes
from femtosearch.errors import ShapeError


def inner_products(vector: np.ndarray, codes: Codes, *, threads: int = 0) -> np.ndarray:
    """The inner product of a vector, coded alike, with each of N coded vectors: [N] float32.

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
    return _core.inner_products(array, codes.blocks, codes.scales, threads)[: codes.count]
