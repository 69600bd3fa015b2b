"""Automatic indexes: `femtosearch QUERY [PATH...]` makes one for each set of roots, in the user's
data folder.
"""

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
    """An automatic index. roots: the real paths of the files and folders that it indexes."""

    folder: Path
    roots: tuple[str, ...]

    @property
    def exists(self) -> bool:
        """Whether the index exists already."""
        return holds_index(self.folder)

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Add to a CorruptError how to remove the index: all that it holds is in the files, too."""
        try:
            yield
        except CorruptError as error:
            raise CorruptError(f"{error}; {removal_of(self.folder)}") from None

    def stats(self) -> Stats:
        """What the index holds. Raises StoreError."""
        return describe(self.folder)


def data_folder() -> Path:
    """The folder of automatic indexes: below $XDG_DATA_HOME, or in the system's folder of a user's data."""
    base = os.environ.get("XDG_DATA_HOME") or (os.environ.get("LOCALAPPDATA", "") if os.name == "nt" else "")
    if os.path.isabs(base):
        return Path(base, "femtosearch", "indexes")
    place = {"darwin": "Library/Application Support", "win32": "AppData/Local"}.get(
        sys.platform, ".local/share"
    )
    return Path.home() / place / "femtosearch" / "indexes"


def automatic_of(paths: Sequence[str], *, above: bool = True) -> Automatic:
    """The automatic index for some paths: an existing one that covers them, else one of these paths alone.

    above:  whether an existing index that covers other files, too, is accepted.
    Raises ReadError for a path that does not exist, and for the home folder or the root of the system.
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
    """The index of exactly these roots, whether it exists or not. roots: real paths, in order."""
    digest = hashlib.sha256("\0".join(roots).encode(errors="surrogateescape")).hexdigest()
    return Automatic(data_folder() / digest[:20], tuple(roots))


def _takes(automatic: Automatic, roots: Sequence[str]) -> bool:
    """Whether an index of folders above contains, or would read, every file that is read if the roots are
    named. A walk from above may leave some of them out, as ignored, hidden or of an unknown kind. Returns
    False for an index that is damaged, or one of whose roots no longer exists.
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
    """All automatic indexes, in the order of their roots. Those that cannot be read are left out."""
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
    """The folders of damaged automatic indexes, each with its error."""
    for entry in _folders():
        try:
            describe(entry)
        except CorruptError as error:
            yield entry, error
        except FemtosearchError:
            continue


def removal_of(folder: Path) -> str:
    """The advice for a damaged automatic index: the command that removes it."""
    command = f"femtosearch forget {shlex.quote(os.fspath(folder))}"
    return f"`{command}` removes it, and the next search makes it anew"


def make_place(automatic: Automatic) -> None:
    """Make the parent folder of an automatic index, for this user alone. Raises OSError; StoreError
    for a link.
    """
    base = data_folder()
    base.mkdir(parents=True, exist_ok=True, mode=0o700)
    note = base.parent / "README.txt"
    if not note.exists():
        with whole_file(note) as file:
            file.write(NOTE.encode())
    if automatic.folder.is_symlink():
        raise StoreError(f"{automatic.folder}: expected a folder, found a symbolic link: remove it")


def _folders() -> list[Path]:
    """The entries of the folder of automatic indexes, sorted."""
    folder = data_folder()
    return sorted(folder.iterdir()) if folder.is_dir() else []


def is_below(path: str, roots: Sequence[str]) -> bool:
    """Whether a path is one of some roots, or in one."""
    return any(path == root or path.startswith(os.path.join(root, "")) for root in roots)


def _root(path: str) -> str:
    """The real path of a file or folder. Raises ReadError for anything else, such as a pipe, which an index
    could not follow.
    """
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        hint = LINES if path == STDIN else "check the path"
        raise ReadError(f"{printable(path)}: there is no such file or folder: {hint}") from None
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise ReadError(f"{printable(path)}: expected a file or a folder, found {kind_of(mode)}: {LINES}")
    return os.path.realpath(path)
