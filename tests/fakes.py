"""A model without weights: a word's row is drawn from its hash, so equal words match and others do not."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from numpy.random import PCG64, Generator  # now: a child that gave up its rights cannot import it later

from femtosearch.types import Passages, Rows

_MEMORY = Path("/dev/shm")
_WORD = re.compile(r"\w+")


class FakeModel:
    """Cuts a text into passages of at most `words` words; a text without a word has none."""

    def __init__(self, dims: int = 6, words: int = 8, name: str = "fake") -> None:
        self.dims = dims
        self.words = words
        self.name = name
        self.fingerprint = hashlib.sha256(f"{name} {dims} {words}".encode()).hexdigest()
        self._rows: dict[str, np.ndarray] = {}

    def encode_passages(self, texts: list[str]) -> Passages:
        owner, spans, rows = [], [], []
        for n, text in enumerate(texts):
            found = list(_WORD.finditer(text))
            for at in range(0, len(found), self.words):
                piece = found[at : at + self.words]
                owner.append(n)
                spans.append((piece[0].start(), piece[-1].end()))
                rows.append(np.stack([self._row(word.group()) for word in piece]))
        return Passages(
            self._together(rows), np.array(owner, np.int64), np.array(spans, np.int64).reshape(-1, 2)
        )

    def encode_queries(self, texts: list[str]) -> Rows:
        return self._together([self._stacked(_WORD.findall(text)) for text in texts])

    def _stacked(self, words: list[str]) -> np.ndarray:
        return np.array([self._row(word) for word in words], np.float32).reshape(-1, self.dims)

    def _row(self, word: str) -> np.ndarray:
        word = word.lower()
        if word not in self._rows:
            seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "little")
            row = Generator(PCG64(seed)).standard_normal(self.dims)
            self._rows[word] = (row / np.linalg.norm(row)).astype(np.float32)
        return self._rows[word]

    def _together(self, rows: list[np.ndarray]) -> Rows:
        starts = np.cumsum([0] + [len(part) for part in rows]).astype(np.int64)
        return Rows(np.concatenate([np.empty((0, self.dims), np.float32), *rows]), starts)


@pytest.fixture
def fast_path(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, where the system has one, for tests that are not about the disk."""
    if os.access(_MEMORY, os.W_OK):
        with TemporaryDirectory(dir=_MEMORY) as name:
            yield Path(name)
    else:
        yield tmp_path
