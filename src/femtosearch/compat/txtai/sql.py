"""txtai's SQL: the documents that count become a table in memory, and SQLite answers the rest.

What is asked may be a stranger's: it can read that one table, and not for ever.
"""

from __future__ import annotations

import itertools
import json
import re
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from femtosearch.compat.txtai.statement import Statement, read_statement
from femtosearch.errors import QueryError
from femtosearch.index.json_values import json_scalar

CANDIDATES = 10  # times the limit, that `similar` finds
MOST_STEPS, STEPS = 2_000, 100_000  # of SQLite's machine: so often so many
MOST_COLUMNS = 500
COLUMNS = ("id", "text", "tags", "score", "data")
TEXTS = frozenset(["id", "text", "tags"])


@dataclass(frozen=True, slots=True)
class Row:
    """A document: `original` is its id as it was given, `fields` its metadata."""

    id: str
    original: Any
    text: str
    tags: Any
    fields: dict[str, Any]
    score: float | None = None


def run_sql(
    query: str,
    limit: int,
    parameters: Mapping[str, Any],
    similar: Callable[[str, int], list[Row]],
    everything: Callable[[], Iterable[Row]],
) -> list[dict[str, Any]]:
    """The rows of a query, as mappings by the names of its columns. Raises QueryError.

    limit:       of rows, where the query has none.
    parameters:  values for :name: texts, numbers, dates and times.
    similar:     the best documents of a text; everything: all documents.
    """
    parameters = _values_of(parameters)
    statement = read_statement(query, parameters)
    count = limit if statement.limit is None else statement.limit
    most = max(1, (count + statement.offset) * CANDIDATES)
    matches = [similar(text, number or most) for text, number in statement.clauses]
    rows = {row.id: row for row in (() if statement.narrows else everything())}
    rows |= _scored(matches)
    return _ask(statement, limit, parameters, list(rows.values()), matches)


def _values_of(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as the table has such values. Raises QueryError for what is no mapping."""
    if not isinstance(parameters, Mapping):
        raise QueryError(f"parameters: expected a mapping, found {type(parameters).__name__}")
    return {name: _plain(json_scalar(value)) for name, value in parameters.items()}


def _scored(matches: list[list[Row]]) -> dict[str, Row]:
    """What the clauses find, by id, each with the mean of its scores, as txtai has it."""
    rows, scores = dict[str, Row](), dict[str, list[float]]()
    for row in itertools.chain.from_iterable(matches):
        rows.setdefault(row.id, row)
        scores.setdefault(row.id, []).append(row.score or 0.0)
    return {name: replace(row, score=sum(scores[name]) / len(scores[name])) for name, row in rows.items()}


def _ask(
    statement: Statement, limit: int, parameters: Mapping[str, Any], rows: list[Row], matches: list[list[Row]]
) -> list[dict[str, Any]]:
    """Ask SQLite; a column that no document has is NULL."""
    sql = statement.sql(limit)
    extra = {f"similar {n}": {row.id for row in clause} for n, clause in enumerate(matches, 1)}
    columns = {*COLUMNS, *extra}
    names = dict.fromkeys(statement.paths)
    names |= dict.fromkeys(name for row in rows for name in row.fields if name.lower() not in columns)
    with _Table(rows, extra) as table:
        for _ in range(MOST_COLUMNS):
            try:
                return table.ask(sql, parameters, list(names))
            except sqlite3.OperationalError as error:
                missing = re.match(r"no such column: (?:[^\s.]+\.)*([^\s.]+)", str(error))
                if missing is None or missing[1] in names or missing[1].lower() in columns:
                    raise QueryError(f"SQL: {error}") from None
                names[missing[1]] = None
            except (sqlite3.Error, ValueError, TypeError) as error:
                raise QueryError(f"SQL: {error}") from None
        raise QueryError(f"SQL: more than {MOST_COLUMNS} columns: select fewer")


class _Table:
    """The table txtai, in memory. extra: columns that are 1 for the documents of some ids."""

    def __init__(self, rows: list[Row], extra: Mapping[str, set[str]]) -> None:
        self._rows, self._extra = rows, extra
        self._connection = sqlite3.connect(":memory:")

    def __enter__(self) -> _Table:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def ask(self, sql: str, parameters: Mapping[str, Any], names: list[str]) -> list[dict[str, Any]]:
        """The rows of a query, the table having these columns, too."""
        self._fill(_distinct(names)[: MOST_COLUMNS - len(COLUMNS) - len(self._extra)])
        self._connection.set_authorizer(_only_reading)
        steps = iter(range(MOST_STEPS))
        self._connection.set_progress_handler(lambda: next(steps, None) is None, STEPS)
        try:
            cursor = self._connection.execute(sql, dict(parameters))
            titles = [column[0] for column in cursor.description or ()]
            rows = (zip(titles, row, strict=True) for row in cursor)
            return [{title: value for title, value in row if title not in self._extra} for row in rows]
        finally:
            self._connection.set_authorizer(None)
            self._connection.set_progress_handler(None, 0)

    def _fill(self, names: list[str]) -> None:
        columns = [*COLUMNS, *self._extra, *names]
        self._connection.execute("DROP TABLE IF EXISTS txtai")
        self._connection.execute(f"CREATE TABLE txtai ({', '.join(map(_column, columns))})")
        marks = ", ".join("?" * len(columns))
        values = (self._values(row, names) for row in self._rows)
        self._connection.executemany(f"INSERT INTO txtai VALUES ({marks})", values)

    def _values(self, row: Row, names: list[str]) -> list[Any]:
        content = json.dumps(row.fields, ensure_ascii=False) if row.fields else None
        marks = [int(row.id in ids) for ids in self._extra.values()]
        fields = [_plain(_field(row.fields, name)) for name in names]
        return [row.id, row.text, _plain(row.tags), row.score, content, *marks, *fields]


def _only_reading(action: int, first: str | None, second: str | None, *_: Any) -> int:
    """What a query may do: select, read the table, call functions that reach nothing else."""
    is_own = action == sqlite3.SQLITE_READ and (first or "").lower().startswith(("sqlite_", "pragma_"))
    reading = action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ) and not is_own
    calls = action == sqlite3.SQLITE_FUNCTION and second != "load_extension"
    return sqlite3.SQLITE_OK if reading or calls else sqlite3.SQLITE_DENY


def _field(fields: Mapping[str, Any], name: str) -> Any:
    """A field by its name, or by its path: meta.a.b. None where there is none."""
    if name in fields or "." not in name:
        return fields.get(name)
    value: Any = fields
    for key in name.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _plain(field: Any) -> Any:
    """A field as SQLite holds it: what is nested, or a number too large for it, as JSON."""
    is_large = isinstance(field, int) and not -(1 << 63) <= field < 1 << 63
    if isinstance(field, (list, dict)) or is_large:
        return json.dumps(field, ensure_ascii=False)
    return field


def _distinct(names: list[str]) -> list[str]:
    """Names that differ by more than their case, as SQLite's columns must."""
    return list({name.lower(): name for name in reversed(names)}.values())


def _column(name: str) -> str:
    """A column of the table; an id, a text and tags are texts to whatever they are compared with."""
    return _quoted(name) + (" TEXT" if name in TEXTS else "")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""').replace("\0", "") + '"'
