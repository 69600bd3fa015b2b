"""Plain text: a file is a document."""

from __future__ import annotations

from collections.abc import Iterator

from femtosearch.read.content import Content
from femtosearch.read.entries import Entry


def entries(content: Content) -> Iterator[Entry]:
    """The one document of a text file."""
    yield Entry(content.text(), marks=[(0, {"lines": 1})])
