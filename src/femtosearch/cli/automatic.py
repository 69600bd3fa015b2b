"""The indexes that `femtosearch QUERY [PATH...]` makes by itself, one a set of roots, in the user's data."""

from __future__ import annotations

import hashlib
import os
import shlex
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from femtosearch.disk import whole_file
from femtosearch.errors import CorruptError, FemtosearchError, ReadError, StoreError
from femtosearch.frozen import frozen
from femtosearch.index.index import Index
from femtosearch.index.stats import Stats, describe, describe_sources
from femtosearch.index.store import holds_index
from femtosearch.read import Options
from femtosearch.read.paths import STDIN, printable
from femtosearch.read.walk import walk
from femtosearch.system import kind_of

NOTE = (
    "This folder is femtosearch's: `femtosearch list` says of what, `femtosearch forget PATH` removes it.\n"
)
LINES = "`femtosearch rerank QUERY` puts the lines of standard input in order"


@frozen
class Automatic:
    """An index that was made by itself. roots: the files and folders that it is of, by their real paths."""

    folder: Path
    roots: tuple[str, ...]

    @property
    def exists(self) -> bool:
        """Whether it is there already."""
        return holds_index(self.folder)

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Say of damage how to be rid of it, for all that it holds is in the files. Raises CorruptError."""
        try:
            yield
        except CorruptError as error:
            raise CorruptError(f"{error}; {removal_of(self.folder)}") from None

    def stats(self) -> Stats:
        """What it holds. Raises StoreError."""
        return describe(self.folder)


def data_folder() -> Path:
    """Where they are: below $XDG_DATA_HOME, or where the system keeps a user's data."""
    base = os.environ.get("XDG_DATA_HOME") or (os.environ.get("LOCALAPPDATA", "") if os.name == "nt" else "")
    if os.path.isabs(base):
        return Path(base, "femtosearch", "indexes")
    place = {"darwin": "Library/Application Support", "win32": "AppData/Local"}.get(
        sys.platform, ".local/share"
    )
    return Path.home() / place / "femtosearch" / "indexes"


def automatic_of(paths: Sequence[str], *, above: bool = True) -> Automatic:
    """The index of some paths: one that is there and has all of them, else one of their own.

    above:  whether an index that has other files too will do.
    Raises ReadError for what is not there, and for a folder that nobody means as a whole.
    """
    exact = own(sorted({_root(path) for path in paths}))
    roots = exact.roots
    if exact.exists:
        return exact
    for automatic in automatics() if above else ():
        if all(is_below(root, automatic.roots) for root in roots) and _takes(automatic, roots):
            return automatic
    for root in roots:
        if root in (os.path.realpath(Path.home()), os.path.realpath(os.sep)):
            raise ReadError(f"{root}: that is all that you have: name a folder in it")
    return exact


def own(roots: Sequence[str]) -> Automatic:
    """The index that is of some roots alone, whether it is there or not. roots: real paths, in order."""
    digest = hashlib.sha256("\0".join(roots).encode(errors="surrogateescape")).hexdigest()
    return Automatic(data_folder() / digest[:20], tuple(roots))


def _takes(automatic: Automatic, roots: Sequence[str]) -> bool:
    """Whether an index of folders above has, or would take, every file that is read where the roots are
    named: a walk from above may leave some of these out, as ignored, hidden or of no known kind. One of which
    a folder is gone, or that is damaged, takes none.
    """
    if not all(map(os.path.exists, automatic.roots)):
        return False
    named = _files_of(roots)
    try:
        automatic.stats()
        with Index(automatic.folder) as store:
            missing = named - store.files().keys()
    except CorruptError:
        return False
    return not missing or missing <= _files_of(automatic.roots)


def _files_of(roots: Sequence[str]) -> set[str]:
    """The real paths of the files that roots lead to. Raises ReadError."""
    return {file.real for file in walk(roots, Options(keep_going=True)).files}


def automatics() -> Iterator[Automatic]:
    """All that are there, by their roots. What cannot be read is passed over."""
    readable = []
    for entry in _folders():
        try:
            roots = tuple(source.path for source in describe_sources(entry))
        except FemtosearchError:
            continue
        if roots:
            readable.append(Automatic(entry, roots))
    return iter(sorted(readable, key=lambda automatic: automatic.roots))


def damaged() -> Iterator[tuple[Path, CorruptError]]:
    """The folders of indexes that are damaged, each with what is wrong."""
    for entry in _folders():
        try:
            describe(entry)
        except CorruptError as error:
            yield entry, error
        except FemtosearchError:
            continue


def removal_of(folder: Path) -> str:
    """What to say of an index that is damaged: by which command it goes."""
    command = f"femtosearch forget {shlex.quote(os.fspath(folder))}"
    return f"`{command}` removes it, and the next search makes it anew"


def make_place(automatic: Automatic) -> None:
    """Make the folder that the index lies in, for this user alone. Raises OSError."""
    base = data_folder()
    base.mkdir(parents=True, exist_ok=True, mode=0o700)
    note = base.parent / "README.txt"
    if not note.exists():
        with whole_file(note) as file:
            file.write(NOTE.encode())
    if automatic.folder.is_symlink():
        raise StoreError(f"{automatic.folder}: a link: remove it")


def _folders() -> list[Path]:
    """All that lies where indexes are, in order."""
    folder = data_folder()
    return sorted(folder.iterdir()) if folder.is_dir() else []


def is_below(path: str, roots: Sequence[str]) -> bool:
    """Whether a path is one of some roots, or in one."""
    return any(path == root or path.startswith(os.path.join(root, "")) for root in roots)


def _root(path: str) -> str:
    """The real path of a file or folder. Raises ReadError for what is none, such as a pipe: there is nothing
    that an index of it could follow.
    """
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        hint = LINES if path == STDIN else "check the path"
        raise ReadError(f"{printable(path)}: there is no such file or folder: {hint}") from None
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise ReadError(f"{printable(path)}: expected a file or a folder, found {kind_of(mode)}: {LINES}")
    return os.path.realpath(path)
