"""The store: catalog, segments and lock of one index, in a folder or in memory, and their commits."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np

from femtosearch.codes import quantise
from femtosearch.disk import refusal, sync_folder
from femtosearch.errors import FdeError, ModelMismatch, StoreError
from femtosearch.fde import Calibration, Fde, calibrated, store_fde
from femtosearch.fde.calibration import Sample, fit, prefixes_of
from femtosearch.index.batch import Coded, Part
from femtosearch.index.catalog import Catalog, Origin, recognise
from femtosearch.index.lock import FolderLock, MemoryLock
from femtosearch.index.segment import Segment, Summary
from femtosearch.index.segments import FolderShelf, MemoryShelf, Shelf, Volumes
from femtosearch.index.snapshot import Encoding, Snapshot, load, open_named, restore, widths_of
from femtosearch.index.transaction import Transaction
from femtosearch.types import Rows

SEGMENT_BYTES = 64 << 20  # of one segment, about
_FEW = 8  # segments of one size that are left side by side
_SMALL = 64 << 10  # bytes of the smallest size
_PIECE = 512  # passages whose FDEs are made at a time

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
        self._encoding: Encoding | None = None

    @classmethod
    def in_memory(cls, origin: Origin, timeout: float, fde: Fde | None = None) -> Store:
        """A new store that dies with its process."""
        content = None if fde is None else store_fde(fde, origin.dims)
        return cls(Catalog.in_memory(origin, content), MemoryShelf(), MemoryLock(), timeout)

    @classmethod
    def open(cls, folder: Path, origin: Origin | None, timeout: float, fde: Fde | None = None) -> Store:
        """The store in a folder. Raises StoreError, ModelMismatch.

        It is made if it is absent and an origin is given, with that FDE; one that is there keeps its own.
        """
        lock = FolderLock(folder / _LOCK)
        try:
            if not _is_index(folder):
                if origin is None:
                    raise StoreError(f"{folder}: there is no index here: make one by adding documents")
                content = None if fde is None else store_fde(fde, origin.dims)
                _create(folder, origin, content, lock, timeout)
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

    def stored_encoding(self) -> Encoding | None:
        """The FDE of the index as of the last commit. Raises StoreError."""
        return restore(self.catalog.state().fde, self.origin.dims, self.catalog.place)

    def encoding(self, transaction: Transaction) -> Encoding | None:
        """The FDE of the index, as a transaction sees it. Raises StoreError."""
        content = transaction.fde()
        if (self._encoding.content if self._encoding else None) != content:
            self._encoding = restore(content, self.origin.dims, self.catalog.place)
        return self._encoding

    def set_fde(self, fde: Fde | None) -> None:
        """Give every passage another FDE, made of its rows as they are stored, or none. Raises StoreError."""
        content = None if fde is None else store_fde(fde, self.origin.dims)
        with self.writing() as (transaction, _):
            before = self.encoding(transaction)
            transaction.set_fde(content)
            self._replace(transaction, self._copy(transaction, transaction.segments(), before))
            transaction.shrink()

    def calibrate(self, queries: Rows) -> Calibration:
        """Measure the FDE on all living passages, and store that with it. Raises FdeError, StoreError."""
        snapshot = self.snapshot()
        if snapshot.encoding is None:
            raise FdeError("the index has no FDE to calibrate: give it one with set_fde")
        fde, content = snapshot.encoding.fde, snapshot.encoding.content
        sample = Sample(snapshot.passages, prefixes_of(snapshot.encoding.dims))
        for query, vector in zip(queries, fde.queries(queries), strict=True):
            if len(query):
                sample.add(snapshot.scores(query), [snapshot.products(vector[:p]) for p in sample.prefixes])
        found = fit([sample])
        with self.writing() as (transaction, _):
            if transaction.fde() != content:
                raise StoreError("the index was given another FDE while this one was measured: start again")
            transaction.set_fde(store_fde(calibrated(fde, found), self.origin.dims))
        return found

    def with_fde(self, part: Part, encoding: Encoding | None) -> Part:
        """The part with the FDEs of its passages, made of the rows as they are stored."""
        if encoding is None:
            return replace(part, fde=None)
        rows = part.rows.values[:, : self.origin.dims] * part.rows.scales[:, None]
        fde = encoding.fde
        return replace(part, fde=Coded.of(quantise(fde.documents(Rows(rows, part.starts)), fde.code_bits)))

    def compact(self) -> None:
        """Rewrite the segments that have dead passages, and join small neighbours. Raises StoreError."""
        with self.writing() as (transaction, _):
            dead, encoding = transaction.dead(), self.encoding(transaction)

            def has_dead(number: int, summary: Summary) -> bool:
                return bool(np.isin(self._open(number, summary, encoding).keys, dead).any())

            def due(item: tuple[int, Summary]) -> bool:
                return item[1].bytes < SEGMENT_BYTES // 2 or has_dead(*item)

            for worth, group in groupby(transaction.segments().items(), due):
                run = dict(group)
                if worth and (len(run) > 1 or has_dead(*next(iter(run.items())))):
                    self._replace(transaction, self._copy(transaction, run, encoding))
            transaction.shrink()

    def close(self) -> None:
        self._snapshot = None
        self.catalog.close()

    def _volumes(self, transaction: Transaction) -> Volumes:
        encoding = self.encoding(transaction)
        widths = widths_of(self.origin.dims, encoding)
        return Volumes(self.shelf, widths, transaction.next_number(), SEGMENT_BYTES)

    def _open(self, number: int, summary: Summary, encoding: Encoding | None) -> Segment:
        return open_named(self.shelf, number, summary, widths_of(self.origin.dims, encoding))

    def _copy(self, transaction: Transaction, run: dict[int, Summary], source: Encoding | None) -> Copy:
        """Copy the living passages of neighbouring segments, code by code. Raises StoreError.

        source:  the FDE that they have. Where the transaction has another by now, they are given that one.
        """
        dead, target = transaction.dead(), self.encoding(transaction)
        gone = [dead[:0]]
        volumes = self._volumes(transaction)
        try:
            for number, summary in run.items():
                segment = self._open(number, summary, source)
                segment.verify()  # or damage would be copied under a checksum that fits
                lost = np.isin(segment.keys, dead)
                gone.append(np.unique(segment.keys[lost]))
                part = segment.part(~lost)
                for piece in [part] if target is source else part.pieces(_PIECE):
                    volumes.append(piece if target is source else self.with_fde(piece, target))
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
                    copy = self._copy(transaction, dict(segments[tail:]), self.encoding(transaction))
                except (
                    StoreError
                ):  # what was added counts even if an old segment is damaged or the disk too full
                    return
                return self._replace(transaction, copy)
            size *= _FEW


def origin_of(folder: Path) -> Origin | None:
    """The model that the index in a folder was made with; None where there is none yet. Raises StoreError."""
    try:
        if not _is_index(folder):
            return None
    except OSError as error:
        raise refusal(error, os.fspath(folder)) from error
    store = Store.open(folder, None, 0.0)
    store.close()
    return store.origin


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


def _create(folder: Path, origin: Origin, fde: bytes | None, lock: FolderLock, timeout: float) -> None:
    """Make an index in an absent or empty folder; its catalog, the last step, makes it one."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        with suppress(PermissionError):  # a parent may let us in without letting itself be read
            sync_folder(path.parent)
    with lock.hold(timeout):
        if not _is_index(folder):
            (folder / _SEGMENTS).mkdir(exist_ok=True)
            Catalog.create(folder / _CATALOG, origin, fde)


def _check_origin(folder: Path, found: Origin, wanted: Origin | None) -> None:
    if wanted is None or (found.fingerprint, found.dims) == (wanted.fingerprint, wanted.dims):
        return
    raise ModelMismatch(
        f"{folder}: made with the model {_described(found)}, opened with {_described(wanted)}: open it with "
        "its own model, or index the documents again in another folder"
    )


def _described(origin: Origin) -> str:
    return f"{origin.name!r} ({origin.dims} dims, fingerprint {origin.fingerprint[:12]})"
