"""femtosearch on a system that has nothing of POSIX: `python -m tests.bare`, with the command's arguments.

What Windows does not have is taken away before the package is imported.
"""

from __future__ import annotations

import mmap
import os
import shutil
import signal
import socket
import subprocess
import sys

MODULES = ("fcntl", "grp", "pwd", "resource", "termios", "tty", "pty", "syslog", "_posixshmem")
NAMES = {
    os: (
        "O_CLOEXEC", "O_DIRECTORY", "O_NOCTTY", "O_NOFOLLOW", "O_NONBLOCK", "fchmod", "fork", "forkpty",
        "geteuid", "getpgid", "getuid", "killpg", "mkfifo", "pread", "pwrite", "register_at_fork",
        "sched_getaffinity", "setsid", "statvfs", "sync", "uname",
    ),
    mmap: ("PROT_READ", "PROT_WRITE", "MAP_SHARED", "MAP_PRIVATE", "MADV_WILLNEED", "MADV_RANDOM"),
    signal: ("SIGALRM", "SIGHUP", "SIGKILL", "SIGPIPE", "alarm", "setitimer", "pthread_sigmask"),
    socket: ("AF_UNIX",),
}  # fmt: skip


class _Map(mmap.mmap):
    """A map as Windows has it: `access` and no `prot`."""

    def __new__(cls, descriptor: int, length: int, *, access: int = mmap.ACCESS_WRITE) -> _Map:
        return super().__new__(cls, descriptor, length, access=access)


def strip() -> None:
    """Take away what Windows does not have."""
    import numpy  # noqa: F401, of this system, which asks for its release

    sys.modules.update(dict.fromkeys(MODULES))
    for owner, names in NAMES.items():
        for name in names:
            if hasattr(owner, name):
                delattr(owner, name)
    mmap.mmap = _Map  # type: ignore[misc]
    os.open = _opening(os.open)
    shutil._use_fd_functions = False  # by which a folder is removed without being opened
    for name in ("replace", "rename", "unlink", "remove", "rmdir"):
        setattr(os, name, _refusing(getattr(os, name), replaces=name == "replace"))
    from femtosearch import system

    system.KEEPS_MAPPED_FILES = True


def _opening(opened: object) -> object:
    """`os.open`, which on Windows opens no folder."""

    def guarded(path: object, flags: int, *rest: object, **named: object) -> int:
        if os.path.isdir(path):
            raise PermissionError(13, "Permission denied", path)
        return opened(path, flags, *rest, **named)

    return guarded


def _refusing(moved: object, *, replaces: bool) -> object:
    """What moves or removes files, which Windows does not do to those that are open or mapped."""

    def guarded(path: object, *rest: object, **named: object) -> object:
        goals = [goal for goal in rest if os.path.lexists(goal)]
        if goals and not replaces:
            raise FileExistsError(17, "File exists", goals[0])
        for place in (path, *goals):
            if _is_held(os.path.realpath(place)):
                raise PermissionError(13, "The process cannot access the file", place)
        return moved(path, *rest, **named)

    return guarded


def _is_held(path: str) -> bool:
    """Whether this process has a file open or mapped, or one in a folder, as far as the system tells."""
    held = []
    if os.path.isdir("/proc/self/fd"):
        held = [os.path.realpath(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")]
        with open("/proc/self/maps") as maps:
            held += [line.split(None, 5)[5].rstrip("\n") for line in maps if line.count("/")]
    return any(place == path or place.startswith(f"{path}/") for place in held)


def run(*arguments: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """The command in a process that has nothing of POSIX."""
    command = [sys.executable, "-W", "error", "-m", "tests.bare", *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, cwd=ROOT)


ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


if __name__ == "__main__":
    strip()
    from femtosearch.cli import main

    sys.exit(main())
