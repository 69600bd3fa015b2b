"""The header of a segment's file and its table of sections, read and checked.

The layout, byte by byte, is in docs/format.md.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

import numpy as np

from femtosearch.codes import LANES, Order, width
from femtosearch.errors import CorruptError, StoreError
from femtosearch.frozen import frozen

MAGIC = b"\x89femto\r\n"
VERSION = 4  # the version of segments with split FDEs; 3: with rows of 4 bits; 2: with FDEs; 1: without
ALIGNMENT = 64
REQUIRED = 1  # the flag of a section that a reader must know

# Magic, version, sections, N, T, D, F, size, bits of FDEs and of rows (0 stands for 8), 0, checksum.
HEADER = struct.Struct("<8sIIQQIIQIIII")
SECTION = struct.Struct("<4sIQQII")  # kind, flags, offset, length, checksum, 0
_KNOWN = (b"CODE", b"SCAL", b"STRT", b"KEYS", b"SPAN")
_FDE = (b"FDEC", b"FDES")
_MOST_DIMS = 1 << 16
_MOST_SECTIONS = 64


class Widths(NamedTuple):
    """The widths of a segment's rows and FDEs.

    dims:      D, the numbers of a row.
    fde_dims:  F, the numbers of an FDE; 0 without FDEs.
    fde_bits, row_bits:  how many bits a number of an FDE, and of a row, has.
    order:     the order in which the FDEs lie.
    """

    dims: int
    fde_dims: int = 0
    fde_bits: int = 8
    row_bits: int = 8
    order: Order = Order.SLICES


@frozen
class Summary:
    """The facts of a segment in the catalogue. first: its first key; checksum: of its header, which covers
    those of all sections, so that the two identify it.
    """

    first: int
    passages: int
    rows: int
    bytes: int
    checksum: int

    def has_fdes(self, dims: int, row_bits: int) -> bool:
        """Whether the segment has FDEs, by its size: without them its file would be smaller."""
        return self.bytes > file_bytes(self.passages, self.rows, Widths(dims, row_bits=row_bits))


def aligned(size: int) -> int:
    """Round a number of bytes up to a multiple of 64."""
    return -(-size // ALIGNMENT) * ALIGNMENT


@frozen
class Section:
    """An entry of the table of sections: four letters, flags, and where in the file the section lies."""

    kind: bytes
    flags: int
    offset: int
    length: int
    checksum: int


@frozen
class Header:
    """The header of a segment, checked; sections are by their kinds."""

    passages: int
    rows: int
    widths: Widths
    sections: dict[bytes, Section]


def damaged(name: str, damage: str) -> CorruptError:
    """The error for a segment that is damaged in that way."""
    return CorruptError(f"{name}: the segment is damaged: {damage}; restore a copy of it or index again")


def kinds_of(fde_dims: int) -> tuple[bytes, ...]:
    """The sections of a segment, the rows' codes first."""
    return _KNOWN + _FDE if fde_dims else _KNOWN


def version_of(widths: Widths) -> int:
    """The first version of the format that has what a segment needs."""
    if widths.fde_dims and widths.order == Order.SPLIT:
        return VERSION
    if widths.row_bits < 8:
        return 3
    return 2 if widths.fde_dims else 1


def file_bytes(passages: int, rows: int, widths: Widths) -> int:
    """The bytes of a segment's file, as `SegmentWriter` writes it."""
    lengths = section_lengths(passages, rows, widths)
    end = HEADER.size + len(lengths) * SECTION.size
    for length in lengths.values():
        end = aligned(end) + length
    return end


def section_lengths(passages: int, rows: int, widths: Widths) -> dict[bytes, int]:
    """How many bytes each section must have, in the order in which they are written."""
    dims, fde_dims, fde_bits, row_bits, _ = widths
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


def read_header(data: np.ndarray, name: str) -> Header:
    """Read and check a header. data: [bytes] uint8, the whole file. Raises CorruptError, StoreError."""
    raw = data[: HEADER.size].tobytes()
    magic, version, count, *counts, checksum = HEADER.unpack(raw)
    passages, rows, dims, fde_dims, size, bits, row_bits, zero = counts
    if magic != MAGIC:
        raise damaged(name, f"it begins with {magic!r} where {MAGIC!r} was expected")
    if version > VERSION:
        # Before the checksum, because a later version may compute it otherwise.
        raise StoreError(f"{name}: format version {version}; this femtosearch reads {VERSION}: upgrade it")
    end = HEADER.size + count * SECTION.size
    if not 1 <= count <= _MOST_SECTIONS or end > len(data):
        raise damaged(name, f"a table of {count} sections in {len(data)} bytes")
    table = data[HEADER.size : end].tobytes()
    if zlib.crc32(raw[:-4] + table) != checksum:
        raise damaged(name, "the header's checksum does not match")
    if version < 1 or zero or not 1 <= dims <= _MOST_DIMS:
        raise damaged(name, f"version {version}, {dims} dims, or reserved bytes that are not zero")
    order = Order.SPLIT if version == VERSION else Order.SLICES
    widths = Widths(dims, fde_dims, bits or 8, row_bits or 8, order)
    if fde_dims > _MOST_DIMS or bits not in (0, 4, 2) or row_bits not in (0, 4):
        raise damaged(name, f"FDEs of {fde_dims} dims and {bits} bits, rows of {row_bits} bits")
    if version != version_of(widths):
        raise damaged(name, f"version {version} with FDEs of {fde_dims} dims and rows of {row_bits} bits")
    if size != len(data):
        raise damaged(name, f"{len(data)} bytes where {size} were written")
    sections = [Section(*entry[:5]) for entry in SECTION.iter_unpack(table)]
    _check_places(sections, end, size, name)
    return Header(passages, rows, widths, _by_kind(sections, kinds_of(fde_dims), name))


def _check_places(sections: list[Section], end: int, size: int, name: str) -> None:
    """Check that each section is aligned, inside the file and behind the one before it. Raises
    CorruptError.
    """
    for section in sorted(sections, key=lambda s: s.offset):
        if section.offset % ALIGNMENT or section.offset < end or section.offset + section.length > size:
            raise damaged(
                name,
                f"section {section.kind!r} at {section.offset} of {section.length} bytes overlaps another, "
                f"or lies outside the file or off the grid of {ALIGNMENT}",
            )
        end = section.offset + section.length


def _by_kind(sections: list[Section], needed: tuple[bytes, ...], name: str) -> dict[bytes, Section]:
    """The sections by kind. Raises CorruptError if a needed one is missing, StoreError if there is a required
    one that this femtosearch does not know.
    """
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
