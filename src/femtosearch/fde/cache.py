"""The cache of a Lemur's inverse factor and read-out, in the user's cache folder: to solve for them takes a
second.

A file's name is a digest of all inputs of its numbers, so no file is ever out of date. Its content is
checked, and solved for anew where it is damaged. A cache that cannot be read or written is left out.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from threading import RLock
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import numpy as np

from femtosearch import _core, system
from femtosearch.disk import blake2b, check_regular, write_whole
from femtosearch.errors import CheckpointError, StoreError
from femtosearch.fde.whitening import Form
from femtosearch.tensors import parse_tensors, read_limited, tensor_bytes

NO_CACHE = "FEMTOSEARCH_NO_CACHE"  # the environment variable by which nothing is cached
MOST_FILES = 16
MOST_BYTES = 1 << 26  # of one file
_METHOD = "lemur 2"  # to be changed when the same arrays give other numbers
_in_use: WeakValueDictionary[str, Any] = WeakValueDictionary()
_making = RLock()
T = TypeVar("T")


class ByFields:
    """A dataclass whose copies and pickles have its fields alone: what it made of them is made anew."""

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]


def digest_of(arrays: Iterable[np.ndarray], ridge: float, size: int) -> str:
    """A digest of a solution's inputs: the arrays, `ridge`, `size`, the method and the instruction set."""
    digest = blake2b(f"{_METHOD} {_core.kernel()} {size} {ridge!r}".encode(), digest_size=16)
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def shared(name: str, make: Callable[[], T]) -> T:
    """The object that this process has made under a name and still uses; if there is none, `make` is called,
    by one thread, for which other threads wait. So an index of many shards makes it once, and holds it once.
    """
    with _making:
        value: T | None = _in_use.get(name)
        if value is None:
            value = _in_use[name] = make()
        return value


def cached(
    name: str, forms: Sequence[Form], solve: Callable[[], Sequence[np.ndarray]]
) -> Sequence[np.ndarray]:
    """Read arrays from the cache; if they are not there, call `solve` and keep what it returns.

    forms:  the dtypes and shapes that the arrays must have.
    solve:  returns the arrays. Its exceptions are not caught.
    """
    path = _path(name)
    if path is None:
        return solve()
    arrays = _read(path, forms)
    if arrays is None:
        arrays = solve()
        with suppress(OSError, StoreError):
            _write(path, arrays)
    return arrays


def _path(name: str) -> Path | None:
    if os.environ.get(NO_CACHE):
        return None
    try:
        return system.cache_folder() / "fde" / f"{name}.safetensors"
    except RuntimeError:  # there is no home
        return None


def _read(path: Path, forms: Sequence[Form]) -> Sequence[np.ndarray] | None:
    """The arrays in a file, or None where it is missing or differs from what was written."""
    try:
        tensors, metadata = parse_tensors(read_limited(path, MOST_BYTES), path)
    except CheckpointError:
        return None
    arrays = list(tensors.values())
    if [(array.dtype, array.shape) for array in arrays] != list(forms):
        return None
    is_whole = metadata.get("checksum") == _checksum(path, arrays)
    return arrays if is_whole and all(np.isfinite(array).all() for array in arrays) else None


def _write(path: Path, arrays: Sequence[np.ndarray]) -> None:
    """Write a file, and remove all but the 16 latest. Raises OSError; StoreError if `path` is not a regular
    file.
    """
    if sum(array.nbytes for array in arrays) >= MOST_BYTES:
        return
    check_regular(path)  # to open a pipe would wait for its reader
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    tensors = {f"array.{number}": array for number, array in enumerate(arrays)}
    write_whole(path, tensor_bytes(tensors, {"checksum": _checksum(path, arrays)}))
    files = sorted(path.parent.iterdir(), key=lambda file: file.stat().st_mtime)
    for old in files[:-MOST_FILES]:
        old.unlink()


def _checksum(path: Path, arrays: Iterable[np.ndarray]) -> str:
    """The CRC-32 of the arrays and of the file's name, so that a file that was renamed does not pass."""
    checksum = zlib.crc32(path.name.encode())
    for array in arrays:
        checksum = zlib.crc32(array.data, checksum)
    return f"{checksum:08x}"


def _make_anew() -> None:
    """Make a new lock in a forked child, where the thread of the parent that may hold it does not exist."""
    global _making
    _making = RLock()


system.in_a_forked_child(_make_anew)
