"""The state that the parts of a running server share."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, Request, Response

from femtosearch.errors import FemtosearchError
from femtosearch.server.indexes import Indexes
from femtosearch.server.metrics import Metrics
from femtosearch.server.settings import Settings
from femtosearch.server.work import Workers, Writer

LOG = logging.getLogger("femtosearch.server")


@dataclass(eq=False)
class State:
    """The indexes, threads and metrics of a server, from its first request to its last.

    ready:  whether models are loaded and files mapped.
    """

    indexes: Indexes
    settings: Settings
    metrics: Metrics
    workers: Workers
    ready: bool = False
    _writers: dict[str, Writer] = field(default_factory=dict)
    _warming: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Begin to load what the first request needs."""
        self._warming = asyncio.get_running_loop().create_task(self._warm())

    def writer(self, name: str | None) -> Writer:
        """The writer of an index. Raises Refusal."""
        index = self.indexes.get_writable(name)
        key = name or self.indexes.names()[0]
        if key not in self._writers:
            self._writers[key] = Writer(index, self.settings.queue)
        return self._writers[key]

    async def end(self) -> None:
        """Finish the writes that wait, and close everything."""
        self.ready = False
        for writer in self._writers.values():
            await writer.close()
        if self._warming is not None:
            self._warming.cancel()
        await asyncio.to_thread(self.workers.close)
        self.indexes.close()

    async def _warm(self) -> None:
        try:
            await self.workers.run(self.indexes.warm)
            self.ready = True
        except FemtosearchError as error:
            LOG.error("the server is not ready", exc_info=error, extra={"fields": {"error": str(error)}})


def state_of(request: Request) -> State:
    """The state of the server that answers a request."""
    state: State = request.app.state.femtosearch
    return state


Shared = Annotated[State, Depends(state_of)]


def as_json(content: Any, status: int = 200) -> Response:
    """An answer in JSON. Its shape is checked against the models by tests only, not at each request."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Response(text.encode(), status, media_type="application/json")
