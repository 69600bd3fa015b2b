"""The guard before the application: it checks each request's host, origin, key, size and speed.

It is a plain ASGI application round the real one, so that a request that is refused is not read any further.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from femtosearch.server.metrics import Metrics
from femtosearch.server.problems import Problem, Refusal, problem_of, refusal
from femtosearch.server.settings import Settings

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOG = logging.getLogger("femtosearch.server")
OPEN = frozenset({"/", "/health", "/ready"})  # paths that show nothing of an index and need no key
WRITES = frozenset({"PUT", "POST", "PATCH", "DELETE"})
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
MOST_HEADERS, MOST_HEAD = 100, 32 << 10  # of a request
# Of a body that is too large this many times the limit is read, so that its sender gets the answer.
DRAINED = 8
SAFETY = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]


class Guard:
    """Lets requests through to an application, and answers those that it refuses."""

    def __init__(self, app: App, settings: Settings, metrics: Metrics) -> None:
        self.app = app
        self._settings = settings
        self._metrics = metrics
        self._held_bytes = 0  # bytes of the bodies of all requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await Exchange(self.app, self._settings, self._metrics, self, scope, receive, send).run()

    def hold(self, size: int) -> None:
        """Count bytes of bodies. Raises Refusal where all together would be too many."""
        if self._held_bytes + size > self._settings.max_bodies:
            raise refusal(
                429, "busy", "too much is being sent at once: try again in a second", Retry_After="1"
            )
        self._held_bytes += size

    def release(self, size: int) -> None:
        """Count bytes of a body that is gone."""
        self._held_bytes -= size


class Exchange:
    """One request and its answer."""

    def __init__(
        self,
        app: App,
        settings: Settings,
        metrics: Metrics,
        guard: Guard,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        self._app, self._settings, self._metrics, self._guard = app, settings, metrics, guard
        self._scope, self._receive, self._send = scope, receive, send
        self._headers: dict[bytes, str] = {
            name: content.decode("latin-1") for name, content in scope["headers"]
        }
        request_id = self._headers.get(b"x-request-id", "")
        self.request_id = request_id if REQUEST_ID.fullmatch(request_id) else secrets.token_hex(8)
        self._status, self._sent, self._size = 0, 0, 0
        self._held_bytes = 0  # bytes of the body that the guard counts
        self._is_whole, self._is_answered, self._closes = False, False, False

    async def run(self) -> None:
        """Answer the request, count it and log it."""
        began = time.perf_counter()
        self._scope["request_id"] = self.request_id
        with self._metrics.running():
            try:
                async with asyncio.timeout(self._settings.timeout):
                    self._admit()
                    body = await self._body()
                self._is_whole = True
                self._take_as_json()
                async with asyncio.timeout(self._patience()):
                    await self._serve(body)
            except Exception as error:
                await self._tell(error)
            finally:
                self._release()
                self._note(time.perf_counter() - began)

    async def _serve(self, body: bytes) -> None:
        """Let the application answer. HEAD is answered as GET, whose body the server leaves out."""
        scope = self._scope
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
        try:
            await self._app(scope, self._replay(body), self._answer)
        finally:
            if "route" in scope:
                self._scope["route"] = scope["route"]

    def _patience(self) -> float:
        """How many seconds the answer may take."""
        writes = access_of(self._scope["method"], self._scope["path"]) == "write"
        return self._settings.timeout * (10 if writes else 1)

    def _admit(self) -> None:
        """Raise Refusal for a request that may not come in."""
        pairs = self._scope["headers"]
        if len(pairs) > MOST_HEADERS or sum(len(name) + len(text) for name, text in pairs) > MOST_HEAD:
            self._closes = True
            raise refusal(431, "headers", f"expected at most {MOST_HEADERS} headers of {MOST_HEAD:,} bytes")
        if len(self._scope["raw_path"]) + len(self._scope["query_string"]) > MOST_HEAD:
            self._closes = True
            raise refusal(414, "path", f"an address may have {MOST_HEAD:,} bytes: send a body")
        host = self._headers.get(b"host", "")
        if not self._settings.knows_host(host):
            raise refusal(
                421, "host", "the Host header is not this server's: start it with --allow-host NAME"
            )
        origin = self._headers.get(b"origin")
        if origin is not None and not self._settings.knows_origin(origin, host):
            raise refusal(
                403, "origin", "pages of other sites may not call: start it with --allow-origin ORIGIN"
            )
        site, way = self._headers.get(b"sec-fetch-site"), self._headers.get(b"sec-fetch-mode")
        if origin is None and site in ("cross-site", "same-site") and way != "navigate":
            raise refusal(
                403, "origin", "pages of other sites may not call: start it with --allow-origin ORIGIN"
            )
        if self._is_preflight():
            return
        if (access := access_of(self._scope["method"], self._scope["path"])) is None:
            return
        if access == "write" and not self._settings.writable:
            raise refusal(403, "read-only", "this server is read-only: start it with --writable")
        if not self._settings.may(access, self._key()):
            if self._settings.knows_key(self._key()):
                raise refusal(403, "key", "this key may only read: send one of --write-key")
            same_keys = self._settings.read_keys == self._settings.write_keys  # as of writable MCP
            hint = "Authorization: Bearer KEY, with a key that may " + ("write" if same_keys else access)
            raise refusal(401, "key", f"expected {hint}", WWW_Authenticate="Bearer")

    def _is_preflight(self) -> bool:
        """Whether a browser asks on behalf of a page that is known; the answer shows nothing."""
        asks = b"access-control-request-method" in self._headers
        return self._scope["method"] == "OPTIONS" and asks and bool(self._settings.origins)

    def _key(self) -> str:
        scheme, _, key = self._headers.get(b"authorization", "").partition(" ")
        return key.strip() if scheme.lower() == "bearer" else self._headers.get(b"x-api-key", "")

    async def _body(self) -> bytes:
        """The whole body. Raises Refusal where it is too large or does not end."""
        declared = self._headers.get(b"content-length", "0")
        if declared.isdigit() and int(declared) > self._settings.max_body:
            await self._drain(int(declared))
            raise self._too_large()
        chunks: list[bytes] = []
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise refusal(400, "body", "the body did not end: send all of it")
            chunk = message.get("body", b"")
            self._guard.hold(len(chunk))
            self._held_bytes += len(chunk)
            self._size += len(chunk)
            chunks.append(chunk)
            if self._size > self._settings.max_body:
                chunks.clear()
                self._release()
                if message.get("more_body", False):
                    await self._drain(self._settings.max_body * DRAINED)
                raise self._too_large()
            if not message.get("more_body", False):
                return b"".join(chunks)

    def _release(self) -> None:
        """Tell the guard that the body is no longer held."""
        self._guard.release(self._held_bytes)
        self._held_bytes = 0

    def _take_as_json(self) -> None:
        """Set the content type to JSON, which all bodies are, though `curl -d` calls them a form."""
        headers = [(name, content) for name, content in self._scope["headers"] if name != b"content-type"]
        self._scope["headers"] = [*headers, (b"content-type", b"application/json")]

    async def _drain(self, size: int) -> None:
        """Read and discard the body that is still being sent, up to a limit, so that the client then reads
        the answer.
        """
        remaining = min(size, self._settings.max_body * DRAINED)
        while remaining > 0:
            message = await self._receive()
            remaining -= len(message.get("body", b""))
            if message["type"] == "http.disconnect" or not message.get("more_body", False):
                return
        self._closes = True

    def _too_large(self) -> Refusal:
        limit = self._settings.max_body
        return refusal(413, "body", f"a body may have {limit:,} bytes: send less at a time")

    def _replay(self, body: bytes) -> Receive:
        """A `receive` that gives the body to the application, and then waits for the client to disconnect."""
        messages = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Message:
            return messages.pop() if messages else await self._receive()

        return receive

    async def _answer(self, message: Message) -> None:
        """Send what the application answers, with the headers that every answer has."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            present = {name.lower() for name, _ in message.get("headers", [])}
            headers = [(name, content) for name, content in SAFETY if name not in present]
            headers.append((b"x-request-id", self.request_id.encode()))
            origin = self._headers.get(b"origin", "")
            if origin.lower() in self._settings.origins and b"access-control-allow-origin" not in present:
                headers += [(b"access-control-allow-origin", origin.encode()), (b"vary", b"Origin")]
            message = {**message, "headers": [*message.get("headers", []), *headers]}
        else:
            self._sent += len(message.get("body", b""))
            self._is_answered = not message.get("more_body", False)
        await self._send(message)

    async def _tell(self, error: Exception) -> None:
        """Answer with the problem of an error; a fault of the server is logged with its traceback."""
        problem = problem_of(error)
        if problem.status == 504 and not self._is_whole:
            problem = Problem(408, "timeout", f"no whole body came in {self._settings.timeout:g} s")
            self._closes = True
        if self._is_answered:  # by the framework, which raises the error all the same
            return
        log_fault(problem, error, self.request_id)
        if self._status:  # the answer has begun: all that is left is to break it off
            raise error
        body = problem.body(self.request_id)
        headers = [(name.lower().encode(), content.encode()) for name, content in problem.headers.items()]
        headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        headers += [(b"connection", b"close")] if self._closes else []
        self._metrics.refuse(problem.kind)
        await self._answer({"type": "http.response.start", "status": problem.status, "headers": headers})
        await self._answer({"type": "http.response.body", "body": body})

    def _note(self, seconds: float) -> None:
        route = getattr(self._scope.get("route"), "path", "other")
        self._metrics.answer(self._scope["method"], route, self._status, seconds)
        fields = {
            "request_id": self.request_id,
            "method": self._scope["method"],
            "path": self._scope["path"][:200],  # without the query string: what people ask is theirs
            "status": self._status,
            "ms": round(seconds * 1000, 1),
            "received": self._size,
            "sent": self._sent,
        }
        LOG.info("request", extra={"fields": fields})


def log_fault(problem: Problem, error: Exception, request_id: str) -> None:
    """Log an error that is not the client's fault, with its traceback."""
    if problem.status >= 500 and problem.kind not in ("timeout", "locked"):
        LOG.error("request failed", exc_info=error, extra={"fields": {"request_id": request_id}})


def access_of(method: str, path: str) -> str | None:
    """The access that a request needs: "read" or "write"; None if it needs no key."""
    if path in OPEN and method in ("GET", "HEAD"):
        return None
    writes = path == "/documents" or path.startswith("/documents/")
    return "write" if writes and method in WRITES else "read"
