"""Where segments lie: in a folder, with the order of syncs that a power cut cannot break, or in memory."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Protocol

from femtosearch.disk import on_disk, sync, sync_folder
from femtosearch.errors import CorruptError
from femtosearch.index.segment import Part, Segment, SegmentWriter, Summary, Widths

_OURS = re.compile(r"[0-9]+\.seg(\.part)?")


class SegmentGone(CorruptError):
    """A segment is not there: either the catalog has moved on since it was asked, or the index is damaged."""


class Shelf(Protocol):
    """Segments by number. All raise StoreError."""

    place: str

    def create(self, number: int) -> BinaryIO: ...
    def seal(self, number: int, file: BinaryIO) -> None: ...
    def open(self, number: int) -> Segment: ...
    def sweep(self, keep: Iterable[int]) -> None: ...


class FolderShelf:
    """Segments as files. A file is written under another name, synced, renamed, and the folder synced."""

    def __init__(self, folder: Path) -> None:
        self.place = os.fspath(folder)
        self._folder = folder

    @on_disk
    def create(self, number: int) -> BinaryIO:
        """A new file under a name that is not a segment's yet."""
        return open(self._folder / f"{number}.seg.part", "wb")

    @on_disk
    def seal(self, number: int, file: BinaryIO) -> None:
        """Make the file the segment of that number; it is on the disk when this returns."""
        sync(file.fileno())
        file.close()
        os.replace(self._folder / f"{number}.seg.part", self._folder / f"{number}.seg")
        sync_folder(self._folder)

    @on_disk
    def open(self, number: int) -> Segment:
        """Raises SegmentGone if there is none, CorruptError if it is damaged."""
        path = self._folder / f"{number}.seg"
        try:
            return Segment.open(path)
        except FileNotFoundError:
            raise SegmentGone(f"{path}: the segment is missing; restore a copy or index again") from None

    @on_disk
    def sweep(self, keep: Iterable[int]) -> None:
        """Remove every segment, finished or not, whose number is not in `keep`. Other files stay."""
        names = {f"{number}.seg" for number in keep}
        for entry in os.listdir(self._folder):
            if _OURS.fullmatch(entry) and entry not in names:
                os.unlink(self._folder / entry)


class MemoryShelf:
    """Segments as buffers."""

    place = "the index in memory"

    def __init__(self) -> None:
        self._segments: dict[int, Segment] = {}

    def create(self, number: int) -> BinaryIO:
        return io.BytesIO()

    def seal(self, number: int, file: BinaryIO) -> None:
        file.seek(0)
        self._segments[number] = Segment.read(file.read(), f"segment {number}")

    def open(self, number: int) -> Segment:
        try:
            return self._segments[number]
        except KeyError:
            raise SegmentGone(f"segment {number} is missing") from None

    def sweep(self, keep: Iterable[int]) -> None:
        for number in set(self._segments) - set(keep):
            del self._segments[number]


class Volumes:
    """New segments of bounded size, filled one after the other, that no transaction names yet.

    A part lies in one segment whole, so a document's passages, which come in one part, are never apart.
    """

    def __init__(self, shelf: Shelf, widths: Widths, first: int, most_bytes: int) -> None:
        self.place = shelf.place
        self._shelf = shelf
        self._widths = widths
        self._next = first
        self._most = most_bytes
        self._file: BinaryIO | None = None
        self._writer: SegmentWriter | None = None
        self.done: dict[int, Summary] = {}

    @on_disk
    def append(self, part: Part) -> None:
        """Add passages to the segment that is being written, or to a new one if it would grow too large."""
        if not len(part.keys):
            return
        if self._writer and self._writer.bytes + part.bytes > self._most:
            self.finish()
        if self._file is None or self._writer is None:
            self._file = self._shelf.create(self._next)
            self._writer = SegmentWriter(self._file, *self._widths)
        self._writer.append(part)

    @on_disk
    def finish(self) -> dict[int, Summary]:
        """Seal the segment that is being written. All the new ones by number."""
        if self._file is not None and self._writer is not None:
            self.done[self._next] = self._writer.finish()
            self._shelf.seal(self._next, self._file)
            self._file = self._writer = None
            self._next += 1
        return self.done

    def abandon(self) -> None:
        """Let go of the file that is being written; the files themselves are for `sweep`."""
        if self._file is not None:
            with suppress(OSError):  # closing flushes, and may find the disk as full as before
                self._file.close()
            self._file = self._writer = None
