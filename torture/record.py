"""The record that the shim writes, and the disk that a power cut leaves of it."""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from torture.shim import CALLS

MARK = "mark"
SECTOR = 512
_NAMES = (*CALLS, MARK)
_ENTRY = struct.Struct("<iiqii")
_MOVE, _UNLINK, _LINK = "move", "unlink", "link"


@dataclass(frozen=True, slots=True)
class Entry:
    """One call. number: an offset, a size or the flags of open; first: bytes or a path; second: a path."""

    call: str
    handle: int
    number: int
    first: bytes
    second: bytes


def entries(record: Path) -> Iterator[Entry]:
    """The calls of a record in their order."""
    data = record.read_bytes()
    at = 0
    while at < len(data):
        call, handle, number, first, second = _ENTRY.unpack_from(data, at)
        at += _ENTRY.size
        yield Entry(
            _NAMES[call], handle, number, data[at : at + first], data[at + first : at + first + second]
        )
        at += first + second


@dataclass(slots=True, eq=False)
class File:
    """A file's synced bytes, and what was written since: (offset, bytes), or (size, None) to truncate."""

    synced: bytes = b""
    unsynced: list[tuple[int, bytes | None]] = field(default_factory=list)

    def content(self, changes: list[tuple[int, bytes | None]]) -> bytes:
        """The synced bytes with those changes."""
        data = bytearray(self.synced)
        for offset, new in changes:
            if new is None:
                data = data[:offset] + bytes(max(0, offset - len(data)))
                continue
            data += bytes(max(0, offset - len(data)))
            data[offset : offset + len(new)] = new
        return bytes(data)


FOLDER = File()  # stands for a folder among the names
# _LINK name file; _UNLINK name; _MOVE "old name\0new name" of a folder with all that is in it
Change = tuple[str, str, File | None]


class Disk:
    """Files and names as a process sees them, and as much of both as is sure to outlive a power cut.

    ignored:  whether a sync of the file with that path is left out, to show that it is needed.
    """

    def __init__(self, root: str, ignored: Callable[[str], bool] = lambda path: False) -> None:
        self.root = root
        self.names: dict[str, File] = {root: FOLDER}
        self.synced: dict[str, File] = {root: FOLDER}
        self.unsynced: dict[str, list[list[Change]]] = {}  # of each folder, in the order they were made
        self._handles: dict[int, tuple[str, File | None]] = {}
        self._ignored = ignored

    def apply(self, entry: Entry) -> None:
        """Do what the process did."""
        path = os.fsdecode(entry.first) if entry.call in ("open", "rename", "unlink", "mkdir") else ""
        if entry.call == "open":
            self._open(path, entry.handle, entry.number)
        elif entry.call == "write":
            self._file(entry.handle).unsynced.append((entry.number, entry.first))
        elif entry.call == "truncate":
            self._file(entry.handle).unsynced.append((entry.number, None))
        elif entry.call == "sync":
            self._sync(*self._handles[entry.handle])
        elif entry.call == "mkdir":
            self._rename_all(path, [(_LINK, path, FOLDER)])
        elif entry.call == "unlink":
            self._rename_all(path, [(_UNLINK, path, None)])
        elif entry.call == "rename":
            self._rename(path, os.fsdecode(entry.second))

    def _open(self, path: str, handle: int, flags: int) -> None:
        file = self.names.get(path)
        if file is None and flags & os.O_CREAT:
            file = File()
            self._rename_all(path, [(_LINK, path, file)])
        elif file is not None and file is not FOLDER and flags & os.O_TRUNC:
            file.unsynced.append((0, None))
        self._handles[handle] = (path, file)

    def _file(self, handle: int) -> File:
        path, file = self._handles[handle]
        if file is None or file is FOLDER:
            raise ValueError(f"{path}: a write to what was never made")
        return file

    def _sync(self, path: str, file: File | None) -> None:
        if file is FOLDER:
            for changes in self.unsynced.pop(path, []):
                _change(self.synced, changes)
        elif file is not None and not self._ignored(path):
            file.synced, file.unsynced = file.content(file.unsynced), []

    def _rename(self, path: str, new: str) -> None:
        """What is in a folder that gets another name was synced before, or is lost with the old name."""
        if self.names[path] is FOLDER:
            self._rename_all(path, [(_MOVE, f"{path}\0{new}", None)])
        else:
            self._rename_all(path, [(_UNLINK, path, None), (_LINK, new, self.names[path])])

    def _rename_all(self, path: str, changes: list[Change]) -> None:
        """Change names now, and on the disk when the folder is synced. A rename stays in its folder."""
        _change(self.names, changes)
        self.unsynced.setdefault(os.path.dirname(path), []).append(changes)

    def now(self) -> dict[str, bytes | None]:
        """Every file with its bytes, and every folder with None, as the process sees them."""
        return {
            path: None if file is FOLDER else file.content(file.unsynced) for path, file in self.names.items()
        }

    def after_a_cut(self, rng: random.Random) -> dict[str, bytes | None]:
        """What may be there after a power cut at this moment; paths are as for `now`.

        Of each folder's unsynced names all count, none, or the first so many; of each file's unsynced changes
        all, none, the first so many, any of them, or the last one torn at a sector.
        """
        names = dict(self.synced)
        how = rng.randrange(3)
        for changes in self.unsynced.values():
            count = (0, len(changes), rng.randrange(len(changes) + 1))[how]
            for change in changes[:count]:
                _change(names, change)
        reachable = {path: file for path, file in sorted(names.items()) if self._is_reachable(path, names)}
        style = rng.randrange(6)
        return {path: None if file is FOLDER else _cut(file, style, rng) for path, file in reachable.items()}

    def _is_reachable(self, path: str, names: dict[str, File]) -> bool:
        return path == self.root or (
            os.path.dirname(path) in names and self._is_reachable(os.path.dirname(path), names)
        )


def _change(names: dict[str, File], changes: list[Change]) -> None:
    for kind, path, file in changes:
        if kind == _UNLINK:
            names.pop(path, None)
        elif kind == _MOVE:
            old, _, new = path.partition("\0")
            for name in [name for name in names if f"{name}/".startswith(f"{old}/")]:
                names[new + name[len(old) :]] = names.pop(name)
        elif file is not None:
            names[path] = file


def _cut(file: File, style: int, rng: random.Random) -> bytes:
    """A file's bytes after the cut; style 5 draws another one for each file."""
    changes = file.unsynced
    style = rng.randrange(5) if style == 5 else style
    if style == 0 or not changes:
        return file.content([])
    if style == 1:
        return file.content(changes)
    if style == 2:
        return file.content(changes[: rng.randrange(len(changes) + 1)])
    if style == 3:
        return file.content([change for change in changes if rng.random() < 0.5])
    last = rng.randrange(len(changes))
    return file.content([*changes[:last], *_torn(changes[last], rng)])


def _torn(change: tuple[int, bytes | None], rng: random.Random) -> list[tuple[int, bytes | None]]:
    """Some sectors of a write; what is not there of it may be zeros, where the file had grown already."""
    offset, data = change
    if data is None:
        return []
    size = [(offset + len(data) - 1, b"\0")] if rng.random() < 0.5 else []
    first = -offset % SECTOR
    edges = [0, *range(first or SECTOR, len(data), SECTOR), len(data)]
    pieces = [(offset + a, data[a:b]) for a, b in pairwise(edges)]
    return [*size, *(piece for piece in pieces if rng.random() < 0.5)]
