"""Passages of real text: paragraphs of text/*.txt.xz and pairs/*.jsonl.xz, cut at the ends of sentences."""

from __future__ import annotations

import json
import lzma
import re
import sys
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

WORDS = 58  # of a passage at most, which makes 60 tokens on average
_END = re.compile(r"(?<=[.!?])\s+")


def passages(data: Path, count: int) -> Iterator[str]:
    """The first `count` different passages; fewer end the program."""
    seen: set[bytes] = set()
    for paragraph in _paragraphs(data):
        for text in _cut(paragraph):
            if len(seen) == count:
                return
            digest = blake2b(text.lower().encode(), digest_size=12).digest()
            if digest not in seen:
                seen.add(digest)
                yield text
    if len(seen) < count:
        sys.exit(f"expected text for {count:,} passages in {data}, found {len(seen):,}; ask for fewer")


def _paragraphs(data: Path) -> Iterator[str]:
    """One of each file in turn, so that any number of them is of all kinds."""
    files = [_lines(path) for path in sorted([*data.glob("text/*.txt.xz"), *data.glob("pairs/*.jsonl.xz")])]
    while files:
        for file in list(files):
            try:
                yield next(file)
            except StopIteration:
                files.remove(file)


def _lines(path: Path) -> Iterator[str]:
    with lzma.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)["positive"] if path.name.endswith(".jsonl.xz") else line


def _cut(paragraph: str) -> Iterator[str]:
    """Sentences together while they have at most WORDS words; a longer sentence by itself, in pieces."""
    waiting: list[str] = []
    for sentence in _END.split(paragraph.strip()):
        words = sentence.split()
        if waiting and len(waiting) + len(words) > WORDS:
            yield " ".join(waiting)
            waiting = []
        waiting += words
        while len(waiting) > WORDS:
            yield " ".join(waiting[:WORDS])
            waiting = waiting[WORDS:]
    if waiting:
        yield " ".join(waiting)
