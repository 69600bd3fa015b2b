"""The directory of segments: in a folder, with syncs in an order that survives a power cut, or in memory."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Protocol

from femtosearch import system
from femtosearch.disk import check_folder, check_regular, on_disk
from femtosearch.errors import CorruptError
from femtosearch.index.batch import PassageBatch
from femtosearch.index.segment import Segment, SegmentWriter
from femtosearch.index.segment_header import Summary, Widths

_SEGMENT_NAME = r"[0-9]+\.seg(\.part)?"


class OutdatedError(CorruptError):
    """Something that the catalogue named is missing: there was a commit since, or the index is damaged."""


class Directory(Protocol):
    """The segments of an index by number. All methods raise StoreError."""

    place: str

    def create(self, number: int) -> BinaryIO: ...
    def seal(self, number: int, file: BinaryIO) -> None: ...
    def open(self, number: int) -> Segment: ...
    def remove(self, numbers: Iterable[int]) -> None: ...
    def collect_garbage(self, keep: Iterable[int]) -> None: ...


class FolderDirectory:
    """Segments as files. A file is written under another name, synced, renamed, and then the folder is
    synced.

    A link or a special file in the place of a segment is refused, with its name, and left as it is.
    """

    def __init__(self, folder: Path) -> None:
        self.place = os.fspath(folder)
        self._folder = folder

    @on_disk
    def create(self, number: int) -> BinaryIO:
        """Open a new file for a segment, under a temporary name."""
        check_folder(self._folder)
        for path in (self._draft(number), self._path(number)):
            if check_regular(path):
                os.unlink(path)  # left by a commit that was not finished
        return os.fdopen(os.open(self._draft(number), system.CREATING, 0o666), "wb")

    @on_disk
    def seal(self, number: int, file: BinaryIO) -> None:
        """Give a finished file the name of its segment; it is durable when this returns."""
        system.sync(file.fileno())
        file.close()
        os.replace(self._draft(number), self._path(number))
        system.sync_folder(self._folder)

    @on_disk
    def open(self, number: int) -> Segment:
        """Open a segment. Raises OutdatedError if there is none, CorruptError if it is damaged."""
        check_folder(self._folder)
        path = self._path(number)
        try:
            check_regular(path)
            return Segment.open(path)
        except FileNotFoundError:
            raise OutdatedError(f"{path}: the segment is missing; restore a copy or index again") from None

    @on_disk
    def remove(self, numbers: Iterable[int]) -> None:
        """Remove segments, finished or not."""
        for number in numbers:
            for path in (self._draft(number), self._path(number)):
                if check_regular(path):
                    system.discard(path)

    @on_disk
    def collect_garbage(self, keep: Iterable[int]) -> None:
        """Remove every segment, finished or not, whose number is not in `keep`. Other files stay."""
        check_folder(self._folder)
        names = {f"{number}.seg" for number in keep}
        with os.scandir(self._folder) as entries:
            garbage = [
                entry for entry in entries if re.fullmatch(_SEGMENT_NAME, entry.name) and _is_plain(entry)
            ]
        for entry in garbage:
            if entry.name not in names:
                system.discard(entry.path)

    def _path(self, number: int) -> str:
        return f"{self.place}/{number}.seg"

    def _draft(self, number: int) -> str:
        return f"{self.place}/{number}.seg.part"


class MemoryDirectory:
    """Segments in memory."""

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
            raise OutdatedError(f"segment {number} of the index in memory is missing: search again") from None

    def remove(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            self._segments.pop(number, None)

    def collect_garbage(self, keep: Iterable[int]) -> None:
        self.remove(set(self._segments) - set(keep))


class SegmentsWriter:
    """Writes passages to new segments of bounded size, one after the other, which no transaction names yet.

    All passages of a batch, and all of a document, which may come in several batches, lie in one segment; so
    the segment of a very long document is larger. The passages of one segment all have FDEs, or none.

    dims:    D of a row.
    widths:  gives the widths of a segment with FDEs; called only when these come, because an FDE loads
             slowly.
    first:   the number of the first new segment.
    """

    def __init__(
        self, directory: Directory, dims: int, widths: Callable[[], Widths], first: int, most_bytes: int
    ) -> None:
        self.place = directory.place
        self.first = self._next = first
        self._directory = directory
        self._dims, self._widths = dims, widths
        self._most_bytes = most_bytes
        self._file: BinaryIO | None = None
        self._writer: SegmentWriter | None = None
        self._last_key = -1
        self.finished: dict[int, Summary] = {}

    @property
    def numbers(self) -> range:
        """The numbers of all segments that were begun."""
        return range(self.first, self._next + 1)

    @property
    def has_fdes(self) -> bool:
        """Whether the passages of the segment that is being written have FDEs."""
        return self._writer is not None and self._writer.has_fde

    def continues(self, batch: PassageBatch) -> bool:
        """Whether a batch, which is not empty, begins with the document that was appended last."""
        return int(batch.keys[0]) == self._last_key

    @on_disk
    def append(self, batch: PassageBatch) -> None:
        """Add passages to the segment that is being written, or to a new one where it would not fit."""
        if not len(batch.keys):
            return
        if self._writer is not None and not self.continues(batch) and not self._fits(self._writer, batch):
            self.finish()
        if self._file is None or self._writer is None:
            self._file = self._directory.create(self._next)
            widths = self._widths() if batch.fde is not None else Widths(self._dims)
            self._writer = SegmentWriter(self._file, widths._replace(row_bits=batch.rows.bits))
        self._writer.append(batch)
        self._last_key = int(batch.keys[-1])

    @on_disk
    def finish(self) -> dict[int, Summary]:
        """Seal the segment that is being written. Returns all new segments by number."""
        if self._file is not None and self._writer is not None:
            self.finished[self._next] = self._writer.finish()
            self._directory.seal(self._next, self._file)
            self._file = self._writer = None
            self._next += 1
        return self.finished

    def abandon(self) -> None:
        """Close the file that is being written. All files of this writer are then garbage."""
        if self._file is not None:
            with suppress(OSError):  # closing flushes, and may find the disk as full as before
                self._file.close()
            self._file = self._writer = None

    def _fits(self, writer: SegmentWriter, batch: PassageBatch) -> bool:
        is_alike = writer.has_fde == (batch.fde is not None) and writer.row_bits == batch.rows.bits
        return is_alike and writer.bytes + batch.bytes <= self._most_bytes


def _is_plain(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a regular file with a single name."""
    # `entry.stat()` has no st_nlink on Windows.
    return entry.is_file(follow_symlinks=False) and os.lstat(entry.path).st_nlink == 1


def open_segment(directory: Directory, number: int, summary: Summary, dims: int) -> Segment:
    """Open a segment that the catalogue names, and check that it is that one. Raises CorruptError,
    OutdatedError.
    """
    segment = directory.open(number)
    first = int(segment.keys[0]) if segment.passages else 0
    actual = Summary(first, segment.passages, segment.rows, segment.bytes, segment.checksum)
    if actual != summary or segment.dims != dims:
        raise CorruptError(
            f"{segment.name}: the catalogue names {summary} of {dims} dims, the file holds {actual} of "
            f"{segment.dims}; restore a copy of the whole index or index again"
        )
    return segment


def check_widths(segment: Segment, widths: Widths) -> None:
    """Raise CorruptError if a segment has FDEs of other widths than those of its index."""
    if segment.widths[:3] not in (widths[:3], Widths(widths.dims)[:3]):
        raise CorruptError(
            f"{segment.name}: the index has {_in_words(widths)}, the segment {_in_words(segment.widths)}; "
            "restore a copy of the whole index or index again"
        )


def _in_words(widths: Widths) -> str:
    return f"FDEs of {widths.fde_dims} numbers of {widths.fde_bits} bits"
