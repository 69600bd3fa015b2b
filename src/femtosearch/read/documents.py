"""Files -> documents.

    for document in read(["notes/", "more.jsonl"]):
        ...

What is wrong in a file that was named is an error. What is wrong in a file that was found in a folder is
skipped and remembered, so that one bad file does not lose the other 9,999; `strict` makes an error of it too.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sys
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Any

from femtosearch.errors import ReadError
from femtosearch.index.documents import check_document
from femtosearch.read.lines import TooLongError, limited_lines, read_all, text_stream
from femtosearch.read.records import SURROGATE, csv_records, json_records, kind_of, names
from femtosearch.read.sources import STDIN, Source, printable, sources
from femtosearch.types import Document

HEADING = re.compile(r" {0,3}#{1,6}[ \t]+(.*?)[ \t]*#*[ \t]*$")
FENCE = re.compile(r" {0,3}(```|~~~)")
NEWLINES = {"jsonl": "\n", "csv": "", "tsv": ""}  # else every kind of line end is "\n"


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something that was left out or changed. `where` is a path, or path:line."""

    where: str
    reason: str


class Reading:
    """An iterable of documents that remembers what it leaves out. `read` makes it.

    skipped:  what was left out or changed so far, in order.
    unknown:  how many files in folders have an extension that is not one of those read.
    """

    def __init__(
        self, paths: list[str], text_column: str, id_column: str | None, stdin_kind: str, strict: bool
    ) -> None:
        listed = sources(paths, stdin_kind)
        self.unknown = listed.unknown
        self.skipped: list[Skipped] = []
        self._text_column, self._id_column, self._strict = text_column, id_column, strict
        self._files, self._size = listed.files, listed.size
        self._behind = 0
        self._raw: IO[bytes] | None = None
        for path, reason in listed.broken.items():
            self._skip(path, reason)

    def __iter__(self) -> Iterator[Document]:
        for source in self._files:
            yield from self._documents(source)
            self._behind += source.size or 0

    @property
    def fraction(self) -> float | None:
        """How much of the input is behind, 0 to 1; None where its size is not known."""
        if not self._size:
            return None
        here = self._raw.tell() if self._raw and not self._raw.closed else 0
        return min(1.0, (self._behind + here) / self._size)

    def _documents(self, source: Source) -> Iterator[Document]:
        """The documents of one file. What goes wrong while it is read is put down to it by name."""
        try:
            with self._stream(source) as stream:
                if source.kind in ("text", "markdown"):
                    yield self._whole(source, stream)
                elif source.kind == "lines":
                    lines = (line.rstrip("\n") for line in self._lines(source, stream))
                    yield from (Document(_hash(line), line) for line in lines if line.strip())
                else:
                    yield from self._recorded(source, stream)
        except UnicodeError as error:
            self._complain(source, source.path, f"expected text in UTF-8, found bytes that are not ({error})")
        except TooLongError as error:
            self._complain(source, source.path, str(error))
        except (OSError, EOFError, zlib.error) as error:
            reason = getattr(error, "strerror", None) or error
            self._complain(source, source.path, f"cannot be read: {reason}")

    @contextlib.contextmanager
    def _stream(self, source: Source) -> Iterator[IO[str]]:
        """The file as text. Bytes that are not UTF-8 come through as lone surrogates, for `_clean` to see."""
        with contextlib.ExitStack() as stack:
            raw: Any = sys.stdin.buffer
            if source.path != STDIN:
                self._raw = raw = stack.enter_context(open(source.path, "rb"))
            zipped = source.path.lower().endswith(".gz")
            errors = "strict" if source.guessed else "surrogateescape"
            newline = NEWLINES.get(source.kind)
            yield stack.enter_context(text_stream(raw, zipped=zipped, errors=errors, newline=newline))

    def _whole(self, source: Source, stream: IO[str]) -> Document:
        text = self._clean(source.path, read_all(stream))
        metadata = {"path": printable(source.path)}
        title = _first_heading(text) if source.kind == "markdown" else None
        return Document(source.name, text, {**metadata, "title": title} if title else metadata)

    def _recorded(self, source: Source, stream: IO[str]) -> Iterator[Document]:
        lines = self._lines(source, stream)
        table = source.kind in ("csv", "tsv")
        records = csv_records(lines, source.kind, self._text_column) if table else json_records(lines)
        for number, record in records:
            try:
                if isinstance(record, ValueError):
                    raise record
                document = self._document(source, number, record)
                check_document(document)
            except ValueError as error:
                self._complain(source, f"{source.path}:{number}", str(error))
            else:
                yield document

    def _document(self, source: Source, number: int, record: dict[str, Any]) -> Document:
        """A record as a document. Raises ValueError, which says what was expected and what was found."""
        record = dict(record)
        key = self._id_column or ("id" if "id" in record else "_id")
        if self._id_column and key not in record:
            raise ValueError(f"expected an id under {key!r}, found {names(record)}")
        document_id = _id(record.pop(key)) if key in record else None
        text = self._take_text(source, record)
        if isinstance(record.get("metadata"), dict):  # BEIR's own place for what else there is
            record = {**record.pop("metadata"), **record}
        name = _hash(text) if source.path == STDIN else f"{source.name}:{number}"
        return Document(document_id or name, text, record)

    def _take_text(self, source: Source, record: dict[str, Any]) -> str:
        """The record's text, its title before it as in BEIR. A CSV row without the cell has an empty text."""
        column = self._text_column
        if column not in record and source.kind == "jsonl":
            raise ValueError(f"expected a text under {column!r}, found {names(record)}")
        text = record.pop(column, "")
        if not isinstance(text, str):
            raise ValueError(f"expected {column!r} to be a text, found {kind_of(text)}")
        title = record.get("title")
        return f"{title} {text}".strip() if isinstance(title, str) and title.strip() else text

    def _lines(self, source: Source, stream: IO[str]) -> Iterator[str]:
        lines = enumerate(limited_lines(stream), 1)
        return (self._clean(f"{source.path}:{number}", line) for number, line in lines)

    def _clean(self, where: str, text: str) -> str:
        """The text with U+FFFD in place of each byte that is not UTF-8, which is remembered."""
        if text.isascii() or not SURROGATE.search(text):
            return text
        clean, count = SURROGATE.subn("\ufffd", text)
        if self._strict:
            raise ReadError(f"{printable(where)}: expected text in UTF-8, found {count} bytes that are not")
        self.skipped.append(Skipped(printable(where), f"{count} bytes that are not UTF-8 became \ufffd"))
        return clean

    def _complain(self, source: Source, where: str, reason: str) -> None:
        if source.named:
            raise ReadError(f"{printable(where)}: {reason}")
        self._skip(where, reason)

    def _skip(self, where: str, reason: str) -> None:
        if self._strict:
            raise ReadError(f"{printable(where)}: {reason}")
        self.skipped.append(Skipped(printable(where), reason))


def read(
    paths: Iterable[str | os.PathLike[str]],
    *,
    text_column: str = "text",
    id_column: str | None = None,
    stdin_kind: str = "lines",
    strict: bool = False,
) -> Reading:
    """The documents of files and folders, one at a time: memory does not grow with the documents of a file.

    paths:        .txt .md .markdown .jsonl .ndjson .csv .tsv, each also with .gz; folders of them (sorted,
                  all the way down, hidden names left out, no folder twice however links lead); "-" is
                  standard input. A file with another extension is left out of a folder, and read as text if
                  it is named.
    text_column:  the JSON key or CSV column that holds the text.
    id_column:    the one that holds the id; None: "id", else "_id", else the document is called name:line.
    stdin_kind:   what comes through "-": "lines" (a document a line), "text" (one document), "jsonl", "csv",
                  "tsv".
    strict:       make an error of what is wrong in a folder's file, and of bytes that are not UTF-8.

    A text or Markdown file is one document. Its id is its path from the folder that was given, or, of a file
    that was given, that path: so reading it again replaces, and never doubles. What comes through "-" without
    an id is called by a hash of its text. A "title" goes before the text, as in BEIR, and stays in the
    metadata with every other key.
    Raises ReadError, which says where, what was expected and what was found.
    """
    return Reading([os.fspath(path) for path in paths], text_column, id_column, stdin_kind, strict)


def _first_heading(text: str) -> str | None:
    """The first `# heading` of a Markdown text that is not in a block of code."""
    fenced = False
    for line in text.splitlines():
        if FENCE.match(line):
            fenced = not fenced
        elif not fenced and (heading := HEADING.match(line)) and heading[1]:
            return heading[1]
    return None


def _hash(text: str) -> str:
    """A name for a text that has none: the same text has it again."""
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).hexdigest()


def _id(value: Any) -> str:
    """An id as a string: the number 17 is "17", as it is in CSV. Nothing else has one obvious spelling."""
    if isinstance(value, str) and value:
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    actual = "an empty string" if value == "" else kind_of(value)
    raise ValueError(f"expected an id that is a string or a whole number, found {actual}")
