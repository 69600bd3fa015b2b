"""A batch of passages on its way into a segment, and row codes on their way into blocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from femtosearch.codes import GROUP, LANES, Codes, width


@dataclass(frozen=True, slots=True, eq=False)
class RowCodes:
    """Codes row by row, as they are appended to a segment.

    values:  [T, W] int8, `codes.width` bytes each, the last of them zeros.
    scales:  [T] float32: row = scale * code.
    """

    values: np.ndarray
    scales: np.ndarray

    @classmethod
    def of(cls, codes: Codes) -> RowCodes:
        """The codes that lie in blocks."""
        return cls(codes_of_blocks(codes), codes.scales[: codes.count])

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, which: slice | np.ndarray) -> RowCodes:
        return RowCodes(self.values[which], self.scales[which])

    @property
    def bytes(self) -> int:
        return self.values.nbytes + self.scales.nbytes


@dataclass(frozen=True, slots=True, eq=False)
class PassageBatch:
    """Passages that are appended to a segment together.

    keys:    [N] int64, rising: the catalog's key of the document that each passage is of.
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
        columns = self.keys.nbytes + self.starts.nbytes + self.spans.nbytes
        return columns + self.rows.bytes + (self.fde.bytes if self.fde else 0)

    def without_fde(self) -> PassageBatch:
        """The same passages without their FDEs."""
        return self if self.fde is None else replace(self, fde=None)

    def split(self, passages: int) -> Iterator[PassageBatch]:
        """Split into batches of about `passages`; a document is never split over two."""
        borders = np.append(np.flatnonzero(np.diff(self.keys)) + 1, len(self.keys))
        begin = 0
        while begin < len(self.keys):
            end = int(borders[min(int(np.searchsorted(borders, begin + passages)), len(borders) - 1)])
            first, last = self.starts[begin], self.starts[end]
            yield PassageBatch(
                self.keys[begin:end],
                self.starts[begin : end + 1] - first,
                self.spans[begin:end],
                self.rows[first:last],
                None if self.fde is None else self.fde[begin:end],
            )
            begin = end


class BlockBuffer:
    """Codes that come batch by batch and leave in whole blocks of 16 rows."""

    def __init__(self, dims: int, bits: int = 8) -> None:
        self._waiting = np.empty((0, width(dims, bits)), np.int8)

    def add(self, codes: np.ndarray) -> np.ndarray:
        """The blocks that are full now: [B, W/4, 16, 4] int8 for codes [T, W]."""
        codes = np.concatenate([self._waiting, codes]) if len(self._waiting) else codes
        full = len(codes) // LANES * LANES
        self._waiting = codes[full:].copy()
        return _blocks_of_codes(codes[:full])

    def end(self) -> np.ndarray:
        """The last block, padded with zeros; none where no code waits."""
        return self.add(np.zeros((-len(self._waiting) % LANES, self._waiting.shape[1]), np.int8))


def codes_of_blocks(codes: Codes) -> np.ndarray:
    """The codes row by row: [T, W] int8."""
    rows = codes.whole.transpose(0, 2, 1, 3)
    return rows.reshape(-1, width(codes.dims, codes.bits))[: codes.count]


def _blocks_of_codes(codes: np.ndarray) -> np.ndarray:
    """[T, W] int8, T a multiple of 16, as blocks [T/16, W/4, 16, 4]."""
    rows, size = codes.shape
    blocks = codes.reshape(rows // LANES, LANES, size // GROUP, GROUP)
    return np.ascontiguousarray(blocks.transpose(0, 2, 1, 3))
