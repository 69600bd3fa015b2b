"""A filter as a tree of tests, and what an operand may be."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from femtosearch.errors import QueryError, utf8
from femtosearch.frozen import frozen
from femtosearch.index.json_values import json_scalar

Scalar = str | int | float | bool | None
Path = tuple[str, ...]  # the keys from the outermost mapping inwards

MOST_TESTS = 500  # of one filter: SQLite's statements have bounds
MOST_DEPTH = 25  # levels, for which the parser of SQLite has room (sql.py)
MOST_WILDCARDS = 16  # of one pattern, whose time grows with them
COMPARISONS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
OPERATORS = ("in", *COMPARISONS, "contains", "prefix", "glob", "exists")


@frozen
class Test:
    """One field compared with an operand.

    paths:     where the value may lie: a document passes if it lies at any of them.
    operator:  of OPERATORS; "in" has a tuple of scalars as its operand, "exists" has True.
    """

    __test__ = False  # pytest takes it for a test of its own

    paths: tuple[Path, ...]
    operator: str
    operand: Any


@frozen
class Every:
    """A filter that passes where all of its filters pass."""

    filters: tuple[Filter, ...]


@frozen
class Either:
    """A filter that passes where at least one of its filters passes."""

    filters: tuple[Filter, ...]


@frozen
class Negation:
    """A filter that passes where another does not, also where a document lacks the field."""

    filter: Filter


Filter = Test | Every | Either | Negation


def field_name(where: str, name: object) -> str:
    """Check that an argument is the name of a field. Raises QueryError."""
    if not isinstance(name, str) or not name:
        raise QueryError(f"{where}: expected the name of a field, found {str(name)[:80]!r}")
    return name


def paths_of(field: str) -> tuple[Path, ...]:
    """The paths at which the value of a field with dots in its name may lie: under that very key, or within
    mappings.

    >>> paths_of("author.name")
    (('author.name',), ('author', 'name'))

    Raises QueryError for a name with half a surrogate pair, which no document has.
    """
    _string(field, "a field's name")
    return tuple(dict.fromkeys([(field,), tuple(field.split("."))]))


def compared(paths: tuple[Path, ...], operator: str, operand: object, where: str) -> Filter:
    """A test by an operator's name, the negative ones included. Raises QueryError for a wrong operand.

    where:  the name of the test in messages.
    """
    match operator:
        case "eq":
            return Test(paths, "in", (scalar(operand, where),))
        case "in":
            return Test(paths, "in", _scalars(operand, where))
        case "gt" | "gte" | "lt" | "lte":
            return Test(paths, operator, _ordered(operand, where))
        case "contains":
            return Test(paths, operator, scalar(operand, where))
        case "prefix":
            return Test(paths, operator, _string(operand, where))
        case "glob":
            return Test(paths, operator, _pattern(operand, where))
        case "exists":
            if not isinstance(operand, bool):
                raise QueryError(f"{where}: expected true or false, found {_shown(operand)}")
            test = Test(paths, operator, True)
            return test if operand else Negation(test)
        case "ne" | "nin" | "not_contains" | "not_glob":
            positive = {"ne": "eq", "nin": "in"}.get(operator, operator.removeprefix("not_"))
            return Negation(compared(paths, positive, operand, where))
    raise QueryError(f"{where}: expected one of the operators {', '.join(OPERATORS)}, found {operator!r}")


def check_size(filter: Filter) -> Filter:
    """Return the filter. Raises QueryError for one that is nested too deeply or has too many tests."""
    tests = 0
    for node, depth in _depths(filter):
        tests += isinstance(node, Test)
        if tests > MOST_TESTS or depth > MOST_DEPTH:
            raise QueryError(
                f"where: more than {MOST_TESTS} tests, or nested deeper than {MOST_DEPTH}: make it smaller "
                "($in takes many values)"
            )
    return filter


def scalar(value: object, where: str) -> Scalar:
    """Convert an operand to a value that metadata may have: text, a number, true, false or null; a date
    becomes ISO text. Raises QueryError.
    """
    value = json_scalar(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _string(value, where)
    if isinstance(value, (int, float)):
        return _number(value, where)
    hint = "; use $in for several" if isinstance(value, (list, tuple, set)) else ""
    raise QueryError(f"{where}: expected text, a number, true, false or null, found {_shown(value)}{hint}")


def _scalars(operand: object, where: str) -> tuple[Scalar, ...]:
    if isinstance(operand, (str, bytes, dict)) or not hasattr(operand, "__iter__"):
        raise QueryError(f"{where}: expected a list of values, found {_shown(operand)}")
    return tuple(scalar(value, where) for value in operand)


def _ordered(operand: object, where: str) -> str | int | float:
    value = scalar(operand, where)
    if value is None or isinstance(value, bool):
        raise QueryError(f"{where}: expected text or a number to compare with, found {_shown(operand)}")
    return value


def _string(operand: object, where: str) -> str:
    if not isinstance(operand, str):
        raise QueryError(f"{where}: expected text, found {_shown(operand)}")
    utf8(QueryError, where, operand)
    return str.__str__(operand)  # of an Enum's member that is text its value, as JSON has it


def _pattern(operand: object, where: str) -> str:
    pattern = _string(operand, where)
    if pattern.count("*") > MOST_WILDCARDS or len(pattern) > 1000:
        raise QueryError(
            f"{where}: expected a pattern of at most {MOST_WILDCARDS} * and 1,000 characters, found "
            f"{pattern.count('*')} and {len(pattern):,}"
        )
    return pattern


def _number(value: float, where: str) -> int | float:
    try:
        if math.isfinite(value):
            return value
    except OverflowError:  # a whole number beyond floats
        pass
    raise QueryError(f"{where}: expected a finite number, found {_shown(value)}")


def tests_of(filter: Filter) -> Iterator[Test]:
    """The tests of a filter, from left to right."""
    if isinstance(filter, Test):
        yield filter
    for child in _children(filter):
        yield from tests_of(child)


def _depths(filter: Filter, depth: int = 1) -> Iterator[tuple[Filter, int]]:
    yield filter, depth
    for child in _children(filter):
        yield from _depths(child, depth + 1)


def _children(filter: Filter) -> tuple[Filter, ...]:
    match filter:
        case Every(filters) | Either(filters):
            return filters
        case Negation(negated):
            return (negated,)
        case _:
            return ()


def _shown(value: object) -> str:
    if isinstance(value, int) and value.bit_length() > 1000:  # beyond what Python would print
        return "a whole number beyond floats"
    return repr(value)[:80]
