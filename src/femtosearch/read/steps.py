"""The steps of a refresh: which files are to be read, what they hold, and how that goes into commits."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import lru_cache

from femtosearch.disk import blake2b
from femtosearch.errors import ReadError
from femtosearch.frozen import frozen
from femtosearch.index.documents import Draft
from femtosearch.index.filing import Cut, Filed, Filing, IdConflict, OpenFile
from femtosearch.index.sources import NEVER, FileRow
from femtosearch.read.documents import FileReader, name_in_file
from femtosearch.read.entries import Named, Options, Skipped
from femtosearch.read.paths import near, printable
from femtosearch.read.walk import File, bytes_of, stamp_of

READER = 2  # another number once files give other documents than before
COMMIT_SECONDS = 3.0  # after which what was read is committed
COMMIT_DOCUMENTS = 10_000
_FRESH = 2_000_000_000  # nanoseconds: what was written to so lately may be again within one tick of a clock
_HOW = ("text_column", "id_column", "encoding", "stdin_kind")  # the options that documents depend on


@frozen
class Begin:
    """A file is read from here on."""

    file: File


@frozen
class Put:
    """A document of it."""

    file: File
    named: Named


@frozen
class End:
    """It was read to its end; `was_read` is false where the disk did not let it be read."""

    file: File
    stamp: str
    digest: bytes
    was_read: bool


@frozen
class Touch:
    """A file's bytes are as they were, though its times are not."""

    file: File
    stamp: str
    digest: bytes


Step = Begin | Put | End | Touch


class Steps:
    """An iterator of what is to be done for files.

    known:      what the index knows of files, by path.
    read:       how many files were read so far; `unchanged`: how many need not be.
    documents:  how many documents those have that need not be read.
    """

    def __init__(self, reader: FileReader, files: list[File], known: dict[str, FileRow]) -> None:
        self._known, self._options = known, reader.options
        self._now = time.time_ns()
        due: list[File] = []
        self.reader = reader
        self.read, self.unchanged, self.documents = 0, 0, 0
        for file in files:
            if self._is_due(file):
                due.append(file)
            else:
                self._leave(file)
        reader.expect(bytes_of(due))
        self._steps = self._all(due)

    def __iter__(self) -> Iterator[Step]:
        return self

    def __next__(self) -> Step:
        return next(self._steps)

    def read_ahead(self, count: int) -> None:
        """Take so many steps now, to be handed out later. Raises ReadError."""
        first = list(itertools.islice(self._steps, count))
        self._steps = itertools.chain(first, self._steps)

    def _leave(self, file: File) -> None:
        """Count a file that need not be read."""
        self.unchanged += 1
        self.documents += self._known[file.real].documents

    def _is_due(self, file: File) -> bool:
        row = self._known.get(file.real)
        return row is None or not file.stamp or row.stamp != self._stamp(file)

    def _stamp(self, file: File) -> str:
        return f"{file.stamp} {_how(self._options, file.kind)}"

    def _all(self, due: list[File]) -> Iterator[Step]:
        for file in due:
            digest, row = digest_of(file), self._known.get(file.real)
            if row is not None and digest and row.digest == digest and self._was_read_so(row, file):
                self._leave(file)
                yield Touch(file, self._stamp_now(file), digest)
                continue
            yield Begin(file)
            faults = len(self.reader.skipped)
            for named in self.reader.read(file):
                yield Put(file, named)
            # What is wrong with a file is told each time that it is met: it has no stamp.
            is_whole = all(fault.kept for fault in self.reader.skipped[faults:])
            self.read += 1
            if self._has_changed(file, digest):  # since then, so that it is not known what was read
                digest, is_whole = b"", False
            stamp = self._stamp_now(file) if is_whole else NEVER
            # What comes through a pipe is another thing each time: nothing of it is gone.
            yield End(file, stamp, digest, self.reader.could_read and bool(file.stamp))

    def _was_read_so(self, row: FileRow, file: File) -> bool:
        """Whether a file was read to its end, and as it would be now."""
        return _how(self._options, file.kind) in row.stamp.split(" ")

    def _stamp_now(self, file: File) -> str:
        """The stamp, or one that no file will have where it was written to a moment ago."""
        return f"fresh {self._stamp(file)}" if self._is_fresh(file) else self._stamp(file)

    def _is_fresh(self, file: File) -> bool:
        modified = int(file.stamp.split(" ")[1]) if file.stamp else 0
        return self._now - modified < _FRESH

    def _has_changed(self, file: File, digest: bytes) -> bool:
        """Whether a file of the disk was written to, or is another one, since its bytes had that digest."""
        if not file.stamp:
            return False
        try:
            if stamp_of(os.stat(file.path)) != file.stamp:
                return True
        except OSError:
            return True
        return self._is_fresh(file) and digest_of(file) != digest


class Work:
    """Steps put into commits.

    strict:  an id that another document has is an error.
    prune:   documents that a file does not have any more are removed.

    repeated:  documents whose id another one has, and what they are called instead.
    """

    def __init__(self, steps: Steps, *, strict: bool, prune: bool) -> None:
        self._steps, self._strict, self._prune = steps, strict, prune
        self._open: OpenFile | None = None
        self._error: ReadError | None = None
        self.is_done = False
        self.repeated: list[Skipped] = []

    def fill(self, filing: Filing, numbers: dict[str, int]) -> None:
        """Steps for one commit: those of a few seconds.

        numbers:  of the sources, by path.
        """
        if self._open is not None:
            self._open = filing.go_on(self._open)
        deadline = time.monotonic() + COMMIT_SECONDS
        try:
            for step in self._steps:
                self._take(filing, step, numbers)
                if time.monotonic() > deadline or filing.tally.stored >= COMMIT_DOCUMENTS:
                    return
        except ReadError as error:
            self._error = error  # what was read before it is committed
        self.is_done = True

    def complain(self) -> None:
        """Raise the ReadError that ended it, if one did."""
        if self._error is not None:
            raise self._error

    def _take(self, filing: Filing, step: Step, numbers: dict[str, int]) -> None:
        if isinstance(step, Begin):
            self._open = filing.begin(numbers[step.file.root], step.file.real)
        elif isinstance(step, Put) and self._open is not None:
            conflict = filing.put(self._open, _filed(step.file, step.named))
            if conflict is not None:
                self._tell(step, conflict)
        elif isinstance(step, End) and self._open is not None:
            if step.was_read:
                filing.end(self._open, step.stamp, step.digest, prune=self._prune)
            self._open = None
        elif isinstance(step, Touch):
            filing.touch(step.file.real, step.stamp, step.digest)

    def _tell(self, step: Put, conflict: IdConflict) -> None:
        entry = step.named.entry
        where = printable(step.file.path) + (f":{entry.line}" if entry.line else "")
        owner = "a document that no file gave"
        if conflict.place is not None:
            line = next((facts.get("row") for _, facts in conflict.place.marks), None)
            owner = near(conflict.place.path) + (f":{line}" if line else "")
        if self._strict:
            raise ReadError(
                f"{where}: expected another id than {conflict.id!r}, which {owner} has: change one of them, "
                "or leave --strict out"
            )
        reason = f"the id {conflict.id!r} is that of {owner}; kept as {conflict.chosen!r}"
        self.repeated.append(Skipped(where, reason))


def _filed(file: File, named: Named) -> Filed:
    entry = named.entry
    draft = Draft(None, entry.text, json.dumps(entry.metadata, ensure_ascii=False, allow_nan=False))
    again = f"{file.name}:{entry.line}" if entry.line else f"{file.name} again"
    cut = Cut(entry.cuts, entry.splits_words)
    return Filed(name_in_file(entry), named.ids, draft, entry.marks, cut, again)


def _how(options: Options, kind: str) -> str:
    """What tells one way of reading files of a kind from another: a word."""
    return _digest_of_options(options, kind == "code" and _has_grammars())


def _has_grammars() -> bool:
    """Whether source code is read by grammars; who has none of it need not know."""
    from femtosearch.read.kinds import code_grammars

    return code_grammars.has_grammars()


@lru_cache
def _digest_of_options(options: Options, has_grammars: bool) -> str:
    chosen = {name: value for name, value in asdict(options).items() if name in _HOW}
    text = json.dumps([READER, chosen] + [has_grammars] * has_grammars, sort_keys=True)
    return blake2b(text.encode("utf-8", "replace"), digest_size=6).hexdigest()


def digest_of(file: File) -> bytes:
    """Of a file's bytes; empty where it is no file of the disk, or cannot be read."""
    if not file.stamp:
        return b""
    try:
        with open(file.path, "rb") as opened:
            return hashlib.file_digest(opened, lambda: blake2b(digest_size=16)).digest()
    except OSError:
        return b""
