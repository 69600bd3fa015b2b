"""Problems: errors as a client gets them, with a status, a kind, a message without paths, and the
request's id.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from femtosearch.errors import (
    DocumentError,
    FemtosearchError,
    LockedError,
    QueryError,
    ShapeError,
    StoreError,
)
from femtosearch.server.cluster.router import MissingShardsError


@dataclass(frozen=True, slots=True)
class Problem:
    """An answer that is an error.

    kind:     a word for programs: `query`, `document`, `busy`, ...
    headers:  what goes beside it, such as Retry-After.
    """

    status: int
    kind: str
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self, request_id: str) -> bytes:
        """JSON in ASCII: a message may quote what the client sent, halves of surrogate pairs too."""
        error = {"type": self.kind, "message": self.message, "request_id": request_id}
        return json.dumps({"error": error}).encode()


class Refusal(FemtosearchError):
    """A request is answered with a problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def refusal(status: int, kind: str, message: str, **headers: str) -> Refusal:
    """A refusal; header names have _ for -: Retry_After="1"."""
    return Refusal(
        Problem(status, kind, message, {name.replace("_", "-"): text for name, text in headers.items()})
    )


def problem_of(error: Exception) -> Problem:
    """The problem to answer an error with. Messages that could name a path of the server are replaced."""
    if isinstance(error, Refusal):
        return error.problem
    if isinstance(error, (QueryError, DocumentError, ShapeError)):
        kind = "document" if isinstance(error, DocumentError) else "query"
        return Problem(422, kind, str(error))
    if isinstance(error, LockedError):
        message = "another process is writing to the index: try again"
        return Problem(503, "locked", message, {"Retry-After": "1"})
    if isinstance(error, MissingShardsError):
        message = "shards of the index do not answer: try again, or ask for a partial answer"
        return Problem(503, "shards", message, {"Retry-After": "1"})
    if isinstance(error, StoreError):
        message = "the index cannot be used at the moment: the server's log says why"
        return Problem(503, "index", message, {"Retry-After": "5"})
    if isinstance(error, TimeoutError):
        return Problem(504, "timeout", "it took too long: ask for less, or ask again")
    if isinstance(error, MemoryError):
        return Problem(503, "memory", "the server is out of memory: ask for less", {"Retry-After": "5"})
    return Problem(500, "fault", "a fault of the server: its log has it under this request's id")
