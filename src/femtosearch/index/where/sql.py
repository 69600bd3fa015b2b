"""Filters as SQL over the table `documents`.

No text of a user's becomes SQL: names of fields and operands are parameters. Operands and metadata are both
JSON, read by the same functions of SQLite, so that equal numbers are equal to the last bit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from femtosearch.frozen import frozen
from femtosearch.index.where.tree import COMPARISONS, Every, Filter, Negation, Path, Test

NUMBER, TEXT, BOOLEAN, NULL, OTHER = 1, 2, 3, 4, 0  # kinds of values; those of different kinds never match
_KIND = (
    "CASE {0}.type WHEN 'integer' THEN 1 WHEN 'real' THEN 1 WHEN 'text' THEN 2 WHEN 'true' THEN 3 "
    "WHEN 'false' THEN 3 WHEN 'null' THEN 4 ELSE 0 END"
)
_OPERANDS = f"SELECT {_KIND.format('operand')}, coalesce(operand.atom, 0) FROM json_each(?) AS operand"
# SQLite ends a text of JSON at a NUL, so metadata with one are read with the last character there is in its
# place. A backslash that is one stays: it is a control character in between, which JSON has not.
LAST = "\U0010ffff"
_METADATA = (
    "CASE WHEN instr(documents.metadata, '\\u0000') THEN replace(replace(replace(documents.metadata, '\\\\', "
    f"char(1)), '\\u0000', '{LAST}'), char(1), '\\\\') ELSE documents.metadata END"
)
COLUMNS = {"id": "documents.id", "text": "documents.text"}  # fields that are no metadata


@frozen
class Condition:
    """An expression of SQL about a row of `documents`, and its parameters."""

    sql: str
    parameters: tuple[object, ...] = ()


EVERYTHING = Condition("TRUE")
_FEW = 5  # filters that need at most so many places on the parser's stack stay in their order


def compile_filter(filter: Filter, declared: Mapping[Path, int] | None = None) -> Condition:
    """The condition that a document passes the filter.

    declared:  the fields whose values lie in the table `fields`, with their numbers there.
    """
    if isinstance(filter, Negation):
        inner = compile_filter(filter.filter, declared)
        return Condition(f"NOT {inner.sql}", inner.parameters)
    if isinstance(filter, Test):
        return _joined([_at(path, filter, declared or {}) for path in filter.paths], " OR ")
    joint = " AND " if isinstance(filter, Every) else " OR "
    deepest_first = sorted(filter.filters, key=lambda child: max(_places(child), _FEW), reverse=True)
    return _joined([compile_filter(child, declared) for child in deepest_first], joint)


def _places(filter: Filter) -> int:
    """How many places a filter takes on the stack of SQLite's parser, which has 100, most of them in use: one
    a level for the first filter in brackets, three for each that follows. `tree.MOST_DEPTH` levels fit.
    """
    if isinstance(filter, Test):
        return 1
    if isinstance(filter, Negation):
        return _places(filter.filter) + 1
    largest, *smaller = sorted(map(_places, filter.filters), reverse=True)
    return max([largest + 1, *(places + 3 for places in smaller)])


def occurrences(path: Path) -> Condition:
    """A query for the values (kind, value, listed) of a path in the current row of `documents`: the value
    itself and, if it is a list, each element, for which `listed` is 1.
    """
    return _union(_reads(path), "", "")


def values_of(path: Path, condition: Condition) -> Condition:
    """A query for (key, kind, value, listed) of a path in all documents that pass a condition."""
    reads = [
        _Read(read.columns, read.tables, Condition(*_conjunction(read.names, condition)))
        for read in _reads(path)
    ]
    return _union(reads, "documents.key AS key, ", "documents")


@frozen
class _Read:
    """One SELECT of values: its columns, the tables beside `documents`, and where the path's names stand."""

    columns: str
    tables: list[str]
    names: Condition


def _reads(path: Path) -> list[_Read]:
    if len(path) == 1 and path[0] in COLUMNS:
        return [_Read(f"2 AS kind, {COLUMNS[path[0]]} AS value, 0 AS listed", [], EVERYTHING)]
    levels = [f"json_each({_METADATA}) AS level0"]
    for depth in range(1, len(path)):
        levels.append(f"json_each({_only('object', depth - 1)}) AS level{depth}")
    last = f"level{len(path) - 1}"
    keys = tuple(name.replace("\0", LAST) for name in path)
    names = Condition(" AND ".join(f"level{depth}.key = ?" for depth in range(len(path))), keys)
    itself = f"{_KIND.format(last)} AS kind, {last}.atom AS value, 0 AS listed"
    within = f"{_KIND.format('element')} AS kind, element.atom AS value, 1 AS listed"
    elements = f"json_each({_only('array', len(path) - 1)}) AS element"
    return [_Read(itself, levels, names), _Read(within, [*levels, elements], names)]


def _union(reads: list[_Read], columns: str, table: str) -> Condition:
    selects = []
    for read in reads:
        tables = ", ".join([table, *read.tables] if table else read.tables)
        source = f" FROM {tables}" if tables else ""
        selects.append(f"SELECT {columns}{read.columns}{source} WHERE {read.names.sql}")
    parameters = tuple(value for read in reads for value in read.names.parameters)
    return Condition(" UNION ALL ".join(selects), parameters)


def _conjunction(first: Condition, second: Condition) -> tuple[str, tuple[object, ...]]:
    return f"{first.sql} AND {second.sql}", first.parameters + second.parameters


def _only(kind: str, depth: int) -> str:
    """An expression for the JSON of a level if it is of that kind, else for an empty list."""
    return f"CASE level{depth}.type WHEN '{kind}' THEN level{depth}.value ELSE '[]' END"


def _at(path: Path, test: Test, declared: Mapping[Path, int]) -> Condition:
    """The condition that the value at one path passes a test."""
    is_column = len(path) == 1 and path[0] in COLUMNS
    test = test if is_column else Test(test.paths, test.operator, _readable(test.operand))
    passes = _passes(test)
    if path in declared and test.operator == "in" and None not in test.operand:
        operands = _operands(test.operand)
        number = "SELECT key FROM fields WHERE number = ?"
        sql = f"documents.key IN ({number} AND (kind, value) IN ({operands.sql}))"
        return Condition(sql, (declared[path], *operands.parameters))
    if path in declared:
        sql = f"documents.key IN (SELECT key FROM fields WHERE number = ? AND {passes.sql})"
        return Condition(sql, (declared[path], *passes.parameters))
    values = occurrences(path)
    sql = f"EXISTS (SELECT 1 FROM ({values.sql}) WHERE {passes.sql})"
    return Condition(sql, values.parameters + passes.parameters)


def _readable(operand: Any) -> Any:
    """Replace NULs in an operand by LAST, as they are replaced in metadata."""
    if isinstance(operand, tuple):
        return tuple(map(_readable, operand))
    return operand.replace("\0", LAST) if isinstance(operand, str) else operand


def _operands(operands: Sequence[object]) -> Condition:
    """A query for (kind, value) of operands: as JSON, except texts with a NUL, which JSON in SQLite
    cannot hold.
    """
    with_nul = [text for text in operands if isinstance(text, str) and "\0" in text]
    content = json.dumps([value for value in operands if value not in with_nul], ensure_ascii=False)
    return Condition(f"{_OPERANDS}{f' UNION ALL SELECT {TEXT}, ?' * len(with_nul)}", (content, *with_nul))


def _passes(test: Test) -> Condition:
    """The condition on (kind, value, listed) that a test stands for."""
    operator, operand = test.operator, test.operand
    if operator == "exists":
        return Condition("listed = 0")
    if operator == "in":
        chosen = _operands(operand)
        return Condition(f"kind > 0 AND (kind, coalesce(value, 0)) IN ({chosen.sql})", chosen.parameters)
    if operator in COMPARISONS:
        if isinstance(operand, str):
            return Condition(f"kind = {TEXT} AND value {COMPARISONS[operator]} ?", (operand,))
        sql = f"kind = {NUMBER} AND value {COMPARISONS[operator]} json_extract(?, '$')"
        return Condition(sql, (json.dumps(operand, ensure_ascii=False),))
    if operator == "prefix" and not operand:  # SQLite has no first 0 bytes of nothing
        return Condition(f"kind = {TEXT}")
    if operator == "prefix":
        content = operand.encode()
        return Condition(
            f"kind = {TEXT} AND value >= ? AND substr(CAST(value AS BLOB), 1, ?) = ?",
            (operand, len(content), content),
        )
    if operator == "glob":
        return Condition(f"kind = {TEXT} AND value GLOB ?", (operand.replace("[", "[[]"),))
    return _contains(operand)


def _contains(operand: object) -> Condition:
    """The condition that an operand is contained: as a part of a text, or as an element of a list."""
    operands = _operands([operand])
    listed = f"listed = 1 AND kind > 0 AND (kind, coalesce(value, 0)) IN ({operands.sql})"
    if not isinstance(operand, str):
        return Condition(f"({listed})", operands.parameters)
    sql = f"(listed = 0 AND kind = {TEXT} AND instr(CAST(value AS BLOB), ?) > 0 OR {listed})"
    return Condition(sql, (operand.encode(), *operands.parameters))


def _joined(conditions: list[Condition], joint: str) -> Condition:
    sql = joint.join(condition.sql for condition in conditions)
    parameters = tuple(value for condition in conditions for value in condition.parameters)
    return Condition(f"({sql})", parameters)
