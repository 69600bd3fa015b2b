"""txtai's SQL: the documents that count become a table in memory, and SQLite answers the rest.

What is asked may be a stranger's: it can read that one table, and not for ever.
"""

from __future__ import annotations

import itertools
import json
import re
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from femtosearch.errors import QueryError

CANDIDATES = 10  # times the limit, that `similar` finds
MOST_STEPS, STEPS = 2_000, 100_000  # of SQLite's machine: so often so many
MOST_COLUMNS = 500
COLUMNS = ("id", "text", "tags", "score", "data")
TOKEN = re.compile(
    r"""\s+ | '(?:[^']|'')*' | "(?:[^"]|"")*" | \[[^\]]*\] | :?[A-Za-z_]\w* | \d+(?:\.\d+)? | .""",
    re.X | re.S,
)


@dataclass(frozen=True, slots=True)
class Row:
    """A document: `original` is its id as it was given, `fields` its metadata."""

    id: str
    original: Any
    text: str
    tags: Any
    fields: dict[str, Any]
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Statement:
    """A query whose `similar` clauses have become columns: `sql`, and each clause's text and candidates."""

    sql: str
    clauses: list[tuple[str, int | None]]
    limit: int | None
    narrows: bool  # whether only what `similar` finds can pass


def is_sql(query: str) -> bool:
    """Whether a query is SQL.

    >>> is_sql("SELECT text FROM txtai"), is_sql("select a chair")
    (True, False)
    """
    return re.match(r"\s*select\b.*\bfrom\s+txtai\b", query, re.I | re.S) is not None


def run_sql(
    query: str,
    limit: int,
    parameters: Mapping[str, Any],
    similar: Callable[[str, int], list[Row]],
    everything: Callable[[], Iterable[Row]],
) -> list[dict[str, Any]]:
    """The rows of a query, as mappings by the names of its columns. Raises QueryError.

    limit:       of rows, where the query has none.
    parameters:  values for :name.
    similar:     the best documents of a text; everything: all documents.
    """
    statement = read_statement(query, parameters)
    count = limit if statement.limit is None else statement.limit
    matches = [similar(text, number or count * CANDIDATES) for text, number in statement.clauses]
    rows = {row.id: row for row in (() if statement.narrows else everything())}
    for row in (row for clause in reversed(matches) for row in clause):
        rows[row.id] = row
    sql = statement.sql if statement.limit is not None else f"{statement.sql} LIMIT {limit}"
    return _ask(sql, parameters, list(rows.values()), [{row.id for row in clause} for clause in matches])


def read_statement(query: str, parameters: Mapping[str, Any]) -> Statement:
    """Take the `similar` clauses out of a query. Raises QueryError.

    >>> read_statement("select text from txtai where similar('a cat') limit 2", {}).clauses
    [('a cat', None)]
    """
    written, clauses = list[str](), list[tuple[str, int | None]]()
    tokens = TOKEN.findall(query.strip().rstrip(";"))
    words = [token.lower() for token in tokens if not token.isspace()]
    remaining = iter(tokens)
    for token in remaining:
        if token.lower() == "similar":
            arguments = [
                word for word in itertools.takewhile(lambda word: word != ")", remaining) if word.strip()
            ]
            clauses.append(_clause(arguments[1:], parameters))
            token = f'"similar {len(clauses)}"'
        written.append(token)
    limit = int(words[-1]) if words[-2:-1] == ["limit"] and words[-1].isdigit() else None
    narrows = bool(clauses) and not {"or", "not", "union", "case"} & set(words)
    return Statement("".join(written), clauses, limit, narrows)


def _clause(arguments: list[str], parameters: Mapping[str, Any]) -> tuple[str, int | None]:
    """The text and the number of candidates of similar('a cat', 100)."""
    first = arguments[0] if arguments else ""
    if first.startswith(":"):
        if not isinstance(parameters.get(first[1:]), str):
            raise QueryError(f"similar({first}): expected a text among the parameters")
        text = parameters[first[1:]]
    elif first[:1] in ("'", '"') and len(first) > 1:
        text = first[1:-1].replace(first[0] * 2, first[0])
    else:
        raise QueryError(f"similar: expected a text in quotes or a parameter, found {first[:80]!r}")
    number = arguments[2] if len(arguments) > 2 and arguments[2].isdigit() else None
    return text, None if number is None else int(number)


def _ask(
    sql: str, parameters: Mapping[str, Any], rows: list[Row], matches: list[set[str]]
) -> list[dict[str, Any]]:
    """Ask SQLite; a column that no document has is NULL."""
    extra = {f"similar {n}": ids for n, ids in enumerate(matches, 1)}
    names = dict.fromkeys(name for row in rows for name in row.fields if name.lower() not in COLUMNS)
    with _Table(rows, extra) as table:
        for _ in range(MOST_COLUMNS):
            try:
                return table.ask(sql, parameters, list(names))
            except sqlite3.OperationalError as error:
                missing = re.match(r"no such column: (?:txtai\.)?([^\s.]+)", str(error))
                if missing is None or missing[1] in names:
                    raise QueryError(f"SQL: {error}") from None
                names[missing[1]] = None
            except (sqlite3.Error, ValueError, TypeError) as error:
                raise QueryError(f"SQL: {error}") from None
        raise QueryError(f"SQL: more than {MOST_COLUMNS} columns")


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
            return [dict(zip(titles, row, strict=True)) for row in cursor]
        finally:
            self._connection.set_authorizer(None)
            self._connection.set_progress_handler(None, 0)

    def _fill(self, names: list[str]) -> None:
        columns = [*COLUMNS, *self._extra, *names]
        self._connection.execute("DROP TABLE IF EXISTS txtai")
        self._connection.execute(f"CREATE TABLE txtai ({', '.join(map(_quoted, columns))})")
        marks = ", ".join("?" * len(columns))
        values = (self._values(row, names) for row in self._rows)
        self._connection.executemany(f"INSERT INTO txtai VALUES ({marks})", values)

    def _values(self, row: Row, names: list[str]) -> list[Any]:
        content = json.dumps(row.fields, ensure_ascii=False) if row.fields else None
        marks = [int(row.id in ids) for ids in self._extra.values()]
        fields = [_plain(row.fields.get(name)) for name in names]
        return [row.id, row.text, _plain(row.tags), row.score, content, *marks, *fields]


def _only_reading(action: int, first: str | None, second: str | None, *_: Any) -> int:
    """What a query may do: select, read the table, call functions that reach nothing else."""
    reading = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ)
    calls = action == sqlite3.SQLITE_FUNCTION and second != "load_extension"
    return sqlite3.SQLITE_OK if action in reading or calls else sqlite3.SQLITE_DENY


def _plain(field: Any) -> Any:
    """A field as SQLite holds it: what is nested, or a number too large for it, as JSON."""
    is_large = isinstance(field, int) and not -(1 << 63) <= field < 1 << 63
    if isinstance(field, (list, dict)) or is_large:
        return json.dumps(field, ensure_ascii=False)
    return field


def _distinct(names: list[str]) -> list[str]:
    """Names that differ by more than their case, as SQLite's columns must."""
    return list({name.lower(): name for name in reversed(names)}.values())


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""').replace("\0", "") + '"'
