"""The store of one index: its catalogue, its segments and its lock, in a folder or in memory."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from femtosearch.disk import check_folder, make_folder, refusal
from femtosearch.errors import StoreError
from femtosearch.index.catalog import Catalog, State
from femtosearch.index.claim import SUFFIX
from femtosearch.index.connection import create as create_catalog
from femtosearch.index.lock import FolderLock, MemoryLock, WriterLock
from femtosearch.index.schema import Origin
from femtosearch.index.segments import Directory, FolderDirectory, MemoryDirectory
from femtosearch.index.tables import ALWAYS

if TYPE_CHECKING:
    from femtosearch.fde import Fde
    from femtosearch.index.encoding import Encoding
    from femtosearch.index.transaction import Transaction

CATALOG, _LOCK, SEGMENTS = "catalog.db", "writer.lock", "segments"

T = TypeVar("T")


class Store:
    """The storage of an index. It has one writer at a time, and any number of readers.

    origin:  the model that the index was made with.
    """

    def __init__(self, catalog: Catalog, directory: Directory, lock: WriterLock, timeout: float) -> None:
        self.catalog = catalog
        self.directory = directory
        self.origin: Origin = catalog.origin
        self.lock = lock
        self._timeout = timeout
        self._pid = os.getpid()
        self._restoring = threading.RLock()
        self._encoding: Encoding | None = None

    @classmethod
    def in_memory(cls, origin: Origin, timeout: float, fde: Fde | None = None, when: str = ALWAYS) -> Store:
        """Make a store in memory, which ends with its process."""
        from femtosearch.fde import store_fde

        content = None if fde is None else store_fde(fde, origin.dims)
        return cls(Catalog.in_memory(origin, content, when), MemoryDirectory(), MemoryLock(), timeout)

    @classmethod
    def open(cls, folder: Path, timeout: float) -> Store | None:
        """The store in a folder, or None where a new one may be made. Raises StoreError."""
        try:
            if not is_index(folder):
                return None
            check_folder(folder / SEGMENTS)
            is_writable = os.access(folder, os.W_OK) and os.access(folder / CATALOG, os.W_OK)
        except OSError as error:
            raise refusal(error, os.fspath(folder)) from error
        catalog = _open_catalog(folder / CATALOG, is_writable, timeout)
        return cls(catalog, FolderDirectory(folder / SEGMENTS), FolderLock(folder / _LOCK), timeout)

    @classmethod
    def create(
        cls, folder: Path, origin: Origin, timeout: float, fde: Fde | None = None, when: str = ALWAYS
    ) -> Store:
        """Make a store in an absent or empty folder, or open one that another process made meanwhile.

        The catalogue is made last: a folder without it is no index. Raises StoreError.
        """
        from femtosearch.fde import store_fde

        content = None if fde is None else store_fde(fde, origin.dims)
        try:
            make_folder(folder)
            with FolderLock(folder / _LOCK).hold(timeout):
                if not is_index(folder):
                    if not check_folder(folder / SEGMENTS):
                        (folder / SEGMENTS).mkdir()
                    create_catalog(folder / CATALOG, origin, content, when)
        except (OSError, sqlite3.Error) as error:
            raise refusal(error, os.fspath(folder)) from error
        store = cls.open(folder, timeout)
        if store is None:
            raise StoreError(f"{folder}: the index vanished while it was made: try again")
        return store

    def hold_lock(self) -> AbstractContextManager[None]:
        """Hold the writer's lock while a block runs. Raises LockedError, StoreError."""
        return self.lock.hold(self._timeout)

    def pause_writers(self) -> AbstractContextManager[None]:
        """Keep all writers out while a block runs, where this process may write and does not do so already.

        Raises LockedError, StoreError.
        """
        return self.hold_lock() if self.catalog.writable and not self.lock.held_here() else nullcontext()

    def beside_writers(self, attempt: Callable[[], T | None], attempts: int) -> T | None:
        """The result of the first attempt that has one. After so many without, writers wait for one more.

        attempt:  returns None where the index has moved on meanwhile. Raises LockedError, StoreError.
        """
        for _ in range(attempts):
            if (result := attempt()) is not None:
                return result
        with self.pause_writers():
            return attempt()

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Open a transaction: it is committed when the block ends, or rolled back. The lock must be held.

        Files of segments that no transaction names are removed first. Raises StoreError.
        """
        with self.catalog.write() as transaction:
            self.directory.collect_garbage(transaction.segments())
            yield transaction
            self.check_process()

    def check_process(self) -> None:
        """Raise StoreError in a process that was forked while this one wrote."""
        if os.getpid() != self._pid:
            raise StoreError("the index was opened before a fork: open it again in this process")

    def encoding(self, state: State | Transaction) -> Encoding | None:
        """The FDE of the index as of a state, or as a transaction sees it. Raises StoreError."""
        from femtosearch.index.encoding import restore
        from femtosearch.index.transaction import Transaction

        digest = state.fde_digest() if isinstance(state, Transaction) else state.fde
        if digest is None:
            return None
        with self._restoring:
            encoding = self._encoding
            if encoding is None or encoding.digest != digest:
                if isinstance(state, Transaction):
                    content = state.fde_content()
                else:
                    content = self.catalog.fde_content(digest)
                encoding = restore(content, digest, self.origin.dims, self.catalog.place)
                self._encoding = encoding
        return encoding

    def close(self) -> None:
        """Close the catalogue."""
        self.catalog.close()


def holds_index(folder: str | os.PathLike[str]) -> bool:
    """Whether there seems to be an index in a folder, by the name of its catalogue."""
    return os.path.exists(os.path.join(folder, CATALOG))


def is_index(folder: Path) -> bool:
    """Whether a folder has a catalogue; False if an index may be made in it. Raises StoreError if neither."""
    if "\0" in os.fspath(folder):
        raise StoreError(f"{os.fspath(folder)!r}: expected a folder, found a name with a NUL: choose another")
    if not folder.exists():
        return False
    if not folder.is_dir():
        raise StoreError(f"{folder}: expected a folder, found a file: choose another name")
    if os.path.lexists(folder / CATALOG):
        return True
    # A process that died while it made an index leaves only files with these names behind.
    foreign = [name for name in os.listdir(folder) if not name.startswith(f"{CATALOG}.part")]
    foreign = sorted(set(foreign) - {_LOCK, _LOCK + SUFFIX, SEGMENTS})
    if check_folder(folder / SEGMENTS) and os.listdir(folder / SEGMENTS):
        raise StoreError(f"{folder}: an index without its {CATALOG}: restore it, or choose another folder")
    if foreign:
        raise StoreError(
            f"{folder}: not an index, and not empty (it has {foreign[0]!r}): choose another folder; nothing "
            "was changed"
        )
    return False


def _open_catalog(path: Path, is_writable: bool, timeout: float) -> Catalog:
    """Open a catalogue, read-only if it cannot be written. Raises StoreError."""
    if not is_writable:
        reason = "the folder cannot be written"
        return Catalog(path, writable=False, timeout=timeout, reason=reason)
    try:
        return Catalog(path, timeout=timeout)
    except StoreError as error:
        code = getattr(error.__cause__, "sqlite_errorcode", 0) & 0xFF
        if code not in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL):
            raise
        reason = "the disk had no space for a log: free some and open it again"
        with suppress(StoreError):
            return Catalog(path, writable=False, timeout=timeout, reason=reason)
        raise
