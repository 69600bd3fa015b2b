"""Paths -> the files to read: what kind each is, what its documents are called, and what is left out and why.

for file in walk(["notes/"]).files:
    ...
"""

from __future__ import annotations

import os
import stat
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from femtosearch.errors import ReadError
from femtosearch.frozen import frozen
from femtosearch.index.store import CATALOG, SEGMENTS
from femtosearch.read.entries import Options, Skipped
from femtosearch.read.ignore import Rules, is_unwanted, left_out_by, rules_above, rules_in, rules_of
from femtosearch.read.kinds import kind_of_file
from femtosearch.read.paths import STDIN, printable
from femtosearch.system import kind_of

STDIN_KINDS = ("lines", "text", "jsonl", "csv", "tsv")
MOST_LISTED = 100_000  # of what is left out


@frozen
class File:
    """A file to read.

    path:     as it is opened and as a person is told.
    name:     what its documents are called: the path from the folder that was given, or the path given.
    kind:     the name of a kind, or "lines" (standard input alone).
    size:     bytes; None where that is not known before reading (a pipe).
    named:    the user named this file, rather than a folder that it is in.
    guessed:  the extension says nothing, so that it is text only if its bytes are.
    real:     the path that it has however it is spelled; "-" for standard input.
    root:     the same of the folder or file that was given.
    stamp:    its size and times.
    shown:    the path as the user spelled it, if not `path`.
    """

    path: str
    name: str
    kind: str
    size: int | None = 0
    named: bool = False
    guessed: bool = False
    real: str = STDIN
    root: str = STDIN
    stamp: str = ""
    shown: str = ""

    @property
    def spelled(self) -> str:
        """The path as the user spelled it, as text."""
        return printable(self.shown or self.path).replace(os.sep, "/")


@dataclass(slots=True)
class Walk:
    """What a list of paths leads to.

    roots:    the absolute path of each of them, and how the user spelled it.
    broken:   what is in a folder but cannot be read, by path: why.
    left_out: what is not to be read, and why; the first 100,000.
    reasons:  how many were left out for each reason.
    kinds:    how many files of each extension that is not read.
    """

    files: list[File] = field(default_factory=list)
    roots: dict[str, str] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    left_out: list[Skipped] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    _seen: set[str | tuple[int, int]] = field(default_factory=set)

    @property
    def unknown(self) -> int:
        """How many files in folders are of a kind that is not read."""
        return self.kinds.total()

    @property
    def size(self) -> int | None:
        """Bytes in all; None if one of the files does not say."""
        return bytes_of(self.files)

    def leave_out(self, path: str, reason: str, count: str | None = None) -> None:
        """Note something that is not to be read; `count` is the reason that it is counted under."""
        self.reasons[count or reason] += 1
        if len(self.left_out) < MOST_LISTED:
            self.left_out.append(Skipped(printable(path), reason))

    def is_new(self, real: str, status: os.stat_result, *, is_read: bool = True) -> bool:
        """Whether a file has not been met yet, by this path or by a hard link.

        is_read:  whether it is read now; one that is left out may be named behind its folder.
        """
        key: str | tuple[int, int] = (status.st_dev, status.st_ino) if status.st_nlink > 1 else real
        if real in self._seen or key in self._seen:
            return False
        if is_read:
            self._seen.update((real, key))
        return True

    def enters(self, status: os.stat_result) -> bool:
        """Whether a folder has not been entered yet."""
        key = (-1 - status.st_dev, status.st_ino)
        if key in self._seen:
            return False
        self._seen.add(key)
        return True


def walk(paths: Iterable[str | os.PathLike[str]], options: Options | None = None) -> Walk:
    """Every file that the paths lead to, once, in the order given and sorted within a folder.

    A file is one file however its path is spelled and whatever links lead to it. Hidden names, what the rules
    of .gitignore, .ignore and .femtosearchignore leave out, packages, virtual environments and indexes are
    left out; a path that is named is read.
    Raises ReadError if a path leads nowhere.
    """
    options = options or Options()
    if options.stdin_kind not in STDIN_KINDS:
        kinds = ", ".join(STDIN_KINDS)
        raise ReadError(f"expected standard input's kind to be one of {kinds}, found {options.stdin_kind!r}")
    walked = Walk()
    for spelled in paths:
        path = os.fspath(spelled)
        if path == STDIN:
            walked.files.append(File(STDIN, STDIN, options.stdin_kind, None, named=True))
            walked.roots[STDIN] = STDIN
        elif os.path.isdir(path):
            _Folder(walked, path, options).add_files()
        else:
            _add_named(walked, path)
    return walked


def bytes_of(files: Iterable[File]) -> int | None:
    """Bytes of files; None if one of them does not say."""
    sizes = [file.size for file in files]
    return None if None in sizes else sum(size for size in sizes if size)


def stamp_of(status: os.stat_result) -> str:
    """What differs once a file was written to: its size and its times, in nanoseconds."""
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"


def _add_named(walked: Walk, path: str) -> None:
    """A file that the user named."""
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ReadError(
            f"{printable(path)}: expected a file or a folder, found none ({reason}): check the path"
        ) from error
    is_regular = stat.S_ISREG(status.st_mode)
    if not is_regular and not stat.S_ISFIFO(status.st_mode):
        raise ReadError(f"{printable(path)}: expected a file or a folder, found {kind_of(status.st_mode)}")
    real = os.path.realpath(path) if is_regular else os.path.abspath(path)
    walked.roots[real] = path
    if not walked.is_new(real, status):
        walked.leave_out(path, "read already, by another path")
        return
    kind, size = kind_of_file(path), status.st_size if is_regular else None
    stamp = stamp_of(status) if is_regular else ""
    walked.files.append(File(path, _name(path), kind or "text", size, True, kind is None, real, real, stamp))


def _name(path: str) -> str:
    return printable(os.path.normpath(path)).replace(os.sep, "/")


class _Folder:
    """A folder that the user named, walked without recursion: folders may be as deep as they like.

    Links come last, so that a file has the name that it has without them.
    """

    def __init__(self, walked: Walk, folder: str, options: Options) -> None:
        self._walked, self._folder, self._options = walked, folder, options
        self._root = os.path.realpath(folder)
        self._include = rules_of(options.include, "--include") if options.include else None
        self._given = [rules_of(options.exclude, "--exclude")] if options.exclude else []
        self._links: deque[tuple[os.DirEntry[str], str, list[Rules]]] = deque()

    def add_files(self) -> None:
        try:
            os.listdir(self._folder)
        except OSError as error:
            path = printable(self._folder)
            raise ReadError(
                f"{path}: the folder cannot be listed ({error.strerror}): check who may read it"
            ) from error
        self._walked.roots[self._root] = self._folder
        above = rules_above(self._folder) if self._options.ignore else []
        self._descend(self._folder, self._root, "", above)
        while self._links:
            entry, name, stack = self._links.popleft()
            self._follow(entry, name, stack)

    def _descend(self, path: str, real: str, name: str, stack: list[Rules]) -> None:
        """All that is in a folder, and in the folders below it."""
        waiting = [iter([(path, real, name, stack)])]
        while waiting:
            place = next(waiting[-1], None)
            if place is None:
                waiting.pop()
            else:
                waiting.append(iter(list(self._list(*place))))

    def _list(
        self, path: str, real: str, name: str, stack: list[Rules]
    ) -> Iterator[tuple[str, str, str, list[Rules]]]:
        """Note the files of a folder; the folders in it."""
        try:
            if not self._walked.enters(os.stat(path)):
                return
            with os.scandir(path) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
        except OSError as error:
            self._walked.broken[path] = f"the folder cannot be listed: {error.strerror}"
            return
        names = [entry.name for entry in entries]
        if name and (reason := _unwanted(os.path.basename(path), names)):
            self._walked.leave_out(path, reason)
            return
        if self._options.ignore:
            stack = [*stack, *rules_in(path, name, names)]
        for entry in entries:
            if self._is_left_out(entry, name + entry.name, stack):
                continue
            if entry.is_symlink():
                self._links.append((entry, name + entry.name, stack))
            elif entry.is_dir():
                yield entry.path, os.path.join(real, entry.name), f"{name}{entry.name}/", stack
            else:
                self._add(entry, os.path.join(real, entry.name), name + entry.name)

    def _is_left_out(self, entry: os.DirEntry[str], name: str, stack: list[Rules]) -> bool:
        if (entry.name.startswith(".") and not self._options.hidden) or entry.name == ".git":
            if entry.name != ".git":
                self._walked.leave_out(entry.path, "hidden")
            return True
        try:
            is_folder = entry.is_dir()
        except OSError:
            is_folder = False
        origin = left_out_by([*stack, *self._given], name, is_folder)
        if origin is not None:
            self._walked.leave_out(entry.path, f"ignored by {origin}")
            return True
        return False

    def _follow(self, entry: os.DirEntry[str], name: str, stack: list[Rules]) -> None:
        real = os.path.realpath(entry.path)
        try:
            is_folder = stat.S_ISDIR(os.stat(entry.path).st_mode)
        except OSError as error:
            self._walked.broken[entry.path] = f"cannot be read: {error.strerror}"
            return
        if is_folder:
            self._descend(entry.path, real, f"{name}/", stack)
        else:
            self._add(entry, real, name)

    def _add(self, entry: os.DirEntry[str], real: str, name: str) -> None:
        """A file that was met."""
        if self._include is not None and not self._include.verdict(name, False):
            self._walked.leave_out(entry.path, "not named by --include")
            return
        try:
            status = os.stat(entry.path)  # on Windows an entry has no number of links
        except OSError as error:
            self._walked.broken[entry.path] = f"cannot be read: {error.strerror}"
            return
        kind = kind_of_file(entry.path)
        if not stat.S_ISREG(status.st_mode):
            special = kind_of(status.st_mode)
            self._walked.kinds[special] += 1
            self._walked.leave_out(entry.path, f"{special}, not a file", "no file")
        elif not self._walked.is_new(real, status, is_read=kind is not None):
            self._walked.leave_out(entry.path, "read already, by another path")
        elif kind is None:
            extension = os.path.splitext(entry.name)[1] or "no extension"
            self._walked.kinds[extension.lower()] += 1
            self._walked.leave_out(entry.path, f"a kind that is not read ({extension})", "kind")
        else:
            stamp = stamp_of(status)
            self._walked.files.append(
                File(entry.path, _name(name), kind, status.st_size, False, False, real, self._root, stamp)
            )


def _unwanted(name: str, names: list[str]) -> str | None:
    """Why a folder is left out that no rule leaves out; None if it is read."""
    if CATALOG in names and SEGMENTS in names:
        return "an index of femtosearch"
    return "packages or a virtual environment" if is_unwanted(name, names) else None
