"""The preloaded shim: compiled by the system's C compiler, and spoken to from inside the process."""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CALLS = ("open", "read", "write", "sync", "truncate", "rename", "unlink", "mkdir", "mmap")
SHORT = 0
ERRORS = {
    "open": (errno.EMFILE, errno.EACCES, errno.ENOSPC, errno.EIO, errno.EINTR),
    "read": (errno.EIO, errno.EINTR, SHORT),
    "write": (errno.ENOSPC, errno.EIO, errno.EINTR, SHORT),
    "sync": (errno.EIO, errno.ENOSPC, errno.EINTR),
    "truncate": (errno.EIO, errno.ENOSPC, errno.EINTR),
    "rename": (errno.ENOSPC, errno.EIO, errno.EACCES),
    "unlink": (errno.EIO, errno.EACCES),
    "mkdir": (errno.ENOSPC, errno.EACCES),
    "mmap": (errno.ENOMEM, errno.EACCES),
}
_SOURCE = Path(__file__).with_name("shim.c")


@dataclass(frozen=True, slots=True)
class Failure:
    """The n-th call of a kind fails with an error (0: does half of its bytes), once or from then on."""

    call: str
    nth: int
    error: int
    forever: bool

    def __str__(self) -> str:
        name = errno.errorcode[self.error] if self.error else "short"
        return f"{self.call} {self.nth} {name}{' for good' if self.forever else ''}"


def compiled(folder: Path) -> Path:
    """Compile the shim into a folder. Raises CalledProcessError, and FileNotFoundError without a compiler."""
    library = folder / "shim.so"
    if not library.exists():
        flags = ["-O1", "-shared", "-fPIC", "-pthread"]
        subprocess.run([os.environ.get("CC", "cc"), *flags, str(_SOURCE), "-o", str(library)], check=True)
    return library


class Shim:
    """The shim that this process was started with. Raises RuntimeError where there is none."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None)
        if not hasattr(self._library, "torture_watch"):
            raise RuntimeError("the shim is not loaded: start this kind with torture.slices.run")
        self._library.torture_count.restype = ctypes.c_long
        self._library.torture_arm.argtypes = [ctypes.c_int, ctypes.c_long, ctypes.c_int, ctypes.c_int]

    @contextmanager
    def counting(self, folder: Path) -> Iterator[dict[str, int]]:
        """Count the calls that concern a folder: the dict has them by kind when the block has ended."""
        counts: dict[str, int] = {}
        self._library.torture_watch(os.fsencode(folder))
        try:
            yield counts
        finally:
            counts.update({call: self._library.torture_count(n) for n, call in enumerate(CALLS)})
            self._library.torture_watch(b"")

    @contextmanager
    def failing(self, folder: Path, failure: Failure) -> Iterator[None]:
        """Let calls that concern a folder fail inside the block."""
        self._library.torture_watch(os.fsencode(folder))
        call = CALLS.index(failure.call)
        self._library.torture_arm(call, failure.nth, failure.error, failure.forever)
        try:
            yield
        finally:
            self._library.torture_watch(b"")

    @contextmanager
    def recording(self, folder: Path, record: Path) -> Iterator[None]:
        """Append what is changed in a folder to a file outside it: `torture.record` reads that."""
        self._library.torture_watch(os.fsencode(folder))
        self._library.torture_record(os.fsencode(record))
        try:
            yield
        finally:
            self._library.torture_record(None)
            self._library.torture_watch(b"")

    def mark(self, text: str) -> None:
        """Put a remark into the record."""
        self._library.torture_mark(text.encode())
