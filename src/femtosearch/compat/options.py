"""Options of other libraries: what changes no answer is passed over, and what we have not is told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from femtosearch.errors import FemtosearchError, QueryError


def check_names(call: str, names: Iterable[str], known: Iterable[str]) -> None:
    """Raise TypeError for a name that a call does not take, as Python does."""
    for name in sorted(set(names) - set(known)):
        raise TypeError(f"{call}() got an unexpected keyword argument {name!r}")


def check_values(call: str, options: Mapping[str, Any], only: Mapping[str, object]) -> None:
    """Raise FemtosearchError for an option whose value is not None and not the only one that we have."""
    for name, value in options.items():
        if name in only and value is not None and not _is_same(value, only[name]):
            hint = "" if only[name] is None else f", or ask for {only[name]!r}"
            raise FemtosearchError(
                f"{call}: {name}={repr(value)[:80]} is not supported here: leave it out{hint}"
            )


def several(what: str, values: Any) -> Iterable[Any]:
    """The values, which are several: no single text, whose letters they would be, and no mapping. Raises
    QueryError.
    """
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise QueryError(f"{what}: expected a list, found {type(values).__name__}")
    return values


def _is_same(value: object, only: object) -> bool:
    return isinstance(value, (str, int)) and value == only
