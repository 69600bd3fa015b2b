"""Lines -> records, each with the number of its line: JSON lines and CSV.

A record is a dict, or the ValueError that says what was expected there and what was found.
"""

from __future__ import annotations

import csv
import itertools
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

Record: TypeAlias = "dict[str, Any] | ValueError"

SURROGATE = re.compile("[\ud800-\udfff]")
ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
DELIMITERS = (",", ";", "\t")


def json_records(lines: Iterable[str]) -> Iterator[tuple[int, Record]]:
    """A JSON object a line; blank lines say nothing."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield number, _json_object(line)


def csv_records(lines: Iterable[str], kind: str, text_column: str) -> Iterator[tuple[int, Record]]:
    """CSV under a header row. "tsv" is split at tabs, "csv" at what the header row is split by: , ; tab."""
    csv.field_size_limit(2**31 - 1)  # Python's own limit, 128 kB a cell, is less than a long text
    lines = (line.replace("\0", "") for line in lines)  # NUL belongs in no cell
    first = next(lines, None)
    if first is None:
        return
    delimiter = "\t" if kind == "tsv" else _delimiter(first, text_column)
    rows = csv.reader(itertools.chain([first], lines), delimiter=delimiter, strict=True)
    columns = _columns(rows, text_column)
    if isinstance(columns, ValueError):
        yield 1, columns
        return
    for number, row in _rows(rows):
        if isinstance(row, ValueError) or any(row):
            yield number, row if isinstance(row, ValueError) else _record(columns, row)


def names(record: Iterable[str]) -> str:
    """The first few keys of a record, for a message."""
    return ", ".join(map(repr, itertools.islice(record, 8))) or "none"


def kind_of(value: Any) -> str:
    """What a JSON value is, in words."""
    words = {type(None): "null", bool: "true or false", list: "an array", dict: "an object", str: "a string"}
    return words.get(type(value), "a number")


def _json_object(line: str) -> Record:
    try:
        record = json.loads(line, parse_constant=_refuse)
        if ESCAPED_SURROGATE.search(line):
            # Half of an escaped pair is no character: a text that was cut inside an emoji ends in one.
            record = json.loads(SURROGATE.sub("\ufffd", json.dumps(record, ensure_ascii=False)))
    except (ValueError, RecursionError) as error:
        return ValueError(f"expected a JSON object on one line, found something else ({error})")
    if not isinstance(record, dict):
        return ValueError(f"expected a JSON object, found {kind_of(record)}")
    return record


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _rows(rows: Any) -> Iterator[tuple[int, list[str] | ValueError]]:
    """The rows that are left, each with the number of its first line; a row that is broken as its error."""
    while True:
        number = rows.line_num + 1
        try:
            yield number, next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield number, ValueError(f"expected a row of CSV, found something else ({error})")


def _columns(rows: Iterator[list[str]], text_column: str) -> list[str] | ValueError:
    """The names in the header row."""
    try:
        columns = [name.strip() for name in next(rows)]
    except (csv.Error, StopIteration) as error:
        return ValueError(f"expected a header row that names the columns, found something else ({error})")
    if text_column not in columns:
        expected = f"a column {text_column!r} in the header row"
        return ValueError(
            f"expected {expected}, found {names(columns)}; say which one is the text (--text-column)"
        )
    twice = [name for name in columns if name and columns.count(name) > 1]
    if twice:
        return ValueError(f"expected each column once in the header row, found {twice[0]!r} twice")
    return columns


def _delimiter(header: str, text_column: str) -> str:
    """The delimiter under which the header row names the text column; else the one that finds most."""

    def judge(delimiter: str) -> tuple[bool, int]:
        columns = [name.strip() for name in next(csv.reader([header], delimiter=delimiter), [])]
        return text_column in columns, len(columns)

    return max(DELIMITERS, key=judge)


def _record(columns: list[str], row: list[str]) -> Record:
    """A row under its column names. An empty cell, or a column without a name, is left out."""
    if len(row) > len(columns):
        return ValueError(
            f"expected {len(columns)} cells as in the header row, found {len(row)}; "
            "quote the cell that holds the delimiter"
        )
    return {name: cell for name, cell in zip(columns, row, strict=False) if name and cell}
