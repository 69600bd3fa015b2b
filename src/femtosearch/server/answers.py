"""How a client parses the answers of a server: their JSON becomes what the methods of `Index` return."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from femtosearch.errors import (
    DocumentError,
    FemtosearchError,
    LockedError,
    QueryError,
    ServerError,
    StoreError,
    UnknownQueryWarning,
)
from femtosearch.index.context import Citation, Context
from femtosearch.index.searches import Hits
from femtosearch.index.stats import Stats
from femtosearch.types import Document, Explanation, Hit, Page, TokenMatch

_KINDS: dict[str, type[FemtosearchError]] = {
    "query": QueryError,
    "body": QueryError,
    "document": DocumentError,
    "locked": LockedError,
    "index": StoreError,
    "shards": ServerError,
}
_HIT_FIELDS = [field.name for field in fields(Hit)]


def error_of(status: int, answer: Any) -> FemtosearchError:
    """The error that an answer with another status than 200 stands for, as the class that the
    library raises.
    """
    error = answer.get("error") if isinstance(answer, dict) else None
    if not isinstance(error, dict) or not isinstance(error.get("message"), str):
        return ServerError(f"the server answered with HTTP {status} and no reason: is it femtosearch?")
    kind, message = error.get("type"), error["message"]
    if isinstance(kind, str) and kind in _KINDS:
        return _KINDS[kind](message)
    return ServerError(f"{message} (HTTP {status}, request {error.get('request_id')})")


def hits(answer: Any) -> list[Hit]:
    """The hits of one query."""
    _warn([answer.get("coverage")])
    return _marked([_hit(entry) for entry in answer["hits"]], answer)


def hit_lists(answer: Any) -> list[list[Hit]]:
    """The hits of several queries."""
    _warn(answer.get("coverage") or [])
    return [_marked([_hit(entry) for entry in entries], answer) for entries in answer["hits"]]


def context(answer: Any) -> Context:
    """The context of a question."""
    _warn([answer.get("coverage")])
    citations = [Citation(**{**entry, "score": _score(entry)}) for entry in answer["citations"]]
    return Context(str(answer["text"]), citations, int(answer["tokens"]))


def documents(answer: Any) -> dict[str, Document]:
    """Documents by their ids."""
    return {document.id: document for document in map(_document, answer["documents"])}


def counts(answer: Any) -> dict[Any, int]:
    """How many documents have each value of a field."""
    return {entry["value"]: int(entry["count"]) for entry in answer["facets"]}


def page(answer: Any) -> Page:
    """A page of documents."""
    after = answer["after"]
    return Page([_document(entry) for entry in answer["documents"]], None if after is None else int(after))


def stats(answer: Any, name: str | None) -> Stats:
    """What the index of that name holds; None: the only one. Raises StoreError, ServerError."""
    entries = {entry["name"]: entry for entry in answer["indexes"]}
    if name is None and len(entries) != 1:
        raise StoreError(f"index: the server has {len(entries)}: say which, connect(url, index=NAME)")
    if name is not None and name not in entries:
        raise StoreError(f"index: expected one of the server's, {', '.join(entries)}, found {name!r}")
    entry = next(iter(entries.values())) if name is None else entries[name]
    if entry.get("missing"):
        raise ServerError(f"stats: {', '.join(entry['missing'])} did not answer: try again")
    return Stats(**{field.name: entry[field.name] for field in fields(Stats) if field.name in entry})


def strings(name: str) -> Callable[[Any], list[str]]:
    """A function that reads a list of strings under a name."""
    return lambda answer: [str(text) for text in answer[name]]


def number(name: str) -> Callable[[Any], int]:
    """A function that reads a whole number under a name."""
    return lambda answer: int(answer[name])


def _warn(coverages: list[Any]) -> None:
    """Warn of queries of which the server's model knows no word, as `Index.search` does."""
    if any(coverage and coverage.get("pieces") == 0 for coverage in coverages):
        message = "the server's model knows no word of a query; it finds nothing by meaning"
        warnings.warn(message, UnknownQueryWarning, stacklevel=2)


def _marked(hits: list[Hit], answer: Any) -> list[Hit]:
    """The hits; if a cluster lacks shards, a `Hits` that names these."""
    if not answer.get("missing"):
        return hits
    marked = Hits(hits)
    marked.missing = tuple(map(str, answer["missing"]))
    return marked


def _score(entry: dict[str, Any]) -> float:
    return -math.inf if entry["score"] is None else float(entry["score"])


def _hit(entry: dict[str, Any]) -> Hit:
    fields = {name: entry[name] for name in _HIT_FIELDS if name in entry}
    fields["score"] = _score(entry)
    for name in ("passage", "lines", "heading", "span", "copies"):  # which JSON has as lists
        if fields.get(name) is not None:
            fields[name] = tuple(fields[name])
    if fields.get("explanation") is not None:
        fields["explanation"] = _explanation(fields["explanation"])
    return Hit(**fields)


def _explanation(entry: dict[str, Any]) -> Explanation:
    tokens = [
        TokenMatch(**{**match, "span": None if match["span"] is None else tuple(match["span"])})
        for match in entry["tokens"]
    ]
    return Explanation(tokens, dict(entry["words"]), dict(entry["ranks"]), dict(entry.get("parts", {})))


def _document(entry: dict[str, Any]) -> Document:
    return Document(str(entry["id"]), str(entry["text"]), dict(entry["metadata"]))
