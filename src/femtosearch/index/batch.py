"""Batches of passages that are appended to a segment, and codes that are collected into blocks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from femtosearch.codes import GROUP, LANES, Codes, quantise_rows, rows_of, width
from femtosearch.frozen import frozen


@frozen(eq=False)
class RowCodes:
    """Codes row by row, as they are appended to a segment.

    values:  [T, W] int8, `codes.width` bytes each, the last of them zeros.
    scales:  [T] float32: row = scale * code.
    bits, levels:  as in `Codes`.
    """

    values: np.ndarray
    scales: np.ndarray
    bits: int = 8
    levels: bool = False

    @classmethod
    def of(cls, codes: Codes, begin: int = 0, end: int | None = None) -> RowCodes:
        """Take rows begin (included) to end (excluded) out of codes that lie in blocks; by default all."""
        end = codes.count if end is None else end
        first = begin // LANES
        rows = codes.between(first, -(-end // LANES)).transpose(0, 2, 1, 3)
        values = rows.reshape(-1, width(codes.dims, codes.bits))
        chosen = values[begin - first * LANES : end - first * LANES]
        return cls(chosen, codes.scales[begin:end], codes.bits, codes.levels)

    def in_bits(self, bits: int, dims: int) -> RowCodes:
        """The same rows coded in 8 or 4 bits a number; this object if it has so many bits already."""
        return self if self.bits == bits else RowCodes.of(quantise_rows(self.rows(dims), bits))

    def rows(self, dims: int) -> np.ndarray:
        """The rows that the codes stand for: [T, D] float32."""
        return rows_of(self.values, self.scales, dims, self.bits, levels=self.levels)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, which: slice | np.ndarray) -> RowCodes:
        return replace(self, values=self.values[which], scales=self.scales[which])

    @property
    def bytes(self) -> int:
        """How many bytes the codes and scales take."""
        return self.values.nbytes + self.scales.nbytes


@frozen(eq=False)
class PassageBatch:
    """Passages that are appended to a segment together.

    keys:    [N] int64, rising: the catalogue's key of each passage's document.
    starts:  [N+1] int64, rising from 0 to T.
    spans:   [N, 2] int32: the passage is text[start:end], in characters.
    rows:    T rows of D dims.
    fde:     N FDEs, or None where the index has none.
    """

    keys: np.ndarray
    starts: np.ndarray
    spans: np.ndarray
    rows: RowCodes
    fde: RowCodes | None = None

    @property
    def bytes(self) -> int:
        """How many bytes the passages take in a segment, about."""
        columns = self.keys.nbytes + self.starts.nbytes + self.spans.nbytes
        return columns + self.rows.bytes + (self.fde.bytes if self.fde else 0)

    def only(self, keep: np.ndarray) -> PassageBatch:
        """The passages where keep, [N] bool, is true."""
        lengths = np.diff(self.starts)
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths[keep])])
        rows = self.rows[np.repeat(keep, lengths)]
        fde = None if self.fde is None else self.fde[keep]
        return PassageBatch(self.keys[keep], starts, self.spans[keep], rows, fde)

    def without_fde(self) -> PassageBatch:
        """The same passages without their FDEs."""
        return self if self.fde is None else replace(self, fde=None)


class BlockBuffer:
    """A buffer that takes codes batch by batch and gives them back in full blocks of 16 rows."""

    def __init__(self, dims: int, bits: int = 8) -> None:
        self._waiting = np.empty((0, width(dims, bits)), np.int8)

    def add(self, codes: np.ndarray) -> np.ndarray:
        """Add codes [T, W] int8, and take the blocks that are full now: [B, W/4, 16, 4] int8."""
        codes = np.concatenate([self._waiting, codes]) if len(self._waiting) else codes
        full = len(codes) // LANES * LANES
        self._waiting = codes[full:].copy()
        return _blocks_of_codes(codes[:full])

    def end(self) -> np.ndarray:
        """Take the last block, padded with zeros: [1 or 0, W/4, 16, 4] int8."""
        return self.add(np.zeros((-len(self._waiting) % LANES, self._waiting.shape[1]), np.int8))


def _blocks_of_codes(codes: np.ndarray) -> np.ndarray:
    """[T, W] int8, T a multiple of 16, as blocks [T/16, W/4, 16, 4]."""
    rows, size = codes.shape
    blocks = codes.reshape(rows // LANES, LANES, size // GROUP, GROUP)
    return np.ascontiguousarray(blocks.transpose(0, 2, 1, 3))
