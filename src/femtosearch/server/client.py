"""The client: an index of a server, with the methods of a local one."""

from __future__ import annotations

import http.client
import importlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar, overload
from urllib.parse import urlsplit

from femtosearch.errors import FemtosearchError, ServerError
from femtosearch.index.contents import Where
from femtosearch.index.context import Context
from femtosearch.index.documents import wanted_ids
from femtosearch.index.request import CONTEXT_HITS, check_page
from femtosearch.index.searches import Searches
from femtosearch.index.stats import Stats
from femtosearch.server import calls
from femtosearch.server.calls import Call, Server
from femtosearch.types import Document, Hit, Page

T = TypeVar("T")
ATTEMPTS = 6


def connect(
    url: str,
    *,
    index: str | None = None,
    key: str | None = None,
    timeout: float = 60.0,
    model: Any = None,
) -> RemoteIndex:
    """An index of a server that `femtosearch serve` runs, with the methods of `Index`.

    url:      such as http://127.0.0.1:8765; nothing is sent until a method is called. Or an address of
              `femtosearch export --to`, such as qdrant:http://127.0.0.1:6333; then the result is a
              `QdrantIndex`, which asks Qdrant at once for the name of its model.
    index:    the name of the index, if the server has several.
    key:      a key of --api-key or --write-key of the server; for Qdrant Qdrant's own ($QDRANT_API_KEY).
    timeout:  seconds to wait for an answer.
    model:    only for an index in Qdrant whose model is not built in: a model, or its name or folder.
    Raises ServerError if `url` is no address, or `key` cannot be sent.
    """
    if isinstance(url, str) and url.startswith(("qdrant:", "qdrant-edge:")):
        if index is not None:
            raise ServerError(f"index: in Qdrant a collection is named behind #: {url}#{index}")
        qdrant: Any = importlib.import_module("femtosearch.server.cluster.qdrant")
        # typed as what nearly all callers get
        searched: RemoteIndex = qdrant.QdrantIndex(url, model=model, key=key, timeout=timeout)
        return searched
    if model is not None:
        raise ServerError("model: expected none, the server has it")
    return RemoteIndex(Server(url, index, key, timeout))


class RemoteIndex(Searches):
    """An index of a server. Safe to use from several threads.

    A call is repeated after a pause if the server is too busy, and at once if the connection broke; to repeat
    a call never changes the index twice. Methods raise what those of `Index` raise, and ServerError.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()
        self._closed = False

    def add(
        self,
        documents: Iterable[str | Mapping[str, Any] | Document],
        *,
        progress: Callable[[int], object] | None = None,
    ) -> list[str]:
        """Store documents. Returns their ids.

        A request has 256 documents or half a megabyte of them, and is stored whole or not at all: documents
        of requests before an error stay stored.

        progress:  called after each request with the number of documents stored.
        """
        ids: list[str] = []
        for batch in calls.batches(documents):
            stored = self._run(calls.add(self._server, batch))
            ids += stored
            if progress is not None:
                progress(len(ids))
        return ids

    def delete(self, ids: str | Iterable[str] | None = None, *, where: Where | None = None) -> int:
        """Take out documents, by one id or many, or all that pass a filter; how many there were."""
        if ids is None:
            return self._run(calls.delete(self._server, None, where))
        deleted = 0
        for group in calls.id_batches(ids):
            deleted += self._run(calls.delete(self._server, group, where))
        return deleted

    def update(self, ids: str | Iterable[str], metadata: Mapping[str, Any], *, replace: bool = False) -> int:
        """Change the metadata of documents; how many there are. See `Index.update`."""
        updated, groups, changed = 0, calls.id_batches(ids), calls.changes(metadata)
        for group in groups:
            updated += self._run(calls.update(self._server, group, changed, replace))
        return updated

    def count(self, where: Where | None = None) -> int:
        """How many documents there are, or pass a filter."""
        return self._run(calls.count(self._server, where))

    def facets(
        self, field: str, *, where: Where | None = None, limit: int | None = None
    ) -> dict[str | int | float | bool | None, int]:
        """How many documents have each value of a field, the commonest first; 10,000 values at most."""
        return self._run(calls.facets(self._server, field, where, limit))

    @overload
    def get(self, document_id: str) -> Document | None: ...
    @overload
    def get(self, document_id: list[str] | tuple[str, ...]) -> list[Document | None]: ...
    def get(self, document_id: str | Iterable[str]) -> Document | list[Document | None] | None:
        """The document with that id, or None; for several ids a list, in their order."""
        ids, documents = wanted_ids(document_id), dict[str, Document]()
        for group in calls.linked_ids(ids):
            page = self._run(calls.get_all(self._server, group))
            documents |= page
        if isinstance(document_id, str):
            return documents.get(document_id)
        return [documents.get(name) for name in ids]

    @overload
    def search(self, query: str, *, k: int = 10, mode: str = "auto", **options: Any) -> list[Hit]: ...
    @overload
    def search(
        self, query: list[str], *, k: int = 10, mode: str = "auto", **options: Any
    ) -> list[list[Hit]]: ...
    def search(
        self, query: str | list[str], *, k: int = 10, mode: str = "auto", **options: Any
    ) -> list[Hit] | list[list[Hit]]:
        """The k best documents, best first; a list of queries gives a list of such lists. options: what
        `Index.search` takes beside them.
        """
        requests = calls.searches(self._server, query, {"k": k, "mode": mode, **options})
        answers = [self._run(call) for call in requests]
        return answers[0] if isinstance(query, str) else calls.joined(answers)

    def context(
        self, question: str, *, max_tokens: int = 2000, k: int = CONTEXT_HITS, where: Where | None = None
    ) -> Context:
        """The best passages for a question, for a language model's prompt; see `Index.context`."""
        return self._run(calls.context(self._server, question, max_tokens, k, where))

    def page(self, after: int = -1, limit: int = 256, *, where: Where | None = None) -> Page:
        """At most `limit` documents in the order in which they were added; see `Index.page`."""
        after, limit = check_page(after, limit)
        documents: list[Document] = []
        place: int | None = after
        while place is not None and len(documents) < limit:
            page = self._run(calls.page(self._server, place, limit - len(documents), where))
            documents += page.documents
            place = page.after if page.documents else None
        return Page(documents, place)

    def documents(self, where: Where | None = None) -> Iterator[Document]:
        """The documents that pass a filter, in the order in which they were added; memory holds a few."""
        after: int | None = -1
        while after is not None:
            page = self.page(after, where=where)
            yield from page.documents
            after = page.after

    def stats(self) -> Stats:
        """What the index holds."""
        return self._run(calls.stats(self._server))

    def close(self) -> None:
        """Close the connections; a second time does nothing."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def __repr__(self) -> str:
        return f"<RemoteIndex {self._server.url!r}{', closed' if self._closed else ''}>"

    def _run(self, call: Call[T]) -> T:
        content = call.content()
        deadline = time.monotonic() + self._server.timeout
        for attempt in range(ATTEMPTS):
            last = attempt == ATTEMPTS - 1
            try:
                status, headers, answer = self._exchange(call, content)
            except (OSError, http.client.HTTPException) as error:
                if isinstance(error, (TimeoutError, ConnectionRefusedError)) or last or attempt > 1:
                    raise unreachable(self._server, error) from error
                continue
            seconds = calls.pause(headers, attempt)
            if status not in calls.RETRIED or last or time.monotonic() + seconds > deadline:
                return calls.parse(call, status, answer)
            time.sleep(seconds)
        raise AssertionError("the last attempt returns or raises")

    def _exchange(self, call: Call[T], content: bytes | None) -> tuple[int, dict[str, str], bytes]:
        """One request and its answer: status, headers, body."""
        connection = self._connection()
        try:
            connection.request(call.method, self._server.base + call.path, content, self._server.headers())
            response = connection.getresponse()
            answer = response.read(calls.MOST_ANSWER)
            headers = {name.lower(): text for name, text in response.headers.items()}
        except BaseException:
            connection.close()
            raise
        if response.isclosed() and not response.will_close:
            self._keep(connection)
        else:
            connection.close()
        return response.status, headers, answer

    def _connection(self) -> http.client.HTTPConnection:
        with self._lock:
            if self._closed:
                raise ServerError("the connection is closed: connect again")
            if self._idle:
                return self._idle.pop()
        address = urlsplit(self._server.url)
        secure = address.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        assert address.hostname is not None
        return kind(address.hostname, address.port, timeout=self._server.timeout)

    def _keep(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(connection)
                return
        connection.close()


def unreachable(server: Server, error: Exception) -> FemtosearchError:
    """The error for a server that does not answer."""
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    if isinstance(error, TimeoutError):
        reason = f"no answer in {server.timeout:g} s"
    return ServerError(f"{server.url}: {reason}; is `femtosearch serve` running there?")
