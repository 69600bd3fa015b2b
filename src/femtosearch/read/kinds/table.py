"""CSV and TSV under a header row: a row is a document."""

from __future__ import annotations

from collections.abc import Iterator

from femtosearch.read.content import Content
from femtosearch.read.delimited import csv_records
from femtosearch.read.entries import Entry, Fault
from femtosearch.read.records import entry_of


def entries(content: Content) -> Iterator[Entry | Fault]:
    """The documents of a table, and what is wrong in it."""
    options = content.options
    for number, record in csv_records(content.lines(""), content.file.kind, options.text_column):
        yield entry_of(record, number, options.text_column, options.id_column, needs_text=False)
