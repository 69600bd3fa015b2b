"""The ASGI application of the server: its paths, its answers to errors, and its OpenAPI description."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from femtosearch.errors import FemtosearchError, UnknownQueryWarning
from femtosearch.server import documents, operations, searching
from femtosearch.server.bodies import ProblemBody
from femtosearch.server.description import (
    allowed,
    describe,
    methods_of,
    parameters_of,
    refuse_unknown_parameters,
)
from femtosearch.server.guard import Guard, log_fault
from femtosearch.server.indexes import Indexes
from femtosearch.server.invalid import invalid
from femtosearch.server.metrics import Metrics
from femtosearch.server.origins import allow_origins
from femtosearch.server.problems import Problem, problem_of
from femtosearch.server.settings import Settings
from femtosearch.server.state import State, as_json
from femtosearch.server.work import Workers

PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": ProblemBody, "description": text}
    for status, text in {
        400: "The body is not JSON.",
        401: "A key is missing or unknown.",
        403: "The key may only read, the server is read-only, or a page of another site called.",
        404: "There is no such index or document.",
        408: "The body did not come in time.",
        414: "The address is too long.",
        431: "There are too many headers.",
        413: "The body is too large.",
        421: "The Host header is not this server's.",
        422: "The request cannot be answered as it is.",
        429: "Too many requests wait; Retry-After says how long to wait.",
        500: "A fault of the server.",
        503: "The index cannot be used at the moment.",
        504: "It took too long.",
    }.items()
}
DESCRIPTION = """Late-interaction search. Errors have one shape:
`{"error": {"type", "message", "request_id"}}`. Every answer has an
`X-Request-ID`, the one that was sent or a new one."""


@dataclass(frozen=True, slots=True)
class Application:
    """An ASGI application.

    guarded:  the whole application, behind its guard; routes: the application without it.
    """

    guarded: Guard
    routes: FastAPI


def make_app(indexes: Indexes, settings: Settings) -> Application:
    """Make the application of a server; it closes the indexes when it ends."""
    warnings.filterwarnings("ignore", category=UnknownQueryWarning)  # an answer says it in `coverage`
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        workers = Workers(settings.threads, settings.queue)
        app.state.femtosearch = state = State(indexes, settings, metrics, workers)
        metrics.watch_waiting(lambda: workers.waiting)
        state.begin()
        try:
            yield
        finally:
            await state.end()

    app = FastAPI(
        title="femtosearch",
        version=metadata.version("femtosearch"),
        description=DESCRIPTION,
        lifespan=lifespan,
        dependencies=[Depends(refuse_unknown_parameters)],
        docs_url=None,  # whose page takes scripts from the network
        redoc_url=None,
        responses=PROBLEMS,
        openapi_url=None,
        strict_content_type=False,
    )
    for router in (operations.router, searching.router, documents.router):
        app.include_router(router)
    description = describe(app, settings)
    app.add_route("/openapi.json", lambda request: as_json(description), include_in_schema=False)
    app.state.methods, app.state.parameters = methods_of(description), parameters_of(description)
    app.add_exception_handler(FemtosearchError, _answer_error)
    app.add_exception_handler(Exception, _answer_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    allow_origins(app, settings.origins)
    return Application(Guard(app, settings, metrics), app)


async def _answer_error(request: Request, error: Exception) -> Response:
    problem = problem_of(error)
    log_fault(problem, error, request.scope["request_id"])
    return _response(request, problem)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _response(request, invalid(error.errors(), error.body))


async def _http(request: Request, error: Exception) -> Response:
    """What the framework refuses: an unknown path, a wrong method, a body that cannot be parsed."""
    assert isinstance(error, HTTPException)
    messages = {
        400: "the body is not JSON that can be read: expected UTF-8, not nested too deep, no vast numbers",
        404: "there is nothing at this path: /openapi.json lists what there is",
        405: "this path is not for that method: /openapi.json lists what there is",
    }
    headers = {name.lower(): text for name, text in (error.headers or {}).items()}
    if error.status_code == 405:  # of all that this path has, where the framework knows one
        headers["allow"] = ", ".join(allowed(request.app.state.methods, request.url.path))
    message = messages.get(error.status_code, str(error.detail))
    kind = {400: "json", 404: "path", 405: "method"}.get(error.status_code, "http")
    return _response(request, Problem(error.status_code, kind, message, headers))


def _response(request: Request, problem: Problem) -> Response:
    body = problem.body(request.scope.get("request_id", ""))
    state: State = request.app.state.femtosearch
    state.metrics.refuse(problem.kind)
    return Response(body, problem.status, dict(problem.headers), "application/json")
