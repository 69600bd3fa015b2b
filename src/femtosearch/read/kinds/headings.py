"""Headings, as Markdown has them, and where passages are best cut at them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from femtosearch.read.entries import Entry, Mark

SECTION = 800  # characters that a passage should have before a cut
_LAST = 200  # characters that a last section should have

_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))??(?:[ \t]+#+)?[ \t]*$")
_FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})")
_SETEXT = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_NO_PARAGRAPH = re.compile(
    r" {0,3}(?:>|[-+*](?:[ \t]|$)|\d{1,9}[.)][ \t]|#{1,6}(?:[ \t]|$)|(?:[-*_][ \t]*){3,}$"
    r"|<(?:[!?]|(?:pre|script|style|textarea)\b))|\s*$",
    re.IGNORECASE,
)
_INNER = re.compile(r" {0,3}(?:[-+*]|\d{1,9}[.)])(?:[ \t]+(?:[-+*]|\d{1,9}[.)]))*[ \t]+(?=`{3}|~{3})")
_LAZY = re.compile(r" {0,3}(?!(?:[-*_][ \t]*){3,}$)(?:>|(?:[-+*]|\d{1,9}[.)])[ \t])[ \t]*[^\s>#]")
_LINK = re.compile(r" {0,3}\[[^\]]+\]:[ \t]*\S+(?:[ \t]+(?:\"[^\"]*\"|'[^']*'|\([^)]*\)))?[ \t]*$")
_BLOCK_TAGS = (
    "address|article|aside|base|basefont|blockquote|body|caption|center|col|colgroup|dd|details|dialog|dir|div|"
    "dl|dt|fieldset|figcaption|figure|footer|form|frame|frameset|h[1-6]|head|header|hr|html|iframe|legend|li|"
    "link|main|menu|menuitem|nav|noframes|ol|optgroup|option|p|param|search|section|summary|table|tbody|td|"
    "tfoot|th|thead|title|tr|track|ul"
)
_VALUE = r"""(?:[^\s"'=<>`]+|'[^']*'|"[^"]*")"""
_ATTRIBUTES = rf"(?:\s+[a-z_:][\w.:-]*(?:\s*=\s*{_VALUE})?)*\s*"
_HTML = (
    re.compile(  # what begins it, each way with its own end; what the last two begin ends before a blank line
        r" {0,3}(?:<(?P<raw>script|pre|style|textarea)(?:[\s>]|$)|(?P<comment><!--)|(?P<instruction><\?)"
        rf"|(?P<cdata><!\[CDATA\[)|(?P<declaration><![A-Za-z])|(?P<block></?(?:{_BLOCK_TAGS})(?:\s|/?>|$))"
        rf"|(?P<alone><[a-z][a-z0-9-]*{_ATTRIBUTES}/?>\s*$|</[a-z][a-z0-9-]*\s*>\s*$))",
        re.IGNORECASE,
    )
)
_ENDS = {
    "raw": r"</(?:script|pre|style|textarea)>", "comment": "-->", "instruction": r"\?>", "cdata": r"\]\]>",
    "declaration": ">", "block": r"^\s*$", "alone": r"^\s*$",
}  # fmt: skip


class Heading(NamedTuple):
    """A heading: where its line begins in the text, in characters, its level from 1, and its words."""

    start: int
    level: int
    text: str


def blocks(text: str) -> Iterator[Heading]:
    """The headings of a Markdown text, with # before them or a line of = or - below, as CommonMark has them.

    What is in a block of code, in raw HTML or in a comment is none.
    """
    closing: re.Pattern[str] | None = None
    paragraph: tuple[int, list[str]] | None = None
    is_lazy = False  # a line without a mark goes on with the paragraph of a list or a quote
    offset = 0
    for line in text.split("\n"):
        start, offset = offset, offset + len(line) + 1
        if closing is not None:
            closing = None if closing.search(line) else closing
            continue
        closing = _opened(line, after_text=is_lazy or paragraph is not None)
        if closing is not None:
            paragraph, is_lazy = None, False
        elif paragraph is None and re.match(r" {4}|\t", line):
            continue  # a block of code
        elif match := _ATX.match(line):
            paragraph, is_lazy = None, False
            if match[2]:
                yield Heading(start, len(match[1]), match[2])
        elif paragraph is not None and (match := _SETEXT.match(line)):
            words = " ".join(piece.strip() for piece in paragraph[1])
            yield Heading(paragraph[0], 1 if match[1][0] == "=" else 2, words)
            paragraph = None
        elif _NO_PARAGRAPH.match(line):
            paragraph, is_lazy = None, _LAZY.match(line) is not None
        elif not is_lazy and (paragraph is not None or not _LINK.match(line)):
            paragraph = (start, [line]) if paragraph is None else (paragraph[0], [*paragraph[1], line][-20:])


def _opened(line: str, *, after_text: bool) -> re.Pattern[str] | None:
    """What closes the block of code or HTML that a line opens; None if it opens none.

    after_text:  the line may go on with a paragraph, which a tag alone on its line does not end.
    """
    inner = _INNER.match(line)
    if match := _FENCE.match(line, inner.end() if inner else 0):
        indent = "^ *" if inner else "^ {0,3}"
        return re.compile(rf"{indent}{re.escape(match[1][0])}{{{len(match[1])},}}[ \t]*$")
    match = _HTML.match(line)
    if match is None or match.lastgroup is None or (match.lastgroup == "alone" and after_text):
        return None
    closes = re.compile(_ENDS[match.lastgroup], re.IGNORECASE)
    is_closed = match.lastgroup not in ("block", "alone") and closes.search(line, match.end())
    return None if is_closed else closes


def heading_marks(text: str, headings: Sequence[Heading], first_line: int = 1) -> list[Mark]:
    """Marks of a text whose lines are a file's: at its beginning, and the heading path at each heading."""
    marks: list[Mark] = [(0, {"lines": first_line})]
    line, place = first_line, 0
    for start, path in paths(headings):
        line += text.count("\n", place, start)
        place = start
        marks.append((start, {"lines": line, "heading": path}))
    return marks if len(marks) < 2 or marks[1][0] else marks[1:]


def paths(headings: Sequence[Heading]) -> Iterator[tuple[int, list[str]]]:
    """Where each heading begins, and its path: the headings that it is under, and itself."""
    stack: list[Heading] = []
    for heading in headings:
        while stack and stack[-1].level >= heading.level:
            stack.pop()
        stack.append(heading)
        yield heading.start, [ancestor.text[:200] for ancestor in stack]


def cuts_at(text: str, starts: Sequence[int]) -> list[int]:
    """Those of the places where sections start at which a passage may end: not after a few words."""
    cuts: list[int] = []
    for start in starts:
        if start - (cuts[-1] if cuts else 0) >= SECTION and len(text) - start >= _LAST:
            cuts.append(start)
    return cuts


def with_title(entry: Entry, title: str) -> Entry:
    """An entry that has a title: in its metadata, and before its text if it is not at its beginning."""
    metadata = {**entry.metadata, "title": title}
    if title in entry.text[: len(title) + 100]:
        return replace(entry, metadata=metadata)
    before = f"{title}\n\n"
    marks = [(offset + len(before), facts) for offset, facts in entry.marks]
    if marks and entry.marks[0][0] == 0:  # the title is at the beginning, on no line of its own
        first = {("line" if name == "lines" else name): fact for name, fact in marks[0][1].items()}
        marks.insert(0, (0, first))
    cuts = [cut + len(before) for cut in entry.cuts]
    return replace(entry, text=before + entry.text, metadata=metadata, marks=marks, cuts=cuts)
