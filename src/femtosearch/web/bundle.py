"""The file that a page alone reads: arrays and texts end to end, with a JSON header, compressed.

    8 bytes   the length of the header, little-endian
    header    JSON, padded with blanks to a multiple of 64 bytes in all
    parts     each at a multiple of 64 bytes behind the header: [offset, bytes] in the header's "parts"

All of it is one gzip member. `search.js` reads it.
"""

from __future__ import annotations

import gzip
import json
from typing import Any

import numpy as np

from femtosearch.errors import FemtosearchError

VERSION = 1
_ALIGNMENT = 64
_MOST = 1 << 31  # bytes of a bundle, which a page holds in memory


class Bundle:
    """Parts that are collected, and named in the header by their numbers."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def put(self, content: bytes | np.ndarray) -> int:
        """Add a part, an array as little-endian numbers in C order; its number."""
        if isinstance(content, np.ndarray):
            content = np.ascontiguousarray(content, dtype=content.dtype.newbyteorder("<")).tobytes()
        self._parts.append(content)
        return len(self._parts) - 1

    def put_json(self, value: Any) -> int:
        """Add a value as JSON; its number."""
        return self.put(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())

    def content(self, header: dict[str, Any]) -> bytes:
        """The file. Raises FemtosearchError for one that is too large for a page."""
        places, offset = [], 0
        for content in self._parts:
            places.append([offset, len(content)])
            offset += len(content) + -len(content) % _ALIGNMENT
        if offset > _MOST:
            raise FemtosearchError(
                f"expected at most {_MOST:,} bytes for a page, found {offset:,}: export fewer documents "
                "(--where), or serve the index (femtosearch serve)"
            )
        text = json.dumps({"version": VERSION, **header, "parts": places}, ensure_ascii=False).encode()
        text += b" " * (-(len(text) + 8) % _ALIGNMENT)
        padded = [content + bytes(-len(content) % _ALIGNMENT) for content in self._parts]
        return gzip.compress(b"".join([len(text).to_bytes(8, "little"), text, *padded]), 9, mtime=0)
