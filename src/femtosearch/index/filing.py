"""Filing: documents of files are stored in the index. Unchanged documents are left as they are, documents
that are no longer in their file are removed, and no document takes another one's id.

A document is identified by its file and by its name in the file. Its id is the first of several proposed ids
that no other document has.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from femtosearch.frozen import frozen
from femtosearch.index.documents import Draft
from femtosearch.index.sources import FileRow, Place
from femtosearch.index.transaction import Transaction

Mark = tuple[int, dict[str, Any]]


class Cut(NamedTuple):
    """How a text is cut into passages.

    cuts:          offsets in characters, rising, that no passage extends over.
    splits_words:  whether identifiers such as camelCase are encoded with their parts, too.
    """

    cuts: Sequence[int] = ()
    splits_words: bool = False


NO_CUT = Cut()
Encode = Callable[[int, str, Cut], None]


@frozen
class Filed:
    """A document of a file.

    name:   its name in the file, by which it is recognised when the file is read again.
    ids:    the proposed ids, the best first.
    draft:  its text and metadata; the draft's own id is ignored.
    marks:  where lines, pages, cells, rows and headings begin in the text; offsets in characters, rising.
    cut:    how the text is cut into passages.
    again:  a prefix for its name and id, used if the name has already occurred in the file.
    """

    name: str
    ids: Sequence[str]
    draft: Draft
    marks: Sequence[Mark] = ()
    cut: Cut = NO_CUT
    again: str = ""


class IdConflict(NamedTuple):
    """An id that another document has. chosen: the id given instead; place: where the other document is."""

    id: str
    chosen: str
    place: Place | None


@dataclass(slots=True)
class Tally:
    """How many documents were stored, found unchanged, and removed; and how many files were removed."""

    stored: int = 0
    unchanged: int = 0
    removed: int = 0
    files_removed: int = 0


@dataclass(slots=True)
class OpenFile:
    """A file that is being read. turn: how many times it has been begun; older documents are stale."""

    number: int
    turn: int
    path: str
    source: int


@dataclass(slots=True)
class Filing:
    """One commit of documents of files. Every method raises StoreError.

    encode:  called with the key, the text and the cut of each new document, in the order of rising keys.
    """

    transaction: Transaction
    encode: Encode
    tally: Tally = field(default_factory=Tally)

    def source(self, path: str, options: dict[str, Any]) -> int:
        """Store a source and how its files are read; returns its number."""
        return self.transaction.sources().add_source(path, options)

    def file(self, path: str) -> FileRow | None:
        """The row of a file in the catalogue, or None."""
        return self.transaction.sources().file(path)

    def begin(self, source: int, path: str) -> OpenFile:
        """Begin to read a file; `put` takes what this returns, with each document of the file."""
        return OpenFile(*self.transaction.sources().begin(source, path), path, source)

    def go_on(self, file: OpenFile) -> OpenFile:
        """Continue with a file that another commit began to read."""
        row = self.file(file.path)
        if row is not None and row.number == file.number:
            return file
        number, turn = self.transaction.sources().begin(file.source, file.path)  # another process removed it
        return OpenFile(number, turn, file.path, file.source)

    def put(self, file: OpenFile, document: Filed) -> IdConflict | None:
        """Store a document, unless it is stored unchanged already. Returns a conflict if another document has
        its first proposed id, else None.
        """
        table = self.transaction.sources()
        record = table.document(file.number, document.name)
        if record is not None and record.turn == file.turn:
            return self._put_again(file, document, Place(file.path, _pairs(record.marks)))
        marks = json.dumps(document.marks)
        stored = None if record is None else self.transaction.stored_key(record.key)
        if record is not None and stored is not None and stored[1:] == _content(document.draft):
            turn = max(file.turn, record.turn)  # of another process, if that reads the file as well
            table.put_document(record.key, file.number, document.name, turn, marks)
            self.tally.unchanged += 1
            return None
        chosen, conflict = (stored[0], None) if stored is not None else self._free_id(file, document)
        key = self._stored(chosen, document)
        table.put_document(key, file.number, document.name, file.turn, marks)
        return conflict

    def end(self, file: OpenFile, stamp: str, digest: bytes, *, prune: bool = True) -> None:
        """End a file that was read completely. prune: remove its documents that were not put this time."""
        for key in [] if not prune else self.transaction.sources().keys_before(file.number, file.turn):
            self.transaction.remove_key(key)
            self.tally.removed += 1
        self.transaction.sources().end(file.number, stamp, digest)

    def touch(self, path: str, stamp: str, digest: bytes) -> None:
        """Store a new stamp for a file whose content has not changed."""
        row = self.file(path)
        if row is not None:
            self.transaction.sources().end(row.number, stamp, digest)

    def remove_file(self, path: str) -> None:
        """Remove a file that no longer exists, and its documents."""
        row = self.file(path)
        if row is None:
            return
        for key in self.transaction.sources().keys_before(row.number, 1 << 62):
            self.transaction.remove_key(key)
            self.tally.removed += 1
        self.transaction.sources().remove_file(row.number)
        self.tally.files_removed += 1

    def source_number(self, path: str) -> int | None:
        """The number of a source, or None."""
        return self.transaction.sources().source_number(path)

    def remove_source(self, path: str) -> None:
        """Remove a source, and its files with their documents, unless they lie below another source."""
        number = self.source_number(path)
        if number is not None:
            self.transaction.sources().hand_over(number)
            for file in self.transaction.sources().paths_of(number):
                self.remove_file(file)
            self.transaction.sources().remove_source(number)

    def _put_again(self, file: OpenFile, document: Filed, place: Place) -> IdConflict | None:
        """Store a document whose name has already occurred in its file."""
        ids = [f"{document.again}#{document.ids[0]}"]
        renamed = Filed(
            f"{document.again}\0{document.name}", ids, document.draft, document.marks, document.cut
        )
        conflict = self.put(file, renamed)
        chosen = ids[0] if conflict is None else conflict.chosen
        return IdConflict(document.ids[0], chosen, place)

    def _free_id(self, file: OpenFile, document: Filed) -> tuple[str, IdConflict | None]:
        """The first proposed id that no other document has. A stored document that came from no known file
        may be this very one; then its id counts as free.
        """
        first: Place | None = None
        further = (f"{document.ids[-1]} ({n})" for n in itertools.count(2))
        candidates = itertools.chain(document.ids, further)
        for number, candidate in enumerate(candidates):
            stored = self.transaction.stored(candidate)
            if stored is None or self._is_the_same(stored, file, document.draft):
                return candidate, IdConflict(document.ids[0], candidate, first) if number else None
            if number == 0:
                first = self.transaction.sources().place_of(stored[0])
        raise AssertionError("unreachable")

    def _is_the_same(self, stored: tuple[int, str, str], file: OpenFile, draft: Draft) -> bool:
        """Whether a stored document without a known file has this content, or the path of this file."""
        key, text, metadata = stored
        if self.transaction.sources().place_of(key) is not None:
            return False
        path = json.loads(metadata).get("path")
        return (text, metadata) == _content(draft) or (
            isinstance(path, str) and os.path.realpath(path) == file.path
        )

    def _stored(self, chosen: str, document: Filed) -> int:
        """Store a document under an id, if it differs from what is stored there; returns its key."""
        stored = self.transaction.stored(chosen)
        if stored is not None and stored[1:] == _content(document.draft):
            self.tally.unchanged += 1
            return stored[0]
        draft = Draft(chosen, document.draft.text, document.draft.metadata)
        key = self.transaction.put(draft)
        self.encode(key, draft.text, document.cut)
        self.tally.stored += 1
        return key


def _content(draft: Draft) -> tuple[str, str]:
    return draft.text, draft.metadata


def _pairs(marks: str) -> list[Mark]:
    return [(offset, facts) for offset, facts in json.loads(marks)]
