"""What took a second to solve for, kept in the user's cache: a Lemur's inverse factor, and its read-out.

A file's name is a digest of all that its numbers follow from, so that no file is ever out of date; what is in
it is checked, and solved for anew where it is damaged. Nothing here is needed: a cache that cannot be read or
written is none.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
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
_METHOD = "lemur 2"  # another one where the same arrays are to give other numbers
_in_use: WeakValueDictionary[str, Any] = WeakValueDictionary()
_making = RLock()
T = TypeVar("T")


def digest_of(arrays: Iterable[np.ndarray], ridge: float, size: int) -> str:
    """A digest of all that what is solved for follows from, the instruction set among it."""
    digest = blake2b(f"{_METHOD} {_core.kernel()} {size} {ridge!r}".encode(), digest_size=16)
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def shared(name: str, make: Callable[[], T]) -> T:
    """What this process has made under a name and still uses, or else what is made now: by one thread, for
    which the others wait. So an index of many shards has it solved for once, and holds it once.
    """
    with _making:
        value: T | None = _in_use.get(name)
        if value is None:
            value = _in_use[name] = make()
        return value


def cached(
    name: str, forms: Sequence[Form], solve: Callable[[], Sequence[np.ndarray]]
) -> Sequence[np.ndarray]:
    """Arrays of those dtypes and shapes, from the cache, or else solved for, and then kept.

    solve:  gives the arrays. What it raises is raised.
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
    """The arrays in a file, or None where it is not there, or is not what was written."""
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
    """Keep a file, and no more than the latest few. Raises OSError, and StoreError for what is no file."""
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
    """Of the numbers and of the file's own name, so that no other file's do."""
    checksum = zlib.crc32(path.name.encode())
    for array in arrays:
        checksum = zlib.crc32(array.data, checksum)
    return f"{checksum:08x}"


def _make_anew() -> None:
    """A child that was forked while a thread of its parent made something would wait for it for ever."""
    global _making
    _making = RLock()


system.in_a_forked_child(_make_anew)
