"""The places of hits: the file of a document, and in it the lines, page, cell or row, and headings."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from femtosearch.index.catalog import Catalog
from femtosearch.index.sources import Place
from femtosearch.model.foldings import rows_of_folded
from femtosearch.types import Hit

TokenRows = Callable[..., tuple[np.ndarray, np.ndarray]]
_MOST_FOLDED = 10_000  # hits that are examined to find k that are no copies; 16 k if that is more
_WINDOW = 240  # characters of the part of a passage in which the best token is looked for


def located(catalog: Catalog, hits: Sequence[Hit]) -> list[Hit]:
    """Add their places to hits. A document that was not read from a file has none."""
    places = catalog.places_of([hit.id for hit in hits])
    return [_located(hit, places[hit.id]) if hit.id in places else hit for hit in hits]


def spotted(query: np.ndarray, hits: Sequence[Hit], token_rows: TokenRows | None) -> list[Hit]:
    """Add to hits the span of the token that matched best, within the best 240 characters of the passage.

    query:       [Q, D] float32, the query's rows.
    token_rows:  gives a text's rows and the span of each; None if the model cannot do that.
    """
    if token_rows is None or not len(query):
        return list(hits)
    return [replace(hit, span=_span(query, hit, token_rows)) for hit in hits]


def without_copies(hits: list[Hit], k: int, best: Callable[[int], list[Hit]]) -> list[Hit]:
    """The k best hits without copies. More hits are requested until there are k.

    hits:  the k best, with their copies; best: gives the best hits, as many as requested, or all.
    """
    count, most = k, max(_MOST_FOLDED, 16 * k)
    while len(folded(hits)) < k and len(hits) == count < most:
        count *= 4
        hits = best(count)
    return folded(hits)[:k]


def folded(hits: Sequence[Hit]) -> list[Hit]:
    """Fold hits: of hits with the same text only the first stays, with the ids of the others as `copies`."""
    numbers: dict[str, int] = {}
    copies: list[list[str]] = []
    first: list[Hit] = []
    for hit in hits:
        if hit.text and hit.text in numbers:
            copies[numbers[hit.text]].append(hit.id)
            continue
        numbers[hit.text] = len(first)
        first.append(hit)
        copies.append([])
    return [replace(hit, copies=tuple(ids)) for hit, ids in zip(first, copies, strict=True)]


def _located(hit: Hit, place: Place) -> Hit:
    start, end = hit.passage or (0, len(hit.text))
    start, end = hit.span or (start, end)
    facts = _facts(place, start)
    return replace(
        hit,
        source=place.path,
        lines=_lines(hit.text, place, start, end),
        page=_integer(facts.get("page")),
        cell=_integer(facts.get("cell")),
        row=_integer(facts.get("row")),
        heading=tuple(map(str, facts.get("heading") or ())),
    )


def _facts(place: Place, offset: int) -> dict[str, Any]:
    """The facts of the last mark at or before an offset."""
    number = bisect_right([start for start, _ in place.marks], offset) - 1
    return place.marks[number][1] if number >= 0 else {}


def _lines(text: str, place: Place, start: int, end: int) -> tuple[int, int] | None:
    first, last = _line(text, place, start), _line(text, place, max(start, end - 1))
    return None if first is None or last is None else (first, last)


def _line(text: str, place: Place, offset: int) -> int | None:
    """The line of the file, from 1, that a character of its text is on; None if that is not known."""
    number = bisect_right([start for start, _ in place.marks], offset) - 1
    if number < 0:
        return None
    begin, facts = place.marks[number]
    if "lines" in facts:  # the text has the lines of the file
        return int(facts["lines"]) + text.count("\n", begin, offset)
    line = facts.get("line", facts.get("row") if facts.get("page") is None else None)
    return _integer(line)


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _span(query: np.ndarray, hit: Hit, token_rows: TokenRows) -> tuple[int, int] | None:
    """The span of the best token, within the 240 characters of the passage that match the query best."""
    begin, end = hit.passage or (0, len(hit.text))
    rows, spans = rows_of_folded(token_rows, hit.text[begin:end])
    order = np.argsort(spans[:, 0], kind="stable")
    order = order[spans[order, 0] >= 0]
    rows, spans = rows[order], spans[order]
    if not len(rows):
        return None
    products = query @ rows.T
    # A query row of no word has about the same product with all tokens, and so is not to count.
    weights = products - products.mean(axis=1, keepdims=True)
    ends = np.searchsorted(spans[:, 0], spans[:, 0] + _WINDOW)
    totals = [float(weights[:, at : ends[at]].max(axis=1).sum()) for at in range(len(spans))]
    first = int(np.argmax(totals))
    best = first + int(np.argmax(weights[:, first : ends[first]].max(axis=0)))
    start, stop = spans[best].tolist()
    return begin + start, begin + stop
