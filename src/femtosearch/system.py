"""What operating systems do differently: flags, kinds of files, maps, locks, syncs, forks, removal, cores.

Windows has no `fcntl`, cannot sync a folder, and does not remove a file that somebody has mapped.
"""

from __future__ import annotations

import errno
import mmap
import os
import stat
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any


def _module(name: str) -> Any:
    """A module that not every system has, or None."""
    try:
        return import_module(name)
    except ImportError:
        return None


fcntl, resource = _module("fcntl"), _module("resource")
HAS_FLOCK = fcntl is not None
KEEPS_MAPPED_FILES = os.name == "nt"
_PLAIN = sum(getattr(os, name, 0) for name in ("O_CLOEXEC", "O_NOFOLLOW", "O_BINARY"))
_AT_ONCE = getattr(os, "O_NONBLOCK", 0)  # a pipe without a writer does not hold us up
READING = os.O_RDONLY | _PLAIN | _AT_ONCE
LOCKING = os.O_RDWR | os.O_CREAT | _PLAIN | _AT_ONCE
CREATING = os.O_RDWR | os.O_CREAT | os.O_EXCL | _PLAIN
_KINDS = {
    stat.S_IFREG: "a file",
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a pipe (FIFO)",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cache_folder() -> Path:
    """The cache folder, whose content can always be made anew: $FEMTOSEARCH_CACHE, else `femtosearch` in
    $XDG_CACHE_HOME or ~/.cache. Raises RuntimeError where the user has no home.
    """
    if folder := os.environ.get("FEMTOSEARCH_CACHE"):
        return Path(folder)
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "femtosearch"


def kind_of(mode: int) -> str:
    """The words for a kind of file. mode: the `st_mode` of `os.stat`.

    >>> kind_of(os.stat("/").st_mode)
    'a folder'
    """
    return _KINDS.get(stat.S_IFMT(mode), "a special file")


def own_temporary_folder(name: str) -> Path:
    """Make, if absent, a folder for this user alone among the temporary files, where other users may write.

    Raises OSError if the folder is another user's, or another user may write to it.
    """
    from tempfile import gettempdir  # slow to import

    if not hasattr(os, "getuid"):  # Windows has a folder of temporary files for each user
        folder = Path(gettempdir(), name)
        folder.mkdir(exist_ok=True)
        return folder
    folder = Path(gettempdir(), f"{name}-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    status = os.lstat(folder)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise PermissionError(errno.EPERM, "others may write to it: remove it", os.fspath(folder))
    return folder


def mapped(descriptor: int, size: int) -> mmap.mmap:
    """Map the bytes of an open file into memory, read-only. Raises OSError, ValueError."""
    return mmap.mmap(descriptor, size, access=mmap.ACCESS_READ)


def lock(descriptor: int) -> bool:
    """Try to lock an open file (flock) without waiting; returns whether it is locked now. Raises OSError."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def share_lock(descriptor: int) -> None:
    """Lock an open file together with others, as soon as nobody holds its lock alone. Raises OSError."""
    fcntl.flock(descriptor, fcntl.LOCK_SH)


def unlock(descriptor: int) -> None:
    """Release the lock of an open file. Raises OSError."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)


def sync(descriptor: int) -> None:
    """Make the bytes of an open file durable; on Windows it must be open for writing. Raises OSError."""
    if hasattr(fcntl, "F_FULLFSYNC"):  # macOS, whose fsync leaves them in the drive's memory
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
    else:
        os.fsync(descriptor)


def sync_folder(path: str | os.PathLike[str]) -> None:
    """Make the names in a folder durable: a renamed file's new name is on the disk when this returns.

    Where folders cannot be opened (Windows) the file system's own journal has to do. Raises OSError.
    """
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: str | os.PathLike[str]) -> None:
    """Make the bytes of a file that is closed already durable. Raises OSError."""
    with open(path, "r+b" if os.name == "nt" else "rb") as file:
        sync(file.fileno())


def discard(path: str | os.PathLike[str]) -> None:
    """Remove a file that nothing needs. Windows keeps a file that a process still has mapped; then nothing is
    raised, and the next collection of garbage tries again. Raises OSError.
    """
    try:
        os.unlink(path)
    except PermissionError:
        if not KEEPS_MAPPED_FILES:
            raise


def in_a_forked_child(work: Callable[[], object]) -> None:
    """Register a function that every forked child of this process calls first; nothing where the system does
    not fork.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=work)


def bound(name: str, most: int) -> None:
    """Limit what this process may use, where the system can.

    name:  of a limit of `resource`: RLIMIT_CPU (most is in seconds) or RLIMIT_AS (in bytes).
    """
    kind = getattr(resource, name, None)
    if kind is None:
        return
    _, hard = resource.getrlimit(kind)
    try:
        resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    except ValueError:  # macOS, which has the name RLIMIT_AS and does not keep it
        return
