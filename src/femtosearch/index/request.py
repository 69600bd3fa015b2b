"""What a search may be asked: the same for the library, the command line and whatever else searches."""

from __future__ import annotations

import operator
from dataclasses import dataclass

from femtosearch.errors import QueryError

MODES = ("auto", "maxsim", "rerank", "fde")


@dataclass(frozen=True, slots=True)
class Request:
    """What a caller asked for, checked."""

    texts: list[str]
    k: int
    mode: str
    candidates: int | None = None
    recall: float | None = None


def check_request(
    texts: object,
    k: object = 10,
    mode: object = "auto",
    candidates: object = None,
    recall: object = None,
) -> Request:
    """Check what `Index.search` was asked. Raises QueryError."""
    if not isinstance(texts, (list, tuple)):
        raise QueryError(f"query: expected a string or a list of strings, found {type(texts).__name__}")
    for position, text in enumerate(texts):
        _check_text(text, f"query {position}" if len(texts) > 1 else "query")
    if not isinstance(mode, str) or mode not in MODES:
        raise QueryError(f"mode: expected one of {', '.join(MODES)}, found {mode!r}")
    if candidates is not None and recall is not None:
        raise QueryError("expected candidates or recall, found both: recall picks the number of candidates")
    count = None if candidates is None else _count("candidates", candidates)
    return Request(list(texts), _count("k", k), mode, count, None if recall is None else _share(recall))


def _check_text(text: object, where: str) -> None:
    if not isinstance(text, str):
        raise QueryError(f"{where}: expected a string, found {type(text).__name__}")
    if not text.strip():
        raise QueryError(f"{where}: it is empty; a query needs at least one word")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise QueryError(f"{where}: a lone surrogate at character {error.start}") from None


def _share(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 1:
        raise QueryError(f"recall: expected a number above 0 and at most 1, found {value!r}")
    return float(value)


def _count(name: str, value: object) -> int:
    try:
        count = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        count = 0
    if isinstance(value, bool) or count < 1:
        raise QueryError(f"{name}: expected a whole number of 1 or more, found {value!r}")
    return count
