"""Hits, counts and sizes as text for a person."""

from __future__ import annotations

import math
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any, TextIO

from femtosearch.model.foldings import TERMINAL
from femtosearch.read.paths import STDIN, near
from femtosearch.types import Hit

BOLD, PLAIN = "\x1b[1m", "\x1b[22m"
LINES = 2  # lines of a snippet
LEAD = 24  # characters of a snippet before the first word of the query
INDENT = 4  # columns before a snippet


def count(number: int, noun: str) -> str:
    """A number and its noun: `1 document`, `5,183 documents`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def size(number: int) -> str:
    """A number of bytes with its unit: `974 kB`, `27 MB`, `1.2 GB`."""
    value, unit = float(number), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 999.5:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if unit == "bytes" or value >= 9.95 else f"{value:.1f} {unit}"


def hit_lines(rank: int, hit: Hit, query: str, stream: TextIO) -> Iterator[str]:
    """A hit for people, on 1 to 3 lines: rank, score, place, headings, and its passage where it matched.

    The place is path:line, as editors open it, or the id of a document that no file gave.
    """
    import shutil

    words = query_words(query)
    token = "" if hit.span is None else _tidy(hit.text[slice(*hit.span)]).lower()
    marked = [*words, *([token] if token else [])] if wants_colour(stream) else []
    room = max(20, shutil.get_terminal_size().columns - 1)
    title = hit.metadata.get("title")
    head = _fit(f"{rank:>3}  {round(hit.score, 2) + 0:6.2f}  {_tidy(_heading(hit))}", room)
    text, focus = _shown_text(hit, title)
    text = snippet(text, words, LINES * (room - INDENT), focus)
    if _columns(head) + 2 + _columns(text) <= room:
        yield f"{head}  {embolden(text, marked)}"
        return
    yield head
    for line in _wrap(text, room - INDENT)[:LINES]:
        yield " " * INDENT + embolden(line, marked)


def place_of(hit: Hit) -> str:
    """The place of a hit: path:line, or the path and the page or cell; the id if it is of no file."""
    if hit.source is None or hit.source == STDIN:
        return hit.id
    path = near(hit.source)
    if hit.page is not None or hit.cell is not None:
        return f"{path} (page {hit.page})" if hit.page is not None else f"{path} (cell {hit.cell})"
    place = f"{path}:{hit.lines[0]}" if hit.lines else path
    return place if hit.row is None else f"{place}  {hit.id}"


def _heading(hit: Hit) -> str:
    """The place, the headings or the title, and how many copies there are."""
    title = hit.metadata.get("title")
    headings = list(hit.heading) or ([title] if isinstance(title, str) else [])
    copies = f"  (and {count(len(hit.copies), 'copy').replace('copys', 'copies')})" if hit.copies else ""
    return "  ".join([place_of(hit), *([" \u203a ".join(headings)] if headings else [])]) + copies


def _shown_text(hit: Hit, title: object) -> tuple[str, int | None]:
    """The passage that scored, without the title that is shown above it, and where in it it matched best."""
    start, end = hit.passage or (0, len(hit.text))
    if isinstance(title, str) and start == 0 and hit.text.startswith(title) and end > len(title):
        start = len(title)
    return hit.text[start:end], None if hit.span is None else max(0, hit.span[0] - start)


def wants_colour(stream: TextIO) -> bool:
    """Whether to write bold: to a terminal that can, unless the user forbids it ($NO_COLOR, no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def query_words(query: str) -> list[str]:
    """The words of a query that are worth showing: of three letters or more, or all if none is."""
    words = list(dict.fromkeys(re.findall(r"\w+", query.lower())))
    return [word for word in words if len(word) > 2 or not word.isascii()] or words


def snippet(text: str, words: list[str], room: int, focus: int | None = None) -> str:
    """At most `room` columns of a text, on one line, from where most words of the query are.

    focus:  the character at which the text matched best, if that is known: then the snippet is from there,
            unless another place has all words.
    """
    if focus is not None:
        focus = len(_tidy(text[:focus] + "x")) - 1
    text = _tidy(text)
    if _columns(text) <= room:
        return text
    starts = [match.start() for match in _pattern(words).finditer(text)] if words else []
    reach = room - LEAD
    best = max(starts, key=lambda start: _distinct(words, text[start : start + reach]), default=0)
    has_all = bool(words) and _distinct(words, text[best : best + reach]) == len(words)
    best = best if focus is None or has_all else max(0, focus - reach // 3)
    start = 0 if best <= LEAD else text.rfind(" ", 0, best - LEAD // 2) + 1
    start = start if best - start <= LEAD else best - LEAD // 2
    head = "… " if start else ""
    cut = head + text[start:]
    if _columns(cut) <= room:
        return cut
    cut = _fit(cut, room - 2)
    words_end = cut.rfind(" ")  # in text without blanks there is none but that after the first mark
    return (cut[:words_end] if words_end > len(cut) // 2 else cut) + " …"


def embolden(line: str, words: list[str]) -> str:
    """The line with the query's words in bold."""
    return _pattern(words).sub(lambda match: f"{BOLD}{match[0]}{PLAIN}", line) if words else line


def _pattern(words: list[str]) -> re.Pattern[str]:
    """Any of the words; whole ones, except in scripts that put no blanks between words."""
    any_of = "|".join(rf"\b{re.escape(word)}\b" if word.isascii() else re.escape(word) for word in words)
    return re.compile(any_of, re.IGNORECASE)


def _distinct(words: list[str], window: str) -> int:
    return len({match[0].lower() for match in _pattern(words).finditer(window)})


def _tidy(text: str) -> str:
    """The text on one line and without control characters, which could move the reader's cursor."""
    text = re.sub(TERMINAL, "", text)
    printable = "".join(" " if unicodedata.category(char) in ("Cc", "Cf", "Cs") else char for char in text)
    return " ".join(printable.split())


def _columns(text: str) -> int:
    """How wide the text is on a terminal."""
    return len(text) if text.isascii() else sum(map(_width, text))


def _width(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _fit(text: str, room: int) -> str:
    """The beginning of the text that is at most `room` columns wide."""
    used = 0
    for position, char in enumerate(text):
        used += _width(char)
        if used > room:
            return text[:position]
    return text


def _wrap(text: str, room: int) -> list[str]:
    """The text in lines of at most `room` columns, broken at blanks where there are any."""
    lines = []
    while _columns(text) > room:
        line = _fit(text, room)
        if text[len(line)] != " " and " " in line[len(line) // 2 :]:
            line = line[: line.rindex(" ")]
        lines.append(line)
        text = text[len(line) :].lstrip()
    return [*lines, text] if text else lines


def hit_facts(
    query: str, rank: int, hit: Hit, unknown: Sequence[str], *, whole: bool = False
) -> dict[str, Any]:
    """A hit as JSON: its passage's text, or all of the document's."""
    score = hit.score if math.isfinite(hit.score) else None  # of a document without a word
    facts = {"query": query, "unknown": unknown, "rank": rank, **asdict(hit), "score": score}
    if hit.passage is not None and not whole:
        facts["text"] = hit.text[slice(*hit.passage)]
    if hit.explanation is None:
        del facts["explanation"]
    return facts
