"""The FDE of an index: it is restored from its stored bytes, and makes the FDEs of passages."""

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

    digest:  the digest of the bytes that it is stored as.
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
        """Add the FDEs of its passages to a batch; they are made of the coded rows, not of the exact ones."""
        return replace(batch, fde=RowCodes.of(self._codes(batch, dims)))

    def of_segment(self, segment: Segment) -> Codes:
        """Make the FDEs of a segment that was stored without, coded as they would be stored."""
        empty = quantise(np.empty((0, self.size), np.float32), self.fde.code_bits)
        codes = [empty, *(self._codes(batch, segment.dims) for batch in segment.batches())]
        blocks = np.concatenate([batch.blocks for batch in codes])
        scales = np.concatenate([batch.scales for batch in codes])
        return Codes(blocks, scales, segment.passages, self.size, self.fde.code_bits)

    def _codes(self, batch: PassageBatch, dims: int) -> Codes:
        rows = Rows(batch.rows.rows(dims), batch.starts)
        return quantise(self.fde.documents(rows), self.fde.code_bits)


def restore(content: bytes, digest: str, dims: int, place: str) -> Encoding:
    """Restore the FDE of an index from its stored bytes.

    dims:   D of the index's rows; place: what messages name.
    Raises CorruptError if the bytes do not have that digest, or are no FDE for such rows.
    """
    from femtosearch.fde import restore_fde

    if fde_digest(content) != digest:
        raise CorruptError(f"{place}: the FDE is damaged: restore a copy of the index or index again")
    try:
        fde = restore_fde(content, place)
        return Encoding(digest, fde, fde.size(dims))
    except FdeError as error:
        raise CorruptError(f"{error}: restore a copy of the index or index again") from error


def widths_of(dims: int, encoding: Encoding | None) -> Widths:
    """The widths of segments of an index with rows of `dims`, and with FDEs if it has any."""
    return Widths(dims) if encoding is None else Widths(dims, encoding.size, encoding.fde.code_bits)
