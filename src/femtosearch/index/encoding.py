"""The FDE of an index: the bytes that it is stored as, and the FDEs of passages."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from femtosearch.codes import Codes, quantise
from femtosearch.errors import CorruptError, FdeError
from femtosearch.fde import Fde, described, restore_fde
from femtosearch.index.batch import PassageBatch, RowCodes
from femtosearch.index.segment import Segment, Widths
from femtosearch.index.transaction import fde_digest
from femtosearch.types import Rows

BATCH = 512  # passages whose FDEs are made at a time


@dataclass(frozen=True, slots=True, eq=False)
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
        return described(self.fde, self.size)

    def add_to(self, batch: PassageBatch, dims: int) -> PassageBatch:
        """The batch with the FDEs of its passages, made of the rows as they are stored."""
        rows = batch.rows.values[:, :dims] * batch.rows.scales[:, None]
        return replace(batch, fde=RowCodes.of(self._codes(Rows(rows, batch.starts))))

    def of_segment(self, segment: Segment) -> Codes:
        """The FDEs of a segment that has none, as they would be stored."""
        rows = Rows(segment.codes.rows(), segment.starts)
        return self._codes(rows)

    def _codes(self, rows: Rows) -> Codes:
        return quantise(self.fde.documents(rows), self.fde.code_bits)


def restore(content: bytes, digest: str, dims: int, place: str) -> Encoding:
    """The FDE in a catalogue's bytes, for rows of `dims`. Raises CorruptError."""
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
