"""The native kernels of FDEs in numpy: they define what `_core` must compute; clear rather than fast."""

from __future__ import annotations

import numpy as np

from femtosearch.codes import GROUP, HEAD, Codes
from femtosearch.fde.muvera import FIRST_FILL, NO_FILL, Matrices, Muvera
from femtosearch.reference import quantise_rows


def muvera(m: Muvera, drawn: Matrices, rows: np.ndarray, starts: np.ndarray, documents: bool) -> np.ndarray:
    """What `m.documents` or `m.queries` returns, in float64: [n, F]."""
    vectors = []
    for n in range(len(starts) - 1):
        text = rows[starts[n] : starts[n + 1]].astype(np.float64)
        repetitions = [_repetition(m, drawn, r, text, documents) for r in range(m.repetitions)]
        vectors.append(_sketch(m, drawn, m.scale * np.concatenate(repetitions)))
    return np.array(vectors).reshape(len(vectors), m.size(drawn.dims))


def codes(matrices: Matrices, repetition: int, text: np.ndarray) -> np.ndarray:
    """[t] int64: the code of each row; bit b is its side of plane b."""
    above = text @ matrices.planes[repetition].astype(np.float64) > 0
    return (above << np.arange(above.shape[1])).sum(axis=1)


def _repetition(m: Muvera, matrices: Matrices, r: int, text: np.ndarray, documents: bool) -> np.ndarray:
    row_codes = codes(matrices, r, text)
    projected = text if matrices.projection is None else text @ matrices.projection[r].astype(np.float64)
    buckets = np.zeros((1 << m.bits, projected.shape[1]))
    for code in range(len(buckets) if len(text) else 0):
        inside = row_codes == code
        if inside.any():
            vector = projected[inside].mean(axis=0) if documents else projected[inside].sum(axis=0)
        elif documents and m.fill_kind != NO_FILL:
            vector = _nearest(m, code, row_codes, projected)
        else:
            continue
        buckets[m.order[code]] = vector
    return buckets.ravel()


def _nearest(m: Muvera, code: int, row_codes: np.ndarray, projected: np.ndarray) -> np.ndarray:
    distances = np.array([int(code ^ row_code).bit_count() for row_code in row_codes])
    near = np.flatnonzero(distances == distances.min())
    if m.fill_kind == FIRST_FILL:
        return projected[near[np.argmin(row_codes[near])]]
    return projected[near].mean(axis=0)


def _sketch(m: Muvera, matrices: Matrices, vector: np.ndarray) -> np.ndarray:
    if m.final is None:
        return vector
    assert matrices.places is not None and matrices.signs is not None
    return np.bincount(matrices.places, matrices.signs * vector, m.final)


def nearest(products: np.ndarray, alive: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Compute what `_core.nearest` returns. products: [N] float32, with all vectors; alive: [N] bool, which
    of them count.
    """
    numbers = np.flatnonzero(np.isfinite(products) & alive)
    best = np.sort(numbers[np.argsort(-products[numbers], kind="stable")[:most]])
    return best, products[best]


def inner_products(vector: np.ndarray, blocks: np.ndarray, scales: np.ndarray, bits: int = 8) -> np.ndarray:
    """[ceil(N/16) * 16] float32, as `_core.inner_products`: the float operations are these in this order."""
    (query,), (scale,) = quantise_rows(vector[None])
    groups = blocks.transpose(0, 2, 1, 3)
    if bits == 8:
        rows = groups.reshape(len(scales), GROUP * blocks.shape[1])[:, : len(vector)].astype(np.int32)
        return (rows @ query.astype(np.int32)).astype(np.float32) * scales * scale
    planes = [groups.view(np.uint8) >> shift & (1 << bits) - 1 for shift in range(0, 8, bits)]
    low = np.stack(planes, axis=3).reshape(len(scales), GROUP * blocks.shape[1] * len(planes))
    twice = 2 * low[:, : len(vector)].astype(np.int32) - ((1 << bits) - 1)
    return (twice @ query.astype(np.int32)).astype(np.float32) * (scales * np.float32(0.5)) * scale


def nearest_in_steps(
    vector: np.ndarray, codes: Codes, alive: np.ndarray, coarse: int, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """What `_core.nearest` returns of codes, whatever their order, if `coarse` is above 0."""
    first, last = np.zeros((2, codes.dims), np.float32)
    first[: len(vector)][:HEAD] = vector[:HEAD]
    last[HEAD : len(vector)] = vector[HEAD:]
    products = inner_products(first, codes.all_blocks, codes.scales, codes.bits)[: len(codes)]
    near, _ = nearest(products, alive, coarse)
    chosen = np.zeros(len(codes), bool)
    chosen[near] = True
    products = products + inner_products(last, codes.all_blocks, codes.scales, codes.bits)[: len(codes)]
    return nearest(products, chosen, most)


def low_codes(rows: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes [N, F] of 4 or 2 bits and scales [N] float32, as `_core.quantise` before it packs them."""
    step = {4: 0.3352, 2: 0.9957}[bits]
    squares = np.cumsum(rows.astype(np.float64) ** 2, axis=1)[:, -1]
    scales = (step * np.sqrt(squares / rows.shape[1])).astype(np.float32)
    safe = np.where(scales > 0, scales, np.float32(1))
    codes = np.floor(rows / safe[:, None] + np.float32(1 << bits - 1)).clip(0, (1 << bits) - 1)
    return np.where(scales[:, None] > 0, codes, 0).astype(np.uint8), scales


def maxima(anchors: np.ndarray, rows: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """[texts, A] float32, as `_core.Anchors.maxima`."""
    (anchor_codes, anchor_scales), (codes, scales) = quantise_rows(anchors), quantise_rows(rows)
    products = (codes.astype(np.int32) @ anchor_codes.T.astype(np.int32)).astype(np.float32) * scales[:, None]
    out = np.zeros((len(starts) - 1, len(anchors)), np.float32)
    for n in range(len(out)):
        if starts[n] < starts[n + 1]:
            out[n] = products[starts[n] : starts[n + 1]].max(axis=0) * anchor_scales
    return out
