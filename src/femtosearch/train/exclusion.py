"""Leaving the evaluation sets' texts out of training: two texts that share a run of words are the same."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from glob import glob
from pathlib import Path
from typing import TypeVar

import numpy as np

from femtosearch.errors import RecipeError
from femtosearch.index.words import WORD
from femtosearch.train.sources import json_value, lines

SHARED_WORDS = 12  # a run of this many equal words means that two texts are the same text
STRIDE = 4  # of the training text's positions that are looked up: a shared run of 15 words is always found

Group = TypeVar("Group", bound=tuple[str, ...])


class Exclusion:
    """The word runs of the texts of files. A text is `in` it if it shares one.

    A text shorter than a run is excluded only by its equal. About 100 bytes a word of the excluded texts.
    """

    def __init__(self, files: Iterable[Path]) -> None:
        self.runs: set[int] = set()
        for text in (text for path in files for text in _texts(path)):
            words = re.findall(WORD, text.lower())
            self.runs.update(_run(words, i) for i in range(max(1, len(words) - SHARED_WORDS + 1)))
        self.runs.discard(hash(()))

    @classmethod
    def matching(cls, patterns: Sequence[str], folder: Path) -> Exclusion:
        """The word runs of the texts that the patterns name, below a folder. Raises RecipeError."""
        return cls([path for pattern in patterns for path in _matching(pattern, folder)])

    def draw(self, groups: Sequence[Group], count: int, rng: np.random.Generator) -> list[Group]:
        """`count` groups of texts at most, in any order, of which no text is excluded."""
        drawn: list[Group] = []
        for i in rng.permutation(len(groups)):
            if len(drawn) == count:
                break
            if not any(text in self for text in groups[i]):
                drawn.append(groups[i])
        return drawn

    def __contains__(self, text: str) -> bool:
        if not self.runs:
            return False
        words = re.findall(WORD, text.lower())
        last = max(1, len(words) - SHARED_WORDS + 1)
        return any(_run(words, i) in self.runs for i in range(0, last, STRIDE))


def _run(words: list[str], at: int) -> int:
    return hash(tuple(words[at : at + SHARED_WORDS]))


def _matching(pattern: str, folder: Path) -> list[Path]:
    paths = sorted(glob(pattern, root_dir=folder, recursive=True, include_hidden=True))
    if not paths:
        raise RecipeError(f"{folder}: exclude = {pattern!r} matches no file; is the data folder right?")
    return [folder / path for path in paths]


def _texts(path: Path) -> Iterator[str]:
    for number, line in enumerate(lines(path), 1):
        row = json_value(line)
        text = row.get("text") or "" if isinstance(row, dict) else None
        if not isinstance(text, str):
            raise RecipeError(f'{path}:{number}: expected {{"text": "..."}}, found {line[:80]!r}')
        yield text
