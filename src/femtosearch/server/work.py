"""The threads that compute requests, with a short queue before them; further requests are refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from femtosearch.index.documents import drafts
from femtosearch.index.index import Index
from femtosearch.server.problems import refusal

T = TypeVar("T")
MOST_TOGETHER = 256  # documents of several requests that are committed at once


class Workers:
    """A pool of threads for requests.

    threads:  how many requests are computed at a time; queue: how many more may wait. Further ones are
              refused (429).
    """

    def __init__(self, threads: int, queue: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="femtosearch")
        self._free = asyncio.Semaphore(threads)
        self._queue = queue
        self.waiting = 0

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function in a thread, and return its result. Raises Refusal if too many requests wait.

        If the request is cancelled meanwhile, the thread runs on, and counts as busy until it ends.
        """
        if self._free.locked() and self.waiting >= self._queue:
            raise too_busy()
        self.waiting += 1
        try:
            await self._free.acquire()
        finally:
            self.waiting -= 1
        try:
            future = asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)
        except BaseException:
            self._free.release()
            raise
        future.add_done_callback(self._finish)
        return await asyncio.shield(future)

    def close(self) -> None:
        """Let the threads end what they do."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _finish(self, future: asyncio.Future[Any]) -> None:
        self._free.release()
        if not future.cancelled():
            future.exception()  # which nobody may be waiting for any longer


@dataclass(eq=False)
class Write:
    """A write that waits: documents to add, or another change of the index; and the future of its result."""

    documents: list[Any] = field(default_factory=list)
    change: Callable[[], Any] | None = None
    done: asyncio.Future[Any] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Writer:
    """The writer of one index: it makes one commit at a time, in the order of arrival.

    Documents of requests that wait are committed together, so that many small writes cost one sync of the
    disk. A request is answered after its commit: what is acknowledged is on the disk.

    queue:  how many writes may wait, beyond which one is refused (429).
    """

    def __init__(self, index: Index, queue: int) -> None:
        self._index = index
        self._waiting: asyncio.Queue[Write] = asyncio.Queue(max(1, queue))  # of 0 it would have no end
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="femtosearch-write")
        self._next: Write | None = None
        self._task = asyncio.get_running_loop().create_task(self._work())

    async def add(self, documents: list[Any]) -> list[str]:
        """Add documents; their ids. Raises DocumentError before they wait, and what `Index.add` raises."""
        await asyncio.to_thread(_check, documents)
        ids: list[str] = await self._do(Write(documents=documents))
        return ids

    async def delete(self, ids: list[str] | None, where: Any = None) -> int:
        """Delete documents by id or filter; how many there were. Raises what `Index.delete` raises."""
        count: int = await self._do(Write(change=lambda: self._index.delete(ids, where=where)))
        return count

    async def update(self, ids: list[str], metadata: dict[str, Any], replace: bool) -> int:
        """Change metadata; of how many documents. Raises what `Index.update` raises."""
        change = lambda: self._index.update(ids, metadata, replace=replace)  # noqa: E731
        count: int = await self._do(Write(change=change))
        return count

    async def close(self) -> None:
        """Finish the writes that wait, then end."""
        await self._waiting.join()
        self._task.cancel()
        await asyncio.to_thread(self._thread.shutdown)

    async def _do(self, write: Write) -> Any:
        try:
            self._waiting.put_nowait(write)
        except asyncio.QueueFull:
            raise too_busy() from None
        return await write.done

    async def _work(self) -> None:
        while True:
            writes = await self._gather()
            await self._commit(writes)
            for _ in writes:
                self._waiting.task_done()

    async def _gather(self) -> list[Write]:
        """Take the next write; if it adds documents, also the additions right behind it, up to 256
        documents.
        """
        first = self._next or await self._waiting.get()
        self._next = None
        writes, documents = [first], len(first.documents)
        while first.change is None and not self._waiting.empty():
            write = self._waiting.get_nowait()
            documents += len(write.documents)
            if write.change is not None or documents > MOST_TOGETHER:
                self._next = write
                break
            writes.append(write)
        return writes

    async def _commit(self, writes: list[Write]) -> None:
        waiting = [write for write in writes if not write.done.cancelled()]
        if not waiting:
            return
        try:
            outcomes = await self._run(waiting)
        except Exception as error:
            if len(waiting) > 1:  # one at a time, so that each has an answer of its own
                for write in waiting:
                    await self._commit([write])
                return
            _settle(waiting[0], error)
            return
        for write, outcome in zip(waiting, outcomes, strict=True):
            _settle(write, outcome)

    async def _run(self, writes: list[Write]) -> list[Any]:
        """Commit writes together, and return their results. A change that adds nothing comes alone."""
        loop = asyncio.get_running_loop()
        if writes[0].change is not None:
            return [await loop.run_in_executor(self._thread, writes[0].change)]
        documents = [document for write in writes for document in write.documents]
        ids = await loop.run_in_executor(self._thread, self._index.add, documents)
        remaining = iter(ids)
        return [[next(remaining) for _ in write.documents] for write in writes]


def too_busy() -> Exception:
    """The refusal of a request that would have to wait behind too many."""
    return refusal(429, "busy", "too many requests wait already: try again in a second", Retry_After="1")


def _check(documents: list[Any]) -> None:
    for _ in drafts(documents):
        pass


def _settle(write: Write, outcome: Any) -> None:
    if write.done.done():
        return
    if isinstance(outcome, Exception):
        write.done.set_exception(outcome)
    else:
        write.done.set_result(outcome)
