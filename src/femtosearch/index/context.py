"""The context for a question to a language model: passages without repetition, in reading order, cited."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from femtosearch.errors import QueryError
from femtosearch.frozen import frozen
from femtosearch.types import Hit

BYTES_PER_TOKEN = 4  # of UTF-8, about, in the tokens of language models
RUN = 4  # words
ALIKE = 0.6  # of a passage's runs of words that are there already make it a repetition
GROWTH = 2  # times its length, that a passage may grow to whole paragraphs
MOST_TOKENS = 10_000_000


@frozen
class Citation:
    """A passage of the context: text[start:end] of the document `id`. place: path:line, or the id."""

    number: int
    id: str
    place: str
    start: int
    end: int
    text: str
    score: float


@frozen
class Context:
    """Passages for a prompt. `str(context)` is the text, `[1] place` above each, citations whose they are.

    tokens:  about how many tokens of a language model the text has: a quarter of its bytes.
    """

    text: str
    citations: list[Citation]
    tokens: int

    def __str__(self) -> str:
        return self.text


def make_context(hits: Iterable[Hit], max_tokens: int) -> Context:
    """The context that hits, best first, give within so many tokens. Raises QueryError."""
    if isinstance(max_tokens, bool) or not isinstance(max_tokens, int) or not 1 <= max_tokens <= MOST_TOKENS:
        raise QueryError(
            f"max_tokens: expected a whole number from 1 to {MOST_TOKENS:,}, found {max_tokens!r}"
        )
    room, chosen = max_tokens * BYTES_PER_TOKEN, list[Citation]()
    for citation in _without_repetition(hits):
        block = _block(_numbered(citation, len(chosen) + 1))
        size = len(block.encode()) + (2 if chosen else 0)
        if size <= room:
            chosen.append(_numbered(citation, len(chosen) + 1))
            room -= size
    text = "\n\n".join(map(_block, chosen))
    return Context(text, chosen, -(-len(text.encode()) // BYTES_PER_TOKEN))


def _without_repetition(hits: Iterable[Hit]) -> Iterator[Citation]:
    """The passages of hits, but for those that say again what one before them said."""
    seen: set[tuple[str, ...]] = set()
    for hit in hits:
        if hit.passage is None or hit.passage[0] == hit.passage[1]:
            continue
        start, end = _paragraphs(hit.text, *hit.passage)
        text = hit.text[start:end]
        runs = _runs(text)
        if runs and len(runs & seen) >= ALIKE * len(runs):
            continue
        seen |= runs
        yield Citation(0, hit.id, place_of(hit), start, end, text, hit.score)


def place_of(hit: Hit) -> str:
    """`path:line` of the best passage, or path and page; the id where no path is known.

    >>> place_of(Hit("a", 1.0, "one line\\nanother", {"path": "notes/a.txt"}, (9, 16)))
    'notes/a.txt:2'
    """
    path = hit.metadata.get("path") or hit.source
    if not isinstance(path, str):
        return hit.id
    if hit.page is not None:
        return f"{path} (page {hit.page})"
    start = 0 if hit.passage is None else hit.passage[0]
    line = hit.lines[0] if hit.lines else hit.text.count("\n", 0, start) + 1
    return f"{path}:{line}"


def _paragraphs(text: str, start: int, end: int) -> tuple[int, int]:
    """The passage grown to whole paragraphs, where these are not much longer than it is."""
    before = text.rfind("\n\n", 0, start)
    after = text.find("\n\n", end)
    first, last = 0 if before < 0 else before + 2, len(text) if after < 0 else after
    if last - first > GROWTH * (end - start):
        first, last = start, end
    stripped = text[first:last]
    return first + len(stripped) - len(stripped.lstrip()), last - (len(stripped) - len(stripped.rstrip()))


def _runs(text: str) -> set[tuple[str, ...]]:
    """The runs of words in a text; of a short one all of it."""
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[at : at + RUN]) for at in range(max(1, len(words) - RUN + 1))} if words else set()


def _numbered(citation: Citation, number: int) -> Citation:
    fields = (citation.id, citation.place, citation.start, citation.end, citation.text, citation.score)
    return Citation(number, *fields)


def _block(citation: Citation) -> str:
    return f"[{citation.number}] {citation.place}\n{citation.text}"
