"""A segment: an immutable file of passages' rows and FDEs, written once, memory-mapped, scanned as it lies.

It knows bytes, not search. The layout, byte by byte, is in docs/format.md.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np

from femtosearch import system
from femtosearch.codes import GROUP, LANES, Codes, slices_of, width
from femtosearch.disk import check_regular
from femtosearch.errors import CorruptError, StoreError
from femtosearch.frozen import frozen
from femtosearch.index.batch import BlockBuffer, PassageBatch, RowCodes

MAGIC = b"\x89femto\r\n"
VERSION = 3  # of a segment with rows of 4 bits; 2 with FDEs, 1 without
ALIGNMENT = 64
BATCH = 512  # passages that are read at a time: whole blocks of FDEs
REQUIRED = 1  # the flag of a section that a reader must know

_HEADER = struct.Struct(
    "<8sIIQQIIQIIII"
)  # magic, version, sections, N, T, D, F, size, an FDE's bits and a row's or 0 for 8, 0, checksum
_SECTION = struct.Struct("<4sIQQII")  # kind, flags, offset, length, checksum, 0
_KNOWN = (b"CODE", b"SCAL", b"STRT", b"KEYS", b"SPAN")
_FDE = (b"FDEC", b"FDES")
_MOST_DIMS = 1 << 16
_MOST_SECTIONS = 64


class Widths(NamedTuple):
    """D, the dims of a segment's rows; F, those of its FDEs, 0 for none; the bits of an FDE's numbers; those
    of a row's.
    """

    dims: int
    fde_dims: int = 0
    fde_bits: int = 8
    row_bits: int = 8


@frozen
class Summary:
    """What the catalog remembers of a segment; `first` and `checksum` tell it from every other."""

    first: int
    passages: int
    rows: int
    bytes: int
    checksum: int

    def has_fdes(self, dims: int, row_bits: int) -> bool:
        """Whether the passages, of rows of `dims`, have FDEs: without them the file would be smaller."""
        return self.bytes > file_bytes(self.passages, self.rows, Widths(dims, row_bits=row_bits))


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


class SegmentWriter:
    """Writes a segment to a seekable binary file: `append` parts, then `finish` once.

    The rows' codes go straight to the file; 24 bytes a passage, 4 a row and the FDEs wait in memory until the
    end. Until `finish` has written the header the file is no segment.
    """

    def __init__(self, file: BinaryIO, widths: Widths) -> None:
        dims, fde_dims, fde_bits, row_bits = widths
        self._file = file
        self._dims, self._fde_dims, self._fde_bits = dims, fde_dims, fde_bits
        self.row_bits = row_bits
        self._kinds = _kinds(fde_dims)
        self._at = self._start = _aligned(_HEADER.size + len(self._kinds) * _SECTION.size)
        self._checksum = self._first = 0
        self._blocks, self._fde_blocks = BlockBuffer(dims, row_bits), BlockBuffer(fde_dims, fde_bits)
        self._columns: dict[bytes, list[np.ndarray]] = {kind: [] for kind in self._kinds[1:]}
        self.passages = self.rows = self.bytes = 0
        file.write(bytes(self._start))

    @property
    def has_fde(self) -> bool:
        """Whether the passages have FDEs."""
        return self._fde_dims > 0

    def append(self, batch: PassageBatch) -> None:
        """Add passages after those that are there; their keys are larger than those. May raise OSError."""
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
        """Write what waits and the header, and flush. May raise OSError."""
        self._write_codes(self._blocks.end())
        self._columns[b"SCAL"].append(np.zeros(-self.rows % LANES, "<f4"))
        self._columns[b"STRT"].append(np.array([self.rows], "<i8"))
        if self._fde_dims:
            blocks = [*self._columns[b"FDEC"], self._fde_blocks.end()]
            slices = slices_of(blocks[-1].shape[1], self._fde_bits)
            self._columns[b"FDEC"] = [block[:, begin:end] for begin, end in slices for block in blocks]
            self._columns[b"FDES"].append(np.zeros(-self.passages % LANES, "<f4"))
        table = _SECTION.pack(b"CODE", REQUIRED, self._start, self._at - self._start, self._checksum, 0)
        for kind, arrays in self._columns.items():
            table += self._write_column(kind, arrays)
        version = _version(self._fde_dims, self.row_bits)
        bits = self._fde_bits % 8, self.row_bits % 8
        counts = (len(self._kinds), self.passages, self.rows, self._dims, self._fde_dims)
        header = _HEADER.pack(MAGIC, version, *counts, self._at, *bits, 0, 0)[:-4]
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
        """Write one section at the next aligned offset; its entry of the table."""
        offset = _aligned(self._at)
        self._file.write(bytes(offset - self._at))
        self._at, checksum = offset, 0
        for array in arrays:
            data = array.tobytes()
            checksum = zlib.crc32(data, checksum)
            self._file.write(data)
            self._at += len(data)
        return _SECTION.pack(kind, REQUIRED, offset, self._at - offset, checksum, 0)


@frozen
class _Section:
    kind: bytes
    flags: int
    offset: int
    length: int
    checksum: int


@frozen
class _Header:
    passages: int
    rows: int
    widths: Widths
    sections: dict[bytes, _Section]


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
        header = _table(data, name)
        self._sections = header.sections
        for kind, length in _lengths(header.passages, header.rows, header.widths).items():
            if self._sections[kind].length != length:
                raise self._damaged(
                    f"section {kind.decode()} of {self._sections[kind].length} bytes where "
                    f"{header.passages} passages and {header.rows} rows need {length}"
                )
        self.passages, self.rows = header.passages, header.rows
        self.widths = header.widths
        self.dims, self.fde_dims = header.widths[:2]
        self.bytes = len(data)
        self.checksum = int(data[_HEADER.size - 4 : _HEADER.size].view("<u4")[0])
        _, fde_dims, fde_bits, row_bits = header.widths
        self.codes = self._codes(b"CODE", b"SCAL", self.rows, self.dims, row_bits)
        self.fde = self._codes(b"FDEC", b"FDES", self.passages, fde_dims, fde_bits) if fde_dims else None
        self.starts = self._view(b"STRT", "<i8")
        self.keys = self._view(b"KEYS", "<i8")
        self.spans = self._view(b"SPAN", "<i4").reshape(-1, 2)
        self._sound_scales: set[str] = set()
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
            if status.st_size < _HEADER.size:
                raise damaged(
                    os.fspath(path), f"{status.st_size} bytes, where the header alone has {_HEADER.size}"
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
        if len(data) < _HEADER.size:
            raise damaged(name, f"{len(data)} bytes, where the header alone has {_HEADER.size}")
        return cls(room[offset : offset + len(data)], name)

    @property
    def content(self) -> np.ndarray:
        """The bytes of the whole file, [*] uint8."""
        return self._data

    def verify(self) -> None:
        """Check every byte: the checksums, and zeros where the format has them. Raises CorruptError."""
        end = _HEADER.size + len(self._sections) * _SECTION.size
        for section in sorted(self._sections.values(), key=lambda s: s.offset):
            if self._data[end : section.offset].any():
                raise self._damaged(f"bytes other than zero before section {section.kind.decode()}")
            self._check_sum(section)
            end = section.offset + section.length
        if self._data[end:].any():
            raise self._damaged("bytes other than zero after the last section")

    def check_scales(self, passages: np.ndarray | None = None) -> None:
        """Raise CorruptError for a row's scale that is no number, for no search would find its passage.

        passages:  [M] int64: only the rows of these passages are looked at; None for all.
        """
        if passages is None:
            self._check_once("rows", self.codes.scales)
        elif "rows" not in self._sound_scales:
            first, lengths = self.starts[passages], self.starts[passages + 1] - self.starts[passages]
            places = np.repeat(first - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())
            self._check_scales(self.codes.scales[places])

    def check_fde_scales(self) -> None:
        """Raise CorruptError for an FDE's scale that is no number."""
        if self.fde is not None:
            self._check_once("fdes", self.fde.scales)

    def _check_once(self, name: str, scales: np.ndarray) -> None:
        if name not in self._sound_scales:
            self._check_scales(scales)
            self._sound_scales.add(name)

    def _check_scales(self, scales: np.ndarray) -> None:
        if len(scales) and not 0 <= scales.min() <= scales.max() < np.inf:
            raise self._damaged("a row's scale that is no number")

    def batches(self, keep: np.ndarray | None = None) -> Iterator[PassageBatch]:
        """The passages where keep, [N] bool, is true, at most 512 at a time; their codes stay."""
        for begin in range(0, self.passages, BATCH):
            yield self._batch(begin, min(begin + BATCH, self.passages), keep)

    def _batch(self, begin: int, end: int, keep: np.ndarray | None) -> PassageBatch:
        starts = self.starts[begin : end + 1]
        rows = RowCodes.of(self.codes, int(starts[0]), int(starts[-1]))
        fde = None if self.fde is None else RowCodes.of(self.fde, begin, end)
        batch = PassageBatch(self.keys[begin:end], starts - starts[0], self.spans[begin:end], rows, fde)
        return batch if keep is None else batch.only(keep[begin:end])

    def _codes(self, values: bytes, scales: bytes, count: int, dims: int, bits: int) -> Codes:
        blocks = self._view(values, "i1").reshape(-1, width(dims, bits) // GROUP, LANES, GROUP)
        of_fdes = values == b"FDEC"
        levels = bits < 8 and not of_fdes
        return Codes(blocks, self._view(scales, "<f4"), count, dims, bits, sliced=of_fdes, levels=levels)

    def _view(self, kind: bytes, dtype: str) -> np.ndarray:
        section = self._sections[kind]
        return self._data[section.offset : section.offset + section.length].view(dtype)

    def _check_columns(self) -> None:
        """What the native code and the search rely on, beyond the sizes."""
        for kind in (b"STRT", b"KEYS", b"SPAN"):
            self._check_sum(self._sections[kind])
        starts = self.starts
        if starts[0] != 0 or starts[-1] != self.rows or (starts[1:] < starts[:-1]).any():
            raise self._damaged(f"starts that do not rise from 0 to {self.rows}")
        if (self.keys[1:] < self.keys[:-1]).any():
            raise self._damaged("keys that do not rise")
        if (self.spans[:, 0] < 0).any() or (self.spans[:, 1] < self.spans[:, 0]).any():
            raise self._damaged("a span that ends before it starts")

    def _check_sum(self, section: _Section) -> None:
        checksum = zlib.crc32(self._view(section.kind, "u1").data)
        if checksum != section.checksum:
            raise self._damaged(
                f"section {section.kind.decode()} has checksum {checksum:08x} for {section.checksum:08x}"
            )

    def _damaged(self, damage: str) -> CorruptError:
        return damaged(self.name, damage)


def damaged(name: str, damage: str) -> CorruptError:
    """The error for a segment that is damaged in that way."""
    return CorruptError(f"{name}: the segment is damaged: {damage}; restore a copy of it or index again")


def _kinds(fde_dims: int) -> tuple[bytes, ...]:
    """The sections of a segment, the rows' codes first."""
    return _KNOWN + _FDE if fde_dims else _KNOWN


def _version(fde_dims: int, row_bits: int) -> int:
    """The first version of the format that has what a segment needs."""
    if row_bits < 8:
        return VERSION
    return 2 if fde_dims else 1


def file_bytes(passages: int, rows: int, widths: Widths) -> int:
    """The bytes of a segment's file, as `SegmentWriter` writes it."""
    lengths = _lengths(passages, rows, widths)
    end = _HEADER.size + len(lengths) * _SECTION.size
    for length in lengths.values():
        end = _aligned(end) + length
    return end


def _lengths(passages: int, rows: int, widths: Widths) -> dict[bytes, int]:
    """What each section must have, in bytes, in the order in which they are written."""
    dims, fde_dims, fde_bits, row_bits = widths
    blocks = -(-rows // LANES)
    lengths = {
        b"CODE": blocks * LANES * width(dims, row_bits),
        b"SCAL": blocks * LANES * 4,
        b"STRT": (passages + 1) * 8,
        b"KEYS": passages * 8,
        b"SPAN": passages * 8,
    }
    if fde_dims:
        blocks = -(-passages // LANES)
        lengths |= {b"FDEC": blocks * LANES * width(fde_dims, fde_bits), b"FDES": blocks * LANES * 4}
    return lengths


def _table(data: np.ndarray, name: str) -> _Header:
    """The counts and the sections by kind, checked. Raises CorruptError, StoreError."""
    raw = data[: _HEADER.size].tobytes()
    magic, version, count, *counts, checksum = _HEADER.unpack(raw)
    passages, rows, dims, fde_dims, size, bits, row_bits, zero = counts
    if magic != MAGIC:
        raise damaged(name, f"it begins with {magic!r} where {MAGIC!r} was expected")
    if version > VERSION:
        # Before the checksum, because a later version may compute it otherwise.
        raise StoreError(f"{name}: format version {version}; this femtosearch reads {VERSION}: upgrade it")
    end = _HEADER.size + count * _SECTION.size
    if not 1 <= count <= _MOST_SECTIONS or end > len(data):
        raise damaged(name, f"a table of {count} sections in {len(data)} bytes")
    table = data[_HEADER.size : end].tobytes()
    if zlib.crc32(raw[:-4] + table) != checksum:
        raise damaged(name, "the header's checksum does not match")
    if version < 1 or zero or not 1 <= dims <= _MOST_DIMS:
        raise damaged(name, f"version {version}, {dims} dims, or reserved bytes that are not zero")
    widths = Widths(dims, fde_dims, bits or 8, row_bits or 8)
    if fde_dims > _MOST_DIMS or bits not in (0, 4, 2) or row_bits not in (0, 4):
        raise damaged(name, f"FDEs of {fde_dims} dims and {bits} bits, rows of {row_bits} bits")
    if version != _version(fde_dims, widths.row_bits):
        raise damaged(name, f"version {version} with FDEs of {fde_dims} dims and rows of {row_bits} bits")
    if size != len(data):
        raise damaged(name, f"{len(data)} bytes where {size} were written")
    sections = [_Section(*entry[:5]) for entry in _SECTION.iter_unpack(table)]
    _check_places(sections, end, size, name)
    return _Header(passages, rows, widths, _by_kind(sections, _kinds(fde_dims), name))


def _check_places(sections: list[_Section], end: int, size: int, name: str) -> None:
    """Each section aligned, inside the file and behind the one before it."""
    for section in sorted(sections, key=lambda s: s.offset):
        if section.offset % ALIGNMENT or section.offset < end or section.offset + section.length > size:
            raise damaged(
                name,
                f"section {section.kind!r} at {section.offset} of {section.length} bytes overlaps another, "
                f"or lies outside the file or off the grid of {ALIGNMENT}",
            )
        end = section.offset + section.length


def _by_kind(sections: list[_Section], needed: tuple[bytes, ...], name: str) -> dict[bytes, _Section]:
    """The sections by kind: all that we need, none that we must know and do not."""
    kinds = {section.kind: section for section in sections}
    if len(kinds) != len(sections):
        raise damaged(name, "two sections of one kind")
    missing = [kind.decode() for kind in needed if kind not in kinds]
    if missing:
        raise damaged(name, f"no section {', '.join(missing)}")
    unknown = [s.kind.decode("latin-1") for s in sections if s.kind not in needed and s.flags & REQUIRED]
    if unknown:
        raise StoreError(f"{name}: section {unknown[0]} is of a newer femtosearch: upgrade this one")
    return kinds
