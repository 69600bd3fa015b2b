"""The snapshots of one store: taken, kept until a commit makes them stale, and asked."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from femtosearch.errors import StoreError
from femtosearch.index.catalog import State
from femtosearch.index.keys import between
from femtosearch.index.lock import MemoryLock
from femtosearch.index.postings import PostingsCache
from femtosearch.index.segment import Segment
from femtosearch.index.segments import OutdatedError, open_segment
from femtosearch.index.snapshot import DerivedFdes, Snapshot, View
from femtosearch.index.store import Store

_ATTEMPTS = 100  # beside writers; then they have to wait

T = TypeVar("T")


class Snapshots:
    """Takes snapshots of one store. The last one is kept until a commit, by any process, makes it stale."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._taking = threading.RLock()  # not Lock: an interrupted thread must not wait for itself
        self._last: Snapshot | None = None
        self._derived = DerivedFdes()
        self._postings = PostingsCache()

    def take(self) -> Snapshot:
        """Take a snapshot as of the last commit of any process. Raises StoreError, CorruptError.

        If a segment is missing because another process has compacted since the catalogue was read, the
        catalogue is read again.
        """
        if isinstance(self._store.lock, MemoryLock) and self._store.lock.held_here():
            raise StoreError("an index in memory cannot be searched inside its own add: search it later")
        catalog = self._store.catalog
        with self._taking:
            last = self._last
            for attempt in range(_ATTEMPTS):
                if last is not None and last.state.version == catalog.version():
                    return last
                state = catalog.state()
                try:
                    last = self._last = self._snapshot(state)
                    return last
                except OutdatedError:
                    if catalog.version() == state.version or attempt == _ATTEMPTS - 1:
                        raise
        raise AssertionError("unreachable")

    def ask(self, question: Callable[[Snapshot], T | None]) -> T:
        """Call a function with the current snapshot, and return its result. It is called again, with a new
        snapshot, if there was a commit meanwhile: if it returns None, or raises OutdatedError. Where writers
        are always faster, they have to wait.

        Raises StoreError, CorruptError, and the errors of the function.
        """
        answer = self._store.beside_writers(lambda: self._ask_once(question), _ATTEMPTS)
        if answer is None:
            place = self._store.catalog.place
            raise StoreError(f"{place}: it was changed faster than it could be read: try again")
        return answer

    def _ask_once(self, question: Callable[[Snapshot], T | None]) -> T | None:
        """The function's result; None if there was a commit meanwhile."""
        snapshot = self.take()
        try:
            return question(snapshot)
        except OutdatedError:
            if self._store.catalog.version() == snapshot.state.version:
                raise
            return None

    def release(self) -> None:
        """Release the last snapshot, and the segments that it has open."""
        self._last = None

    def _snapshot(self, state: State) -> Snapshot:
        views: dict[int, View] = {}
        earlier = self._last.views if self._last else {}
        if self._last is None or self._last.state.version[0] != state.version[0]:
            earlier = {}  # it may be another database, with other documents under the same keys
            self._postings = PostingsCache()
        elif self._last.state.has_plain_words != state.has_plain_words:
            self._postings = PostingsCache()  # the same documents have other words now
        for number, summary in state.segments.items():
            view = earlier.get(number)
            if view is None:
                segment = open_segment(self._store.directory, number, summary, self._store.origin.dims)
            else:
                segment = view.segment
            tombstones = between(state.tombstones, segment.keys)
            if view is None or not np.array_equal(view.tombstones, tombstones):
                view = _view(segment, tombstones)
            views[number] = view
        return Snapshot(self._store, state, views, self._derived, self._postings)


def _view(segment: Segment, tombstones: np.ndarray) -> View:
    alive = ~np.isin(segment.keys, tombstones) if len(tombstones) else None
    return View(segment, tombstones, alive, None if alive is None else np.flatnonzero(alive))
