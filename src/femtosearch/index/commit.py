"""One commit: a write stores documents by its transaction, and passages in new segments."""

from __future__ import annotations

from contextlib import suppress

import numpy as np

from femtosearch.errors import CorruptError, FdeError, StoreError
from femtosearch.fde import Fde, store_fde
from femtosearch.index import cost
from femtosearch.index.batch import PassageBatch
from femtosearch.index.encoding import Encoding, widths_of
from femtosearch.index.segment import Segment
from femtosearch.index.segment_header import Summary, Widths
from femtosearch.index.segments import SegmentsWriter, check_widths, open_segment
from femtosearch.index.store import Store
from femtosearch.index.tables import ALWAYS
from femtosearch.index.transaction import Transaction

SEGMENT_BYTES = 64 << 20  # of one segment, about


class Commit:
    """An open transaction of a store and the segments that are written for it.

    Segments are on the disk under their names before the transaction that names them is committed; one that
    came to no commit is garbage.
    """

    def __init__(self, store: Store, transaction: Transaction) -> None:
        self.store = store
        self.transaction = transaction
        self.dims = store.origin.dims
        self._writers: list[SegmentsWriter] = []
        self._replaced: list[int] = []
        self._writer: SegmentsWriter | None = None
        self._tokens = self._unknown = 0
        self._rows = sum(summary.rows for summary in transaction.segments().values())

    @property
    def row_bits(self) -> int:
        """How many bits a number of the rows has after this commit: 8 or 4. Raises StoreError."""
        return self.transaction.row_bits()

    @property
    def encoding(self) -> Encoding | None:
        """The FDE of the index after this commit. Raises StoreError."""
        return self.store.encoding(self.transaction)

    @property
    def readable_encoding(self) -> Encoding | None:
        """The FDE of the index, or None if it has none or a damaged one, which `verify` reports."""
        try:
            return self.encoding
        except (CorruptError, FdeError):
            return None

    @property
    def needs_fdes(self) -> bool:
        """Whether passages get FDEs: the index has one, and is so large that a search would use it."""
        if self.transaction.fde_digest() is None:
            return False
        return self.transaction.fde_when() == ALWAYS or cost.needs_fdes(self.dims, self._rows)

    def append(self, batch: PassageBatch) -> None:
        """Add passages of new documents to the index. All of one document get FDEs, or none of them."""
        if not len(batch.keys):
            return
        self._rows += len(batch.rows)
        if self._writer is None:
            self._writer = self.new_segments()
        adds_fdes = self._writer.has_fdes if self._writer.continues(batch) else self.needs_fdes
        encoding = self.encoding if adds_fdes else None
        self._writer.append(batch if encoding is None else encoding.add_to(batch, self.dims))

    def count_tokens(self, tokens: int, unknown: int) -> None:
        """Add to the counts of encoded tokens, and of those unknown to the model."""
        self._tokens += tokens
        self._unknown += unknown

    def add_segments(self) -> None:
        """Finish the segments of new documents, and add them to the catalogue."""
        if self._tokens:
            self.transaction.count_tokens(self._tokens, self._unknown)
            self._tokens = self._unknown = 0
        if self._writer is not None:
            writer, self._writer = self._writer, None
            self.transaction.add_segments(writer.finish())

    def new_segments(self) -> SegmentsWriter:
        """A writer of segments that begin at the next free number."""

        def widths() -> Widths:
            return widths_of(self.dims, self.encoding)._replace(order=self.transaction.fde_order)

        first = self.transaction.next_number()
        writer = SegmentsWriter(self.store.directory, self.dims, widths, first, SEGMENT_BYTES)
        self._writers.append(writer)
        return writer

    def open(self, number: int, summary: Summary, encoding: Encoding | None) -> Segment:
        """A segment of the index, with FDEs of that encoding or none. Raises StoreError."""
        segment = open_segment(self.store.directory, number, summary, self.dims)
        if encoding is not None:
            check_widths(segment, widths_of(self.dims, encoding))
        return segment

    def replace(self, numbers: list[int], segments: dict[int, Summary], keys: np.ndarray) -> None:
        """Replace segments by others, and remove the tombstones that are needed no longer.

        keys:  [*] int64, the deleted keys whose passages are in no segment any more.
        """
        self.transaction.drop_segments(numbers, keys)
        self.transaction.add_segments(segments)
        self._replaced += numbers

    def set_fde(self, fde: Fde | None, when: str = ALWAYS) -> None:
        """Replace the FDE of the index, or remove it. when: ALWAYS or LARGE, when segments get FDEs."""
        content = None if fde is None else store_fde(fde, self.dims)
        self.transaction.set_fde(content, when)

    def discard(self, writer: SegmentsWriter) -> None:
        """Remove the files of segments that are not needed; if the disk fails, they stay behind as
        garbage.
        """
        writer.abandon()
        self._writers.remove(writer)
        with suppress(StoreError):
            self.store.directory.remove(writer.numbers)

    def abandon(self) -> None:
        """Remove the files of a commit that failed.

        An interrupt may have come right after the commit, so the catalogue is asked what counts.
        """
        for writer in self._writers:
            writer.abandon()
        with suppress(StoreError):
            named = self.store.catalog.state().segments
            for writer in self._writers:
                self.store.directory.remove(set(writer.numbers) - set(named))

    def remove_replaced(self) -> None:
        """Remove the files of the segments that this commit, which has ended, replaced."""
        with suppress(StoreError):
            self.store.directory.remove(self._replaced)
