"""Codes of rows, laid out for scanning: a quarter or an eighth of the bytes, and a multiple of the speed.

    row 0..15 ┐            blocks[b, g, r, j] = code of dim 4g + j of row 16b + r
    row 16..31├ T rows     scales[16b + r]    = max |row| / 127
    ...       ┘            row ≈ code · scale

Sixteen rows lie side by side, four dims of each together, so that one vector instruction multiplies four
dims of sixteen rows and no sum runs across lanes. Passages lie end to end across the borders of blocks: only
the last block is padded, with zeros. These are also the bytes on disk, so a memory-mapped file is scanned
where it lies.

A number may have 4 or 2 bits, p = 8 / bits of them in a byte: byte j of group g holds the numbers 4pg + j,
4pg + 4 + j, ..., the first in its lowest bits. On disk the groups of FDEs lie in another order.

Rows in 4 bits are turned by Hadamard's matrix before, which makes their numbers alike, and a code is the
number of one of 16 levels (J. Max, Quantizing for minimum distortion, 1960). The scale is such that a row's
product with what its code stands for is that with itself, as in RaBitQ (Gao and Long, 2024): the scale of the
least error would make all products too small, and those of some passages more than of others.

Letters in shapes: Q query rows, T document rows, N passages, M chosen passages, D dims.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from femtosearch import _core
from femtosearch.errors import ShapeError
from femtosearch.frozen import frozen

LANES = 16  # rows in a block
GROUP = 4  # bytes of a row that lie together
FIRST_SLICE = 256  # numbers of a vector in the first slice of `Order.SLICES`
HEAD = 128  # numbers of a vector that `Order.SPLIT` keeps apart, for the first scan
MANY_DIMS = 32  # from so many on the errors of 4 bits even out over a row


class Order(IntEnum):
    """The order in which the groups of blocks lie in memory and on disk.

    BLOCKS: block after block, each with all of its groups.
    SLICES: the groups of the first 256 numbers for all blocks, then those of the next 256, 512, 1024, ...: so
        the first numbers of all vectors are one run of bytes.
    SPLIT: the groups of the first 128 numbers for all blocks, then the remaining numbers vector by vector: a
        scan reads the first run, and the remaining numbers only of the vectors that were near.
    """

    BLOCKS = 0
    SLICES = 1
    SPLIT = 2


@frozen(eq=False)
class Codes:
    """T rows as int8 codes. Each row has a scale of its own, so that its codes depend on the row alone.

    blocks:  [ceil(T/16), ceil(D · bits/32), 16, 4] int8, C order.
    scales:  [ceil(T/16) * 16] float32; 0 for a zero row and for padding.
    count:   T.
    dims:    D.
    bits:    how many bits the code of one number has: 8, 4 or 2.
    order:   the order in which the bytes of `blocks` lie.
    levels:  whether a code of 4 bits is the number of a level of a turned row, as `quantise_rows` makes them.
    Raises ShapeError if the arrays do not fit `count` and `dims`.
    """

    blocks: np.ndarray
    scales: np.ndarray
    count: int
    dims: int
    bits: int = 8
    order: Order = Order.BLOCKS
    levels: bool = False

    def __post_init__(self) -> None:
        blocks, scales = shapes(self.count, self.dims, self.bits)
        _check("blocks", self.blocks, blocks, np.int8)
        _check("scales", self.scales, scales, np.float32)

    def __len__(self) -> int:
        return self.count

    @property
    def all_blocks(self) -> np.ndarray:
        """All blocks in the order BLOCKS, [ceil(T/16), groups, 16, 4] int8."""
        return self.between(0, len(self.blocks))

    def between(self, first: int, last: int) -> np.ndarray:
        """Blocks first (included) to last (excluded) in the order BLOCKS, [*, groups, 16, 4] int8."""
        return blocks_of(self.blocks, self.bits, self.order, first, last)

    def rows(self) -> np.ndarray:
        """The rows that the codes stand for: [T, D] float32."""
        values = self.all_blocks.transpose(0, 2, 1, 3).reshape(len(self.scales), width(self.dims, self.bits))
        counted = slice(0, self.count)
        return rows_of(values[counted], self.scales[counted], self.dims, self.bits, levels=self.levels)


def width(dims: int, bits: int = 8) -> int:
    """How many bytes the codes of one row take, rounded up to whole groups of 4.

    >>> width(50), width(2048, 4), width(2048, 2)
    (52, 1024, 512)
    """
    return -(-dims * bits // (8 * GROUP)) * GROUP


def rows_of(
    values: np.ndarray, scales: np.ndarray, dims: int, bits: int = 8, *, levels: bool = False
) -> np.ndarray:
    """Decode codes that lie row by row: the rows that they stand for, [T, D] float32.

    values:  [T, W] int8, where W is `width(dims, bits)`. scales: [T] float32.
    bits, levels:  as in `Codes`.
    """
    if levels:
        values, scales = (np.require(array, requirements=["C", "A"]) for array in (values, scales))
        return _core.level_rows(values, scales, dims)
    codes = values
    if bits < 8:
        apart = _apart(values.reshape(len(values), values.shape[1] // GROUP, GROUP), bits)
        codes = apart.reshape(len(values), values.shape[1] * 8 // bits)
        codes = codes - np.float32(((1 << bits) - 1) / 2)
    return codes[:, :dims] * scales[:, None]


def turned(rows: np.ndarray) -> np.ndarray:
    """Multiply rows [T, D] float32 with Hadamard matrices whose sizes are the powers of two that add up to D,
    the largest first. To turn rows a second time gives them back, but for rounding.

    >>> turned(np.array([[3, 1, 0, 0, 7]], dtype="f4")).tolist()
    [[2.0, 1.0, 2.0, 1.0, 7.0]]
    """
    rows, begin = rows.copy(), 0
    while begin < rows.shape[1]:
        size = 1 << (rows.shape[1] - begin).bit_length() - 1
        block = rows[:, begin : begin + size]
        half = 1
        while half < size:
            pairs = block.reshape(len(rows), size // (2 * half), 2, half)
            block = np.stack([pairs[:, :, 0] + pairs[:, :, 1], pairs[:, :, 0] - pairs[:, :, 1]], axis=2)
            half *= 2
        rows[:, begin : begin + size] = block.reshape(len(rows), size) * np.float32(size**-0.5)
        begin += size
    return rows


def row_bits_of(dims: int) -> int:
    """How many bits a number of a row has in a new index: 4, or 8 where a row has fewer than 32 dims, too few
    for the errors of 4 bits to even out.

    >>> row_bits_of(50), row_bits_of(16)
    (4, 8)
    """
    return 4 if dims >= MANY_DIMS else 8


class Run(NamedTuple):
    """A run of bytes: the groups begin (included) to end (excluded) of all blocks.

    by_vector:  whether they lie vector by vector, and not block by block.
    """

    begin: int
    end: int
    by_vector: bool = False


def runs_of(groups: int, bits: int, order: Order) -> list[Run]:
    """The runs of bytes, one after the other, in which vectors of so many groups lie in an order.

    >>> runs_of(256, 4, Order.SPLIT)
    [Run(begin=0, end=16, by_vector=False), Run(begin=16, end=256, by_vector=True)]
    >>> [tuple(run[:2]) for run in runs_of(256, 4, Order.SLICES)]
    [(0, 32), (32, 64), (64, 128), (128, 256)]
    """
    if order == Order.SPLIT:
        head = min(groups, HEAD * bits // (8 * GROUP))
        return [Run(0, head), Run(head, groups, True)] if head < groups else [Run(0, head)]
    first = groups if order == Order.BLOCKS else FIRST_SLICE * bits // (8 * GROUP)
    runs, end = [], 0
    while end < groups:
        begin, end = end, min(groups, 2 * end or first)
        runs.append(Run(begin, end))
    return runs


def in_order(blocks: Sequence[np.ndarray], bits: int, order: Order) -> list[np.ndarray]:
    """Put blocks, [B, groups, 16, 4] each, into an order: views whose bytes, written one after the other, are
    the vectors in that order.
    """
    return [
        array[:, run.begin : run.end].transpose(0, 2, 1, 3)
        if run.by_vector
        else array[:, run.begin : run.end]
        for run in runs_of(blocks[0].shape[1], bits, order)
        for array in blocks
    ]


def blocks_of(
    content: np.ndarray, bits: int, order: Order, first: int = 0, last: int | None = None
) -> np.ndarray:
    """Read blocks first (included) to last (excluded) back from an order; by default all of them.

    content:  [B, groups, 16, 4], whose bytes lie as `in_order` puts them, whatever its shape says.
    Returns [last - first, groups, 16, 4] in the order BLOCKS.
    """
    if order == Order.BLOCKS:
        return content[first:last]
    count, groups = content.shape[:2]
    last = count if last is None else last
    flat, blocks = content.reshape(-1), np.empty((last - first, groups, LANES, GROUP), content.dtype)
    for begin, end, by_vector in runs_of(groups, bits, order):
        run = flat[count * begin * LANES * GROUP : count * end * LANES * GROUP]
        if by_vector:
            inside = run.reshape(count, LANES, end - begin, GROUP).transpose(0, 2, 1, 3)
        else:
            inside = run.reshape(count, end - begin, LANES, GROUP)
        blocks[:, begin:end] = inside[first:last]
    return blocks


def shapes(count: int, dims: int, bits: int = 8) -> tuple[tuple[int, int, int, int], tuple[int]]:
    """The shapes of `blocks` and `scales` for `count` rows of `dims` numbers.

    >>> shapes(100, 50)
    ((7, 13, 16, 4), (112,))
    """
    if count < 0 or dims < 1 or bits not in (8, 4, 2):
        problem = f"count {count} and dims {dims}" if bits in (8, 4, 2) else f"{bits} bits"
        raise ShapeError(f"codes need count >= 0 and dims >= 1, and 8, 4 or 2 bits, found {problem}")
    blocks = -(-count // LANES)
    return (blocks, width(dims, bits) // GROUP, LANES, GROUP), (blocks * LANES,)


def quantise(rows: np.ndarray, bits: int = 8) -> Codes:
    """Code rows.

    In 8 bits code = round(row / scale), where scale = max |row| / 127. In 4 or 2 bits the code u stands for
    (u - (2^bits - 1) / 2) · scale, and each number gets the code that is nearest to it; scale is 0.3352 (4
    bits) or 0.9957 (2 bits) times the row's root mean square, which is best for numbers of a normal
    distribution (J. Max, 1960).

    rows:  [T, D] float32, finite.
    bits:  8, 4 or 2.
    Raises ShapeError if rows are not two-dimensional float32 with D >= 1, or hold NaN or infinity.

    >>> codes = quantise(np.array([[0.5, -1.0], [0.0, 0.0]], dtype="f4"))
    >>> codes.count, codes.dims
    (2, 2)
    >>> codes.rows().round(2).tolist()
    [[0.5, -1.0], [0.0, 0.0]]
    """
    blocks, scales = _core.quantise(np.require(rows, requirements=["C", "A"]), bits)
    count, dims = rows.shape
    return Codes(blocks, scales, count, dims, bits)


def quantise_rows(rows: np.ndarray, bits: int = 8) -> Codes:
    """Code rows that MaxSim compares: in 8 bits as `quantise` does, in 4 bits as levels of turned rows.

    rows:  [T, D] float32, finite.
    bits:  8 or 4.
    Raises ShapeError as `quantise` does, and for other bits.

    >>> (quantise_rows(np.array([[0.75, 1.0]], dtype="f4"), 4).rows() * 4).round().tolist()
    [[3.0, 4.0]]
    """
    if bits == 8:
        return quantise(rows)
    if bits != 4:
        raise ShapeError(f"bits: expected 8 or 4, found {bits}")
    blocks, scales = _core.quantise(np.require(rows, requirements=["C", "A"]), bits, True)
    count, dims = rows.shape
    return Codes(blocks, scales, count, dims, bits, levels=True)


def maxsim_codes(
    query: np.ndarray,
    codes: Codes,
    starts: np.ndarray,
    which: np.ndarray | None = None,
    *,
    threads: int = 0,
) -> np.ndarray:
    """MaxSim of one query with coded passages; the query's rows are coded alike.

    score[n] = Σ_q scale[q] · max_t (⟨code[q], code[t]⟩ · scale[t]) for t in starts[n]:starts[n+1]; the inner
    products are exact integers, and the float operations are these in this order, with q rising, so every
    instruction set and `reference.maxsim_codes` give the same bits. A passage without rows scores -inf. For
    rows in levels the query is turned before it is coded, and code[t] is the level.

    query:    [Q, D] float32, finite.
    codes:    T coded rows of D dims, of 8 bits or in levels.
    starts:   [N+1] int64, rising, between 0 and T.
    which:    [M] int64, the passages to score, in any order; None scores all.
    threads:  0 uses every core that this process may use. The scores do not depend on it.
    Returns [N] or [M] float32. Raises ShapeError if a shape or dtype is another or a number out of range.

    >>> eye = np.eye(2, dtype="f4")
    >>> maxsim_codes(eye, quantise(eye), np.array([0, 1, 2, 2])).round(5).tolist()
    [1.0, 1.0, -inf]
    """
    return maxsim_parts(query, [(codes, starts, which)], threads=threads)


def maxsim_parts(
    query: np.ndarray,
    parts: Sequence[tuple[Codes, np.ndarray, np.ndarray | None]],
    *,
    threads: int = 0,
) -> np.ndarray:
    """`maxsim_codes` of one query with several parts in one call of the native core.

    parts:  (codes, starts, which) each, as `maxsim_codes` takes them; their scores come end to end.
    """
    borrowed = []
    for codes, starts, which in parts:
        if np.ndim(query) != 2 or query.shape[1] != codes.dims:
            raise ShapeError(
                f"query: expected [Q, {codes.dims}] as in the codes, found {list(np.shape(query))}"
            )
        if len(starts) and starts[-1] > codes.count:
            raise ShapeError(f"starts: expected at most {codes.count}, the coded rows, found {starts[-1]}")
        if codes.bits < 8 and not codes.levels:
            raise ShapeError(f"codes: expected 8 bits or levels, found {codes.bits} bits")
        chosen = None if which is None else np.require(which, requirements=["C", "A"])
        places = np.require(starts, requirements=["C", "A"])
        borrowed.append((codes.blocks, codes.scales, places, chosen, codes.bits))
    return _core.maxsim_codes(np.require(query, requirements=["C", "A"]), borrowed, threads)


def _apart(bytes_: np.ndarray, bits: int) -> np.ndarray:
    """Take apart the codes that share a byte: [.., 4] int8 -> [.., 8 / bits, 4] uint8."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)[:, None]
    return bytes_.view(np.uint8)[..., None, :] >> shifts & np.uint8((1 << bits) - 1)


def _check(name: str, array: np.ndarray, shape: tuple[int, ...], dtype: type) -> None:
    if array.shape != shape or array.dtype != dtype or not array.flags.c_contiguous:
        expected, actual = f"{np.dtype(dtype)} {list(shape)}", f"{array.dtype} {list(array.shape)}"
        raise ShapeError(f"{name}: expected {expected} in C order, found {actual}")
