"""The calls of a client to a server: their requests, for both clients. `answers` parses what comes back."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from femtosearch.errors import (
    DocumentError,
    QueryError,
    ServerError,
)
from femtosearch.index.contents import Where
from femtosearch.index.context import Context, check_max_tokens
from femtosearch.index.documents import check_metadata, checked_ids, drafts, is_id, named
from femtosearch.index.json_values import json_scalar
from femtosearch.index.request import check_limit, check_request
from femtosearch.index.stats import Stats
from femtosearch.server import answers
from femtosearch.types import Document, Page

T = TypeVar("T")
IDS_IN_LINK, MOST_LINK, MOST_FACETS = 50, 20_000, 10_000  # ids and characters of a link
BATCH_DOCUMENTS, BATCH_CHARACTERS = 256, 1 << 19  # of one request, which is to be answered in seconds
BATCH_IDS, BATCH_QUERIES, BATCH_PAGE = 1000, 64, 1000
MOST_ID, MOST_AFTER = 4096, 1 << 62  # characters of an id; what a page may be asked to begin after
CHECKED_OPTIONS = frozenset(  # by `check_request`
    ["k", "mode", "candidates", "recall", "where", "min_score", "per", "hybrid", "length_penalty"]
)
FURTHER_OPTIONS = frozenset(["spots", "fold", "explain", "text", "partial"])
NEWER_OPTIONS = frozenset(["spots", "fold"])  # sent only if true: servers of older versions refuse them
MOST_ANSWER = 1 << 30  # bytes
RETRIED = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request, and how the JSON of its answer is parsed. A call may be repeated without harm."""

    method: str
    path: str
    parse: Callable[[Any], T]
    body: Mapping[str, Any] | None = None

    def content(self) -> bytes | None:
        """The body as bytes of JSON. Raises QueryError if it cannot be JSON."""
        if self.body is None:
            return None
        try:
            return json.dumps(self.body, ensure_ascii=False, allow_nan=False).encode()
        except (TypeError, ValueError) as error:
            raise QueryError(f"expected arguments that JSON can hold: {error}") from None


@dataclass(frozen=True, slots=True)
class Server:
    """The address of a server, and the key to it. Raises ServerError for an address or key that is none."""

    url: str
    index: str | None = None
    key: str | None = None
    timeout: float = 60.0

    def __post_init__(self) -> None:
        if not isinstance(self.url, str):
            raise ServerError(f"url: expected a string, found {type(self.url).__name__}")
        try:
            address = urlsplit(self.url)
            is_address = address.scheme in ("http", "https") and bool(address.hostname) and address.port != 0
        except ValueError:
            is_address = False
        if not is_address or not self.url.isascii() or not self.url.isprintable() or " " in self.url:
            raise ServerError(f"url: expected http://HOST:PORT, as serve prints it, found {self.url!r}")
        key = "" if self.key is None else self.key
        if not isinstance(key, str) or not key.isascii() or not key.isprintable() or key.strip() != key:
            raise ServerError("key: expected printable ASCII characters, without blanks round them")

    @property
    def base(self) -> str:
        """The path of the URL, which is put before the path of each call."""
        return urlsplit(self.url).path.rstrip("/")

    def headers(self) -> dict[str, str]:
        """The headers of every request."""
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        return {**headers, "Authorization": f"Bearer {self.key}"} if self.key else headers

    def query(self, **parameters: Any) -> str:
        """The query string of a link, with the index's name."""
        named = {"index": self.index} if self.index is not None else {}
        return "?" + urlencode({**parameters, **named}, doseq=True, errors="surrogatepass")

    def with_index(self, body: dict[str, Any]) -> dict[str, Any]:
        """Add the index's name to a body."""
        return body if self.index is None else {**body, "index": self.index}


def searches(server: Server, query: str | list[str], options: Mapping[str, Any]) -> list[Call[list[Any]]]:
    """The calls of a search: one for a query, whose answer is a list of hits; for several queries one for
    each 64, whose answer is a list of such lists. Raises QueryError, and TypeError for an unknown option.
    """
    unknown = sorted(options.keys() - CHECKED_OPTIONS - FURTHER_OPTIONS)
    if unknown:
        raise TypeError(f"search() got an unexpected keyword argument {unknown[0]!r}")
    texts = [query] if isinstance(query, str) else query
    check_request(texts, **{name: option for name, option in options.items() if name in CHECKED_OPTIONS})
    sent = {
        name: _plain(option)
        for name, option in options.items()
        if option is not None and not (name in NEWER_OPTIONS and option is False)
    }
    if isinstance(query, str):
        return [Call("POST", "/search", answers.hits, server.with_index({"query": query, **sent}))]
    groups = [list(texts[n : n + BATCH_QUERIES]) for n in range(0, len(texts), BATCH_QUERIES)]
    bodies = [server.with_index({"query": group, **sent}) for group in groups or [[]]]
    return [Call("POST", "/search", answers.hit_lists, body) for body in bodies]


def context(server: Server, question: str, max_tokens: int, k: int, where: Where | None) -> Call[Context]:
    """The call for the best passages for a question. Raises QueryError."""
    k = check_request([question], k, where=where).k
    most = check_max_tokens(max_tokens)
    options = {"question": question, "max_tokens": most, "k": k, "where": _plain(_checked(where))}
    body = {name: option for name, option in options.items() if option is not None}
    return Call("POST", "/context", answers.context, server.with_index(body))


def joined(answers: list[list[Any]]) -> list[Any]:
    """The answers of several calls, end to end."""
    return list(itertools.chain.from_iterable(answers))


def add(server: Server, documents: list[dict[str, Any]]) -> Call[list[str]]:
    """The call that stores documents; its answer is their ids."""
    body = {"documents": documents, "exact": True}
    return Call("POST", "/documents", answers.strings("ids"), server.with_index(body))


def batches(documents: Iterable[Any]) -> Iterator[list[dict[str, Any]]]:
    """Divide documents among requests: batches of documents as JSON objects. A document without an id gets
    one made of its content, so that a repeated request stores nothing twice. Raises DocumentError.
    """
    group: list[dict[str, Any]] = []
    characters = 0
    for position, draft in enumerate(map(named, drafts(documents))):
        _check_length(draft.id, f"document {position}")
        group.append({"id": draft.id, "text": draft.text, "metadata": json.loads(draft.metadata)})
        characters += len(draft.text) + len(draft.metadata)
        if len(group) == BATCH_DOCUMENTS or characters >= BATCH_CHARACTERS:
            yield group
            group, characters = [], 0
    if group:
        yield group


def delete(server: Server, ids: list[str] | None, where: Any = None) -> Call[int]:
    """The call that deletes documents; its answer is how many were deleted."""
    options = {"ids": ids, "where": _plain(_checked(where))}
    body = {name: option for name, option in options.items() if option is not None}
    return Call("POST", "/documents/delete", answers.number("deleted"), server.with_index(body))


def changes(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Check metadata and convert them to JSON. Raises DocumentError."""
    if not isinstance(metadata, Mapping):
        raise DocumentError(f"metadata: expected a mapping, found {type(metadata).__name__}")
    changed: dict[str, Any] = json.loads(check_metadata(metadata, "update"))
    return changed


def update(server: Server, ids: list[str], metadata: Mapping[str, Any], replace: bool) -> Call[int]:
    """The call that changes metadata, as `changes` returns them; its answer is how many documents changed."""
    body = {"ids": ids, "metadata": metadata, "replace": replace}
    return Call("PATCH", "/documents", answers.number("updated"), server.with_index(body))


def count(server: Server, where: Where | None) -> Call[int]:
    """The call that counts the documents that pass a filter."""
    return Call("GET", "/count" + server.query(**_filter(where)), answers.number("count"))


def facets(server: Server, field: str, where: Where | None, limit: int | None) -> Call[dict[Any, int]]:
    """The call that counts the documents with each value of a field."""
    most = min(check_limit(limit) or MOST_FACETS, MOST_FACETS)
    parameters = {"field": field, **_filter(where), "limit": most}
    return Call("GET", "/facets" + server.query(**parameters), answers.counts)


def id_batches(ids: str | Iterable[str]) -> list[list[str]]:
    """Divide ids among requests. Raises DocumentError."""
    checked = checked_ids(ids)
    for position, name in enumerate(checked):
        _check_length(name, f"id {position}")
    return [checked[n : n + BATCH_IDS] for n in range(0, len(checked), BATCH_IDS)]


def _check_length(name: str | None, where: str) -> None:
    if name is not None and len(name) > MOST_ID:
        raise DocumentError(
            f"{where}: expected an id of at most {MOST_ID:,} characters, found {len(name):,}: use a shorter "
            "one"
        )


def linked_ids(ids: list[str]) -> Iterator[list[str]]:
    """Divide ids among links. Ids that no document can have, or that are too long for a link, are
    left out.
    """
    group: list[str] = []
    characters = 0
    for name in filter(is_id, dict.fromkeys(ids)):
        length = len(quote(name, safe=""))
        if length > MOST_LINK:
            continue
        if group and (len(group) == IDS_IN_LINK or characters + length > MOST_LINK):
            yield group
            group, characters = [], 0
        group.append(name)
        characters += length
    if group:
        yield group


def get_all(server: Server, ids: list[str]) -> Call[dict[str, Document]]:
    """The call for the documents with those ids; its answer is id -> document."""
    return Call("GET", "/documents" + server.query(id=ids), answers.documents)


def page(server: Server, after: int, limit: int, where: Where | None) -> Call[Page]:
    """The call for a page of documents; it has at most 1,000 documents, even where `limit` is larger."""
    bounds = {"after": min(after, MOST_AFTER), "limit": min(limit, BATCH_PAGE)}
    return Call("GET", "/documents" + server.query(**bounds, **_filter(where)), answers.page)


def stats(server: Server) -> Call[Stats]:
    """The call for what the index holds."""
    return Call("GET", "/indexes", lambda answer: answers.stats(answer, server.index))


def parse(call: Call[T], status: int, content: bytes) -> T:
    """Parse an answer. Raises the server's error as the class that the library raises, else ServerError."""
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        answer = None
    if status != 200:
        raise answers.error_of(status, answer)
    try:
        return call.parse(answer)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        raise ServerError(
            f"{call.path.partition('?')[0]}: the answer is not one of femtosearch's: check the URL"
        ) from None


def pause(headers: Mapping[str, str], attempt: int) -> float:
    """Seconds to wait before a call is repeated: as Retry-After says, but at most 10."""
    seconds = headers.get("retry-after", "")
    return min(float(seconds) if seconds.isdigit() else 0.1 * 2**attempt, 10.0)


def _filter(where: Where | None) -> dict[str, str]:
    """A filter as a parameter of a link. Raises QueryError for what is none, or is not JSON."""
    checked = _checked(where)
    if checked is None or isinstance(checked, str):
        return {} if checked is None else {"where": checked}
    try:
        return {"where": json.dumps(_plain(checked), ensure_ascii=False, allow_nan=False)}
    except (TypeError, ValueError, RecursionError) as error:
        raise QueryError(f"where: expected a filter that is JSON: {error}") from None


def _checked(where: Where | None) -> Where | None:
    """The filter itself, after checking that the library can read it. Raises QueryError."""
    from femtosearch.index.where import read_filter

    read_filter(where)
    return where


def _plain(value: Any) -> Any:
    """Convert a value to JSON's types: sets and tuples to lists, dates and numbers as in metadata."""
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, (set, frozenset, list, tuple)):
        return [_plain(inner) for inner in value]
    return json_scalar(value)
