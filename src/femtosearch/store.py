"""The store: catalog, segments and lock of one index, in a folder or in memory, and their commits."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from femtosearch.catalog import Catalog, Origin, Transaction, recognise
from femtosearch.disk import refusal, sync_folder
from femtosearch.errors import ModelMismatch, StoreError
from femtosearch.lock import FolderLock, MemoryLock
from femtosearch.segment import Summary
from femtosearch.shelf import FolderShelf, MemoryShelf, Shelf, Volumes
from femtosearch.snapshot import Snapshot, load, open_named

SEGMENT_BYTES = 64 << 20  # of one segment, about
_FEW = 8  # segments of one size that are left side by side
_SMALL = 64 << 10  # bytes of the smallest size

_CATALOG, _LOCK, _SEGMENTS = "catalog.db", "writer.lock", "segments"


@dataclass(frozen=True, slots=True, eq=False)
class Copy:
    """Segments that hold the living passages of others, and the dead keys that are in them no more."""

    replaced: list[int]
    made: dict[int, Summary]
    gone: np.ndarray


class Store:
    """What an index keeps. One writer at a time; any number of readers, each with a snapshot of its own."""

    def __init__(self, catalog: Catalog, shelf: Shelf, lock: FolderLock | MemoryLock, timeout: float) -> None:
        self.catalog = catalog
        self.shelf = shelf
        self.origin = catalog.origin()
        self._lock = lock
        self._timeout = timeout
        self._loading = threading.Lock()
        self._snapshot: Snapshot | None = None

    @classmethod
    def in_memory(cls, origin: Origin, timeout: float) -> Store:
        """A new store that dies with its process."""
        return cls(Catalog.in_memory(origin), MemoryShelf(), MemoryLock(), timeout)

    @classmethod
    def open(cls, folder: Path, origin: Origin | None, timeout: float) -> Store:
        """The store in a folder, made if absent and an origin is given. Raises StoreError, ModelMismatch."""
        lock = FolderLock(folder / _LOCK)
        try:
            if not _is_index(folder):
                if origin is None:
                    raise StoreError(f"{folder}: there is no index here: make one by adding documents")
                _create(folder, origin, lock, timeout)
            recognise(folder / _CATALOG)
        except OSError as error:
            raise refusal(error, os.fspath(folder)) from error
        writable = os.access(folder, os.W_OK) and os.access(folder / _CATALOG, os.W_OK)
        catalog = Catalog(folder / _CATALOG, writable=writable)
        try:
            store = cls(catalog, FolderShelf(folder / _SEGMENTS), lock, timeout)
            _check_origin(folder, store.origin, origin)
        except BaseException:
            catalog.close()
            raise
        return store

    def snapshot(self) -> Snapshot:
        """All living passages as of the last commit of any process. Raises StoreError."""
        if isinstance(self._lock, MemoryLock) and self._lock.held_here():
            raise StoreError("an index in memory cannot be searched inside its own add: search it later")
        with self._loading:
            if self._snapshot is None or self._snapshot.version != self.catalog.version():
                self._snapshot = load(self.catalog, self.shelf, self.origin.dims, self._snapshot)
            return self._snapshot

    @contextmanager
    def writing(self) -> Iterator[tuple[Transaction, Volumes]]:
        """One commit: what is put into transaction and volumes counts when the block ends, or not at all.

        The segments are on the disk under their names before the transaction that names them is committed.
        Raises LockedError, StoreError.
        """
        with self._lock.hold(self._timeout):
            try:
                with self.catalog.write() as transaction:
                    self.shelf.sweep(transaction.segments())
                    volumes = self._volumes(transaction)
                    try:
                        yield transaction, volumes
                        transaction.name(volumes.finish())
                        self._merge_small(transaction)
                        kept = list(transaction.segments())
                    except BaseException:
                        volumes.abandon()
                        raise
            except BaseException:
                # The next writer sweeps too; this one frees the room at once, where the disk lets it.
                with suppress(StoreError):
                    self.shelf.sweep(self.catalog.state().segments)
                raise
            with suppress(StoreError):
                self.shelf.sweep(kept)

    def compact(self) -> None:
        """Rewrite the segments that have dead passages, and join small neighbours. Raises StoreError."""
        with self.writing() as (transaction, _):
            dead = transaction.dead()
            segments = transaction.segments()
            for due, group in groupby(segments.items(), lambda item: self._due(item[0], item[1], dead)):
                run = dict(group)
                if due and (len(run) > 1 or self._has_dead(*next(iter(run.items())), dead)):
                    self._replace(transaction, self._copy(transaction, run))
            transaction.shrink()

    def close(self) -> None:
        self._snapshot = None
        self.catalog.close()

    def _volumes(self, transaction: Transaction) -> Volumes:
        return Volumes(self.shelf, self.origin.dims, transaction.next_number(), SEGMENT_BYTES)

    def _has_dead(self, number: int, summary: Summary, dead: np.ndarray) -> bool:
        return bool(np.isin(open_named(self.shelf, number, summary, self.origin.dims).keys, dead).any())

    def _due(self, number: int, summary: Summary, dead: np.ndarray) -> bool:
        return summary.bytes < SEGMENT_BYTES // 2 or self._has_dead(number, summary, dead)

    def _copy(self, transaction: Transaction, run: dict[int, Summary]) -> Copy:
        """Copy the living passages of neighbouring segments, code by code. Raises StoreError."""
        dead = transaction.dead()
        gone = [dead[:0]]
        volumes = self._volumes(transaction)
        try:
            for number, summary in run.items():
                segment = open_named(self.shelf, number, summary, self.origin.dims)
                segment.verify()  # or damage would be copied under a checksum that fits
                lost = np.isin(segment.keys, dead)
                gone.append(np.unique(segment.keys[lost]))
                volumes.append(segment.part(~lost))
            return Copy(list(run), volumes.finish(), np.concatenate(gone))
        except BaseException:
            volumes.abandon()
            raise

    @staticmethod
    def _replace(transaction: Transaction, copy: Copy) -> None:
        transaction.drop(copy.replaced, copy.gone)
        transaction.name(copy.made)

    def _merge_small(self, transaction: Transaction) -> None:
        """Keep many small adds from becoming many small segments: join the last 8 of a size.

        The next size is 8 times as large, so a row is copied a few times in all, however it was added.
        """
        segments = list(transaction.segments().items())
        size = _SMALL
        while size * _FEW <= SEGMENT_BYTES:
            tail = len(segments)
            while tail and segments[tail - 1][1].bytes < size:
                tail -= 1
            if len(segments) - tail >= _FEW:
                try:
                    copy = self._copy(transaction, dict(segments[tail:]))
                except (
                    StoreError
                ):  # what was added counts even if an old segment is damaged or the disk too full
                    return
                return self._replace(transaction, copy)
            size *= _FEW


def _is_index(folder: Path) -> bool:
    """Whether there is a catalog; False where a new index may be made. Raises StoreError where it may not."""
    if not folder.exists():
        return False
    if not folder.is_dir():
        raise StoreError(f"{folder}: expected a folder, found a file: choose another name")
    if (folder / _CATALOG).exists():
        return True
    # A process that died while it made an index leaves some of its own names behind, and nothing else.
    foreign = [name for name in os.listdir(folder) if not name.startswith(f"{_CATALOG}.part")]
    foreign = sorted(set(foreign) - {_LOCK, _SEGMENTS})
    if (folder / _SEGMENTS).is_dir() and os.listdir(folder / _SEGMENTS):
        raise StoreError(f"{folder}: an index without its {_CATALOG}: restore it, or choose another folder")
    if foreign:
        raise StoreError(
            f"{folder}: not an index, and not empty (it has {foreign[0]!r}): choose another folder; nothing "
            "was changed"
        )
    return False


def _create(folder: Path, origin: Origin, lock: FolderLock, timeout: float) -> None:
    """Make an index in an absent or empty folder; its catalog, the last step, makes it one."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        with suppress(PermissionError):  # a parent may let us in without letting itself be read
            sync_folder(path.parent)
    with lock.hold(timeout):
        if not _is_index(folder):
            (folder / _SEGMENTS).mkdir(exist_ok=True)
            Catalog.create(folder / _CATALOG, origin)


def _check_origin(folder: Path, found: Origin, wanted: Origin | None) -> None:
    if wanted is None or (found.fingerprint, found.dims) == (wanted.fingerprint, wanted.dims):
        return
    raise ModelMismatch(
        f"{folder}: made with the model {_described(found)}, opened with {_described(wanted)}: open it with "
        "its own model, or index the documents again in another folder"
    )


def _described(origin: Origin) -> str:
    return f"{origin.name!r} ({origin.dims} dims, fingerprint {origin.fingerprint[:12]})"
