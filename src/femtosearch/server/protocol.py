"""HTTP/1.1 over a socket as uvicorn and h11 speak it, with patience that ends.

uvicorn waits for ever for the head of a request, and for a client that does not read its answer; and it drops
a client that has said all it has to say and closed its half (`nc -N`). Here both kinds of waiting have a
limit, and that client is answered.
"""

from __future__ import annotations

import asyncio
from typing import Any

from h11 import Data, EndOfMessage, Response
from uvicorn.protocols.http.h11_impl import H11Protocol

from femtosearch.server.problems import Problem


def patient_protocol(seconds: float) -> type[H11Protocol]:
    """A protocol for uvicorn whose clients have so many seconds to send a head, and to go on reading."""
    return type("PatientProtocol", (_PatientProtocol,), {"patience": seconds})


class _PatientProtocol(H11Protocol):
    patience = 10.0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None
        self._half_closed = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        cycle = self.cycle
        super().data_received(data)
        if self.cycle is not cycle or self._is_answering():  # a head came, or the body of one that had come
            self._stop("_head_timer")
        elif self._head_timer is None:
            self._await_head()

    def send_400_response(self, msg: str) -> None:
        """Answer a request that is no HTTP with JSON, as every error is answered."""
        del msg  # uvicorn's message, which says less
        problem = Problem(400, "http", "this is no request of HTTP/1.1; in an address é is written %C3%A9")
        body = problem.body("")
        described = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        head = Response(
            status_code=400, headers=[*described, (b"connection", b"close")], reason=b"Bad Request"
        )
        for event in (head, Data(data=body), EndOfMessage()):
            self.transport.write(self.conn.send(event))
        self.transport.close()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._half_closed and not self.transport.is_closing():
            self.transport.close()

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """Keep the connection open for the answer that the client waits for."""
        if self._is_answering() and not self.cycle.more_body:
            self._half_closed = True
            return True
        return None

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stall_timer = self.loop.call_later(self.patience, self._abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop("_stall_timer")

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop("_head_timer")
        super().connection_lost(exc)
        self._stop("_stall_timer")

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self.patience, self._abort)

    def _abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def _stop(self, name: str) -> None:
        timer = getattr(self, name)
        if timer is not None:
            timer.cancel()
            setattr(self, name, None)
