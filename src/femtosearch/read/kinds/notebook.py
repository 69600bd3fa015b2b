"""Jupyter notebooks: a notebook is a document, of its cells of text and code; a hit says the cell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from femtosearch.read.content import Content
from femtosearch.read.entries import Entry, Fault, Mark
from femtosearch.read.kinds.headings import SECTION, Heading, blocks, paths, with_title
from femtosearch.read.records import SURROGATE


def entries(content: Content) -> Iterator[Entry | Fault]:
    """The one document of a notebook."""
    try:
        notebook = json.loads("".join(content.lines(guesses=False)))
        sheets = [notebook] if "cells" in notebook else notebook["worksheets"]
        sources = [(_level(cell), _source(cell)) for sheet in sheets for cell in sheet["cells"]]
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        yield Fault(f"expected a Jupyter notebook, found something else ({type(error).__name__}: {error})")
        return
    yield _entry(sources)


def _source(cell: dict[str, Any]) -> str:
    """The text of a cell, which is a string or a list of lines; of an old one `input`."""
    source = cell.get("source", cell.get("input")) or ""
    text = source if isinstance(source, str) else "".join(map(str, source))
    return SURROGATE.sub("\ufffd", text)


def _level(cell: dict[str, Any]) -> int | None:
    """Of a heading, which was a cell of its own once, its level; 0 of text that has headings; else None."""
    kind = cell.get("cell_type")
    return int(cell.get("level", 1)) if kind == "heading" else 0 if kind == "markdown" else None


def _entry(sources: list[tuple[int | None, str]]) -> Entry:
    text, headings, cuts = "", list[Heading](), list[int]()
    cells = list[tuple[int, int, int]]()  # where each begins, its number, the headings up to its end
    for number, (level, source) in enumerate(sources, 1):
        if not source.strip():
            continue
        if len(text) - (cuts[-1] if cuts else 0) >= SECTION:
            cuts.append(len(text))
        start = len(text)
        if level:
            headings.append(Heading(start, level, " ".join(source.split())))
        elif level == 0:
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
