"""A segment: a file of the rows and FDEs of passages, which is written once and never changed, mapped into
memory, and scanned in place.

The header is in segment_header.py; docs/format.md has the layout.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from femtosearch import system
from femtosearch.codes import GROUP, LANES, Codes, Order, in_order, width
from femtosearch.disk import check_regular
from femtosearch.errors import CorruptError
from femtosearch.index.batch import BlockBuffer, PassageBatch, RowCodes
from femtosearch.index.segment_header import (
    ALIGNMENT,
    HEADER,
    MAGIC,
    REQUIRED,
    SECTION,
    Section,
    Summary,
    Widths,
    aligned,
    damaged,
    kinds_of,
    read_header,
    section_lengths,
    version_of,
)

BATCH = 512  # passages that are read at a time: whole blocks of FDEs


class SegmentWriter:
    """Writes a segment to a seekable binary file: `append` parts, then `finish` once.

    The rows' codes go straight to the file; 24 bytes a passage, 4 a row and the FDEs wait in memory until the
    end. Until `finish` has written the header the file is no segment.
    """

    def __init__(self, file: BinaryIO, widths: Widths) -> None:
        dims, fde_dims, fde_bits, row_bits, _ = widths
        self._file = file
        self._widths = widths
        self._kinds = kinds_of(fde_dims)
        self._at = self._start = aligned(HEADER.size + len(self._kinds) * SECTION.size)
        self._checksum = self._first = 0
        self._blocks, self._fde_blocks = BlockBuffer(dims, row_bits), BlockBuffer(fde_dims, fde_bits)
        self._columns: dict[bytes, list[np.ndarray]] = {kind: [] for kind in self._kinds[1:]}
        self.passages = self.rows = self.bytes = 0
        file.write(bytes(self._start))

    @property
    def has_fde(self) -> bool:
        """Whether the passages have FDEs."""
        return self._widths.fde_dims > 0

    @property
    def row_bits(self) -> int:
        """How many bits a number of a row has."""
        return self._widths.row_bits

    def append(self, batch: PassageBatch) -> None:
        """Append passages, whose keys must not be smaller than those before. Raises OSError."""
        if not len(batch.keys):
            return
        if not self.passages:
            self._first = int(batch.keys[0])
        self._write_codes(self._blocks.add(batch.rows.values))
        columns = {
            b"SCAL": batch.rows.scales.astype("<f4"),
            b"STRT": batch.starts[:-1].astype("<i8") + self.rows,
            b"KEYS": batch.keys.astype("<i8"),
            b"SPAN": batch.spans.astype("<i4"),
        }
        if batch.fde is not None:
            columns[b"FDEC"] = self._fde_blocks.add(batch.fde.values)
            columns[b"FDES"] = batch.fde.scales.astype("<f4")
        for kind, column in columns.items():
            self._columns[kind].append(column)
        self.passages += len(batch.keys)
        self.rows += len(batch.rows)
        self.bytes += batch.bytes

    def finish(self) -> Summary:
        """Write the columns that wait in memory and the header, and flush. Raises OSError."""
        self._write_codes(self._blocks.end())
        self._columns[b"SCAL"].append(np.zeros(-self.rows % LANES, "<f4"))
        self._columns[b"STRT"].append(np.array([self.rows], "<i8"))
        if self.has_fde:
            blocks = [*self._columns[b"FDEC"], self._fde_blocks.end()]
            self._columns[b"FDEC"] = in_order(blocks, self._widths.fde_bits, self._widths.order)
            self._columns[b"FDES"].append(np.zeros(-self.passages % LANES, "<f4"))
        table = SECTION.pack(b"CODE", REQUIRED, self._start, self._at - self._start, self._checksum, 0)
        for kind, arrays in self._columns.items():
            table += self._write_column(kind, arrays)
        dims, fde_dims, fde_bits, row_bits, _ = self._widths
        bits = fde_bits % 8, row_bits % 8
        counts = (len(self._kinds), self.passages, self.rows, dims, fde_dims)
        header = HEADER.pack(MAGIC, version_of(self._widths), *counts, self._at, *bits, 0, 0)[:-4]
        checksum = zlib.crc32(header + table)
        self._file.seek(0)
        self._file.write(header + struct.pack("<I", checksum) + table)
        self._file.flush()
        return Summary(self._first, self.passages, self.rows, self._at, checksum)

    def _write_codes(self, blocks: np.ndarray) -> None:
        data = blocks.tobytes()
        self._checksum = zlib.crc32(data, self._checksum)
        self._file.write(data)
        self._at += len(data)

    def _write_column(self, kind: bytes, arrays: list[np.ndarray]) -> bytes:
        """Write one section at the next aligned offset. Returns its entry for the table of sections."""
        offset = aligned(self._at)
        self._file.write(bytes(offset - self._at))
        self._at, checksum = offset, 0
        for array in arrays:
            data = array.tobytes()
            checksum = zlib.crc32(data, checksum)
            self._file.write(data)
            self._at += len(data)
        return SECTION.pack(kind, REQUIRED, offset, self._at - offset, checksum, 0)


class Segment:
    """A segment that was opened, with its small sections checked; the arrays are views of the file.

    codes:   the T rows, as `maxsim_codes` takes them.
    fde:     the N FDEs, as `inner_products` takes them, or None.
    starts:  [N+1] int64, rising from 0 to T.
    keys:    [N] int64, rising: the document that a passage is of.
    spans:   [N, 2] int32: the passage is text[start:end], in characters.
    """

    def __init__(self, data: np.ndarray, name: str) -> None:
        self.name = name
        self._data = data
        header = read_header(data, name)
        self._sections = header.sections
        for kind, length in section_lengths(header.passages, header.rows, header.widths).items():
            if self._sections[kind].length != length:
                raise self._damaged(
                    f"section {kind.decode()} of {self._sections[kind].length} bytes where "
                    f"{header.passages} passages and {header.rows} rows need {length}"
                )
        self.passages, self.rows = header.passages, header.rows
        self.widths = header.widths
        self.dims, self.fde_dims = header.widths[:2]
        self.bytes = len(data)
        self.checksum = int(data[HEADER.size - 4 : HEADER.size].view("<u4")[0])
        _, fde_dims, fde_bits, row_bits, order = header.widths
        self.codes = self._codes(b"CODE", b"SCAL", self.rows, self.dims, row_bits, Order.BLOCKS)
        self.fde = None
        if fde_dims:
            self.fde = self._codes(b"FDEC", b"FDES", self.passages, fde_dims, fde_bits, order)
        self.starts = self._view(b"STRT", "<i8")
        self.keys = self._view(b"KEYS", "<i8")
        self.spans = self._view(b"SPAN", "<i4").reshape(-1, 2)
        self._sound_scales: set[str] = set()
        self._sound = np.zeros(self.passages, bool)  # passages whose rows' scales were checked
        self._check_columns()

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Segment:
        """Map a file. Raises CorruptError if it is damaged, StoreError if it is newer than this or a link;
        OSError.
        """
        descriptor = os.open(path, system.READING)
        try:
            status = os.fstat(descriptor)
            check_regular(path, status)
            if status.st_size < HEADER.size:
                raise damaged(
                    os.fspath(path), f"{status.st_size} bytes, where the header alone has {HEADER.size}"
                )
            mapped = system.mapped(descriptor, status.st_size)
        finally:
            os.close(descriptor)
        return cls(np.frombuffer(mapped, np.uint8), os.fspath(path))

    @classmethod
    def read(cls, content: bytes, name: str) -> Segment:
        """A segment that was written to memory; the bytes are copied once, to an aligned address."""
        data = np.frombuffer(content, np.uint8)
        room = np.empty(len(data) + ALIGNMENT, np.uint8)
        offset = -room.ctypes.data % ALIGNMENT
        room[offset : offset + len(data)] = data
        if len(data) < HEADER.size:
            raise damaged(name, f"{len(data)} bytes, where the header alone has {HEADER.size}")
        return cls(room[offset : offset + len(data)], name)

    @property
    def content(self) -> np.ndarray:
        """The bytes of the whole file, [*] uint8."""
        return self._data

    def verify(self) -> None:
        """Check every byte: the checksums, and zeros where the format has them. Raises CorruptError."""
        end = HEADER.size + len(self._sections) * SECTION.size
        for section in sorted(self._sections.values(), key=lambda s: s.offset):
            if self._data[end : section.offset].any():
                raise self._damaged(f"bytes other than zero before section {section.kind.decode()}")
            self._check_sum(section)
            end = section.offset + section.length
        if self._data[end:].any():
            raise self._damaged("bytes other than zero after the last section")

    def check_scales(self, passages: np.ndarray | None = None) -> None:
        """Raise CorruptError for a row's scale that is negative or not finite: no search would find its
        passage.

        passages:  [M] int64: check only the rows of these passages; None for all.
        """
        if passages is None:
            self._check_once("rows", self.codes.scales)
        elif "rows" not in self._sound_scales:
            unchecked = passages[~self._sound[passages]]
            first, lengths = self.starts[unchecked], self.starts[unchecked + 1] - self.starts[unchecked]
            places = np.repeat(first - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())
            self._check_scales(self.codes.scales[places])
            self._sound[unchecked] = True

    def check_fde_scales(self) -> None:
        """Raise CorruptError for an FDE's scale that is negative or not finite."""
        if self.fde is not None:
            self._check_once("fdes", self.fde.scales)

    def _check_once(self, name: str, scales: np.ndarray) -> None:
        if name not in self._sound_scales:
            self._check_scales(scales)
            self._sound_scales.add(name)

    def _check_scales(self, scales: np.ndarray) -> None:
        if len(scales) and not 0 <= scales.min() <= scales.max() < np.inf:
            raise self._damaged("a scale that is negative or not finite")

    def batches(self, keep: np.ndarray | None = None) -> Iterator[PassageBatch]:
        """The passages where keep, [N] bool, is true, in batches of at most 512, with their codes
        unchanged.
        """
        for begin in range(0, self.passages, BATCH):
            yield self._batch(begin, min(begin + BATCH, self.passages), keep)

    def _batch(self, begin: int, end: int, keep: np.ndarray | None) -> PassageBatch:
        starts = self.starts[begin : end + 1]
        rows = RowCodes.of(self.codes, int(starts[0]), int(starts[-1]))
        fde = None if self.fde is None else RowCodes.of(self.fde, begin, end)
        batch = PassageBatch(self.keys[begin:end], starts - starts[0], self.spans[begin:end], rows, fde)
        return batch if keep is None else batch.only(keep[begin:end])

    def _codes(self, values: bytes, scales: bytes, count: int, dims: int, bits: int, order: Order) -> Codes:
        blocks = self._view(values, "i1").reshape(-1, width(dims, bits) // GROUP, LANES, GROUP)
        levels = bits < 8 and values == b"CODE"
        return Codes(blocks, self._view(scales, "<f4"), count, dims, bits, order, levels)

    def _view(self, kind: bytes, dtype: str) -> np.ndarray:
        section = self._sections[kind]
        return self._data[section.offset : section.offset + section.length].view(dtype)

    def _check_columns(self) -> None:
        """Check the contents of columns that the native core and the search rely on. Raises CorruptError."""
        for kind in (b"STRT", b"KEYS", b"SPAN"):
            self._check_sum(self._sections[kind])
        starts = self.starts
        if starts[0] != 0 or starts[-1] != self.rows or (starts[1:] < starts[:-1]).any():
            raise self._damaged(f"starts that do not rise from 0 to {self.rows}")
        if (self.keys[1:] < self.keys[:-1]).any():
            raise self._damaged("keys that do not rise")
        if (self.spans[:, 0] < 0).any() or (self.spans[:, 1] < self.spans[:, 0]).any():
            raise self._damaged("a span that ends before it starts")

    def _check_sum(self, section: Section) -> None:
        checksum = zlib.crc32(self._view(section.kind, "u1").data)
        if checksum != section.checksum:
            raise self._damaged(
                f"section {section.kind.decode()} has checksum {checksum:08x} for {section.checksum:08x}"
            )

    def _damaged(self, damage: str) -> CorruptError:
        return damaged(self.name, damage)
