"""Context for a language model's prompt: passages without repetition, in reading order, with citations."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import replace

from femtosearch.errors import QueryError, check_whole
from femtosearch.frozen import frozen
from femtosearch.index.json_values import json_scalar
from femtosearch.index.words import UNSPACED
from femtosearch.types import Hit

BYTES_PER_TOKEN = 4  # of UTF-8, about, in the tokens of language models
RUN = 4  # words that follow one another, by which passages are compared
ALIKE = 0.6  # a passage is a repetition if this share of its runs is in the context already
GROWTH = 2  # a passage grows to whole paragraphs if it is at most this many times as long then
MOST_TOKENS = 10_000_000
DEEP = 5  # best documents of which further passages are considered

_WHOLE_WORDS = re.compile(rf".*(?:\S(?=\s)|{UNSPACED})", re.DOTALL)

Words = tuple[str, ...]  # that follow one another

# (hit) -> (MaxSim, start, end) of the other passages of its document
Further = Callable[[Hit], Sequence[tuple[float, int, int]]]


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
    """Passages for a prompt. `str(context)` is the text.

    text:       the passages, each below a line `[number] place`.
    citations:  which document, and which place in it, each number stands for.
    tokens:     about how many tokens of a language model the text has: a quarter of its bytes.
    """

    text: str
    citations: list[Citation]
    tokens: int

    def __str__(self) -> str:
        return self.text


def make_context(hits: Iterable[Hit], max_tokens: int, further: Further | None = None) -> Context:
    """Choose passages of hits, best first, that fit into so many tokens.

    Passages of one document stand together, in their order in it. If no passage fits, the context is the
    beginning of the best one.

    further:  returns the other passages of a hit's document; None to use only the best passage of each.
    Raises QueryError.
    """
    room, chosen, runs = check_max_tokens(max_tokens) * BYTES_PER_TOKEN, list[Citation](), set[Words]()
    best: Citation | None = None
    for citation in filter(None, (_addition(hit, chosen, runs) for hit in _by_relevance(hits, further))):
        best = best or citation
        size = len(_block(replace(citation, number=len(chosen) + 1)).encode()) + (2 if chosen else 0)
        if size <= room:
            chosen.append(citation)
            runs |= _runs(citation.text)
            room -= size
    if not chosen and best is not None:
        chosen = [cut] if (cut := _cut(best, room)) else []
    citations = [replace(citation, number=n) for n, citation in enumerate(_in_reading_order(chosen), 1)]
    text = "\n\n".join(map(_block, citations))
    return Context(text, citations, -(-len(text.encode()) // BYTES_PER_TOKEN))


def check_max_tokens(max_tokens: object) -> int:
    """Check the number of tokens that a context may have. Raises QueryError."""
    return check_whole(QueryError, "max_tokens", json_scalar(max_tokens), 1, MOST_TOKENS)


def _by_relevance(hits: Iterable[Hit], further: Further | None) -> Iterator[Hit]:
    """The hits, and among them, by MaxSim, the further passages of the best ones' documents."""
    waiting: list[tuple[float, Hit]] = []  # other passages, the best ones last
    for number, hit in enumerate(hits):
        while waiting and hit.maxsim is not None and waiting[-1][0] > hit.maxsim:
            yield waiting.pop()[1]
        yield hit
        if further is not None and number < DEEP:
            passages = [(score, _elsewhere(hit, start, end)) for score, start, end in further(hit)]
            waiting = sorted([*waiting, *passages], key=lambda pair: pair[0])
    yield from (hit for _, hit in reversed(waiting))


def _elsewhere(hit: Hit, start: int, end: int) -> Hit:
    """The hit with another passage of its document. Its lines in the file, if known, move along."""
    first = None
    if hit.lines is not None and hit.passage is not None:
        between = hit.text.count("\n", *sorted((start, hit.passage[0])))
        first = hit.lines[0] + (between if start > hit.passage[0] else -between)
    lines = None if first is None else (first, first + hit.text.count("\n", start, end))
    return replace(hit, passage=(start, end), lines=lines)


def _in_reading_order(citations: Sequence[Citation]) -> list[Citation]:
    """Citations of one document together, as they follow in it; documents in the order of their first one."""
    first: dict[str, int] = {}
    for number, citation in enumerate(citations):
        first.setdefault(citation.id, number)
    return sorted(citations, key=lambda citation: (first[citation.id], citation.start))


def _addition(hit: Hit, chosen: Sequence[Citation], runs: Set[Words]) -> Citation | None:
    """A citation of what a hit's passage adds to the chosen ones; None if it is a repetition of them.

    runs:  the runs of words of the chosen ones.
    """
    if hit.passage is None or hit.passage[0] == hit.passage[1]:
        return None
    start, end = _paragraphs(hit.text, *hit.passage)
    added = _runs(hit.text[start:end])
    if added and len(added & runs) >= ALIKE * len(added):
        return None
    for citation in chosen:
        if citation.id == hit.id:
            start, end = _beside(start, end, citation)
    start, end = _stripped(hit.text, start, end)
    if start >= end:
        return None
    place = place_of(_elsewhere(hit, start, end))
    return Citation(0, hit.id, place, start, end, hit.text[start:end], hit.score)


def _beside(start: int, end: int, citation: Citation) -> tuple[int, int]:
    """Cut a passage so that it does not overlap a citation of its document: the longer of what is before and
    what is after.
    """
    before, after = (start, min(end, citation.start)), (max(start, citation.end), end)
    return max(before, after, key=lambda piece: piece[1] - piece[0])


def place_of(hit: Hit) -> str:
    """The place of a hit for a citation: `path:line` of the passage, or path and page; the id without a path.

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
    """Extend a passage to whole paragraphs, unless these are more than twice as long."""
    before = text.rfind("\n\n", 0, start)
    after = text.find("\n\n", end)
    first, last = 0 if before < 0 else before + 2, len(text) if after < 0 else after
    if last - first > GROWTH * (end - start):
        first, last = start, end
    return _stripped(text, first, last)


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    """Cut the white space off both ends of a passage."""
    passage = text[start:end]
    return start + len(passage) - len(passage.lstrip()), end - (len(passage) - len(passage.rstrip()))


def _runs(text: str) -> set[Words]:
    """All runs of four words in a text; one run of all words where there are fewer."""
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[at : at + RUN]) for at in range(max(1, len(words) - RUN + 1))} if words else set()


def _cut(citation: Citation, room: int) -> Citation | None:
    """Cut a citation after the last word that fits into `room` bytes; None if not even one word fits."""
    above = len(_block(replace(citation, number=1, text="")).encode())
    beginning = citation.text.encode()[: max(0, room - above)].decode(errors="ignore")
    words = _WHOLE_WORDS.match(beginning)
    if words is None:
        return None
    return replace(citation, text=words[0], end=citation.start + len(words[0]))


def _block(citation: Citation) -> str:
    return f"[{citation.number}] {citation.place}\n{citation.text}"
