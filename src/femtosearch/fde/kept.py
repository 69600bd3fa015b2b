"""What took seconds to solve for, kept in the user's cache: the bands of a Lemur's inverse factor.

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

import numpy as np

from femtosearch import _core, system
from femtosearch.disk import blake2b, check_regular, write_whole
from femtosearch.errors import CheckpointError, StoreError
from femtosearch.fde.whitening import shapes_of
from femtosearch.tensors import parse_tensors, read_limited, tensor_bytes

NO_CACHE = "FEMTOSEARCH_NO_CACHE"  # the environment variable by which nothing is kept
MOST_FILES = 16
MOST_BYTES = 1 << 26  # of one file
_METHOD = "lemur 1"  # another one where the same arrays are to give other numbers


def name_of(arrays: Iterable[np.ndarray], ridge: float, size: int) -> str:
    """A digest of what a factor follows from, the instruction set among it."""
    digest = blake2b(f"{_METHOD} {_core.kernel()} {size} {ridge!r}".encode(), digest_size=16)
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def kept(name: str, size: int, solve: Callable[[], Sequence[np.ndarray]]) -> Sequence[np.ndarray]:
    """The bands of a triangular matrix of so many rows, from the cache, or else solved for, and then kept.

    solve:  gives float32 arrays of the shapes `whitening.shapes_of(size)`. What it raises is raised.
    """
    path = _path(name)
    if path is None:
        return solve()
    bands = _read(path, size)
    if bands is None:
        bands = solve()
        with suppress(OSError, StoreError):
            _write(path, bands)
    return bands


def _path(name: str) -> Path | None:
    if os.environ.get(NO_CACHE):
        return None
    try:
        return system.cache_folder() / "fde" / f"{name}.safetensors"
    except RuntimeError:  # there is no home
        return None


def _read(path: Path, size: int) -> Sequence[np.ndarray] | None:
    """The bands in a file, or None where it is not there, or is not what was written."""
    shapes = shapes_of(size)
    try:
        tensors, metadata = parse_tensors(read_limited(path, MOST_BYTES), path)
    except CheckpointError:
        return None
    bands = list(tensors.values())
    if [(band.dtype, band.shape) for band in bands] != [(np.dtype(np.float32), shape) for shape in shapes]:
        return None
    is_whole = metadata.get("checksum") == _checksum(path, bands)
    return bands if is_whole and all(np.isfinite(band).all() for band in bands) else None


def _write(path: Path, bands: Sequence[np.ndarray]) -> None:
    """Keep a file, and no more than the latest few. Raises OSError, and StoreError for what is no file."""
    if sum(band.nbytes for band in bands) >= MOST_BYTES:
        return
    check_regular(path)  # to open a pipe would wait for its reader
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    tensors = {f"band.{number}": band for number, band in enumerate(bands)}
    write_whole(path, tensor_bytes(tensors, {"checksum": _checksum(path, bands)}))
    files = sorted(path.parent.iterdir(), key=lambda file: file.stat().st_mtime)
    for old in files[:-MOST_FILES]:
        old.unlink()


def _checksum(path: Path, bands: Iterable[np.ndarray]) -> str:
    """Of the numbers and of the file's own name, so that no other file's do."""
    checksum = zlib.crc32(path.name.encode())
    for band in bands:
        checksum = zlib.crc32(band.data, checksum)
    return f"{checksum:08x}"
