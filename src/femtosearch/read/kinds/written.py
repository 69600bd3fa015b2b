"""Text as it grows, with its headings, pages and lines, while a document of an office program is read."""

from __future__ import annotations

from typing import Any

from femtosearch.read.entries import Entry, Mark
from femtosearch.read.kinds.headings import Heading, cuts_at, paths, with_title

MOST_CHARACTERS = 100_000_000


class Written:
    """A text to which paragraphs are added."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._length = 0
        self._headings: list[Heading] = []
        self._marks: dict[int, dict[str, Any]] = {}

    def add(self, paragraph: str, level: int | None = None) -> None:
        """A paragraph, or a heading of a level from 1."""
        text = paragraph.strip("\n")
        if not text.strip() or self._length > MOST_CHARACTERS:
            return
        if level is not None:
            self._headings.append(Heading(self._length, min(9, max(1, level)), " ".join(text.split())))
        self._pieces.append(text + "\n")
        self._length += len(text) + 1

    def mark(self, **facts: Any) -> None:
        """Something begins here, such as a page."""
        self._marks[self._length] = {**self._marks.get(self._length, {}), **facts}

    def append(self, entry: Entry) -> None:
        """Another text, with its headings."""
        for offset, facts in entry.marks:
            if facts.get("heading"):
                place = self._length + offset
                self._marks[place] = {**self._marks.get(place, {}), "heading": facts["heading"]}
        self._pieces.append(entry.text + "\n\n")
        self._length += len(entry.text) + 2

    def entry(self, metadata: dict[str, Any]) -> Entry:
        """All of it as a document; a title in the metadata, else its first heading, goes before it."""
        text = "".join(self._pieces).rstrip("\n")
        for start, path in paths(self._headings):
            self._marks[start] = {**self._marks.get(start, {}), "heading": path}
        starts = sorted(self._marks)
        marks: list[Mark] = []
        facts: dict[str, Any] = {}
        for start in starts:
            facts = {**facts, **self._marks[start]}
            marks.append((start, facts))
        entry = Entry(text, metadata, marks=marks, cuts=cuts_at(text, starts))
        title = metadata.get("title") or next((heading.text for heading in self._headings), "")
        return with_title(entry, title) if title else entry
