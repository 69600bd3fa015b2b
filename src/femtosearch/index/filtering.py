"""Filters applied to an index: which documents of the catalogue pass, and which passages these have."""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

import numpy as np

from femtosearch.frozen import frozen
from femtosearch.index.catalog import Catalog
from femtosearch.index.fields import declared
from femtosearch.index.segment import Segment
from femtosearch.index.snapshot import Snapshot
from femtosearch.index.where import EVERYTHING, Condition, Filter, compile_filter, values_of
from femtosearch.index.where.sql import LAST
from femtosearch.index.where.tree import Path

_MOST_SELECTIONS = 8  # that a snapshot keeps, for filters that are used again
Value = str | int | float | bool | None


@frozen(eq=False)
class Selection:
    """The passages of a snapshot whose documents pass a filter.

    keys:       [K] int64, rising: the documents that pass and have passages.
    places:     [M] int64, rising: their passages, as numbers among the snapshot's living passages.
    alive:      for each segment [N] bool: which of all its passages are selected.
    """

    keys: np.ndarray
    places: np.ndarray
    alive: dict[int, np.ndarray]


def select(catalog: Catalog, snapshot: Snapshot, filter: Filter) -> Selection:
    """Apply a filter to a snapshot. Raises OutdatedError if a commit came in between."""
    condition = compile_filter(filter)
    selection = snapshot.selections.get(condition)
    if selection is None:

        def keys(reader: sqlite3.Connection) -> np.ndarray:
            compiled = compile_filter(filter, declared(reader))
            query = f"SELECT key FROM documents WHERE {compiled.sql}"
            rows = reader.execute(query, compiled.parameters)
            return np.fromiter((key for (key,) in rows), np.int64)

        selection = _selection(snapshot, catalog.read_at(snapshot.state, keys))
        while len(snapshot.selections) >= _MOST_SELECTIONS:
            snapshot.selections.pop(next(iter(snapshot.selections)), None)
        snapshot.selections[condition] = selection
    return selection


def count(catalog: Catalog, filter: Filter | None) -> int:
    """How many documents pass. Raises StoreError."""

    def number(reader: sqlite3.Connection) -> int:
        condition = _condition(filter, declared(reader))
        query = f"SELECT count(*) FROM documents WHERE {condition.sql}"
        return int(reader.execute(query, condition.parameters).fetchone()[0])

    return catalog.ask(number)


def pages(
    catalog: Catalog, filter: Filter | None, size: int, after: int = -1
) -> Iterator[list[tuple[Any, ...]]]:
    """The rows of the documents that pass, `size` at a time, in the order in which they were added.

    after:  only those of larger keys.
    """
    condition = _condition(filter, catalog.ask(declared))
    query = f"SELECT * FROM documents WHERE key > ? AND {condition.sql} ORDER BY key LIMIT ?"
    while True:
        parameters = (after, *condition.parameters, size)
        rows = catalog.read_rows(query, parameters, after)
        if rows:
            yield rows
        if len(rows) < size:  # what comes after these was added later
            return
        after = rows[-1][0]


def rows_of_all(catalog: Catalog, filter: Filter | None, size: int) -> Iterator[tuple[Any, ...]]:
    """The rows of the documents that pass, each document that exists at the beginning once.

    A document that is replaced meanwhile gets a larger key: its row is given there, unless it was given
    before. Takes 16 bytes of memory a document.
    """
    query = "SELECT coalesce(max(key), -1) FROM documents"
    (last,) = catalog.ask(lambda reader: reader.execute(query).fetchone())
    following = pages(catalog, filter, size)
    rows = next(following, [])
    if len(rows) < size:
        yield from rows
        return
    present, yielded = catalog.ask(_hashes_of_ids), array("q")  # hashes of ids
    waiting: set[int] | None = None  # present and not given, once larger keys come
    for row in chain(rows, chain.from_iterable(following)):
        name = hash(row[1])
        if row[0] <= last:
            yielded.append(name)
            yield row
            continue
        waiting = set(present).difference(yielded) if waiting is None else waiting
        if name in waiting:
            waiting.remove(name)
            yield row
        elif not waiting:
            return


def _hashes_of_ids(reader: sqlite3.Connection) -> array[int]:
    return array("q", (hash(name) for (name,) in reader.execute("SELECT id FROM documents")))


def facets(catalog: Catalog, paths: tuple[Path, ...], filter: Filter | None, limit: int) -> dict[Value, int]:
    """Count how many of the documents that pass have each value of a field: value -> count, the commonest
    first.

    An element of a list counts as a value; values inside a mapping do not count. True and 1 are one key of a
    Python dict, which is shown as 1. Raises StoreError.
    """

    def rows(reader: sqlite3.Connection) -> list[tuple[int, Any, int]]:
        keys = declared(reader)
        condition = _condition(filter, keys)
        values = [_values(path, condition, keys) for path in paths]
        union = " UNION ALL ".join(value.sql for value in values)
        query = f"""
        SELECT min(kind), value, count(DISTINCT key) AS documents FROM ({union}) WHERE kind > 0
        GROUP BY CASE kind WHEN 3 THEN 1 ELSE kind END, value
        ORDER BY documents DESC, min(kind), value LIMIT ?
        """
        parameters = [name for value in values for name in value.parameters]
        return reader.execute(query, (*parameters, limit)).fetchall()

    def shown(kind: int, value: Any) -> Value:
        return bool(value) if kind == 3 else value.replace(LAST, "\0") if isinstance(value, str) else value

    return {shown(kind, value): count for kind, value, count in catalog.ask(rows)}


def commonest(counts: Iterable[tuple[Value, int]], limit: int | None) -> dict[Value, int]:
    """Join counts of values: value -> sum of its counts, the commonest first. Values with equal counts stand
    in the order numbers, texts, booleans, null, and among themselves in their own order.
    """
    total: dict[Value, int] = {}
    for value, count in sorted(counts, key=lambda pair: _kind_of(pair[0])):
        total[value] = total.get(value, 0) + count
    order = sorted(
        total.items(), key=lambda pair: (-pair[1], _kind_of(pair[0]), 0 if pair[0] is None else pair[0])
    )
    return dict(order[:limit])


def _kind_of(value: Value) -> int:
    """The number that the kind of a value has in `where.sql`."""
    return 4 if value is None else 3 if isinstance(value, bool) else 2 if isinstance(value, str) else 1


def _values(path: Path, condition: Condition, keys: Mapping[Path, int]) -> Condition:
    """A query for (key, kind, value, listed) of a path, from the table of declared keys if it is there."""
    if path not in keys:
        return values_of(path, condition)
    passing = f"SELECT documents.key FROM documents WHERE {condition.sql}"
    sql = f"SELECT key, kind, value, listed FROM fields WHERE number = ? AND key IN ({passing})"
    return Condition(sql, (keys[path], *condition.parameters))


def _condition(filter: Filter | None, keys: Mapping[Path, int]) -> Condition:
    return EVERYTHING if filter is None else compile_filter(filter, keys)


def _selection(snapshot: Snapshot, keys: np.ndarray) -> Selection:
    passes = np.isin(snapshot.keys, keys)
    by_passage = passes[snapshot.owners]
    alive, begin = {}, 0
    for number, view in snapshot.views.items():
        mine = by_passage[begin : begin + view.living]
        begin += view.living
        if view.which is not None:
            mine = _spread(view.segment, view.which, mine)
        alive[number] = mine
    return Selection(snapshot.keys[passes], np.flatnonzero(by_passage), alive)


def _spread(segment: Segment, which: np.ndarray, living: np.ndarray) -> np.ndarray:
    """[N] bool over all passages of a segment, from that over the living ones."""
    spread = np.zeros(segment.passages, bool)
    spread[which] = living
    return spread
