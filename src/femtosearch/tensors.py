"""safetensors files and strict JSON: what somebody else made, hostile until checked.

Layout: 8 bytes little-endian header length, a JSON header {name: {dtype, shape, data_offsets}}, then the
bytes, which the tensors fill without a gap. A file that somebody else made is hostile until checked: every
offset, size and dtype is verified before use. Source of the format: https://github.com/huggingface/safetensors
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from femtosearch.errors import CheckpointError

HEADER_LIMIT = 100_000_000
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
KEPT = {"<f2": "F16", "<i4": "I32", "|i1": "I8", "|u1": "U8"}  # what is not written as float32


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Every tensor of a safetensors file; F16, BF16 and F64 come as float32, integers as they are.

    Raises CheckpointError if the file is truncated or its header does not fit its bytes.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    return parse_tensors(data, path)[0]


def parse_tensors(data: bytes, place: Path | str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The tensors and the metadata in a safetensors file's bytes. Raises CheckpointError, naming `place`."""
    header, body = _header(place, data)
    tensors, used = {}, []
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        dtype, shape, start, stop = _entry(place, name, entry, len(body))
        used.append((start, stop))
        raw = np.frombuffer(body[start:stop], dtype=NUMPY_NAMES[dtype])
        tensors[name] = _as_float32(raw, dtype).reshape(shape)
    _check_whole(place, used, len(body))
    metadata = header.get("__metadata__", {})
    return tensors, metadata if isinstance(metadata, dict) else {}


def write_tensors(
    path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> None:
    """Write such a file."""
    path.write_bytes(tensor_bytes(tensors, metadata))


def tensor_bytes(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> bytes:
    """A safetensors file of the tensors in the order given, with `{"format": "pt"}` as peers expect.

    Those of float16, int32, int8 and uint8 stay so; all others become float32.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt", **(metadata or {})}}
    chunks, offset = [], 0
    for name, tensor in tensors.items():
        dtype = KEPT.get(tensor.dtype.str, "F32")
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


def _header(path: Path | str, data: bytes) -> tuple[dict[str, Any], memoryview]:
    if len(data) < 8:
        raise CheckpointError(f"{path}: not a safetensors file: expected at least 8 bytes, found {len(data)}")
    length = int.from_bytes(data[:8], "little")
    if length > min(HEADER_LIMIT, len(data) - 8):
        raise CheckpointError(
            f"{path}: truncated, or not safetensors: its header should be {length} bytes, "
            f"the file has {len(data) - 8} after the first 8; fetch it again"
        )
    header = parse_json(path, data[8 : 8 + length], "in its safetensors header, ")
    if not isinstance(header, dict):
        raise CheckpointError(f"{path}: its safetensors header should be a JSON object")
    return header, memoryview(data)[8 + length :]


def _entry(path: Path | str, name: str, entry: Any, size: int) -> tuple[str, list[int], int, int]:
    try:
        dtype, shape, (start, stop) = entry["dtype"], entry["shape"], entry["data_offsets"]
        whole = all(type(n) is int and n >= 0 for n in [*shape, start, stop])
    except (TypeError, KeyError, ValueError):
        whole, dtype = False, None
    if not whole:
        raise CheckpointError(f"{path}: tensor {name!r} needs dtype, shape and data_offsets; found {entry!r}")
    if dtype not in ITEM_SIZES:
        raise CheckpointError(f"{path}: tensor {name!r} has dtype {dtype!r}; known: {', '.join(ITEM_SIZES)}")
    need = math.prod(shape) * ITEM_SIZES[dtype]
    if stop > size or start > stop or stop - start != need:
        raise CheckpointError(
            f"{path}: tensor {name!r} of shape {shape} {dtype} needs {need} bytes, its offsets "
            f"[{start}, {stop}] do not give that within the file's {size}; the file is truncated or damaged"
        )
    return dtype, shape, start, stop


def _check_whole(path: Path | str, used: list[tuple[int, int]], size: int) -> None:
    """The tensors lie end to end and fill the file."""
    used = sorted([(0, 0), *used, (size, size)])
    for (_, stop), (start, _) in pairwise(used):
        if start < stop:
            raise CheckpointError(f"{path}: two tensors overlap at byte {start}; the file is damaged")
        if start > stop:
            raise CheckpointError(f"{path}: bytes {stop} to {start} are no tensor's; the file is damaged")


def _as_float32(raw: np.ndarray, dtype: str) -> np.ndarray:
    if dtype == "BF16":
        return (raw.astype(np.uint32) << 16).view(np.float32)
    return raw.astype(np.float32) if dtype in ("F16", "F64") else raw


def parse_json(path: Path | str, content: bytes, what: str = "") -> Any:
    """Parse `what` of the file at `path`. Raises CheckpointError if it is not JSON, or says a thing twice."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise CheckpointError(f"{path}: {what}the key {twice!r} is there twice; which one counts?")
        return found

    try:
        return json.loads(content, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: {what}not valid JSON: {error}") from error
