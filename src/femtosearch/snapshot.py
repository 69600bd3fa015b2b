"""All living passages at one moment: what a search scans, and how the best documents are picked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from femtosearch.catalog import Catalog, State
from femtosearch.codes import maxsim_codes
from femtosearch.errors import CorruptError
from femtosearch.segment import Segment, Summary
from femtosearch.shelf import SegmentGone, Shelf

_ATTEMPTS = 100


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One segment and which of its passages live.

    dead:   [*] int64: the dead keys between its first key and its last.
    which:  [M] int64: the living passages, or None where all live.
    """

    segment: Segment
    dead: np.ndarray
    which: np.ndarray | None

    @property
    def living(self) -> int:
        return self.segment.passages if self.which is None else len(self.which)

    @property
    def rows(self) -> int:
        lengths = np.diff(self.segment.starts)
        return int(lengths.sum() if self.which is None else lengths[self.which].sum())

    @property
    def keys(self) -> np.ndarray:
        return self.segment.keys if self.which is None else self.segment.keys[self.which]


class Snapshot:
    """The living passages, end to end over all segments; never changed once made.

    keys:    [documents] int64, rising: the documents that have passages.
    first:   [documents] int64: where each document's passages begin among the living ones.
    """

    def __init__(self, version: tuple[int, ...], views: dict[int, View]) -> None:
        self.version = version
        self.views = views
        self.passages = sum(view.living for view in views.values())
        self._bounds = np.cumsum([0] + [view.living for view in views.values()])
        keys = np.concatenate([np.empty(0, np.int64)] + [view.keys for view in views.values()])
        self.first = np.flatnonzero(np.diff(keys, prepend=keys[:1] - 1))
        self.keys = keys[self.first]

    def scores(self, query: np.ndarray) -> np.ndarray:
        """MaxSim of a query [Q, D] float32 with each living passage: [passages] float32, -inf for no hit."""
        parts = [maxsim_codes(query, v.segment.codes, v.segment.starts, v.which) for v in self.views.values()]
        scores = np.concatenate([np.empty(0, np.float32), *parts])
        scores[~np.isfinite(scores)] = -np.inf
        return scores

    def by_document(self, scores: np.ndarray) -> np.ndarray:
        """The best of each document's passages: [documents] float32."""
        return np.maximum.reduceat(scores, self.first) if len(self.first) else scores

    def passage(self, document: int, scores: np.ndarray) -> tuple[int, int]:
        """The span, in characters, of a document's best passage; the first of equals."""
        begin = self.first[document]
        end = self.first[document + 1] if document + 1 < len(self.first) else self.passages
        best = int(begin + np.argmax(scores[begin:end]))
        place = int(np.searchsorted(self._bounds, best, side="right")) - 1
        view = list(self.views.values())[place]
        local = best - int(self._bounds[place])
        start, stop = view.segment.spans[local if view.which is None else view.which[local]]
        return int(start), int(stop)


def best(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The places of the k largest scores: those that are so for sure, and those that tie for the rest.

    scores:  [N] float32, -inf where there is no hit.
    >>> best(np.array([1, 3, 2, 2, -np.inf], np.float32), 2)
    (array([1]), array([2, 3]))
    """
    k = min(k, int(np.count_nonzero(scores > -np.inf)))
    if k == 0:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    last = np.partition(scores, len(scores) - k)[len(scores) - k]
    return np.flatnonzero(scores > last), np.flatnonzero(scores == last)


def load(catalog: Catalog, shelf: Shelf, dims: int, before: Snapshot | None) -> Snapshot:
    """The snapshot of now, with what is still true of the one before. Raises StoreError, CorruptError.

    A segment that is gone means that another process has compacted since the catalog was read: read it again.
    """
    for attempt in range(_ATTEMPTS):
        state = catalog.state()
        try:
            return _snapshot(state, shelf, dims, before)
        except SegmentGone:
            if catalog.version() == state.version or attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def _snapshot(state: State, shelf: Shelf, dims: int, before: Snapshot | None) -> Snapshot:
    known = before.views if before else {}
    views: dict[int, View] = {}
    for number, summary in state.segments.items():
        old = known.get(number)
        segment = old.segment if old else open_named(shelf, number, summary, dims)
        dead = _between(state.dead, segment.keys)
        if old and np.array_equal(old.dead, dead):
            views[number] = old
        else:
            living = None if not len(dead) else np.flatnonzero(~np.isin(segment.keys, dead))
            views[number] = View(segment, dead, living)
    return Snapshot(state.version, views)


def open_named(shelf: Shelf, number: int, summary: Summary, dims: int) -> Segment:
    """A segment that the catalog names, checked to be that very one. Raises CorruptError, SegmentGone."""
    segment = shelf.open(number)
    first = int(segment.keys[0]) if segment.passages else 0
    found = Summary(first, segment.passages, segment.rows, segment.bytes, segment.checksum)
    if found != summary or segment.dims != dims:
        raise CorruptError(
            f"{segment.name}: the catalog names {summary} of {dims} dims, the file holds {found} of "
            f"{segment.dims}; restore a copy of the whole index or index again"
        )
    return segment


def _between(dead: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """The dead keys from the first key of a segment to its last."""
    if not len(keys) or not len(dead):
        return dead[:0]
    return dead[np.searchsorted(dead, keys[0]) : np.searchsorted(dead, keys[-1], side="right")]
