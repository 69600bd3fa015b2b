"""An index kept like the files that its documents come from: what changed is read, what vanished goes.

with Index("notes") as index:
    refresh(index, ["docs/", "more.jsonl"])   # reads what is new or has changed since the last time
    refresh(index)                            # the same for every source that the index knows
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from femtosearch.errors import ReadError
from femtosearch.index.filing import Filing, Tally
from femtosearch.index.index import Index
from femtosearch.index.sources import FileRow, Source
from femtosearch.read.documents import FileReader
from femtosearch.read.entries import Options, Skipped
from femtosearch.read.paths import STDIN, printable
from femtosearch.read.steps import Steps, Work
from femtosearch.read.walk import Walk, walk

GIVE_WAY = 0.03  # seconds between two commits, in which another process gets its turn to write
_PEEKED = 256  # documents that are read before an index is made
_KEPT = ("text_column", "id_column", "encoding", "include", "exclude", "hidden", "ignore")  # of a source


@dataclass(slots=True)
class Refreshed:
    """What a refresh did.

    files:      how many files were read; `files_unchanged`: how many were left alone.
    stored:     documents that are new or have changed, and were encoded.
    unchanged:  documents that are there as they were.
    removed:    documents that went, with their file or their row; `files_removed`: how many files.
    skipped:    what was left out or changed because something is wrong with it.
    repeated:   documents whose id another one has, and what they are called instead.
    left_out:   what is in folders and is not to be read, and why.
    reasons:    how many files and folders were left out for each reason.
    kinds:      how many files there are of each extension that is not read.
    missing:    sources that are not there any more; their documents stay.
    """

    files: int = 0
    files_unchanged: int = 0
    stored: int = 0
    unchanged: int = 0
    removed: int = 0
    files_removed: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    repeated: list[Skipped] = field(default_factory=list)
    left_out: list[Skipped] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    missing: list[str] = field(default_factory=list)

    def count(self, tally: Tally) -> None:
        """Add what a commit did."""
        self.stored += tally.stored
        self.unchanged += tally.unchanged
        self.removed += tally.removed
        self.files_removed += tally.files_removed

    def add(self, other: Refreshed) -> None:
        """Add what the refresh of another source did."""
        for name in self.__dataclass_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    @property
    def documents(self) -> int:
        """How many documents the files hold that were looked at."""
        return self.stored + self.unchanged


def refresh(
    index: Index,
    paths: Iterable[str | os.PathLike[str]] | None = None,
    *,
    options: Options | None = None,
    prune: bool = True,
    threads: int = 0,
    progress: Callable[[int, float | None], object] | None = None,
) -> Refreshed:
    """Make an index hold what files and folders hold.

    A file whose size and times are as they were is not read; one whose bytes are as they were is not encoded;
    of one that has changed the documents that have changed are. What is read is committed every few seconds,
    and an interrupted run goes on where it was.

    paths:     files and folders; None: every source that the index knows, each read as it was before.
    options:   how files are read.
    prune:     remove documents whose file or row is gone.
    threads:   how many threads encode; 0: all cores.
    progress:  called with the number of documents encoded and with the share of the input that is read.
    Raises ReadError, DocumentError, LockedError, StoreError; what was committed stays.
    """
    if paths is not None:
        run = Run(paths, options or Options(), index.files(), prune=prune)
        return run.into(index, threads=threads, progress=progress)
    total = Refreshed()
    for group in _groups(index, prune, total):
        total.add(_read_again(index, group, options, prune, threads, progress))
    return total


def forget(index: Index, path: str | os.PathLike[str]) -> Refreshed:
    """Take a source out of an index, and the documents of its files that no other source leads to.

    Raises ReadError if the index does not know it.
    """
    real = os.path.realpath(path)
    names = {os.fspath(path), os.path.abspath(path), real}
    source = next((source for source in index.sources() if source.path in names), None)
    if source is None:
        sources = ", ".join(printable(source.path) for source in index.sources()[:5]) or "none"
        raise ReadError(f"{printable(os.fspath(path))}: expected a source of the index, found {sources}")
    with index.filing() as filing:
        filing.remove_source(source.path)
    return Refreshed(removed=filing.tally.removed, files_removed=filing.tally.files_removed)


class Run:
    """A refresh that has looked at what there is to read. `peek` reads a little; `into` does it.

    files:    what the index knows of files, by path.
    spelled:  how the user spelled the paths, where these are others.
    """

    def __init__(
        self,
        paths: Iterable[str | os.PathLike[str]],
        options: Options,
        files: dict[str, FileRow],
        *,
        prune: bool = True,
        spelled: dict[str, str] | None = None,
    ) -> None:
        self._options, self._files, self._prune = options, files, prune
        self._walked = _spelled(walk(paths, options), spelled or {})
        self._steps = Steps(FileReader(options), self._walked.files, files)
        self._reader = self._steps.reader
        self.report = _report(self._walked, self._reader)

    @property
    def is_empty(self) -> bool:
        """Whether no file was met that can be read."""
        return not self._walked.files

    @property
    def links(self) -> dict[str, str]:
        """The files that a link leads to: their real paths, and those by which they were met."""
        return {file.real: file.path for file in self._walked.files if file.path != file.real}

    @property
    def fraction(self) -> float | None:
        """How much of the input is read, 0 to 1; None where its size is not known."""
        return self._reader.fraction

    def peek(self) -> None:
        """Read the first documents, so that what is wrong with them is known before an index is made.

        Raises ReadError.
        """
        self._steps.read_ahead(_PEEKED)

    def into(
        self,
        index: Index,
        *,
        threads: int = 0,
        progress: Callable[[int, float | None], object] | None = None,
    ) -> Refreshed:
        """Commit by commit: files that are gone are removed, and those that are new or changed are read."""

        def report(count: int) -> None:
            if progress is not None:
                progress(encoded + count, self.fraction)

        work, encoded = Work(self._steps, strict=self._options.strict, prune=self._prune), 0
        numbers: dict[str, int] = {}
        while not work.is_done:
            with index.filing(threads=threads, progress=report) as filing:
                if not numbers:
                    numbers = self._begin(filing)
                work.fill(filing, numbers)
            encoded += filing.tally.stored
            self.report.count(filing.tally)
            if not work.is_done:
                time.sleep(GIVE_WAY)
        self.report.files, self.report.files_unchanged = self._steps.read, self._steps.unchanged
        self.report.unchanged += self._steps.documents
        self.report.repeated = work.repeated
        work.complain()
        return self.report

    def _begin(self, filing: Filing) -> dict[str, int]:
        """Remember the sources, and remove the files that are gone; the numbers of the sources, by path."""
        numbers = self._add_sources(filing)
        for path in self._gone(set(numbers.values())):
            filing.remove_file(path)
        return numbers

    def _add_sources(self, filing: Filing) -> dict[str, int]:
        """The numbers of the sources, by path. A file that another source leads to is none of its own."""
        chosen = {name: value for name, value in asdict(self._options).items() if name in _KEPT}
        numbers = {}
        streams = {file.root for file in self._walked.files if file.size is None}
        for root, spelled in self._walked.roots.items():
            row = self._files.get(root)
            number = filing.source_number(root)
            if row is not None and number is None:
                numbers[root] = row.source
            else:
                facts = {**chosen, "spelled": printable(spelled), "stream": root in streams}
                numbers[root] = filing.source(root, facts)
        return numbers

    def _gone(self, numbers: set[int]) -> list[str]:
        """The files of these sources that are not there any more, or are to be read no more."""
        if not self._prune:
            return []
        present = {file.real for file in self._walked.files}
        broken = tuple(
            os.path.join(real, "")
            for real in map(os.path.realpath, self._walked.broken)
            if real not in self._files or not _has_vanished(real)
        )
        return [
            path
            for path, row in self._files.items()
            if path not in present
            and self._is_below_a_root(path)
            and (row.source in numbers or not os.path.lexists(path))
            and not f"{path}/".startswith(broken)
        ]

    def _is_below_a_root(self, path: str) -> bool:
        while path not in self._walked.roots:
            path, below = os.path.dirname(path), path
            if path == below:
                return False
        return True


def _has_vanished(path: str) -> bool:
    """Whether a file is not there any more, and not because its disk is not."""
    try:
        os.stat(path)
    except FileNotFoundError:
        return os.path.isdir(os.path.dirname(path))
    except OSError:  # of a folder that may not be entered
        return False
    return False


def _groups(index: Index, prune: bool, total: Refreshed) -> list[list[Source]]:
    """The sources that are there, those together that are read alike; what is done about others counts."""
    groups: dict[str, list[Source]] = {}
    for source in index.sources():
        if source.path == STDIN or source.options.get("stream"):
            continue
        if os.path.exists(source.path):
            groups.setdefault(json.dumps(_reading_of(source), sort_keys=True), []).append(source)
        else:
            total.add(_without(index, source, prune))
    return list(groups.values())


def _reading_of(source: Source) -> dict[str, Any]:
    """How a source is read."""
    return {name: value for name, value in source.options.items() if name in _KEPT}


def _read_again(
    index: Index,
    sources: list[Source],
    options: Options | None,
    prune: bool,
    threads: int,
    progress: Callable[[int, float | None], object] | None,
) -> Refreshed:
    """Sources read as they were before; in a file that was named nothing is an error: others are waiting."""
    stored = _reading_of(sources[0])
    lists = {name: tuple(stored.get(name, ())) for name in ("include", "exclude")}
    how = replace(options or Options(), **{**stored, **lists}, keep_going=True)
    spelled = {source.path: str(source.options.get("spelled", source.path)) for source in sources}
    run = Run([source.path for source in sources], how, index.files(), prune=prune, spelled=spelled)
    return run.into(index, threads=threads, progress=progress)


def _without(index: Index, source: Source, prune: bool) -> Refreshed:
    """A source that is not there: a deleted file goes, a folder may be on a disk that is not there."""
    was_file = source.path in index.files()
    if was_file and prune and _has_vanished(source.path):
        return forget(index, source.path)
    return Refreshed(missing=[printable(source.path)])


def _spelled(walked: Walk, spelled: dict[str, str]) -> Walk:
    """The walk, its files as the user spelled them."""
    walked.files = [
        replace(file, shown=spelled[file.root] + file.path[len(file.root) :])
        if file.root in spelled
        else file
        for file in walked.files
    ]
    walked.roots.update({root: shown for root, shown in spelled.items() if root in walked.roots})
    return walked


def _report(walked: Walk, reader: FileReader) -> Refreshed:
    report = Refreshed(
        skipped=reader.skipped, left_out=walked.left_out, reasons=walked.reasons, kinds=walked.kinds
    )
    for path, reason in walked.broken.items():
        reader.skip(printable(path), reason)
    return report
