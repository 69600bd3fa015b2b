"""What a client asks a server, and what the answers mean: the same for both clients."""

from __future__ import annotations

import itertools
import json
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from femtosearch.errors import (
    DocumentError,
    FemtosearchError,
    LockedError,
    QueryError,
    ServerError,
    StoreError,
    UnknownQueryWarning,
)
from femtosearch.index.contents import Where
from femtosearch.index.context import Citation, Context, check_max_tokens
from femtosearch.index.documents import check_metadata, checked_ids, drafts, is_id, named
from femtosearch.index.json_values import json_scalar
from femtosearch.index.request import check_limit, check_request
from femtosearch.index.searches import Hits
from femtosearch.index.stats import Stats
from femtosearch.types import Document, Explanation, Hit, Page, TokenMatch

T = TypeVar("T")
IDS_IN_LINK, MOST_LINK, MOST_FACETS = 50, 20_000, 10_000  # ids and characters of a link
BATCH_DOCUMENTS, BATCH_CHARACTERS = 256, 1 << 19  # of one request, which is to be answered in seconds
BATCH_IDS, BATCH_QUERIES, BATCH_PAGE = 1000, 64, 1000
MOST_ID, MOST_AFTER = 4096, 1 << 62  # characters of an id; what a page may be asked to begin after
ASKED = frozenset(
    ["k", "mode", "candidates", "recall", "where", "min_score", "per", "hybrid", "length_penalty"]
)
SHOWN = frozenset(["spots", "fold", "explain", "text", "partial"])  # beside what `check_request` checks
NEWER = frozenset(["spots", "fold"])  # which a server of an older version does not know
MOST_ANSWER = 1 << 30  # bytes
RETRIED = frozenset({429, 503})
KINDS: dict[str, type[FemtosearchError]] = {
    "query": QueryError,
    "body": QueryError,
    "document": DocumentError,
    "locked": LockedError,
    "index": StoreError,
    "shards": ServerError,
}


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request, and what to make of the JSON of its answer. Every call may be made twice."""

    method: str
    path: str
    parse: Callable[[Any], T]
    body: Mapping[str, Any] | None = None

    def content(self) -> bytes | None:
        """The body as bytes. Raises QueryError for what is not JSON."""
        if self.body is None:
            return None
        try:
            return json.dumps(self.body, ensure_ascii=False, allow_nan=False).encode()
        except (TypeError, ValueError) as error:
            raise QueryError(f"what is asked is not JSON: {error}") from None


@dataclass(frozen=True, slots=True)
class Server:
    """Where a server is, and how to be let in. Raises ServerError for what is no address."""

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
            raise ServerError(f"url: expected http://HOST:PORT, found {self.url!r}")
        key = "" if self.key is None else self.key
        if not isinstance(key, str) or not key.isascii() or not key.isprintable() or key.strip() != key:
            raise ServerError("key: expected printable ASCII characters, without blanks round them")

    @property
    def base(self) -> str:
        """The path before all paths."""
        return urlsplit(self.url).path.rstrip("/")

    def headers(self) -> dict[str, str]:
        """What every request says."""
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        return {**headers, "Authorization": f"Bearer {self.key}"} if self.key else headers

    def query(self, **parameters: Any) -> str:
        """Parameters behind a path, the index's name among them."""
        named = {"index": self.index} if self.index is not None else {}
        return "?" + urlencode({**parameters, **named}, doseq=True, errors="surrogatepass")

    def with_index(self, body: dict[str, Any]) -> dict[str, Any]:
        """A body that names the index."""
        return body if self.index is None else {**body, "index": self.index}


def searches(server: Server, query: str | list[str], options: Mapping[str, Any]) -> list[Call[list[Any]]]:
    """The calls that give the hits of a query; of several a list of hits each, so many queries a call. Raises
    QueryError, and TypeError for an option that there is none of.
    """
    unknown = sorted(options.keys() - ASKED - SHOWN)
    if unknown:
        raise TypeError(f"search() got an unexpected keyword argument {unknown[0]!r}")
    texts = [query] if isinstance(query, str) else query
    check_request(texts, **{name: option for name, option in options.items() if name in ASKED})
    asked = {
        name: _plain(option)
        for name, option in options.items()
        if option is not None and not (name in NEWER and option is False)
    }
    if isinstance(query, str):
        return [Call("POST", "/search", _hits, server.with_index({"query": query, **asked}))]
    groups = [list(texts[n : n + BATCH_QUERIES]) for n in range(0, len(texts), BATCH_QUERIES)]
    bodies = [server.with_index({"query": group, **asked}) for group in groups or [[]]]
    return [Call("POST", "/search", _hit_lists, body) for body in bodies]


def context(server: Server, question: str, max_tokens: int, k: int, where: Where | None) -> Call[Context]:
    """The best passages for a question. Raises QueryError."""
    k = check_request([question], k, where=where).k
    most = check_max_tokens(max_tokens)
    asked = {"question": question, "max_tokens": most, "k": k, "where": _plain(_checked(where))}
    body = {name: option for name, option in asked.items() if option is not None}
    return Call("POST", "/context", _context, server.with_index(body))


def joined(answers: list[list[Any]]) -> list[Any]:
    """The answers of several calls, end to end."""
    return list(itertools.chain.from_iterable(answers))


def add(server: Server, documents: list[dict[str, Any]]) -> Call[list[str]]:
    """The ids of documents that are stored."""
    body = {"documents": documents, "exact": True}
    return Call("POST", "/documents", _strings("ids"), server.with_index(body))


def batches(documents: Iterable[Any]) -> Iterator[list[dict[str, Any]]]:
    """Documents as bodies have them, so many a request; one without an id has that of its content, so that a
    request that is repeated stores nothing twice. Raises DocumentError.
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
    """How many of the documents were there."""
    chosen = {"ids": ids, "where": _plain(_checked(where))}
    asked = {name: option for name, option in chosen.items() if option is not None}
    return Call("POST", "/documents/delete", _number("deleted"), server.with_index(asked))


def changes(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata as a body has them. Raises DocumentError."""
    if not isinstance(metadata, Mapping):
        raise DocumentError(f"metadata: expected a mapping, found {type(metadata).__name__}")
    changed: dict[str, Any] = json.loads(check_metadata(metadata, "update"))
    return changed


def update(server: Server, ids: list[str], metadata: Mapping[str, Any], replace: bool) -> Call[int]:
    """How many documents were changed; metadata: what `changes` gives."""
    body = {"ids": ids, "metadata": metadata, "replace": replace}
    return Call("PATCH", "/documents", _number("updated"), server.with_index(body))


def count(server: Server, where: Where | None) -> Call[int]:
    """How many documents pass."""
    return Call("GET", "/count" + server.query(**_filter(where)), _number("count"))


def facets(server: Server, field: str, where: Where | None, limit: int | None) -> Call[dict[Any, int]]:
    """How many documents have each value."""
    most = min(check_limit(limit) or MOST_FACETS, MOST_FACETS)
    parameters = {"field": field, **_filter(where), "limit": most}
    return Call("GET", "/facets" + server.query(**parameters), _counts)


def id_batches(ids: str | Iterable[str]) -> list[list[str]]:
    """Ids, so many a request. Raises DocumentError."""
    checked = checked_ids(ids)
    for position, name in enumerate(checked):
        _check_length(name, f"id {position}")
    return [checked[n : n + BATCH_IDS] for n in range(0, len(checked), BATCH_IDS)]


def _check_length(name: str | None, where: str) -> None:
    if name is not None and len(name) > MOST_ID:
        raise DocumentError(f"{where}: the id has {len(name):,} characters: a server takes {MOST_ID:,}")


def linked_ids(ids: list[str]) -> Iterator[list[str]]:
    """Ids, so many a link; what no document can have, or is longer than a link can be, is left out."""
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
    """The documents with those ids, by id."""
    return Call("GET", "/documents" + server.query(id=ids), _documents)


def page(server: Server, after: int, limit: int, where: Where | None) -> Call[Page]:
    """Some documents: fewer than the limit where a server gives so many at most."""
    asked = {"after": min(after, MOST_AFTER), "limit": min(limit, BATCH_PAGE)}
    return Call("GET", "/documents" + server.query(**asked, **_filter(where)), _page)


def stats(server: Server) -> Call[Stats]:
    """What the index holds."""
    return Call("GET", "/indexes", lambda answer: _stats(answer, server.index))


def parse(call: Call[T], status: int, content: bytes) -> T:
    """What the answer means. Raises the server's error as what the library would raise, or ServerError."""
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        answer = None
    if status != 200:
        raise _error(status, answer)
    try:
        return call.parse(answer)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        raise ServerError(
            f"{call.path.partition('?')[0]}: the answer is not one of femtosearch's: check the URL"
        ) from None


def pause(headers: Mapping[str, str], attempt: int) -> float:
    """Seconds to wait before a call is repeated: as the server says, but not without end."""
    seconds = headers.get("retry-after", "")
    return min(float(seconds) if seconds.isdigit() else 0.1 * 2**attempt, 10.0)


def _error(status: int, answer: Any) -> FemtosearchError:
    error = answer.get("error") if isinstance(answer, dict) else None
    if not isinstance(error, dict) or not isinstance(error.get("message"), str):
        return ServerError(f"the server answered with HTTP {status} and no reason: is it femtosearch?")
    kind, message = error.get("type"), error["message"]
    if isinstance(kind, str) and kind in KINDS:
        return KINDS[kind](message)
    return ServerError(f"{message} (HTTP {status}, request {error.get('request_id')})")


def _hits(answer: Any) -> list[Hit]:
    _warn([answer.get("coverage")])
    return _marked([_hit(entry) for entry in answer["hits"]], answer)


def _warn(coverages: list[Any]) -> None:
    """Warn of queries of which the server's model knows no word, as `Index.search` does."""
    if any(coverage and coverage.get("pieces") == 0 for coverage in coverages):
        message = "the server's model knows no word of a query; it finds nothing by meaning"
        warnings.warn(message, UnknownQueryWarning, stacklevel=2)


def _hit_lists(answer: Any) -> list[list[Hit]]:
    _warn(answer.get("coverage") or [])
    return [_marked([_hit(entry) for entry in hits], answer) for hits in answer["hits"]]


def _context(answer: Any) -> Context:
    _warn([answer.get("coverage")])
    citations = [Citation(**{**entry, "score": _score(entry)}) for entry in answer["citations"]]
    return Context(str(answer["text"]), citations, int(answer["tokens"]))


def _marked(hits: list[Hit], answer: Any) -> list[Hit]:
    """The hits, and of a cluster which shards did not answer."""
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
    """The filter as it is, read as the library reads it. Raises QueryError."""
    from femtosearch.index.where import read_filter

    read_filter(where)
    return where


def _plain(value: Any) -> Any:
    """What a filter has, as JSON has it: sets and tuples as lists, dates and numbers as in metadata."""
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, (set, frozenset, list, tuple)):
        return [_plain(inner) for inner in value]
    return json_scalar(value)


def _documents(answer: Any) -> dict[str, Document]:
    return {document.id: document for document in map(_document, answer["documents"])}


def _counts(answer: Any) -> dict[Any, int]:
    return {entry["value"]: int(entry["count"]) for entry in answer["facets"]}


def _page(answer: Any) -> Page:
    after = answer["after"]
    return Page([_document(entry) for entry in answer["documents"]], None if after is None else int(after))


def _stats(answer: Any, name: str | None) -> Stats:
    entries = {entry["name"]: entry for entry in answer["indexes"]}
    if name is None and len(entries) != 1:
        raise StoreError(f"index: the server has {len(entries)}: say which, connect(url, index=NAME)")
    if name is not None and name not in entries:
        raise StoreError(f"index: expected one of the server's, {', '.join(entries)}, found {name!r}")
    entry = next(iter(entries.values())) if name is None else entries[name]
    if entry.get("missing"):
        raise ServerError(f"stats: {', '.join(entry['missing'])} did not answer: try again")
    return Stats(**{field.name: entry[field.name] for field in fields(Stats) if field.name in entry})


def _strings(name: str) -> Callable[[Any], list[str]]:
    return lambda answer: [str(text) for text in answer[name]]


def _number(name: str) -> Callable[[Any], int]:
    return lambda answer: int(answer[name])


_HIT_FIELDS = [field.name for field in fields(Hit)]
