"""Segments with changed bytes, also with checksums that were made to agree."""

from __future__ import annotations

import random
import shutil
import sqlite3
import struct
import zlib
from contextlib import closing
from pathlib import Path

from torture.counts import Counts
from torture.mutations import changed
from torture.operations import State
from torture.rounds import share
from torture.sandbox import Case, try_all
from torture.template import make, use

_CASES = 60  # in one round
_TABLE, _ENTRY, _CHECKSUM = 64, 32, 60  # docs/format.md: where the table begins, an entry's size


def segments(place: Path, seed: int, counts: Counts) -> None:
    """Change a segment of an index, and use that."""
    rng = random.Random(seed)
    state = make(place / "template", rng)
    cases = [_case(place, state, rng.random(), number) for number in range(share(_CASES))]
    try_all(cases, place, counts)


def _case(place: Path, state: State, chance: float, number: int) -> Case:
    forged = number % 2 == 1

    def attempt() -> None:
        rng = random.Random(chance)
        folder = place / f"{number}"
        shutil.copytree(place / "template", folder)
        path = rng.choice(sorted((folder / "segments").glob("*.seg")))
        data = changed(path.read_bytes(), rng)
        if forged:
            data = with_checksums(data)
            _name(folder, int(path.stem), data)
        path.write_bytes(data)
        use(folder, state, forged=forged)
        shutil.rmtree(folder)

    topic = "segments, checksums made to agree" if forged else "segments"
    return topic, f"case {number}", attempt


def with_checksums(data: bytes) -> bytes:
    """The segment with the checksums of its sections and its header as they should be, where it has them."""
    if len(data) < _TABLE:
        return data
    copy = bytearray(data)
    (count,) = struct.unpack_from("<I", copy, 12)
    end = _TABLE + min(count, 64) * _ENTRY
    for at in range(_TABLE, min(end, len(copy) - _ENTRY + 1), _ENTRY):
        offset, length = struct.unpack_from("<QQ", copy, at + 8)
        if offset + length <= len(copy):
            struct.pack_into("<I", copy, at + 24, zlib.crc32(copy[offset : offset + length]))
    checksum = zlib.crc32(copy[:_CHECKSUM] + copy[_TABLE:end])
    struct.pack_into("<I", copy, _CHECKSUM, checksum)
    return bytes(copy)


def _name(folder: Path, number: int, data: bytes) -> None:
    """Make the catalogue name the segment as it is now."""
    if len(data) < _TABLE:
        return
    passages, rows = struct.unpack_from("<QQ", data, 16)
    values = (passages, rows, len(data), struct.unpack_from("<I", data, _CHECKSUM)[0], number)
    if max(values) >= 1 << 63:
        return
    with closing(sqlite3.connect(folder / "catalog.db")) as connection, connection:
        change = "UPDATE segments SET passages = ?, rows = ?, bytes = ?, checksum = ? WHERE number = ?"
        connection.execute(change, values)
