"""All living passages at one moment: what a search scans, and how the best documents are picked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from femtosearch.codes import maxsim_parts
from femtosearch.errors import CorruptError, FdeError
from femtosearch.fde import Fde, described, inner_products, nearest, restore_fde
from femtosearch.index.catalog import Catalog, State
from femtosearch.index.segment import Segment, Summary, Widths
from femtosearch.index.segments import SegmentGone, Shelf

_ATTEMPTS = 100


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One segment and which of its passages live.

    dead:   [*] int64: the dead keys between its first key and its last.
    alive:  [N] bool: the living passages, or None where all live.
    which:  [M] int64: their numbers, or None.
    """

    segment: Segment
    dead: np.ndarray
    alive: np.ndarray | None
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


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Documents and the scores of their passages.

    keys:    [K] int64, rising.
    scores:  [K] float32, a document's best; -inf for no hit.
    first:   [K] int64: where each document's passages begin in `places` and `by_passage`.
    places:  [M] int64, rising: the passages that were scored, or None: all of the snapshot's.
    by_passage:  [M] float32.
    """

    keys: np.ndarray
    scores: np.ndarray
    first: np.ndarray
    places: np.ndarray | None
    by_passage: np.ndarray

    def place(self, document: int) -> int:
        """The best passage of one of the documents, among the snapshot's; the first of equals."""
        begin, end = np.append(self.first[document : document + 2], len(self.by_passage))[:2]
        best = int(begin + np.argmax(self.by_passage[begin:end]))
        return best if self.places is None else int(self.places[best])


@dataclass(frozen=True, slots=True, eq=False)
class Encoding:
    """The FDE of an index and the bytes that it is stored as."""

    content: bytes
    fde: Fde
    dims: int

    def described(self) -> dict[str, Any]:
        """Its kind, its dims and its parameters."""
        return described(self.fde, self.dims)


class Snapshot:
    """The living passages, end to end over all segments; never changed once made.

    encoding:  the FDE that the passages have, or None.
    keys:      [documents] int64, rising: the documents that have passages.
    first:     [documents] int64: where each document's passages begin among the living ones.
    rows:      how many rows the living passages have.
    """

    def __init__(
        self, version: tuple[int, ...], views: dict[int, View], encoding: Encoding | None = None
    ) -> None:
        self.version = version
        self.views = views
        self.encoding = encoding
        self.rows = sum(view.rows for view in views.values())
        self.passages = sum(view.living for view in views.values())
        self._bounds = np.cumsum([0] + [view.living for view in views.values()])
        keys = np.concatenate([np.empty(0, np.int64)] + [view.keys for view in views.values()])
        self.first = np.flatnonzero(np.diff(keys, prepend=keys[:1] - 1))
        self.keys = keys[self.first]

    def scores(self, query: np.ndarray, places: np.ndarray | None = None) -> np.ndarray:
        """MaxSim of a query [Q, D] float32 with living passages: [passages] float32, -inf for no hit.

        places:  [M] int64, rising: only these, [M] float32.
        """
        parts = [(view.segment.codes, view.segment.starts, which) for view, which in self._which(places)]
        return _scores([maxsim_parts(query, parts)])

    def products(self, vector: np.ndarray) -> np.ndarray:
        """The inner product of a query's FDE with each living passage's: [passages] float32.

        vector:  [P] float32: the first P of the FDE's numbers, or all.
        """
        parts = []
        for view in self.views.values():
            assert view.segment.fde is not None
            whole = np.pad(vector, (0, view.segment.fde_dims - len(vector)))
            products = inner_products(whole, view.segment.fde)
            parts.append(products if view.which is None else products[view.which])
        return _scores(parts)

    def candidates(self, vector: np.ndarray, count: int) -> np.ndarray:
        """The places of the `count` largest products, rising; of equals the first: [M] int64.

        vector:  [P] float32: the first P numbers of a query's FDE.
        """
        views = list(self.views.values())
        parts = [(view.segment.fde, view.alive) for view in views if view.segment.fde is not None]
        numbers, _ = nearest(vector, parts, count)
        if all(view.which is None for view in views):
            return numbers
        ends = np.cumsum([view.segment.passages for view in views])
        owner = np.searchsorted(ends, numbers, side="right")
        places = np.empty_like(numbers)
        for n in np.unique(owner):
            which, inside = views[n].which, owner == n
            local = numbers[inside] - (ends[n] - views[n].segment.passages)
            places[inside] = self._bounds[n] + (local if which is None else np.searchsorted(which, local))
        return places

    def rank(self, by_passage: np.ndarray, places: np.ndarray | None = None) -> Ranking:
        """Documents by the best of their passages, of all or of those at `places`."""
        keys, first = self.keys, self.first
        if places is not None:
            documents = self._owners[places]
            first = np.flatnonzero(np.diff(documents, prepend=-1))
            keys = keys[documents[first]]
        scores = np.maximum.reduceat(by_passage, first) if len(first) else by_passage
        return Ranking(keys, scores, first, places, by_passage)

    @cached_property
    def _owners(self) -> np.ndarray:
        """[passages] int32: of each living passage, the number of its document."""
        return np.repeat(
            np.arange(len(self.first), dtype=np.int32), np.diff(self.first, append=self.passages)
        )

    def span(self, place: int) -> tuple[int, int]:
        """Where a passage lies in its document's text, in characters."""
        number = int(np.searchsorted(self._bounds, place, side="right")) - 1
        view = list(self.views.values())[number]
        local = place - int(self._bounds[number])
        start, stop = view.segment.spans[local if view.which is None else view.which[local]]
        return int(start), int(stop)

    def _which(self, places: np.ndarray | None) -> Iterator[tuple[View, np.ndarray | None]]:
        """Each segment with the numbers of its passages that are meant; None for all."""
        for view, begin, end in zip(self.views.values(), self._bounds, self._bounds[1:], strict=False):
            if places is None:
                yield view, view.which
                continue
            first, last = np.searchsorted(places, (begin, end))
            if first < last:
                local = places[first:last] - begin
                yield view, local if view.which is None else view.which[local]


def _scores(parts: list[np.ndarray]) -> np.ndarray:
    """End to end; what a damaged file makes of a score is no hit."""
    scores = np.concatenate([np.empty(0, np.float32), *parts])
    scores[~np.isfinite(scores)] = -np.inf
    return scores


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


def restore(content: bytes | None, dims: int, place: str) -> Encoding | None:
    """The FDE that a catalog holds, for rows of `dims`. Raises CorruptError."""
    if content is None:
        return None
    try:
        fde = restore_fde(content, place)
        return Encoding(content, fde, fde.size(dims))
    except FdeError as error:
        raise CorruptError(f"{error}: restore a copy of the index or index again") from error


def _snapshot(state: State, shelf: Shelf, dims: int, before: Snapshot | None) -> Snapshot:
    known = before.views if before else {}
    encoding = before.encoding if before else None
    if (encoding.content if encoding else None) != state.fde:
        encoding = restore(state.fde, dims, shelf.place)
    widths = widths_of(dims, encoding)
    views: dict[int, View] = {}
    for number, summary in state.segments.items():
        old = known.get(number)
        segment = old.segment if old else open_named(shelf, number, summary, widths)
        dead = _between(state.dead, segment.keys)
        if old and np.array_equal(old.dead, dead):
            views[number] = old
        else:
            alive = ~np.isin(segment.keys, dead) if len(dead) else None
            views[number] = View(segment, dead, alive, None if alive is None else np.flatnonzero(alive))
    return Snapshot(state.version, views, encoding)


def widths_of(dims: int, encoding: Encoding | None) -> Widths:
    """Of an index's segments."""
    return Widths(dims) if encoding is None else Widths(dims, encoding.dims, encoding.fde.code_bits)


def open_named(shelf: Shelf, number: int, summary: Summary, widths: Widths) -> Segment:
    """A segment that the catalog names, checked to be that very one. Raises CorruptError, SegmentGone."""
    segment = shelf.open(number)
    first = int(segment.keys[0]) if segment.passages else 0
    found = Summary(first, segment.passages, segment.rows, segment.bytes, segment.checksum)
    if found != summary or segment.widths != widths:
        raise CorruptError(
            f"{segment.name}: the catalog names {summary} of {_said(widths)}, the file holds {found} of "
            f"{_said(segment.widths)}; restore a copy of the whole index or index again"
        )
    return segment


def _said(widths: Widths) -> str:
    return f"{widths.dims} dims and FDEs of {widths.fde_dims} numbers of {widths.fde_bits} bits"


def _between(dead: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """The dead keys from the first key of a segment to its last."""
    if not len(keys) or not len(dead):
        return dead[:0]
    return dead[np.searchsorted(dead, keys[0]) : np.searchsorted(dead, keys[-1], side="right")]
