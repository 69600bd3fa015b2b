"""Paths -> the files to read: what kind each is, and what its documents are called."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

from femtosearch.errors import ReadError

KINDS = {
    ".txt": "text",
    ".md": "markdown",
    ".markdown": "markdown",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
}
STDIN_KINDS = ("lines", "text", "jsonl", "csv", "tsv")
STDIN = "-"


@dataclass(frozen=True, slots=True)
class Source:
    """A file to read.

    name:     what its documents are called: the path from the folder that was given, or the path given.
    kind:     one of KINDS' values, or "lines" (standard input alone).
    size:     bytes; None where that is not known before reading (a pipe).
    named:    the user named this file, rather than a folder that it is in.
    guessed:  the extension says nothing, so that it is text only if its bytes are.
    """

    path: str
    name: str
    kind: str
    size: int | None = 0
    named: bool = False
    guessed: bool = False


@dataclass(slots=True)
class Sources:
    """What a list of paths leads to.

    broken:   path -> reason, of what is in a folder but cannot be read.
    unknown:  how many files in folders have an extension that is not one of KINDS.
    """

    files: list[Source] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)
    unknown: int = 0

    @property
    def size(self) -> int | None:
        """Bytes in all; None if one of the files does not say."""
        sizes = [source.size for source in self.files]
        return None if None in sizes else sum(size for size in sizes if size)


def sources(paths: list[str], stdin_kind: str) -> Sources:
    """Every file that the paths lead to, in the order given and sorted within a folder.

    Raises ReadError if a path leads nowhere, or if two files would give documents of the same name.
    """
    if stdin_kind not in STDIN_KINDS:
        kinds = ", ".join(STDIN_KINDS)
        raise ReadError(f"expected standard input's kind to be one of {kinds}, found {stdin_kind!r}")
    listed = Sources()
    for path in paths:
        if path == STDIN:
            listed.files.append(Source(STDIN, STDIN, stdin_kind, size=None, named=True))
        elif os.path.isdir(path):
            _add_folder(listed, path)
        else:
            listed.files.append(_named_file(path))
    _check_names(listed.files)
    return listed


def printable(path: str) -> str:
    """A path as text: file names need not be UTF-8."""
    return os.fsencode(path).decode("utf-8", "replace")


def _kind(path: str) -> str | None:
    base = path.lower().removesuffix(".gz")
    return KINDS.get(os.path.splitext(base)[1])


def _named_file(path: str) -> Source:
    try:
        status = os.stat(path)
    except OSError as error:
        reason = f"expected a file or a folder, found none ({error.strerror})"
        raise ReadError(f"{printable(path)}: {reason}") from error
    kind = _kind(path)
    size = status.st_size if stat.S_ISREG(status.st_mode) else None
    return Source(path, _name(path), kind or "text", size, named=True, guessed=kind is None)


def _name(path: str) -> str:
    return printable(os.path.normpath(path)).replace(os.sep, "/")


def _add_folder(found: Sources, folder: str) -> None:
    try:
        os.listdir(folder)
    except OSError as error:
        raise ReadError(f"{printable(folder)}: the folder cannot be listed: {error.strerror}") from error
    for path in _walk(found, folder, set()):
        kind = _kind(path)
        try:
            status = os.stat(path)
        except OSError as error:
            found.broken[path] = f"cannot be read: {error.strerror}"
            continue
        if kind is None or not stat.S_ISREG(status.st_mode):
            found.unknown += 1
        else:
            name = _name(os.path.relpath(path, folder))
            found.files.append(Source(path, name, kind, status.st_size))


def _walk(found: Sources, folder: str, seen: set[tuple[int, int]]) -> Iterator[str]:
    """The files below a folder, sorted. Links are followed, but into no folder twice: they may go round."""
    status = os.stat(folder)
    if (status.st_dev, status.st_ino) in seen:
        return
    seen.add((status.st_dev, status.st_ino))
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        found.broken[folder] = f"the folder cannot be listed: {error.strerror}"
        return
    for name in names:
        path = os.path.join(folder, name)
        if name.startswith("."):
            continue
        if os.path.isdir(path):
            yield from _walk(found, path, seen)
        else:
            yield path


def _check_names(files: list[Source]) -> None:
    """Two files of one name would replace each other in the index, and one would be lost without a word."""
    paths: dict[str, str] = {}
    for source in files:
        first = paths.setdefault(source.name, source.path)
        if first != source.path:
            raise ReadError(
                f"expected files with different names, found {printable(first)} and {printable(source.path)},"
                f" which would both be called {source.name!r}; give the folder above them, or use two indexes"
            )
