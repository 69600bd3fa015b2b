"""Filters as mappings, with the operators of Chroma and Pinecone, which are MongoDB's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from femtosearch.errors import QueryError
from femtosearch.index.where.language import parse
from femtosearch.index.where.tree import (
    MOST_DEPTH,
    Either,
    Every,
    Filter,
    Negation,
    Path,
    Test,
    check_size,
    compared,
    field_name,
    paths_of,
)

OPERATORS = (
    "$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$contains", "$not_contains", "$prefix",
    "$glob", "$exists", "$not",
)  # fmt: skip
_LOGIC = ("$and", "$or", "$not")


def read_filter(where: object) -> Filter | None:
    """Read a filter: a mapping, or words as `parse` takes them. Returns None if all documents pass.

    {"year": {"$gte": 2020}, "lang": "en"} is all of its tests; {"$or": [...]}, {"$and": [...]} and {"$not":
    {...}} join filters. {"author": {"name": "Ada"}} and {"author.name": "Ada"} look inside mappings. Raises
    QueryError.
    """
    if where is None or isinstance(where, (Test, Every, Either, Negation)):
        return where
    if isinstance(where, str):
        return check_size(parse(where))
    if not isinstance(where, Mapping):
        raise QueryError(f"where: expected a mapping or a string, found {type(where).__name__}")
    return check_size(_every(_tests(where, 0))) if where else None


def _tests(where: Mapping[object, object], depth: int) -> Iterator[Filter]:
    if depth > MOST_DEPTH:
        raise QueryError(f"where: nested deeper than {MOST_DEPTH} levels: make it flatter")
    for name, operand in where.items():
        name = field_name("where", name)
        if name in _LOGIC:
            yield _joined(name, operand, depth)
        elif name.startswith("$"):
            hint = ": put it inside a field, as in {'year': {'$gte': 2020}}" if name in OPERATORS else ""
            raise QueryError(f"where: expected a field, $and, $or or $not, found {name[:80]!r}{hint}")
        else:
            yield from _field(name, (), operand, depth)


def _joined(name: str, operand: object, depth: int) -> Filter:
    if name == "$not":
        return Negation(_inner(operand, "$not", depth))
    if not isinstance(operand, (list, tuple)) or not operand:
        raise QueryError(f"where: {name}: expected a list of filters, found {str(operand)[:80]!r}")
    filters = tuple(_inner(filter, name, depth) for filter in operand)
    return Every(filters) if name == "$and" else Either(filters)


def _inner(where: object, name: str, depth: int) -> Filter:
    if not isinstance(where, Mapping) or not where:
        raise QueryError(
            f"where: {name}: expected a filter, a mapping with a field, found {str(where)[:80]!r}"
        )
    return _every(_tests(where, depth + 1))


def _field(name: str, outer: Path, operand: object, depth: int) -> Iterator[Filter]:
    """The tests of one field, `outer` being the keys of the mappings around it."""
    paths = tuple(outer + path for path in paths_of(name))
    label = f"where: {'.'.join((*outer, name))[:80]}"
    if not isinstance(operand, Mapping):
        yield compared(paths, "eq", operand, label)
        return
    if not operand:
        raise QueryError(f"{label}: expected an operator such as $eq, found none")
    if depth > MOST_DEPTH:
        raise QueryError(f"{label}: nested deeper than {MOST_DEPTH} levels: make it flatter")
    operators = [str(key).startswith("$") for key in operand]
    if any(operators) != all(operators):
        raise QueryError(
            f"{label}: expected operators or fields, found both: {', '.join(map(str, operand))[:80]}"
        )
    for inner, content in operand.items():
        inner = field_name(label, inner)
        if not inner.startswith("$"):
            yield from _field(inner, (*outer, name), content, depth + 1)
        elif inner not in OPERATORS:
            raise QueryError(f"{label}: expected one of {', '.join(OPERATORS)}, found {inner[:80]!r}")
        elif inner == "$not":
            yield Negation(_every(_field(name, outer, content, depth + 1)))
        else:
            yield compared(paths, inner[1:], content, f"{label}: {inner}")


def _every(filters: Iterator[Filter]) -> Filter:
    tests = tuple(filters)
    return tests[0] if len(tests) == 1 else Every(tests)
