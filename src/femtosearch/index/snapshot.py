"""A snapshot: all living passages at one moment, which a search scans."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from femtosearch.codes import LANES, Codes, Order, maxsim_parts
from femtosearch.frozen import frozen
from femtosearch.index.batch import BlockBuffer, RowCodes
from femtosearch.index.catalog import State
from femtosearch.index.keys import contains, positions
from femtosearch.index.postings import PostingsCache, TableState
from femtosearch.index.segment import Segment
from femtosearch.index.segments import check_widths
from femtosearch.index.store import Store

if TYPE_CHECKING:
    from femtosearch.index.encoding import Encoding

_Copied = tuple[Codes, np.ndarray, None]  # of some passages, as `maxsim_parts` takes them
Pieces = Sequence[np.ndarray]  # of a query: the rows of each, [Q, D] float32


@frozen(eq=False)
class View:
    """One segment and its living passages.

    tombstones:  [*] int64: the deleted keys between its first key and its last.
    alive:       [N] bool: which passages live; None if all do.
    which:       [M] int64: the numbers of the living passages; None if all live.
    """

    segment: Segment
    tombstones: np.ndarray
    alive: np.ndarray | None
    which: np.ndarray | None

    @property
    def living(self) -> int:
        """How many passages live."""
        return self.segment.passages if self.which is None else len(self.which)

    @property
    def rows(self) -> int:
        """How many rows the living passages have."""
        lengths = np.diff(self.segment.starts)
        return int(lengths.sum() if self.which is None else lengths[self.which].sum())

    @property
    def keys(self) -> np.ndarray:
        """The keys of the documents of the living passages, [M] int64, rising."""
        return self.segment.keys if self.which is None else self.segment.keys[self.which]


@frozen(eq=False)
class Ranking:
    """Documents and the scores of their passages.

    keys:    [K] int64, rising.
    scores:  [K] float32: the sum over the pieces of the query of the document's best score; -inf for no hit.
    first:   [K] int64: where each document's passages begin in `places` and `by_passage`.
    places:  [M] int64, rising: the passages that were scored; None for all of the snapshot.
    by_piece:    [pieces, M] float32: the score of each passage with each piece of the query.
    by_passage:  [M] float32: the sum of these over the pieces.
    """

    keys: np.ndarray
    scores: np.ndarray
    first: np.ndarray
    places: np.ndarray | None
    by_piece: np.ndarray
    by_passage: np.ndarray

    def place(self, document: int) -> int:
        """The place, in the snapshot, of the best passage of a document; the first of equals."""
        begin, end = np.append(self.first[document : document + 2], len(self.by_passage))[:2]
        best = int(begin + np.argmax(self.by_passage[begin:end]))
        return best if self.places is None else int(self.places[best])


class Snapshot:
    """The living passages of all segments, end to end. A snapshot never changes. A place is the number of a
    passage among them.

    state:     the state of the catalogue when the snapshot was taken.
    keys:      [documents] int64, rising: the documents that have passages.
    first:     [documents] int64: where each document's passages begin among the living ones.
    rows:      how many rows the living passages have.
    passages:  how many passages live.
    counts:    [documents] int64, how many passages each document has.
    words:     the table of words at that moment, if there is one.
    """

    def __init__(
        self, store: Store, state: State, views: dict[int, View], derived: DerivedFdes, cache: PostingsCache
    ) -> None:
        self.state = state
        self.views = views
        self.dims = store.origin.dims
        self.rows = sum(view.rows for view in views.values())
        self.passages = sum(view.living for view in views.values())
        self.selections: dict[Any, Any] = {}  # what filters have selected
        self._samples: dict[int, list[_Copied]] = {}
        self._store = store
        self._derived = derived
        self._bounds = np.cumsum([0] + [view.living for view in views.values()])
        keys = np.concatenate([np.empty(0, np.int64)] + [view.keys for view in views.values()])
        self.first = np.flatnonzero(np.diff(keys, prepend=keys[:1] - 1))
        self.keys = keys[self.first]
        self.counts = np.diff(self.first, append=self.passages)
        self.words = TableState(cache, self.keys)

    @property
    def has_words(self) -> bool:
        """Whether the index has the table of words."""
        return self.state.has_words

    @property
    def has_fde(self) -> bool:
        """Whether the index has an FDE."""
        return self.state.fde is not None

    @property
    def has_stored_fdes(self) -> bool:
        """Whether every segment has FDEs, so that a search need not make any."""
        return self.has_fde and all(view.segment.fde is not None for view in self.views.values())

    @property
    def has_split_fdes(self) -> bool:
        """Whether every segment has FDEs whose first numbers lie apart from the others."""
        stored = [view.segment.fde for view in self.views.values()]
        return self.has_fde and all(fde is not None and fde.order == Order.SPLIT for fde in stored)

    @cached_property
    def encoding(self) -> Encoding:
        """The FDE of the index, which must have one. Raises CorruptError, OutdatedError."""
        from femtosearch.index.encoding import widths_of

        encoding = self._store.encoding(self.state)
        assert encoding is not None
        for view in self.views.values():
            check_widths(view.segment, widths_of(self.dims, encoding))
        return encoding

    def scores(self, query: np.ndarray, places: np.ndarray | None = None) -> np.ndarray:
        """MaxSim of a query [Q, D] float32 with living passages: [passages] float32, -inf for no hit.

        places:  [M] int64, rising: only these, [M] float32.
        Raises CorruptError for a passage whose rows are damaged.
        """
        chosen = list(self._chosen(places))
        for view, which in chosen:
            view.segment.check_scales(None if places is None else which)
        scored = [(view.segment.codes, view.segment.starts, which) for view, which in chosen]
        return _without_infinities([maxsim_parts(query, scored)])

    def piece_scores(self, pieces: Pieces, places: np.ndarray | None = None) -> np.ndarray:
        """The `scores` of each piece of a query: [pieces, passages] float32; one row of -inf
        without pieces.
        """
        if not pieces:
            count = self.passages if places is None else len(places)
            return np.full((1, count), -np.inf, np.float32)
        return np.stack([self.scores(piece, places) for piece in pieces])

    def sample_scores(self, pieces: Pieces, count: int) -> np.ndarray:
        """The `piece_scores` of a sample of `count` passages that lie evenly among all: [pieces, M] float32.

        The sample is the same for every query. At its second use its rows are copied side by side in memory,
        because scattered rows in files are slow to read.
        """
        places = np.unique(np.linspace(0, self.passages - 1, count).astype(np.int64))
        if not pieces or count not in self._samples:
            self._samples.setdefault(count, [])
            return self.piece_scores(pieces, places)
        if not self._samples[count]:
            chosen = self._chosen(places)
            self._samples[count] = [
                _copied(view.segment, which) for view, which in chosen if which is not None
            ]
        sample = self._samples[count]
        return np.stack([_without_infinities([maxsim_parts(piece, sample)]) for piece in pieces])

    def products(self, vector: np.ndarray) -> np.ndarray:
        """The inner product of a query's FDE with each living passage's: [passages] float32.

        vector:  [P] float32: the first P of the FDE's numbers, or all.
        """
        from femtosearch.fde import inner_products

        products = []
        for view, codes in self._fdes():
            padded = np.pad(vector, (0, codes.dims - len(vector)))
            by_passage = inner_products(padded, codes)
            by_passage[np.diff(view.segment.starts) == 0] = -np.inf  # passages without rows
            products.append(by_passage if view.which is None else by_passage[view.which])
        return _without_infinities(products)

    def candidates(
        self,
        vector: np.ndarray,
        count: int,
        alive: Mapping[int, np.ndarray] | None = None,
        coarse: int = 0,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the passages with the `count` largest products: their places, rising, [M] int64, and the
        products, [M] float32; of equal products the first.

        vector:  [P] float32: the first P numbers of a query's FDE.
        alive:   for each segment [N] bool, which of its passages count; None for all that live.
        coarse:  above 0: how many passages the first 128 numbers select before; all FDEs must be split.
        """
        from femtosearch.fde import nearest

        counting = [view.alive for view in self.views.values()] if alive is None else list(alive.values())
        scanned = [(codes, which) for (_, codes), which in zip(self._fdes(), counting, strict=True)]
        numbers, products = nearest(vector, scanned, count, coarse=coarse and max(coarse, count))
        views = list(self.views.values())
        if all(view.which is None for view in views):
            return numbers, products
        ends = np.cumsum([view.segment.passages for view in views])
        owner = np.searchsorted(ends, numbers, side="right")
        places = np.empty_like(numbers)
        for n in np.unique(owner):
            which, inside = views[n].which, owner == n
            local = numbers[inside] - (ends[n] - views[n].segment.passages)
            places[inside] = self._bounds[n] + (local if which is None else np.searchsorted(which, local))
        return places, products

    def rank(self, by_piece: np.ndarray, places: np.ndarray | None = None) -> Ranking:
        """Rank documents by their best passage for each piece of a query: of all passages, or of `places`.

        by_piece:  [pieces, M] float32.
        """
        keys, first = self.keys, self.first
        if places is not None:
            documents = self.owners[places]
            first = np.flatnonzero(np.diff(documents, prepend=-1))
            keys = keys[documents[first]]
        best = np.maximum.reduceat(by_piece, first, axis=1) if len(first) else by_piece
        return Ranking(keys, best.sum(axis=0), first, places, by_piece, by_piece.sum(axis=0))

    @cached_property
    def owners(self) -> np.ndarray:
        """For each living passage the number of its document: [passages] int32."""
        return np.repeat(np.arange(len(self.first), dtype=np.int32), self.counts)

    def places_of(self, keys: np.ndarray) -> np.ndarray:
        """The places of all passages of documents, by their keys, rising: [M] int64."""
        documents = positions(self.keys, keys[contains(self.keys, keys)])
        counts = self.counts[documents]
        shifts = np.repeat(self.first[documents] - np.cumsum(counts) + counts, counts)
        return shifts + np.arange(counts.sum())

    def span(self, place: int) -> tuple[int, int]:
        """Where a passage lies in its document's text, in characters."""
        number = int(np.searchsorted(self._bounds, place, side="right")) - 1
        view = list(self.views.values())[number]
        local = place - int(self._bounds[number])
        start, stop = view.segment.spans[local if view.which is None else view.which[local]]
        return int(start), int(stop)

    def _chosen(self, places: np.ndarray | None) -> Iterator[tuple[View, np.ndarray | None]]:
        """Each segment with the numbers of those of its passages that are at `places`; None for all."""
        for view, begin, end in zip(self.views.values(), self._bounds, self._bounds[1:], strict=False):
            if places is None:
                yield view, view.which
                continue
            first, last = np.searchsorted(places, (begin, end))
            if first < last:
                local = places[first:last] - begin
                yield view, local if view.which is None else view.which[local]

    def _fdes(self) -> Iterator[tuple[View, Codes]]:
        """Each segment with its FDEs. If none are stored, they are made, and kept as long as it is open."""
        for view in self.views.values():
            stored = view.segment.fde
            view.segment.check_fde_scales()
            yield view, self._derived.of(view.segment, self.encoding) if stored is None else stored


class DerivedFdes:
    """FDEs of segments that were stored without: made when a search needs them, and kept in memory."""

    def __init__(self) -> None:
        self._codes: WeakKeyDictionary[Segment, tuple[str, Codes]] = WeakKeyDictionary()
        self._making = threading.RLock()

    def of(self, segment: Segment, encoding: Encoding) -> Codes:
        """The FDEs of a segment's passages."""
        with self._making:
            digest, codes = self._codes.get(segment, ("", None))
            if codes is None or digest != encoding.digest:
                codes = encoding.of_segment(segment)
                self._codes[segment] = (encoding.digest, codes)
        return codes


def _copied(segment: Segment, which: np.ndarray) -> _Copied:
    """Copy the rows of passages of a segment side by side: their codes, and where each begins. Raises
    CorruptError.
    """
    segment.check_scales(which)
    starts, codes = segment.starts, segment.codes
    passages = [RowCodes.of(codes, int(starts[n]), int(starts[n + 1])) for n in which]
    ends = np.cumsum([0, *map(len, passages)]).astype(np.int64)
    buffer = BlockBuffer(codes.dims, codes.bits)
    values = np.concatenate([passage.values for passage in passages])
    blocks = np.concatenate([buffer.add(values), buffer.end()])
    padding = np.zeros(-ends[-1] % LANES, np.float32)
    scales = np.concatenate([*(passage.scales for passage in passages), padding])
    return replace(codes, blocks=blocks, scales=scales, count=int(ends[-1])), ends, None


def _without_infinities(scores: list[np.ndarray]) -> np.ndarray:
    """Join scores end to end. Infinities and NaN, which come from damaged files, become -inf: no hit."""
    joined = np.concatenate([np.empty(0, np.float32), *scores])
    joined[~np.isfinite(joined)] = -np.inf
    return joined
