"""From a ranking to hits: the k best documents with their texts, within the quota of each source or field."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from femtosearch.index.catalog import Catalog
from femtosearch.index.fusion import Fused
from femtosearch.index.request import Quota, Request
from femtosearch.index.snapshot import Snapshot
from femtosearch.types import Document, Hit

if TYPE_CHECKING:
    from femtosearch.index.where.tree import Path

_CHUNK = 256  # documents that are read at a time to count those of one source


Numbered = tuple[int, Hit]  # the number of a document in its ranking, and the hit


class Spread:
    """Takes hits one by one, and refuses those that would exceed a quota."""

    def __init__(self, quota: Quota) -> None:
        self._quota, self._counts = quota, Counter[str]()

    def takes(self, hit: Hit) -> bool:
        """Take a hit if the quota allows it; returns whether it was taken."""
        values = _values_of(hit, self._quota)
        if any(self._counts[value] >= self._quota.most for value in values):
            return False
        self._counts.update(values)
        return True


def best_hits(catalog: Catalog, snapshot: Snapshot, fused: Fused, request: Request) -> list[Numbered] | None:
    """The k best documents; of equal scores the smaller id first. None if one was deleted meanwhile."""
    scores = fused.ranking.scores
    if request.min_score is not None:
        enough = scores >= np.float64(request.min_score)  # which may be larger than any float32
        scores = np.where(enough, scores, np.float32(-np.inf))
    if request.per is not None:
        return _spread_hits(catalog, snapshot, fused, scores, request.k, request.per)
    numbers = _best_numbers(catalog, fused.ranking.keys, scores, request.k)
    return None if numbers is None else _hits(catalog, snapshot, fused, numbers)


def best(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The places of the k largest scores: those above the k-th score, and those that tie with it.

    scores:  [N] float32, -inf where there is no hit.
    >>> best(np.array([1, 3, 2, 2, -np.inf], np.float32), 2)
    (array([1]), array([2, 3]))
    """
    k = min(k, int(np.count_nonzero(scores > -np.inf)))
    if k == 0:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    last = np.partition(scores, len(scores) - k)[len(scores) - k]
    return np.flatnonzero(scores > last), np.flatnonzero(scores == last)


def _best_numbers(catalog: Catalog, keys: np.ndarray, scores: np.ndarray, k: int) -> list[int] | None:
    sure, tied = best(scores, k)
    open_places = min(k, len(sure) + len(tied)) - len(sure)
    if open_places < len(tied):
        ids = catalog.ids(keys[tied].tolist())
        if len(ids) < len(tied):
            return None
        tied = np.array(sorted(tied, key=lambda number: ids[int(keys[number])])[:open_places])
    return [*sure.tolist(), *tied.tolist()]


def _hits(catalog: Catalog, snapshot: Snapshot, fused: Fused, numbers: list[int]) -> list[Numbered] | None:
    """The hits of documents of a ranking, best first; of equals the smaller id first."""
    ranking, bm25 = fused.ranking, fused.bm25
    keys = [int(ranking.keys[number]) for number in numbers]
    documents = catalog.fetch(keys)
    if len(documents) < len(keys):
        return None
    hits = []
    for number, key in zip(numbers, keys, strict=True):
        document, span = documents[key], snapshot.span(ranking.place(number))
        words = None if bm25 is None else float(bm25[number])
        score, maxsim = float(ranking.scores[number]), float(fused.maxsim[number])
        has_rows = np.isfinite(maxsim)  # a document that the model knows no word of has none
        hit = Hit(
            document.id, score, document.text, document.metadata, span, maxsim if has_rows else None, words
        )
        hits.append((number, hit))
    return sorted(hits, key=lambda pair: (-pair[1].score, pair[1].id))


def _spread_hits(
    catalog: Catalog, snapshot: Snapshot, fused: Fused, scores: np.ndarray, k: int, quota: Quota
) -> list[Numbered] | None:
    """The k best documents within a quota."""
    chosen: list[Numbered] = []
    spread = Spread(quota)
    for numbers in _in_order(scores):
        hits = _hits(catalog, snapshot, fused, numbers)
        if hits is None:
            return None
        for number, hit in hits:
            if spread.takes(hit):
                chosen.append((number, hit))
                if len(chosen) == k:
                    return chosen
    return chosen


def _in_order(scores: np.ndarray) -> Iterator[list[int]]:
    """The numbers of documents, best first, in chunks of about 256; equal scores are in one chunk."""
    order = np.argsort(-scores, kind="stable")[: np.count_nonzero(scores > -np.inf)]
    begin = 0
    while begin < len(order):
        last = scores[order[min(begin + _CHUNK, len(order)) - 1]]
        end = begin + int(np.searchsorted(-scores[order[begin:]], -last, side="right"))
        yield order[begin:end].tolist()
        begin = end


def _values_of(hit: Hit, quota: Quota) -> list[str]:
    """The values of a hit in the field of a quota, each as JSON; empty if it has no such field."""
    paths = quota.paths or (("source",), ("path",))
    for path in paths:
        is_there, value = _at(Document(hit.id, hit.text, hit.metadata), path)
        if is_there:
            values = value if isinstance(value, list) else [value]
            return list(dict.fromkeys(map(_name_of, values)))
    return []


def _name_of(value: object) -> str:
    """A value as JSON, in which 2020 and 2020.0 are one number, as in filters."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, sort_keys=True)


def _at(document: Document, path: Path) -> tuple[bool, object]:
    """Whether a document has a value at a path, and the value."""
    if path in (("id",), ("text",)):
        return True, document.id if path == ("id",) else document.text
    value: object = document.metadata
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return False, None
        value = value[name]
    return True, value
