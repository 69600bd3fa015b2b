"""Files of texts and (query, passage) pairs -> token ids, sampled, with the evaluation sets' texts left
out.
"""

from __future__ import annotations

import gzip
import io
import json
import lzma
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from tokenizers import Tokenizer

from femtosearch.errors import RecipeError
from femtosearch.train.recipe import Data, Source

SHARED_WORDS = 12  # a run of this many equal words means that two texts are the same text
STRIDE = 4  # of the training text's positions that are looked up: a shared run of 15 words is always found
WORD = re.compile(r"\w+")
OPENERS = {".gz": gzip.open, ".xz": lzma.open}


@dataclass(frozen=True, slots=True, eq=False)
class Texts:
    """Token ids of N texts with [CLS] and [SEP], end to end. ids: [T] uint16; starts: [N+1] int64."""

    ids: np.ndarray
    starts: np.ndarray

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, n: int) -> np.ndarray:
        return self.ids[self.starts[n] : self.starts[n + 1]]

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.starts)


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """queries[i] is answered by passages[answers[i]]; the last `hold_out` queries are held out of training.

    passages: positives and plain texts, each text once. answers: [queries] int64.
    held_out: [hold_out] int64, the numbers of the queries held out.
    """

    queries: Texts
    passages: Texts
    answers: np.ndarray
    held_out: np.ndarray
    report: dict[str, int]


def read_corpus(data: Data, folder: Path, tokenizer: Tokenizer, length: int, seed: int) -> Corpus:
    """Sample the recipe's files below `folder`. The same seed gives the same corpus."""
    rng = np.random.default_rng(seed)
    excluded = _word_runs(_evaluation_texts(data.exclude, folder))
    passages: dict[str, int] = {}
    queries: list[str] = []
    answers: list[int] = []
    report = {"passages excluded": 0}
    for source in data.pairs:
        for pair in _sample(list(_pairs(folder / source.file)), source, rng):
            query, positive = pair
            if _shares_run(positive, excluded) or _shares_run(query, excluded):
                report["passages excluded"] += 1
                continue
            answer = passages.setdefault(positive, len(passages))
            queries.append(query)
            answers.append(answer)
            if rng.random() < data.keywords:
                queries.append(_keywords(query, rng))
                answers.append(answer)
    for source in data.texts:
        for text in _sample(list(_lines(folder / source.file)), source, rng):
            if _shares_run(text, excluded):
                report["passages excluded"] += 1
            else:
                passages.setdefault(text, len(passages))
    if len(queries) < 2:
        raise RecipeError(f"{folder}: the recipe's files gave {len(queries)} pairs; at least 2 are needed")
    report |= {"queries": len(queries), "passages": len(passages)}
    held_out = np.sort(rng.permutation(len(queries))[: min(data.hold_out, len(queries) // 10)])
    tokenizer.enable_truncation(length)
    tokenizer.no_padding()
    return Corpus(
        _tokenise(queries, tokenizer),
        _tokenise(list(passages), tokenizer),
        np.array(answers),
        held_out,
        report,
    )


def _open(path: Path) -> TextIO:
    try:
        opener: Any = OPENERS.get(path.suffix, open)
        return io.TextIOWrapper(opener(path, "rb"), encoding="utf-8")
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}; is the data folder right?") from error


def _lines(path: Path) -> Iterator[str]:
    with _open(path) as file:
        try:
            yield from (line.strip() for line in file if not line.isspace())
        except UnicodeDecodeError as error:
            raise RecipeError(f"{path}: not UTF-8: {error}") from error


def _pairs(path: Path) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(_lines(path), 1):
        try:
            pair = json.loads(line)
            query, positive = pair["query"].strip(), pair["positive"].strip()
        except (ValueError, KeyError, TypeError, AttributeError):
            raise RecipeError(
                f'{path}:{number}: expected {{"query": "...", "positive": "..."}}, found {line[:80]!r}'
            ) from None
        if query and positive:
            yield query, positive


def _sample(items: list[Any], source: Source, rng: np.random.Generator) -> list[Any]:
    if not source.take or source.take >= len(items):
        return items
    return [items[i] for i in np.sort(rng.permutation(len(items))[: source.take])]


def _keywords(query: str, rng: np.random.Generator) -> str:
    """Two to four words of the query, longer words more likely, in their order."""
    words = WORD.findall(query)
    if len(words) < 3:
        return query
    weights = np.array([len(word) ** 2 for word in words], dtype=float)
    count = min(int(rng.integers(2, 5)), len(words) - 1)
    chosen = rng.choice(len(words), size=count, replace=False, p=weights / weights.sum())
    return " ".join(words[i] for i in sorted(chosen))


def _evaluation_texts(patterns: tuple[str, ...], folder: Path) -> Iterator[str]:
    for pattern in patterns:
        for path in sorted(folder.glob(pattern)):
            for line in _lines(path):
                yield json.loads(line).get("text") or ""


def _word_runs(texts: Iterator[str]) -> set[int]:
    runs = set()
    for text in texts:
        words = WORD.findall(text.lower())
        runs |= {
            hash(tuple(words[i : i + SHARED_WORDS])) for i in range(max(1, len(words) - SHARED_WORDS + 1))
        }
    runs.discard(hash(()))
    return runs


def _shares_run(text: str, runs: set[int]) -> bool:
    words = WORD.findall(text.lower())
    last = max(1, len(words) - SHARED_WORDS + 1)
    return any(hash(tuple(words[i : i + SHARED_WORDS])) in runs for i in range(0, last, STRIDE))


def _tokenise(texts: list[str], tokenizer: Tokenizer, batch: int = 4096) -> Texts:
    pieces, lengths = [], []
    for at in range(0, len(texts), batch):
        for encoding in tokenizer.encode_batch_fast(texts[at : at + batch]):
            pieces.append(np.array(encoding.ids, dtype=np.uint16))
            lengths.append(len(pieces[-1]))
    return Texts(np.concatenate(pieces), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))
