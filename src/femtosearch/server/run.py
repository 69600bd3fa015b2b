"""Running a server: its socket, its signals and its log."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn

from femtosearch.errors import FemtosearchError
from femtosearch.server.app import make_app
from femtosearch.server.guard import MOST_HEAD, Guard
from femtosearch.server.indexes import Indexes
from femtosearch.server.metrics import Metrics
from femtosearch.server.protocol import patient_protocol
from femtosearch.server.settings import Settings


def serve(indexes: Indexes, settings: Settings, *, started: Callable[[str], object]) -> None:
    """Serve until SIGINT or SIGTERM; then requests that run are answered, and the indexes are closed.

    started:  called with the server's address once it listens.
    Raises FemtosearchError where it cannot listen.
    """
    server, listener = make_server(indexes, settings, started)
    asyncio.run(server.serve(sockets=[listener]))


def make_server(
    indexes: Indexes, settings: Settings, started: Callable[[str], object]
) -> tuple[uvicorn.Server, socket.socket]:
    """A server and the socket that it is to listen on; see `serve`."""
    with _closed_on_error(indexes):
        settings.check()
        listener = _listen(settings)
    return _server(make_app(indexes, settings).guarded, settings, listener, started), listener


def serve_app(app: Any, settings: Settings, *, started: Callable[[str], object]) -> None:
    """Serve another ASGI application behind the same guard; see `serve`."""
    listener = _listen(settings)
    server = _server(Guard(app, settings, Metrics()), settings, listener, started)
    asyncio.run(server.serve(sockets=[listener]))


def _server(
    app: Guard, settings: Settings, listener: socket.socket, started: Callable[[str], object]
) -> uvicorn.Server:
    config = uvicorn.Config(
        app,
        http=patient_protocol(settings.head_timeout),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=settings.connections,
        h11_max_incomplete_event_size=8 * MOST_HEAD,  # beyond MOST_HEAD the guard refuses, in JSON
        timeout_graceful_shutdown=max(1, round(settings.grace)),
    )
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"http://{host}:{listener.getsockname()[1]}"
    return _Server(config, lambda: started(address))


def log_to(stream: Any, form: str) -> None:
    """Write the server's log to a stream, one line a record. form: "json" for programs, or "text"."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_JsonLines() if form == "json" else _TextLines())
    for name in ("femtosearch.server", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.WARNING if name == "uvicorn" else logging.INFO)


class _Server(uvicorn.Server):
    """A server that says when it listens, and ends well after a signal to stop."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], object]) -> None:
        super().__init__(config)
        self._tell_started = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._tell_started()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Let signals end the server, and not the process that it has run in."""
        if threading.current_thread() is not threading.main_thread():
            yield  # Python handles signals in the main thread only
            return
        before = {
            number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextlib.contextmanager
def _closed_on_error(indexes: Indexes) -> Iterator[None]:
    """Close the indexes if anything is raised."""
    try:
        yield
    except BaseException:
        indexes.close()
        raise


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # With the protocol named, asyncio sends at once (TCP_NODELAY); else an answer waits 40 ms for an ACK.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise FemtosearchError(
            f"cannot listen on {settings.host}:{settings.port}: {reason}; say another --port or --host"
        ) from None
    return listener


class _JsonLines(logging.Formatter):
    """Formats a record as one line of JSON, in ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {"time": _moment(record), "level": record.levelname.lower(), "message": record.getMessage()}
        fields |= getattr(record, "fields", {})
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields)


class _TextLines(logging.Formatter):
    """Formats a record as one line for people. Values are quoted, so that a client cannot write lines."""

    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", {})
        quoted = " ".join(f"{name}={json.dumps(content)}" for name, content in fields.items())
        line = f"{_moment(record)} {record.levelname.lower()} {record.getMessage()} {quoted}".rstrip()
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _moment(record: logging.LogRecord) -> str:
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{seconds}.{int(record.msecs):03}Z"


def hush() -> None:
    """Log warnings and errors only."""
    logging.getLogger("femtosearch.server").setLevel(logging.WARNING)
