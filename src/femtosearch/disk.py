"""Errors of the disk in our words, links and special files refused, and files that are whole or not there."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import BinaryIO, ParamSpec, TypeVar

from femtosearch import system
from femtosearch.errors import CorruptError, LockedError, StoreError

try:  # what hashlib has; hashlib itself loads OpenSSL, too, which takes 3 ms
    from _blake2 import blake2b as blake2b
except ImportError:
    from hashlib import blake2b as blake2b

P = ParamSpec("P")
T = TypeVar("T")

_ADVICE = {
    errno.ENOSPC: "the disk is full: free some space and try again",
    errno.EDQUOT: "the disk quota is used up: free some space and try again",
    errno.EFBIG: "a file may not grow that large here (ulimit -f): raise the limit and try again",
    errno.EROFS: "the file system is read-only: searching works, writing needs a folder that can be written",
    errno.EACCES: "permission is missing: change the folder's owner or mode, or use another folder",
    errno.EPERM: "permission is missing: change the folder's owner or mode, or use another folder",
    errno.EIO: "the disk failed: check it, and copy the index to another one",
    errno.ENOLCK: "the file system has no locks: put the index on a local disk",
    errno.EMFILE: "too many files are open (ulimit -n): raise the limit and try again",
}

_SQLITE = {
    sqlite3.SQLITE_FULL: (StoreError, _ADVICE[errno.ENOSPC]),
    sqlite3.SQLITE_READONLY: (StoreError, _ADVICE[errno.EROFS]),
    sqlite3.SQLITE_CANTOPEN: (StoreError, "check that it exists, and may be read and written"),
    sqlite3.SQLITE_IOERR: (StoreError, "the disk refused to read or write: check its space and its health"),
    sqlite3.SQLITE_BUSY: (LockedError, "another process holds it: try again when that one is done"),
    sqlite3.SQLITE_LOCKED: (LockedError, "another process holds it: try again when that one is done"),
    sqlite3.SQLITE_PERM: (StoreError, _ADVICE[errno.EACCES]),
    sqlite3.SQLITE_NOMEM: (StoreError, "memory is short: add fewer or smaller documents at once"),
    sqlite3.SQLITE_TOOBIG: (StoreError, "a document may have one gigabyte at most: add it in pieces"),
    sqlite3.SQLITE_INTERRUPT: (StoreError, "it was interrupted: try again"),
    sqlite3.SQLITE_ERROR: (StoreError, "close the index, open it again and try again"),
    sqlite3.SQLITE_MISUSE: (StoreError, "close the index, open it again and try again"),
}


def refusal(error: OSError | sqlite3.Error | UnicodeError, place: str) -> StoreError:
    """The error to raise for one that the operating system or SQLite raised at `place`."""
    if isinstance(error, UnicodeError):
        return CorruptError(f"{place}: a text in it is not UTF-8; restore a copy of it or index again")
    if isinstance(error, OSError):
        advice = _ADVICE.get(error.errno or 0, "check the folder and try again")
        return StoreError(f"{error.filename or place}: {error.strerror or error}: {advice}")
    if isinstance(error, sqlite3.ProgrammingError):
        return StoreError(f"{place}: {error}: the index was closed while it was in use")
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None and code & 0xFF in _SQLITE:
        kind, advice = _SQLITE[code & 0xFF]
        return kind(f"{place}: {error}: {advice}")
    return CorruptError(f"{place}: {error}: the file is damaged; restore a copy of it or index again")


def on_disk(method: Callable[P, T]) -> Callable[P, T]:
    """Wrap a method of an object with a `place`: errors of the disk and of SQLite become StoreError."""

    @wraps(method)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(*args, **kwargs)
        except (OSError, sqlite3.Error, UnicodeError) as error:
            place: str = args[0].place  # type: ignore[attr-defined]
            raise refusal(error, place) from error

    return guarded


def check_regular(path: str | os.PathLike[str], status: os.stat_result | None = None) -> bool:
    """Whether a file is there. Raises StoreError for a link to a file elsewhere and for what is no file.

    status:  what `os.fstat` says of the open file; by default the path itself is looked at, never followed.
    """
    try:
        status = os.lstat(path) if status is None else status
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(status.st_mode):
        raise StoreError(
            f"{os.fspath(path)}: expected a file of an index, found {system.kind_of(status.st_mode)}: "
            "nothing was changed; remove it, or restore a copy of the index (cp -rL copies what links "
            "lead to)"
        )
    if status.st_nlink > 1:
        raise StoreError(
            f"{os.fspath(path)}: expected a file of an index alone, found a hard link, by which another name "
            "would change with it: nothing was changed; make a copy of the index (cp -r) and open that"
        )
    return True


def check_folder(path: str | os.PathLike[str]) -> bool:
    """Whether a folder is there. Raises StoreError for a link to one and for what is no folder."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return False
    if not stat.S_ISDIR(status.st_mode):
        raise StoreError(
            f"{os.fspath(path)}: expected a folder of an index, found {system.kind_of(status.st_mode)}: "
            "nothing was changed; remove it, or restore a copy of the index"
        )
    return True


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a new file to write. When the block ends it is synced and takes the place of what is at `path`; if
    the block raises, nothing is changed.

    What is not a regular file, such as /dev/stdout, is written to directly. A file that is replaced hands its
    mode (who may read and write it) on to the new one. Raises OSError.
    """
    from secrets import token_hex

    if path.exists() and not path.is_file():
        with open(path, "wb") as file:
            yield file
        return
    draft = path.with_name(f".{path.name}.{token_hex(4)}")
    rights = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0
    if not path.parent.is_dir():  # named as the caller named it
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fspath(path))
    try:
        with open(draft, "xb", opener=lambda name, flags: os.open(name, flags, rights or 0o666)) as file:
            if rights:
                draft.chmod(rights)  # what the umask took away
            yield file
            file.flush()
            system.sync(file.fileno())
        os.replace(draft, path)
        system.sync_folder(path.parent)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that after a crash there is the old one or the new one. Raises OSError."""
    with whole_file(path) as file:
        file.write(content)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Give a temporary folder to write to. When the block ends, what is in it is synced and moved into
    `folder`, which is made if absent; if the block raises, nothing of it is left.

    Raises FileExistsError if a name is taken, and other kinds of OSError.
    """
    from secrets import token_hex  # slow to import

    is_new, ours = not os.path.lexists(folder), list[Path]()  # a link that leads nowhere is somebody's
    try:
        folder.mkdir(parents=True, exist_ok=True)
        ours.append(partial := folder / f".partial-{token_hex(8)}")
        partial.mkdir()
        yield partial
        for entry in sorted(partial.iterdir()):
            target = folder / entry.name
            if os.path.lexists(target):
                raise FileExistsError(
                    errno.EEXIST, "is there already; choose another place", os.fspath(target)
                )
            _sync_tree(entry)
            entry.rename(target)
            ours.append(target)
        partial.rmdir()
        system.sync_folder(folder)
    except BaseException:
        _remove([folder] if is_new else ours)
        raise


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, and make their names durable. Raises OSError."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        with suppress(PermissionError):  # a parent may let us in without letting itself be read
            system.sync_folder(path.parent)


def replace_folder(draft: Path, folder: Path) -> None:
    """Put a folder that is ready in the place of another one, which is removed only afterwards. Raises
    OSError.
    """
    import shutil
    from tempfile import mkdtemp

    _sync_tree(draft)
    if not folder.exists():
        draft.rename(folder)
    else:
        former = Path(mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        folder.rename(former)
        draft.rename(folder)
        shutil.rmtree(former, ignore_errors=True)
    system.sync_folder(folder.parent)


def _sync_tree(path: Path) -> None:
    """Make a file, or all that is in a folder, durable."""
    if path.is_dir():
        for entry in path.iterdir():
            _sync_tree(entry)
        system.sync_folder(path)
    else:
        system.sync_file(path)


def _remove(paths: list[Path]) -> None:
    """Remove files and folders, as far as the disk lets us."""
    import shutil

    for path in paths:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()
