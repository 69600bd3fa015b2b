"""Passages on their way into a segment, and their codes on the way into blocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from femtosearch.codes import GROUP, LANES, Codes, width


@dataclass(frozen=True, slots=True, eq=False)
class Coded:
    """Codes one after the other, as they are put into a segment.

    values:  [T, W] int8, `codes.width` bytes each, the last of them zeros.
    scales:  [T] float32: row = scale * code.
    """

    values: np.ndarray
    scales: np.ndarray

    @classmethod
    def of(cls, codes: Codes) -> Coded:
        """The codes of blocks."""
        return cls(unblocked(codes), codes.scales[: codes.count])

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, which: slice | np.ndarray) -> Coded:
        return Coded(self.values[which], self.scales[which])

    @property
    def bytes(self) -> int:
        return self.values.nbytes + self.scales.nbytes


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Passages on their way into a segment.

    keys:    [N] int64, rising: the catalog's key of the document that each passage is of.
    starts:  [N+1] int64, rising from 0 to T.
    spans:   [N, 2] int32: the passage is text[start:end], in characters.
    rows:    T rows of D dims.
    fde:     N FDEs, or None where the index has none.
    """

    keys: np.ndarray
    starts: np.ndarray
    spans: np.ndarray
    rows: Coded
    fde: Coded | None = None

    @property
    def bytes(self) -> int:
        columns = self.keys.nbytes + self.starts.nbytes + self.spans.nbytes
        return columns + self.rows.bytes + (self.fde.bytes if self.fde else 0)

    def pieces(self, passages: int) -> Iterator[Part]:
        """The same in pieces of so many passages, or a few more: no document's are in two pieces."""
        borders = np.append(np.flatnonzero(np.diff(self.keys)) + 1, len(self.keys))
        begin = 0
        while begin < len(self.keys):
            end = int(borders[min(int(np.searchsorted(borders, begin + passages)), len(borders) - 1)])
            first, last = self.starts[begin], self.starts[end]
            yield Part(
                self.keys[begin:end],
                self.starts[begin : end + 1] - first,
                self.spans[begin:end],
                self.rows[first:last],
                None if self.fde is None else self.fde[begin:end],
            )
            begin = end


class Blocks:
    """Codes that come part by part, in whole blocks."""

    def __init__(self, dims: int, bits: int = 8) -> None:
        self._rest = np.empty((0, width(dims, bits)), np.int8)

    def add(self, values: np.ndarray) -> np.ndarray:
        """The blocks that are full now."""
        values = np.concatenate([self._rest, values]) if len(self._rest) else values
        whole = len(values) // LANES * LANES
        self._rest = values[whole:].copy()
        return _blocked(values[:whole])

    def end(self) -> np.ndarray:
        """The last block, filled with zeros; none where there is nothing left."""
        return self.add(np.zeros((-len(self._rest) % LANES, self._rest.shape[1]), np.int8))


def unblocked(codes: Codes) -> np.ndarray:
    """The codes row by row: [T, W] int8."""
    rows = codes.whole.transpose(0, 2, 1, 3)
    return rows.reshape(-1, width(codes.dims, codes.bits))[: codes.count]


def _blocked(values: np.ndarray) -> np.ndarray:
    """[T, W] int8, T a multiple of 16, as blocks [T/16, W/4, 16, 4]."""
    rows, size = values.shape
    blocks = values.reshape(rows // LANES, LANES, size // GROUP, GROUP)
    return np.ascontiguousarray(blocks.transpose(0, 2, 1, 3))
