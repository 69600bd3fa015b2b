"""Passages of real text: paragraphs of text/*.txt.xz and pairs/*.jsonl.xz, cut at the ends of sentences; past
what there is, the same ones again with other words in them.
"""

from __future__ import annotations

import json
import lzma
import random
import re
import sys
from collections.abc import Iterator
from hashlib import blake2b
from itertools import islice
from pathlib import Path

WORDS = 58  # of a passage at most, which makes 60 tokens on average
CHANGED = 3  # one word in so many is another where a passage comes again
_END = re.compile(r"(?<=[.!?])\s+")


def count_of(text: str) -> int:
    """A number with k or M behind it, or without.

    >>> count_of("300k"), count_of("10M"), count_of("7")
    (300000, 10000000, 7)
    """
    factor = {"k": 1_000, "M": 1_000_000}.get(text[-1:], 1)
    return int(text if factor == 1 else text[:-1]) * factor


def passages(data: Path, count: int) -> Iterator[str]:
    """So many different passages; a folder without text ends the program."""
    seen: set[bytes] = set()
    words: list[str] = []  # some of every passage, so that a common word comes often
    for text in _real(data):
        if len(seen) == count:
            return
        digest = blake2b(text.lower().encode(), digest_size=12).digest()
        if digest not in seen:
            seen.add(digest)
            words += text.split()[: WORDS // 4]
            yield text
    if not seen:
        sys.exit(f"expected text/*.txt.xz or pairs/*.jsonl.xz in {data}, found no text; give another --data")
    rng = random.Random(0)
    again = (text for _ in iter(int, 1) for text in _real(data))
    for text in islice(again, count - len(seen)):
        yield _changed(text, words, rng)


def _changed(text: str, words: list[str], rng: random.Random) -> str:
    """The text with another word in the place of every third, and of its last."""
    changed = text.split()
    for place in {*range(rng.randrange(CHANGED), len(changed), CHANGED), len(changed) - 1}:
        changed[place] = rng.choice(words)
    return " ".join(changed)


def _real(data: Path) -> Iterator[str]:
    return (text for paragraph in _paragraphs(data) for text in _cut(paragraph))


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
