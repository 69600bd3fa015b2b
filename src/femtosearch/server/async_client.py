"""The client for asyncio: an index of a server, whose methods are awaited."""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, TypeVar, overload

from femtosearch.errors import ServerError, missing_extra
from femtosearch.index.contents import Where
from femtosearch.index.context import Context
from femtosearch.index.documents import wanted_ids
from femtosearch.index.request import CONTEXT_HITS, check_page
from femtosearch.index.stats import Stats
from femtosearch.server import calls
from femtosearch.server.calls import Call, Server
from femtosearch.server.client import ATTEMPTS, unreachable
from femtosearch.types import Document, Hit, Page

T = TypeVar("T")


def connect_async(
    url: str, *, index: str | None = None, key: str | None = None, timeout: float = 60.0
) -> AsyncRemoteIndex:
    """As `connect`, for asyncio: every method is awaited. Needs the extra [client].

    Raises ServerError, MissingExtraError.
    """
    return AsyncRemoteIndex(Server(url, index, key, timeout))


class AsyncRemoteIndex:
    """An index of a server, for asyncio; as `RemoteIndex`."""

    def __init__(self, server: Server) -> None:
        self._server = server
        client = _httpx()
        self._errors = client.HTTPError
        self._timeouts = (client.TimeoutException, client.ConnectError)
        self._client = client.AsyncClient(timeout=server.timeout, headers=server.headers(), trust_env=False)

    async def add(self, documents: Iterable[str | Mapping[str, Any] | Document]) -> list[str]:
        """Store documents; their ids. See `RemoteIndex.add`."""
        ids: list[str] = []
        for batch in calls.batches(documents):
            stored = await self._run(calls.add(self._server, batch))
            ids += stored
        return ids

    async def delete(self, ids: str | Iterable[str] | None = None, *, where: Where | None = None) -> int:
        """Take out documents, by one id or many, or all that pass a filter; how many there were."""
        if ids is None:
            return await self._run(calls.delete(self._server, None, where))
        deleted = 0
        for group in calls.id_batches(ids):
            deleted += await self._run(calls.delete(self._server, group, where))
        return deleted

    async def update(
        self, ids: str | Iterable[str], metadata: Mapping[str, Any], *, replace: bool = False
    ) -> int:
        """Change the metadata of documents; how many there are. See `Index.update`."""
        updated, groups, changed = 0, calls.id_batches(ids), calls.changes(metadata)
        for group in groups:
            updated += await self._run(calls.update(self._server, group, changed, replace))
        return updated

    async def count(self, where: Where | None = None) -> int:
        """How many documents there are, or pass a filter."""
        return await self._run(calls.count(self._server, where))

    async def facets(
        self, field: str, *, where: Where | None = None, limit: int | None = None
    ) -> dict[str | int | float | bool | None, int]:
        """How many documents have each value of a field, the commonest first; 10,000 values at most."""
        return await self._run(calls.facets(self._server, field, where, limit))

    @overload
    async def get(self, document_id: str) -> Document | None: ...
    @overload
    async def get(self, document_id: list[str] | tuple[str, ...]) -> list[Document | None]: ...
    async def get(self, document_id: str | Iterable[str]) -> Document | list[Document | None] | None:
        """The document with that id, or None; for several ids a list, in their order."""
        ids, documents = wanted_ids(document_id), dict[str, Document]()
        for group in calls.linked_ids(ids):
            page = await self._run(calls.get_all(self._server, group))
            documents |= page
        if isinstance(document_id, str):
            return documents.get(document_id)
        return [documents.get(name) for name in ids]

    @overload
    async def search(self, query: str, *, k: int = 10, mode: str = "auto", **options: Any) -> list[Hit]: ...
    @overload
    async def search(
        self, query: list[str], *, k: int = 10, mode: str = "auto", **options: Any
    ) -> list[list[Hit]]: ...
    async def search(
        self, query: str | list[str], *, k: int = 10, mode: str = "auto", **options: Any
    ) -> list[Hit] | list[list[Hit]]:
        """The k best documents, best first; a list of queries gives a list of such lists."""
        requests = calls.searches(self._server, query, {"k": k, "mode": mode, **options})
        answers = [await self._run(call) for call in requests]
        return answers[0] if isinstance(query, str) else calls.joined(answers)

    async def context(
        self, question: str, *, max_tokens: int = 2000, k: int = CONTEXT_HITS, where: Where | None = None
    ) -> Context:
        """The best passages for a question, for a language model's prompt; see `Index.context`."""
        return await self._run(calls.context(self._server, question, max_tokens, k, where))

    async def page(self, after: int = -1, limit: int = 256, *, where: Where | None = None) -> Page:
        """At most `limit` documents in the order in which they were added; see `Index.page`."""
        after, limit = check_page(after, limit)
        documents: list[Document] = []
        place: int | None = after
        while place is not None and len(documents) < limit:
            page = await self._run(calls.page(self._server, place, limit - len(documents), where))
            documents += page.documents
            place = page.after if page.documents else None
        return Page(documents, place)

    async def documents(self, where: Where | None = None) -> AsyncIterator[Document]:
        """The documents that pass a filter, in the order in which they were added; memory holds a few."""
        after: int | None = -1
        while after is not None:
            page = await self.page(after, where=where)
            for document in page.documents:
                yield document
            after = page.after

    async def stats(self) -> Stats:
        """What the index holds."""
        return await self._run(calls.stats(self._server))

    async def close(self) -> None:
        """Close the connections; a second time does nothing."""
        await self._client.aclose()

    def __aiter__(self) -> AsyncIterator[Document]:
        return self.documents()

    async def __aenter__(self) -> AsyncRemoteIndex:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _run(self, call: Call[T]) -> T:
        content = call.content()
        deadline = time.monotonic() + self._server.timeout
        for attempt in range(ATTEMPTS):
            last = attempt == ATTEMPTS - 1
            if self._client.is_closed:
                raise ServerError("the connection is closed: connect again")
            try:
                address = self._server.url.rstrip("/") + call.path
                response = await self._client.request(call.method, address, content=content)
            except self._errors as error:
                if isinstance(error, self._timeouts) or last or attempt > 1:
                    raise unreachable(self._server, error) from error
                continue
            seconds = calls.pause(response.headers, attempt)
            if response.status_code not in calls.RETRIED or last or time.monotonic() + seconds > deadline:
                return calls.parse(call, response.status_code, response.content)
            await asyncio.sleep(seconds)
        raise AssertionError("the last attempt returns or raises")


def _httpx() -> Any:
    try:
        return importlib.import_module("httpx2")
    except ImportError as error:
        raise missing_extra("connect_async", "httpx2", "client") from error
