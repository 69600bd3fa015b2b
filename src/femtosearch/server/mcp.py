"""Indexes for coding agents: tools over the Model Context Protocol, by its official SDK.

Answers are short plain text, the same for the same index: an agent pays for each word that it reads.
"""

from __future__ import annotations

import asyncio
import json
import re
import warnings
from collections.abc import Callable, Collection
from importlib import metadata
from typing import Annotated, Any, TypeVar

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.transport_security import TransportSecuritySettings
from mcp.types import ToolAnnotations
from pydantic import Field

from femtosearch.errors import UnknownQueryWarning
from femtosearch.index.context import place_of
from femtosearch.index.queries import notes_of
from femtosearch.server.indexes import Indexes
from femtosearch.server.origins import allow_origins
from femtosearch.server.problems import problem_of
from femtosearch.types import Coverage, Document, Hit

T = TypeVar("T")
MOST_HITS, MOST_LISTED, MOST_DOCUMENTS = 50, 200, 100
SHOWN = 700  # characters of a hit
UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # what ends a line, or shows as nothing
MOST_TEXT = 20_000  # characters of a document at a time
INSTRUCTIONS = """Search documents by meaning. Ask `search` with a question or a description in plain words, \
not with a regular expression; each hit begins with its place, path:line, or its id. `get` reads a document \
by its id, some lines at a time; `list` says which documents there are."""
READS = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)
ADDS = ToolAnnotations(
    read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)
DELETES = ToolAnnotations(
    read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False
)
Name = Annotated[str | None, Field(description="Which index, where there are several.")]
Where = Annotated[
    str | None, Field(description="Only documents whose metadata pass, such as: year >= 2020 and lang = 'en'")
]


class Tools:
    """The tools that an agent has for some indexes.

    open_indexes:  opens the indexes, at the first call, so that an agent need not wait for it when it starts.
    refresh:       called before a tool reads, if the indexes follow files; its text is put at the end of the
                   answer.
    """

    def __init__(
        self, open_indexes: Callable[[], Indexes], refresh: Callable[[Indexes], str] = lambda _: ""
    ) -> None:
        self._open = open_indexes
        self._refresh = refresh
        self._indexes: Indexes | None = None
        self._lock = asyncio.Lock()

    async def search(
        self,
        query: Annotated[str, Field(description="What to look for, in plain words.")],
        k: Annotated[int, Field(ge=1, le=MOST_HITS, description="How many hits.")] = 5,
        where: Where = None,
        index: Name = None,
    ) -> str:
        """Find the documents that answer a question or fit a description best, by meaning."""
        note = await self._run(self._refresh)
        hits, coverage = await self._run(lambda indexes: _search(indexes.get(index), query, k, where))
        notes = [] if coverage is None else notes_of(coverage)
        notes += [note] if note else []
        return "\n\n".join([*(map(_shown, hits) if hits else ["nothing found"]), *notes])

    async def get(
        self,
        id: Annotated[str, Field(description="The document's id, as `search` and `list` give it.")],
        line: Annotated[int, Field(ge=1, description="The first line to read.")] = 1,
        lines: Annotated[int, Field(ge=1, le=2000, description="How many lines.")] = 200,
        start: Annotated[int, Field(ge=0, description="Characters of that line to leave out.")] = 0,
        index: Name = None,
    ) -> str:
        """Read a document, some lines at a time."""
        await self._run(self._refresh)
        document = await self._run(lambda indexes: indexes.get(index).get(id))
        if document is None:
            raise ToolError(f"there is no document {id[:200]!r}: `list` says which there are")
        return _lines(document, line, lines, start)

    async def list_documents(
        self,
        where: Where = None,
        after: Annotated[int, Field(ge=-1, description="What the last answer ended with.")] = -1,
        index: Name = None,
    ) -> str:
        """List the ids of documents, in the order in which they were added, and how many there are."""
        note = await self._run(self._refresh)
        store = await self._run(lambda indexes: indexes.get(index))
        total = await self._run(lambda _: store.count(where))
        page = await self._run(lambda _: store.page(after, MOST_LISTED, where=where))
        lines = [f"{total:,} documents", *(_on_one_line(document.id) for document in page.documents)]
        lines += [f"more: list(after={page.after})"] if page.after is not None else []
        return "\n".join([*lines, note] if note else lines)

    async def add(
        self,
        documents: Annotated[
            list[dict[str, Any]],
            Field(
                max_length=MOST_DOCUMENTS,
                description='Documents: {"id": "a", "text": "...", "year": 2020}; other keys are metadata.',
            ),
        ],
        index: Name = None,
    ) -> str:
        """Store documents, each in the place of one with the same id."""
        ids = await self._run(lambda indexes: indexes.get_writable(index).add(documents))
        return "stored " + json.dumps(ids, ensure_ascii=False)

    async def delete(
        self,
        ids: Annotated[list[str], Field(max_length=1000, description="Ids of documents.")],
        index: Name = None,
    ) -> str:
        """Take documents out, by their ids."""
        count = await self._run(lambda indexes: indexes.get_writable(index).delete(ids))
        return f"deleted {count:,}"

    def close(self) -> None:
        """Close the indexes."""
        if self._indexes is not None:
            self._indexes.close()

    async def _run(self, function: Callable[[Indexes], T]) -> T:
        """Call a function with the indexes, in a thread. Raises ToolError with a message that an agent
        may see.
        """
        try:
            async with self._lock:
                if self._indexes is None:
                    self._indexes = await asyncio.to_thread(self._open)
            return await asyncio.to_thread(function, self._indexes)
        except ToolError:
            raise
        except Exception as error:
            problem = problem_of(error)
            if problem.kind == "fault":
                raise  # the SDK logs it, and tells the agent nothing of it
            raise ToolError(problem.message) from error


def make_server(tools: Tools, *, writable: bool) -> MCPServer[Any]:
    """Make an MCP server with the tools. writable: also with those that change an index."""
    warnings.filterwarnings("ignore", category=UnknownQueryWarning)  # which an answer tells
    server: MCPServer[Any] = MCPServer(
        "femtosearch", version=metadata.version("femtosearch"), instructions=INSTRUCTIONS, log_level="WARNING"
    )
    chosen: list[tuple[Callable[..., Any], ToolAnnotations]] = [
        (tools.search, READS),
        (tools.get, READS),
        (tools.list_documents, READS),
    ]
    if writable:
        chosen += [(tools.add, ADDS), (tools.delete, DELETES)]
    for tool, hints in chosen:
        name = tool.__name__.partition("_")[0]  # `list`, which as a method would hide the type
        server.add_tool(tool, name=name, annotations=hints, structured_output=False)
    return server


def http_app(server: MCPServer[Any], origins: Collection[str] = ()) -> Any:
    """Make an ASGI application of the server, at /mcp. It has to stand behind a `Guard`, which checks the
    Host and Origin headers.

    origins:  of other sites whose pages may call it.
    """
    unchecked = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    app = server.streamable_http_app(json_response=True, stateless_http=True, transport_security=unchecked)
    for route in app.routes:  # a stream of events, which GET asks for, has none without a session: 405
        route.methods = {"POST", "DELETE"}  # type: ignore[attr-defined]
    allow_origins(app, origins)
    return app


def _search(index: Any, query: str, k: int, where: str | None) -> tuple[list[Hit], Coverage | None]:
    """The hits of a query, and how much of it the model knows."""
    return index.search(query, k=k, where=where), index.coverage(query)


def _shown(hit: Hit) -> str:
    """A hit: its place, its title, and the beginning of its best passage."""
    start, end = hit.passage or (0, len(hit.text))
    passage = hit.text[start:end].strip()
    cut = passage if len(passage) <= SHOWN else _beginning(passage) + " …"
    title = hit.metadata.get("title")
    place = place_of(hit)
    named = _on_one_line(place) + ("" if place.startswith(hit.id) else f" (id {_on_one_line(hit.id)})")
    titled = f"  {' '.join(title.split())}" if isinstance(title, str) and title else ""
    return f"{named}{titled}\n{cut}"


def _on_one_line(name: str) -> str:
    """An id or a place on one line: as JSON if it has characters that end a line or are invisible.

    >>> _on_one_line("a b.md"), _on_one_line("a\\nb.md")
    ('a b.md', '"a\\\\nb.md"')
    """
    return json.dumps(name) if UNSEEN.search(name) else name


def _beginning(text: str) -> str:
    """The beginning of a long text, cut after a word, unless that would cut more than half of it off, as in a
    language without blanks between words.
    """
    cut = text[:SHOWN]
    words = re.sub(r"\s+\S*\Z", "", cut)
    return words if len(words) > SHOWN // 2 else cut


def _lines(document: Document, line: int, count: int, start: int) -> str:
    """Lines of a document, and how to read on. start: characters of the first line to leave out."""
    lines = document.text.split("\n")
    if line > len(lines):
        raise ToolError(f"line {line}: the document has {len(lines)} lines")
    if start > len(lines[line - 1]):
        raise ToolError(f"start {start}: line {line} has {len(lines[line - 1])} characters")
    selection = "\n".join(lines[line - 1 : line - 1 + count])[start:]
    text = selection[:MOST_TEXT]
    last = line + text.count("\n")
    if len(selection) > MOST_TEXT:  # within a line
        at = len(text) - text.rfind("\n") - 1 + (start if last == line else 0)
        return f"{text}\n[cut in line {last} of {len(lines)}: go on with line={last}, start={at}]"
    return text if last >= len(lines) else f"{text}\n[lines {line} to {last} of {len(lines)}]"
