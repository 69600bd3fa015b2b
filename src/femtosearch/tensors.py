"""Readers for files that somebody else made, which may be hostile: bounded bytes, strict JSON, safetensors.

A safetensors file has 8 bytes of little-endian header length, a JSON header {name: {dtype, shape,
data_offsets}}, and the bytes, which the tensors fill without a gap. Every offset, size and dtype is verified
before anything of that size is allocated. Source: https://github.com/huggingface/safetensors
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from reprlib import repr as short
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from femtosearch.errors import CheckpointError
from femtosearch.system import kind_of

JSON_LIMIT = 1 << 22  # bytes of a file of settings
TENSORS_LIMIT = 1 << 34  # bytes of a safetensors file
HEADER_LIMIT = 1 << 24  # bytes of its header
DEPTH_LIMIT = 64  # of JSON: objects and lists inside one another
MOST_AXES = 32  # of a tensor
LONGEST_AXIS = 1 << 40
ITEM_SIZES = {
    "F64": 8,
    "F32": 4,
    "F16": 2,
    "BF16": 2,
    "I64": 8,
    "I32": 4,
    "I16": 2,
    "I8": 1,
    "U8": 1,
    "BOOL": 1,
}
NUMPY_NAMES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8",
    "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1", "BOOL": "?",
}  # fmt: skip
STORED_AS = {"<f2": "F16", "<i4": "I32", "|i1": "I8", "|u1": "U8"}  # what is not written as float32
# JSON may spell half of a surrogate pair, which no file name, terminal or tokenizer can take.
_MARK = b"\xef\xbb\xbf"  # of UTF-8, at its beginning
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def read_limited(path: Path, limit: int) -> bytes:
    """Read a regular file of at most `limit` bytes; its kind and size are checked before any of it is read.

    Raises CheckpointError, naming the file, if it is missing, larger, cannot be read, or is a folder, pipe or
    device, for which nothing waits.
    """
    with _opened(path, limit) as (file, size):
        return file.read(size)


def check_limited(path: Path, limit: int) -> None:
    """Raise CheckpointError unless `read_limited` would read the file."""
    with _opened(path, limit):
        pass


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Every tensor of a safetensors file; F16, BF16 and F64 come as float32, integers as they are.

    Raises CheckpointError if the file is truncated, over 16 GiB or no regular file, or if its header does not
    fit its size.
    """
    with _opened(path, TENSORS_LIMIT) as (file, size):
        header = _header(path, _header_bytes(path, file.read(8), size, file.read))
        body_size = size - file.tell()
        entries = _entries(path, header, body_size)
        body = memoryview(file.read(body_size))
        if len(body) != body_size:
            raise CheckpointError(f"{path}: became shorter while it was read; fetch it again")
        return _tensors(entries, body)


def parse_tensors(data: bytes, place: Path | str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The tensors and the metadata in a safetensors file's bytes. Raises CheckpointError, naming `place`."""
    text = _header_bytes(place, data[:8], len(data), lambda length: data[8 : 8 + length])
    header, body = _header(place, text), memoryview(data)[8 + len(text) :]
    metadata = header.get("__metadata__")
    entries = _entries(place, header, len(body))
    return _tensors(entries, body), metadata if isinstance(metadata, dict) else {}


def write_tensors(
    path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a safetensors file with the content that `tensor_bytes` makes. Raises OSError."""
    path.write_bytes(tensor_bytes(tensors, metadata))


def tensor_bytes(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> bytes:
    """Make the bytes of a safetensors file, tensors in their order, with the metadata `{"format": "pt"}` that
    other programs expect.

    Tensors of float16, int32, int8 and uint8 keep their dtype; all others become float32.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt", **(metadata or {})}}
    chunks, offset = [], 0
    for name, tensor in tensors.items():
        dtype = STORED_AS.get(tensor.dtype.str, "F32")
        chunk = np.ascontiguousarray(tensor, dtype=NUMPY_NAMES[dtype]).tobytes()
        header[name] = {
            "dtype": dtype,
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + len(chunk)],
        }
        chunks.append(chunk)
        offset += len(chunk)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + b"".join(chunks)


@contextmanager
def _opened(path: Path, limit: int) -> Iterator[tuple[BinaryIO, int]]:
    """Open a regular file: the file and its size in bytes. A pipe that nobody writes to does not block."""
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise CheckpointError(f"{path}: expected a regular file, found {kind_of(status.st_mode)}")
            if status.st_size > limit:
                raise CheckpointError(
                    f"{path}: expected at most {limit:,} bytes, found {status.st_size:,}; is it the right "
                    "file?"
                )
            yield file, status.st_size
    except FileNotFoundError:
        raise CheckpointError(f"{path}: cannot be read: it is missing; the folder is not complete") from None
    except IsADirectoryError:
        raise CheckpointError(f"{path}: cannot be read: expected a regular file, found a folder") from None
    except (OSError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or "there is not enough memory for it"
        raise CheckpointError(f"{path}: cannot be read: {reason}") from error


def _open_without_waiting(name: str, flags: int) -> int:
    return os.open(name, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))


def _header_bytes(place: Path | str, first: bytes, size: int, read: Callable[[int], bytes]) -> bytes:
    """Check the header's length and read the header.

    first: the file's first 8 bytes; size: of the file, in bytes; read(n) gives the n bytes after the first 8.
    """
    if len(first) < 8:
        raise CheckpointError(
            f"{place}: not a safetensors file: expected at least 8 bytes, found {len(first)}"
        )
    length = int.from_bytes(first, "little")
    if length > min(HEADER_LIMIT, size - 8):
        raise CheckpointError(
            f"{place}: truncated, or not safetensors: its header should be {length:,} bytes, the file has "
            f"{size - 8:,} after the first 8, and {HEADER_LIMIT:,} are allowed; fetch it again"
        )
    return read(length)


def _header(place: Path | str, text: bytes) -> dict[str, Any]:
    header = parse_json(place, text, "in its safetensors header, ")
    if not isinstance(header, dict):
        raise CheckpointError(f"{place}: its safetensors header should be a JSON object")
    return header


class _Entry(NamedTuple):
    """The header's entry for one tensor, whose bytes are body[start:stop]."""

    dtype: str
    shape: list[int]
    start: int
    stop: int


def _entries(place: Path | str, header: dict[str, Any], size: int) -> dict[str, _Entry]:
    """Every tensor's entry, checked against the `size` of the bytes after the header."""
    entries = {
        name: _entry(place, name, entry, size) for name, entry in header.items() if name != "__metadata__"
    }
    _check_filled(place, [(entry.start, entry.stop) for entry in entries.values()], size)
    return entries


def _entry(place: Path | str, name: str, entry: Any, size: int) -> _Entry:
    tensor = f"{place}: tensor {short(name)}"
    try:
        dtype, shape, (start, stop) = entry["dtype"], entry["shape"], entry["data_offsets"]
        complete = isinstance(shape, list) and all(type(n) is int and n >= 0 for n in [*shape, start, stop])
    except (TypeError, KeyError, ValueError):
        complete, dtype = False, None
    if not complete:
        raise CheckpointError(f"{tensor} needs dtype, shape and data_offsets; found {short(entry)}")
    if not isinstance(dtype, str) or dtype not in ITEM_SIZES:
        raise CheckpointError(f"{tensor} has dtype {short(dtype)}; known: {', '.join(ITEM_SIZES)}")
    if len(shape) > MOST_AXES or max(shape, default=0) > LONGEST_AXIS:
        raise CheckpointError(
            f"{tensor}: expected at most {MOST_AXES} axes of at most {LONGEST_AXIS:,}, found {len(shape)}: "
            f"{short(shape)}"
        )
    need = math.prod(shape) * ITEM_SIZES[dtype]
    if stop > size or start > stop or stop - start != need:
        raise CheckpointError(
            f"{tensor} of shape {short(shape)} {dtype} needs {short(need)} bytes, its offsets "
            f"[{short(start)}, {short(stop)}] do not give that within the file's {size:,}; the file is "
            "truncated or damaged"
        )
    if math.prod(max(n, 1) for n in shape) > LONGEST_AXIS:
        raise CheckpointError(f"{tensor}: expected an empty tensor's other axes to be small, found {shape}")
    return _Entry(dtype, shape, start, stop)


def _check_filled(place: Path | str, spans: list[tuple[int, int]], size: int) -> None:
    """Raise CheckpointError unless the tensors lie end to end and fill the file."""
    for (_, stop), (start, _) in pairwise(sorted([(0, 0), *spans, (size, size)])):
        if start < stop:
            raise CheckpointError(f"{place}: two tensors overlap at byte {start}; the file is damaged")
        if start > stop:
            raise CheckpointError(f"{place}: bytes {stop} to {start} are no tensor's; the file is damaged")


def _tensors(entries: dict[str, _Entry], body: memoryview) -> dict[str, np.ndarray]:
    tensors = {}
    for name, (dtype, shape, start, stop) in entries.items():
        numbers = np.frombuffer(body[start:stop], dtype=NUMPY_NAMES[dtype])
        tensors[name] = _as_float32(numbers, dtype).reshape(shape)
    return tensors


def _as_float32(numbers: np.ndarray, dtype: str) -> np.ndarray:
    if dtype == "BF16":
        return (numbers.astype(np.uint32) << 16).view(np.float32)
    if dtype not in ("F16", "F64"):
        return numbers
    with np.errstate(over="ignore", invalid="ignore"):  # what is too large becomes infinity, which is refused
        return numbers.astype(np.float32)


def parse_json(path: Path | str, content: bytes, where: str = "") -> Any:
    """Parse JSON in UTF-8.

    path:   the file that it is from, and where: the place in it, such as "in its metadata, ", for messages.
    Raises CheckpointError if it is not JSON, has a key twice, is deeper than 64 objects and lists, or holds
    half of a surrogate pair.
    """

    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) < len(pairs):
            counts = Counter(key for key, _ in pairs)
            twice = next(key for key, count in counts.items() if count > 1)
            raise CheckpointError(f"{path}: {where}the key {short(twice)} is there twice; which one counts?")
        return value

    try:
        text = content.removeprefix(_MARK).decode()
        value = json.loads(text)
        colons = _colons(value)
        if "\\u" in text or text.count(":") != colons:  # a key may be there twice
            value = json.loads(text, object_pairs_hook=distinct)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError, MemoryError) as error:
        raise CheckpointError(f"{path}: {where}not valid JSON: {error}") from error
    if colons is None:
        raise CheckpointError(
            f"{path}: {where}not valid JSON: expected at most {DEPTH_LIMIT} objects and lists inside one "
            "another"
        )
    return value


def _colons(value: Any) -> int | None:
    """Count the colons that the JSON text of a value must have: one for each key, and those inside strings.

    A text with a key twice has more colons than this, because the parser dropped one of the two values; that
    is how `parse_json` notices it quickly. Returns None if the value is nested too deeply.
    """
    colons, level = 0, [[value]]
    for _ in range(DEPTH_LIMIT + 1):
        inner: list[Any] = []
        for container in level:
            values = container.values() if isinstance(container, dict) else container
            if isinstance(container, dict):
                colons += len(container) + "".join(container).count(":")
            kinds = set(map(type, values))
            if str in kinds:
                colons += sum(text.count(":") for text in values if isinstance(text, str))
            if dict in kinds or list in kinds:
                inner += [child for child in values if isinstance(child, (dict, list))]
        level = inner
        if not level:
            return colons
    return None
