"""Where a hit is, as editors, terminals and agents open it."""

from __future__ import annotations

from femtosearch.types import Hit


def place_of(hit: Hit) -> str:
    """`path:line` of the best passage; the id alone where the document did not come from a text file."""
    path = hit.metadata.get("path")
    if not isinstance(path, str) or not path:
        return hit.id
    return f"{path}:{line_of(hit)}"


def line_of(hit: Hit) -> int:
    """The line of the document's text that the best passage begins in, from 1."""
    start = 0 if hit.passage is None else hit.passage[0]
    return hit.text.count("\n", 0, start) + 1
