"""The FDE of an index: the bytes that it is stored as, and the FDEs of passages."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from femtosearch.codes import Codes, quantise
from femtosearch.errors import CorruptError, FdeError
from femtosearch.frozen import frozen
from femtosearch.index.batch import PassageBatch, RowCodes
from femtosearch.index.schema import fde_digest
from femtosearch.index.segment import Segment
from femtosearch.index.segment_header import Widths
from femtosearch.types import Rows

if TYPE_CHECKING:
    from femtosearch.fde import Fde


@frozen(eq=False)
class Encoding:
    """The FDE of an index.

    digest:  what tells the bytes that it is stored as from all others.
    size:    F, the numbers of a passage's FDE.
    """

    digest: str
    fde: Fde
    size: int

    def describe(self) -> dict[str, Any]:
        """The FDE's kind, size and parameters."""
        from femtosearch.fde import described

        return described(self.fde, self.size)

    def add_to(self, batch: PassageBatch, dims: int) -> PassageBatch:
        """The batch with the FDEs of its passages, made of the rows as they are stored."""
        return replace(batch, fde=RowCodes.of(self._codes(batch, dims)))

    def of_segment(self, segment: Segment) -> Codes:
        """The FDEs of a segment that has none, as they would be stored."""
        empty = quantise(np.empty((0, self.size), np.float32), self.fde.code_bits)
        codes = [empty, *(self._codes(batch, segment.dims) for batch in segment.batches())]
        blocks = np.concatenate([batch.blocks for batch in codes])
        scales = np.concatenate([batch.scales for batch in codes])
        return Codes(blocks, scales, segment.passages, self.size, self.fde.code_bits)

    def _codes(self, batch: PassageBatch, dims: int) -> Codes:
        rows = Rows(batch.rows.rows(dims), batch.starts)
        return quantise(self.fde.documents(rows), self.fde.code_bits)


def restore(content: bytes, digest: str, dims: int, place: str) -> Encoding:
    """The FDE in a catalogue's bytes, for rows of `dims`. Raises CorruptError."""
    from femtosearch.fde import restore_fde

    if fde_digest(content) != digest:
        raise CorruptError(f"{place}: the FDE is damaged: restore a copy of the index or index again")
    try:
        fde = restore_fde(content, place)
        return Encoding(digest, fde, fde.size(dims))
    except FdeError as error:
        raise CorruptError(f"{error}: restore a copy of the index or index again") from error


def widths_of(dims: int, encoding: Encoding | None) -> Widths:
    """The widths of an index's segments that have FDEs."""
    return Widths(dims) if encoding is None else Widths(dims, encoding.size, encoding.fde.code_bits)
