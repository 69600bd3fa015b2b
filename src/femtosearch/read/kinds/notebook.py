"""Jupyter notebooks: a notebook is a document, of its cells of text and code; a hit says the cell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from femtosearch.read.content import Content
from femtosearch.read.entries import Entry, Fault, Mark
from femtosearch.read.kinds.headings import SECTION, Heading, blocks, paths, with_title


def entries(content: Content) -> Iterator[Entry | Fault]:
    """The one document of a notebook."""
    try:
        notebook = json.loads("".join(content.lines(guesses=False)))
        cells = notebook["cells"] if "cells" in notebook else notebook["worksheets"][0]["cells"]
        sources = [(str(cell.get("cell_type")), _source(cell)) for cell in cells]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        yield Fault(f"expected a Jupyter notebook, found something else ({type(error).__name__}: {error})")
        return
    yield _entry(sources)


def _source(cell: dict[str, Any]) -> str:
    """The text of a cell, which is a string or a list of lines; of an old one `input`."""
    source = cell.get("source", cell.get("input", ""))
    return source if isinstance(source, str) else "".join(map(str, source))


def _entry(sources: list[tuple[str, str]]) -> Entry:
    text, headings, cuts = "", list[Heading](), list[int]()
    cells = list[tuple[int, int, int]]()  # where each begins, its number, the headings up to its end
    for number, (kind, source) in enumerate(sources, 1):
        if kind not in ("markdown", "code", "raw", "heading") or not source.strip():
            continue
        if len(text) - (cuts[-1] if cuts else 0) >= SECTION:
            cuts.append(len(text))
        start = len(text)
        if kind == "markdown":
            headings += [Heading(start + block.start, block.level, block.text) for block in blocks(source)]
        cells.append((start, number, len(headings)))
        text += source.rstrip("\n") + "\n\n"
    above = [path for _, path in paths(headings)]
    marks: list[Mark] = [
        (start, {"cell": number, **({"heading": above[count - 1]} if count else {})})
        for start, number, count in cells
    ]
    entry = Entry(text.rstrip("\n"), marks=marks, cuts=cuts)
    return with_title(entry, headings[0].text) if headings else entry
