"""Files -> documents.

    for document in read(["notes/", "more.jsonl"]):
        ...

What is wrong in a file that was named is an error. What is wrong in a file that was found in a folder is
skipped and remembered, so that one bad file does not lose the other 9,999; `strict` makes an error of it too.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import IO

from femtosearch.errors import DocumentError, MissingExtraError, ReadError
from femtosearch.index.documents import check_document
from femtosearch.read.content import opened
from femtosearch.read.encodings import NotTextError, check_encoding
from femtosearch.read.entries import Entry, Fault, Named, Options, Skipped
from femtosearch.read.kinds import entries
from femtosearch.read.lines import TooLongError
from femtosearch.read.paths import STDIN, printable
from femtosearch.read.walk import File, bytes_of, walk
from femtosearch.types import Document


class FileReader:
    """Reads files one by one, and remembers what it leaves out.

    skipped:     what was left out or changed so far, in order.
    could_read:  whether the disk let the last file be read.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.skipped: list[Skipped] = []
        self.could_read = True
        self._size: int | None = None
        self._behind = 0
        self._raw: IO[bytes] | None = None
        _check_options(options)

    def expect(self, size: int | None) -> None:
        """Say how many bytes there are to read."""
        self._size = size

    @property
    def fraction(self) -> float | None:
        """How much of the input is behind, 0 to 1; None where its size is not known."""
        if not self._size:
            return None
        position = self._raw.tell() if self._raw and not self._raw.closed else 0
        return min(1.0, (self._behind + position) / self._size)

    def read(self, file: File) -> Iterator[Named]:
        """The documents of one file. What goes wrong while it is read is put down to it by name."""
        path = printable(file.path)
        self.could_read = True

        def tell(line: int | None, changed: str, expected: str) -> None:
            where = path if line is None else f"{path}:{line}"
            self.skip(where, expected if self.options.strict else changed, kept=True)

        try:
            with opened(file, self.options, tell, self._watch) as content:
                for entry in entries(content):
                    if isinstance(entry, Fault):
                        self._complain(file, entry)
                    elif (named := self._named(file, entry)) is not None:
                        yield named
        except (NotTextError, TooLongError, MissingExtraError) as error:
            self._complain(file, Fault(str(error)))
        except UnicodeError as error:
            reason = f"expected text in UTF-8, found bytes that are not ({error})"
            self._complain(file, Fault(reason))
        except (OSError, EOFError, zlib.error) as error:
            self.could_read = False
            self._complain(file, Fault(f"cannot be read: {getattr(error, 'strerror', None) or error}"))
        self._behind += file.size or 0

    def skip(self, where: str, reason: str, *, kept: bool = False) -> None:
        """Remember that something was left out or, if kept, changed. Raises ReadError if that is strict."""
        if self.options.strict:
            raise ReadError(f"{where}: {reason}")
        self.skipped.append(Skipped(where, reason, kept))

    def _watch(self, raw: IO[bytes]) -> None:
        self._raw = raw

    def _named(self, file: File, entry: Entry) -> Named | None:
        if entry.line is None and file.path != STDIN:
            entry = replace(entry, metadata={"path": file.spelled, **entry.metadata})
        named = Named(entry, _ids(file, entry))
        try:
            check_document(named.document)
        except DocumentError as error:
            self._complain(file, Fault(str(error), entry.line))
            return None
        return named

    def _complain(self, file: File, fault: Fault) -> None:
        path = printable(file.path)
        where = path if fault.line is None else f"{path}:{fault.line}"
        if file.named and not self.options.keep_going:
            raise ReadError(f"{where}: {fault.reason}; to go on without it: --keep-going")
        self.skip(where, fault.reason)


class Reading:
    """An iterable of documents that remembers what it leaves out. `read` makes it.

    skipped:   what was left out or changed so far, in order.
    left_out:  what is in folders and not to be read, and why.
    unknown:   how many files in folders are of a kind that is not read.
    """

    def __init__(self, paths: list[str], options: Options) -> None:
        walked = walk(paths, options)
        self.unknown, self.left_out = walked.unknown, walked.left_out
        self._files, self._reader = walked.files, FileReader(options)
        self._reader.expect(bytes_of(walked.files))
        self.skipped = self._reader.skipped
        for path, reason in walked.broken.items():
            self._reader.skip(printable(path), reason)

    def __iter__(self) -> Iterator[Document]:
        owners: dict[str, str] = {}
        for file in self._files:
            for named in self._reader.read(file):
                if named.entry.line is None:
                    yield self._as_free(named, file, owners)
                else:
                    yield named.document

    @property
    def fraction(self) -> float | None:
        """How much of the input is behind, 0 to 1; None where its size is not known."""
        return self._reader.fraction

    def _as_free(self, named: Named, file: File, owners: dict[str, str]) -> Document:
        """A file's document under the first name that no file before has."""
        first = owners.get(named.ids[0])
        free = next((name for name in named.ids if name not in owners), f"{named.ids[-1]} ({len(owners)})")
        if first is not None:
            reason = f"the id {named.ids[0]!r} is that of {first}; kept as {free!r}"
            self._reader.skip(printable(file.path), reason)
        owners[free] = printable(file.path)
        return Document(free, named.entry.text, named.entry.metadata)


def read(
    paths: Iterable[str | os.PathLike[str]],
    *,
    text_column: str = "text",
    id_column: str | None = None,
    stdin_kind: str = "lines",
    strict: bool = False,
    encoding: str | None = None,
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
) -> Reading:
    """The documents of files and folders, one at a time: memory does not grow with the documents of a file.

    paths:        files of the kinds that `docs/files.md` lists, each also with .gz; folders of them (sorted,
                  all the way down, no file twice however links lead); "-" is standard input. Of a folder
                  hidden names and what its .gitignore names are left out, and files of other kinds; a file
                  that is named is read as text if it is text.
    text_column:  the JSON key or CSV column that holds the text.
    id_column:    the one that holds the id; None: "id", else "_id", else the document is called name:line.
    stdin_kind:   what comes through "-": "lines" (a document a line), "text" (one document), "jsonl", "csv",
                  "tsv".
    strict:       make an error of what is wrong in a folder's file, and of bytes that are not text.
    encoding:     of text without a byte order mark; None: UTF-8, else a guess, which is told.
    include, exclude:  patterns as in .gitignore.

    A text or Markdown file is one document. Its id is its path from the folder that was given, or, of a file
    that was given, that path. What comes through "-" without an id is called by a hash of its text. A "title"
    goes before the text, as in BEIR, and stays in the metadata with every other key.
    Raises ReadError, which says where, what was expected and what was found.
    """
    options = Options(
        text_column,
        id_column,
        encoding,
        stdin_kind,
        strict,
        include=tuple(include),
        exclude=tuple(exclude),
    )
    return Reading([os.fspath(path) for path in paths], options)


def _check_options(options: Options) -> None:
    if options.encoding is None:
        return
    try:
        check_encoding(options.encoding)
    except (LookupError, ValueError) as error:
        raise ReadError(
            f"encoding: expected the name of one, such as cp1252, found {options.encoding!r}"
        ) from error


def _ids(file: File, entry: Entry) -> list[str]:
    """What a document may be called, the best first."""
    places = list(dict.fromkeys((file.name, file.spelled, printable(file.real))))
    if file.real != printable(file.real):
        places.append(file.real.encode("utf-8", "backslashreplace").decode())
    if entry.id is not None:
        return [entry.id, *(f"{place}#{entry.id}" for place in places)]
    if entry.line is None:
        return places if not entry.key else [f"{place}#{entry.key}" for place in places]
    return [f"{place}:{entry.line}" for place in places]


def name_in_file(entry: Entry) -> str:
    """What a document is known by among those of its file."""
    if entry.id is not None:
        return f"id {entry.id}"
    return entry.key or ("" if entry.line is None else f"line {entry.line}")
