"""The writer's lock: one writer at a time, over threads and processes, and who it is."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from femtosearch.disk import on_disk
from femtosearch.errors import LockedError

_PAUSE = 0.01  # seconds between two attempts


class FolderLock:
    """An advisory lock (flock) on a file of the folder; the kernel releases it when the holder dies.

    The file is never removed, and says who holds the lock: process, host and since when.
    """

    def __init__(self, path: Path) -> None:
        self.place = os.fspath(path)
        self._owner: int | None = None

    @contextmanager
    def hold(self, timeout: float) -> Iterator[None]:
        """Wait up to `timeout` seconds for the lock. Raises LockedError, naming the holder; StoreError."""
        if self._owner == threading.get_ident():
            raise LockedError(f"{self.place}: this thread is writing already; let that call return first")
        descriptor = self._take(time.monotonic() + timeout)
        try:
            self._owner = threading.get_ident()
            yield
        finally:
            self._owner = None
            self._release(descriptor)

    @on_disk
    def _take(self, deadline: float) -> int:
        descriptor = os.open(self.place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            while not _locked(descriptor):
                if time.monotonic() >= deadline:
                    holder = _holder(descriptor)
                    raise LockedError(f"{self.place}: {holder} is writing; try again when it is done")
                time.sleep(_PAUSE)
            _sign(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    @staticmethod
    def _release(descriptor: int) -> None:
        try:
            os.ftruncate(descriptor, 0)
        except OSError:  # who held it last is of no consequence
            pass
        finally:
            os.close(descriptor)


class MemoryLock:
    """The same for an index in memory: between the threads of one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner: int | None = None

    @contextmanager
    def hold(self, timeout: float) -> Iterator[None]:
        """Wait up to `timeout` seconds for the lock. Raises LockedError."""
        if self._owner == threading.get_ident():
            raise LockedError("this thread is writing to the index already; let that call return first")
        if not self._lock.acquire(timeout=timeout):
            raise LockedError("another thread is writing to the index; try again when it is done")
        try:
            self._owner = threading.get_ident()
            yield
        finally:
            self._owner = None
            self._lock.release()

    def held_here(self) -> bool:
        """Whether this thread has the lock."""
        return self._owner == threading.get_ident()


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sign(descriptor: int) -> None:
    """Say who holds the lock. It is for people only: a disk that is too full for it is no reason to stop."""
    since = datetime.now(UTC).isoformat(timespec="seconds")
    note = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since}) + "\n"
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, note.encode(), 0)
    except OSError:
        pass


def _holder(descriptor: int) -> str:
    """Who holds the lock, as far as the file says."""
    try:
        note = json.loads(os.pread(descriptor, 4096, 0))
        pid, host, since = int(note["pid"]), str(note["host"]), str(note["since"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return "another process"
    return f"process {pid} on {host}, since {since},"
