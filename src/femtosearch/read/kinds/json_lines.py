"""JSON: an object a line is a document; so is each object of an array, or of objects over several lines."""

from __future__ import annotations

from collections.abc import Iterator

from femtosearch.read.content import Content
from femtosearch.read.entries import Entry, Fault
from femtosearch.read.records import entry_of, json_records, names


def entries(content: Content) -> Iterator[Entry | Fault]:
    """The documents of a file of JSON, and what is wrong in it."""
    options = content.options
    lines = content.lines(guesses=False)
    if content.file.kind == "json":
        yield from _of_json(content, list(lines))
        return
    for number, record in json_records(lines):
        yield entry_of(record, number, options.text_column, options.id_column, needs_text=True)


def _of_json(content: Content, lines: list[str]) -> Iterator[Entry | Fault]:
    """The documents of a .json file: records if there are any, or, if it was named, the file itself."""
    options = content.options
    records = list(json_records(lines))
    first = next((record for _, record in records if isinstance(record, dict)), None)
    if first is not None and options.text_column in first:
        for number, record in records:
            yield entry_of(record, number, options.text_column, options.id_column, needs_text=True)
    elif len(records) > 1 and first is not None and content.file.named:
        yield Fault(
            f"expected records with a text under {options.text_column!r}, found {names(first)}; say which is "
            "the text (--text-column)"
        )
    elif content.file.named:
        yield Entry("".join(lines), marks=[(0, {"lines": 1})])
    else:
        yield Fault(
            f"JSON that is no records with a text under {options.text_column!r}; name it to read it as text"
        )
