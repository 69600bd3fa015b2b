"""Lines: each that is not blank is a document, called by a hash of its text."""

from __future__ import annotations

from collections.abc import Iterator

from femtosearch.index.documents import content_name
from femtosearch.read.content import Content
from femtosearch.read.entries import Entry


def entries(content: Content) -> Iterator[Entry]:
    """The lines."""
    for number, line in enumerate(content.lines(), 1):
        text = line.rstrip("\r\n")
        if text.strip():
            yield Entry(text, id=content_name(text), line=number)
