"""What is kept on disk between runs, each with the digest of what it was made from: a change of recipe, data
or teacher is noticed, and half a file is never taken for a whole one.
"""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from femtosearch.disk import write_whole
from femtosearch.errors import RecipeError


def digest(*parts: object) -> str:
    """32 hex digits of strings, numbers and arrays (their dtype, shape and bytes)."""
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, np.ndarray):
            state.update(f"{part.dtype.str}{part.shape}".encode())
            state.update(np.ascontiguousarray(part).data)
        else:
            state.update(f"{part!r};".encode())
    return state.hexdigest()


def is_finished(path: Path, key: str) -> bool:
    """Whether `path` was finished with this key."""
    try:
        return path.exists() and _mark(path).read_text(encoding="utf-8") == key
    except OSError:
        return False


def finish(path: Path, key: str) -> None:
    """Mark `path` as whole and made from what the key stands for."""
    with disk_errors(path):
        write_whole(_mark(path), key.encode())


@contextmanager
def unfinished(path: Path) -> Iterator[None]:
    """While `path` is written it has no mark; when the disk is full it is removed, to give the space back."""
    _mark(path).unlink(missing_ok=True)
    try:
        with disk_errors(path):
            yield
    except RecipeError:
        path.unlink(missing_ok=True)
        raise


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """An error of the disk -> RecipeError that says which file and what to do."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        why = "the disk is full; free some space" if full else f"cannot be written: {error.strerror}; mend it"
        raise RecipeError(f"{path}: {why}, then run again: it goes on where it was") from error


def _mark(path: Path) -> Path:
    return path.with_name(path.name + ".done")
