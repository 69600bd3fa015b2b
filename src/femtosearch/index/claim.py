"""Claims, the operating system's part of a writer's lock: flock on its file or, where the system has no flock
(Windows), SQLite's lock on an empty database beside it. The system releases both when the process dies.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from typing import Protocol
from urllib.parse import quote

from femtosearch import system
from femtosearch.disk import check_regular
from femtosearch.errors import StoreError

SUFFIX = ".db"  # of the empty database


class Claim(Protocol):
    """A lock that one holder may have."""

    def take(self) -> bool:
        """Try to take the lock without waiting; returns whether it is ours now. Raises OSError,
        sqlite3.Error.
        """

    def release(self) -> None:
        """Release the lock. Raises OSError, sqlite3.Error."""


def claim_of(place: str, descriptor: int) -> Claim:
    """The claim on a lock whose file is open. Raises OSError, sqlite3.Error, StoreError."""
    return FileClaim(descriptor) if system.HAS_FLOCK else DatabaseClaim(place + SUFFIX)


class FileClaim:
    """flock on an open file."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def take(self) -> bool:
        return system.lock(self._descriptor)

    def release(self) -> None:
        with suppress(OSError):
            system.unlock(self._descriptor)


class DatabaseClaim:
    """An exclusive transaction in a database that stays empty. Raises StoreError if the file is not empty."""

    def __init__(self, place: str) -> None:
        journal = f"{place}-journal"
        if os.path.lexists(journal):  # SQLite would play it back, whoever wrote it
            raise StoreError(f"{journal}: expected no such file in an index: remove it, and try again")
        if check_regular(place) and os.lstat(place).st_size:
            raise StoreError(f"{place}: expected an empty file, found another: remove it, and try again")
        uri = f"file:{quote(os.fsencode(place))}"
        self._connection = sqlite3.connect(
            uri, uri=True, timeout=0, isolation_level=None, check_same_thread=False
        )

    def take(self) -> bool:
        try:
            self._connection.execute("PRAGMA journal_mode = MEMORY")  # which leaves no file beside it
            self._connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
                return False
            raise
        return True

    def release(self) -> None:
        self._connection.close()  # which ends the transaction
