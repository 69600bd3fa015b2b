"""Markdown: a file is a document, its front matter metadata, its first heading the title."""

from __future__ import annotations

from collections.abc import Iterator

from femtosearch.read.content import Content
from femtosearch.read.entries import Entry
from femtosearch.read.kinds.front_matter import front_matter
from femtosearch.read.kinds.headings import blocks, cuts_at, heading_marks, with_title


def entries(content: Content) -> Iterator[Entry]:
    """The one document of a Markdown file."""
    text = content.text()
    matter, first = front_matter(text)
    skipped = text.count("\n", 0, first)
    text = text[first:]
    headings = list(blocks(text))
    first_heading = next((heading.text for heading in headings), None)
    title = matter.get("title")
    is_stated = isinstance(title, (str, int, float)) and not isinstance(title, bool) and str(title).strip()
    title = str(title) if is_stated else first_heading
    cuts = cuts_at(text, [heading.start for heading in headings])
    entry = Entry(text, matter, marks=heading_marks(text, headings, 1 + skipped), cuts=cuts)
    yield with_title(entry, title) if title else entry
