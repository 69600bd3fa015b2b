"""The reasons why no document passes a filter, and why a field has no values, for messages."""

from __future__ import annotations

from typing import Any

from femtosearch.cli.show import count
from femtosearch.index.index import Index
from femtosearch.index.where import Every, Test, read_filter, tests_of
from femtosearch.index.where.tree import COMPARISONS, paths_of

IS_TEXT, IS_NUMBER = ("prefix", ""), ("gte", -1e308)  # operator and operand of tests for kinds of values
MISTAKES = (  # the kinds of operands, the test that fits them, the mistaken one, its name, and the remedy
    ((int, float), IS_NUMBER, IS_TEXT, "a text", "put the number in quotes"),
    ((str,), IS_TEXT, IS_NUMBER, "a number", "compare it without quotes"),
)


def why_nothing_passes(index: Index, where: Any) -> str:
    """The first mistake in a filter: a field that no document has, a number compared with texts, or a text
    compared with numbers; "" if it has no such mistake. Raises StoreError.
    """
    tree = read_filter(where)
    faults = (_fault(index, test) for test in tests_of(tree)) if tree else ()
    return next(filter(None, faults), "")


def why_no_values(index: Index, field: str, where: Any) -> str:
    """Why a field has no values to count: no document has it, none that passes has it, or its values are all
    mappings or empty lists. Raises QueryError, StoreError.
    """
    exists, filter = Test(paths_of(field), "exists", True), read_filter(where)
    everywhere: Any = exists
    passing: Any = exists if filter is None else Every((filter, exists))
    if index.count(passing):
        return f"{field!r} has mappings or empty lists alone: name a key within, as in a.b"
    return f"no document {'that passes ' if index.count(everywhere) else ''}has {field!r}"


def _fault(index: Index, test: Test) -> str:
    def documents(operator: str, operand: object) -> int:
        filter: Any = Test(test.paths, operator, operand)
        return index.count(filter)

    field = ".".join(test.paths[0])
    if not documents("exists", True):
        return f"no document has {field!r}"
    for kinds, fitting, mistaken, kind_name, remedy in MISTAKES:
        if _compares(test, kinds) and not documents(*fitting) and (affected := documents(*mistaken)):
            return f"{field!r} is {kind_name} in {count(affected, 'document')}: {remedy}"
    return ""


def _compares(test: Test, kinds: tuple[type, ...]) -> bool:
    """Whether a test compares values with operands that are all of these kinds."""
    if test.operator not in ("in", *COMPARISONS):
        return False
    operands = test.operand if isinstance(test.operand, tuple) else (test.operand,)
    return all(isinstance(operand, kinds) and not isinstance(operand, bool) for operand in operands)
