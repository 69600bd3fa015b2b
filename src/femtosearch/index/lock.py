"""The writer's lock: one writer at a time among threads and processes, and a note of the process that
holds it.
"""

from __future__ import annotations

import io
import os
import sqlite3
import threading
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from femtosearch import system
from femtosearch.disk import check_regular, on_disk
from femtosearch.errors import LockedError
from femtosearch.index.claim import Claim, claim_of

_PAUSE = 0.01  # seconds between two attempts
_NOTE_BYTES, _NOTE_WIDTH = 4096, 255  # how much of a note is read, and the width that it is padded to


class Holder:
    """A thread that holds a lock, or waits for it, until it releases the lock or this object is destroyed.

    An interrupt may come between any two instructions, also in a `finally`. So a lock does not count its
    holders: it checks whether its last holder still exists and has not released it.
    """

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.active = False
        self.place = ""
        self._file: io.FileIO | None = None
        self._claim: Claim | None = None

    def open(self, place: str) -> int:
        """Open the file of a lock, made if absent, until the lock is released. Returns its descriptor."""
        self.place = place
        self._file = io.FileIO(place, "r+", opener=lambda path, _: os.open(path, system.LOCKING, 0o666))
        return self._file.fileno()

    def take(self, descriptor: int) -> bool:
        """Try to take the lock, whose file is open; returns whether it is ours now. Raises OSError,
        sqlite3.Error, StoreError.
        """
        if self._claim is None:
            self._claim = claim_of(self.place, descriptor)
        return self._claim.take()

    def release(self) -> None:
        """Release the lock; a second time does nothing."""
        if self._claim is not None and self._file is not None and not self._file.closed:
            with suppress(OSError, sqlite3.Error):
                self._claim.release()
        self.forget()

    def forget(self) -> None:
        """Close the file without releasing the lock: other processes with the same open file keep it."""
        self.active = False
        self._claim = None
        if self._file is not None:
            with suppress(OSError):
                self._file.close()


class WriterLock(ABC):
    """A lock that one thread holds at a time. A subclass implements `_take`.

    place:  the place that is locked, for messages.
    """

    def __init__(self, place: str) -> None:
        self.place = place
        self._holder: weakref.ref[Holder] | None = None

    @contextmanager
    def hold(self, timeout: float) -> Iterator[None]:
        """Wait up to `timeout` seconds for the lock. Raises LockedError, StoreError."""
        if self.held_here():
            raise LockedError(f"{self.place}: this thread is writing already; let that call return first")
        holder = Holder()
        try:
            try:
                self._take(holder, time.monotonic() + timeout)
                yield
            finally:
                holder.release()
        finally:  # again, in case an interrupt came in the line before
            holder.release()

    def held_here(self) -> bool:
        """Whether this thread holds the lock."""
        return _held_by(self._holder, threading.get_ident())

    @abstractmethod
    def _take(self, holder: Holder, deadline: float) -> None:
        """Wait for the lock and give it to a holder. Raises LockedError after the deadline."""

    def _give_to(self, holder: Holder) -> None:
        holder.active = True
        self._holder = weakref.ref(holder)


class FolderLock(WriterLock):
    """A lock on a file of the folder (`claim.py`), which the system releases when the process dies.

    The file is never removed. It holds a note of who has the lock: process, host and since when.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(os.fspath(path))

    @on_disk
    def _take(self, holder: Holder, deadline: float) -> None:
        descriptor = _open(self.place, holder)
        while not holder.take(descriptor):
            if time.monotonic() >= deadline:
                owner = _owner(descriptor)
                raise LockedError(f"{self.place}: {owner} is writing; try again when it is done")
            time.sleep(_PAUSE)
        _write_owner(descriptor)
        self._give_to(holder)


class MemoryLock(WriterLock):
    """The lock of an index in memory, among the threads of one process."""

    def __init__(self) -> None:
        super().__init__("the index in memory")
        self._guard = threading.RLock()

    def _take(self, holder: Holder, deadline: float) -> None:
        while not self._claim(holder):
            if time.monotonic() >= deadline:
                raise LockedError("another thread is writing to the index; try again when it is done")
            time.sleep(_PAUSE)

    def _claim(self, holder: Holder) -> bool:
        with self._guard:
            free = not _held_by(self._holder)
            if free:
                self._give_to(holder)
        return free


# The holders of open files in this process. A forked child closes its copies of them, or the lock would live
# as long as the child does.
_open_holders: weakref.WeakSet[Holder] = weakref.WeakSet()


def _open(place: str, holder: Holder) -> int:
    """Open a lock's file for a holder. Returns its descriptor. Raises OSError, StoreError."""
    check_regular(place)
    _open_holders.add(holder)
    descriptor = holder.open(place)
    check_regular(place, os.fstat(descriptor))
    return descriptor


def _forget_in_child() -> None:
    for holder in list(_open_holders):
        holder.forget()
        with suppress(OSError):
            _close_all(os.lstat(holder.place))


def _close_all(status: os.stat_result) -> None:
    """Close every descriptor of a file, also one that a thread opened just before the fork."""
    for name in os.listdir("/dev/fd"):
        with suppress(OSError):
            if os.path.samestat(os.fstat(int(name)), status):
                os.close(int(name))


system.in_a_forked_child(_forget_in_child)


def _held_by(reference: weakref.ref[Holder] | None, thread: int | None = None) -> bool:
    """Whether a lock is held, by a certain thread or by any."""
    holder = reference() if reference else None
    return holder is not None and holder.active and thread in (None, holder.thread)


def _write_owner(descriptor: int) -> None:
    """Write a note of this process into the lock's file, unless the file has a text of another kind.

    The note is for people only, so errors of the disk are ignored.
    """
    import json
    import platform  # which numpy has imported; socket takes long
    from datetime import UTC, datetime

    since = datetime.now(UTC).isoformat(timespec="seconds")
    note = json.dumps({"pid": os.getpid(), "host": platform.node(), "since": since})
    with suppress(OSError):
        content = _note(descriptor).strip(b"\0")
        if not content or content.startswith(b'{"pid"'):
            # Always the same length: to overwrite costs the disk less than to truncate and write anew.
            os.lseek(descriptor, 0, os.SEEK_SET)
            os.write(descriptor, note.encode().ljust(_NOTE_WIDTH) + b"\n")


def _note(descriptor: int) -> bytes:
    """Read the beginning of a lock's file."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    return os.read(descriptor, _NOTE_BYTES)


def _owner(descriptor: int) -> str:
    """The holder of the lock in words, by the note in its file; "another process" if there is none."""
    import json

    try:
        note = json.loads(_note(descriptor))
        pid, host, since = int(note["pid"]), str(note["host"]), str(note["since"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return "another process"
    return f"process {pid} on {host}, since {since},"
