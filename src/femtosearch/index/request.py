"""The request of a search, checked: the library, the command line and the server share it."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from femtosearch.errors import DocumentError, QueryError, check_whole, is_number, is_whole, utf8
from femtosearch.frozen import frozen
from femtosearch.index.json_values import json_scalar

if TYPE_CHECKING:
    from femtosearch.index.where import Filter
    from femtosearch.index.where.tree import Path

CONTEXT_HITS = 30  # documents that `context` looks at
MODES = ("auto", "maxsim", "rerank", "fde")


@frozen
class Quota:
    """A limit of how many hits may have the same value of a field. paths: of the field; without:
    the source.
    """

    most: int
    paths: tuple[Path, ...] = ()


@frozen
class Request:
    """The arguments of a search, checked; see `Index.search`."""

    texts: list[str]
    k: int
    mode: str
    candidates: int | None = None
    recall: float | None = None
    where: Filter | None = None
    min_score: float | None = None
    per: Quota | None = None
    hybrid: float | None = None
    length_penalty: float | None = None


def check_request(
    texts: object,
    k: object = 10,
    mode: object = "auto",
    candidates: object = None,
    recall: object = None,
    *,
    where: object = None,
    min_score: object = None,
    per: object = None,
    hybrid: object = None,
    length_penalty: object = None,
) -> Request:
    """Check the arguments of `Index.search`; numbers may be numpy's. Raises QueryError."""
    if not isinstance(texts, (list, tuple)):
        raise QueryError(f"query: expected a string or a list of strings, found {type(texts).__name__}")
    for position, text in enumerate(texts):
        _check_text(text, f"query {position}" if len(texts) > 1 else "query")
    if not isinstance(mode, str) or mode not in MODES:
        raise QueryError(f"mode: expected one of {', '.join(MODES)}, found {mode!r}")
    if candidates is not None and recall is not None:
        raise QueryError("expected candidates or recall, found both: recall picks the number of candidates")
    count = None if candidates is None else _count("candidates", candidates)
    return Request(
        list(texts),
        _count("k", k),
        mode,
        count,
        None if recall is None else _share(json_scalar(recall)),
        None if where is None else _filter(where),
        None if min_score is None else _least(json_scalar(min_score)),
        None if per is None else _quota(per),
        _weight(json_scalar(hybrid), mode),
        None if length_penalty is None else _penalty(json_scalar(length_penalty)),
    )


def _filter(where: object) -> Filter | None:
    from femtosearch.index.where import read_filter

    return read_filter(where)


def _check_text(text: object, where: str) -> None:
    if not isinstance(text, str):
        raise QueryError(f"{where}: expected a string, found {type(text).__name__}")
    if not text.strip():
        raise QueryError(f"{where}: it is empty; a query needs at least one word")
    utf8(QueryError, where, text)


def _share(value: object) -> float:
    if not is_number(value, 0, 1) or not value:
        raise QueryError(f"recall: expected a number above 0 and at most 1, found {value!r}")
    return float(value)


def _weight(value: object, mode: str) -> float | None:
    if value is None:
        return None
    if not is_number(value, 0, 1):
        raise QueryError(f"hybrid: expected a number from 0, MaxSim alone, to 1, BM25 alone, found {value!r}")
    if value and mode == "fde":
        raise QueryError("hybrid: words go with MaxSim, not with mode='fde': use another mode")
    return float(value)


def _penalty(value: object) -> float:
    if not is_number(value, 0, 10):
        raise QueryError(f"length_penalty: expected a number from 0 to 10, found {value!r}")
    return float(value)


def _least(value: object) -> float:
    if not is_number(value):
        raise QueryError(f"min_score: expected a number, found {value!r}")
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _quota(value: object) -> Quota:
    """Read a quota: a number of hits of each source, or a field and a number of hits: {"author": 1}."""
    if not isinstance(value, Mapping):
        return Quota(_count("per", value))
    if len(value) != 1 or not all(isinstance(name, str) and name for name in value):
        raise QueryError(f"per: expected a number, or one field and a number, found {str(value)[:80]}")
    from femtosearch.index.where.tree import paths_of

    ((name, most),) = value.items()
    return Quota(_count(f"per: {name[:80]}", most), paths_of(name))


def _count(name: str, value: object) -> int:
    if not isinstance(value, bool):
        with suppress(TypeError):
            value = operator.index(value)  # type: ignore[arg-type]  # of numpy's numbers
    return check_whole(QueryError, name, value, 1)


def check_limit(limit: object) -> int | None:
    """Check a number of values; None for all. Raises QueryError."""
    return None if limit is None else _count("limit", limit)


def check_page(after: object, limit: object, last: int = (1 << 63) - 1) -> tuple[int, int]:
    """Check the arguments of `page`. last: the largest `after`. Raises DocumentError."""
    after = json_scalar(after)
    if not is_whole(after, -1, last):
        raise DocumentError(f"after: expected -1, or the `after` of the page before, found {after!r}")
    return after, check_whole(DocumentError, "limit", json_scalar(limit), 1, (1 << 31) - 1)
