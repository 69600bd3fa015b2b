"""Files of texts, of (query, passage) pairs and of scores -> token ids, sampled, with the evaluation sets'
texts left out.
"""

from __future__ import annotations

import array
import ast
import contextlib
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from femtosearch.errors import RecipeError
from femtosearch.index.words import WORD
from femtosearch.train.archive import Archive
from femtosearch.train.cache import digest
from femtosearch.train.exclusion import Exclusion
from femtosearch.train.recipe import Data, ScoredSource, Source
from femtosearch.train.sources import json_value, lines, table

BATCH = 4096  # texts that are tokenised at a time


@dataclass(frozen=True, slots=True, eq=False)
class Texts:
    """Token ids of N texts with [CLS] and [SEP], end to end. ids: [T] uint16, or uint32 for a vocabulary
    above 65,536; starts: [N+1] int64. In memory: two bytes a token.
    """

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
class Scored:
    """R rows of a teacher's scores. queries: [R] int64; passages: [R, W] int64, -1 where a row has fewer;
    scores: [R, W] float32.
    """

    queries: np.ndarray
    passages: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """queries[i] is answered by passages[answers[i]].

    passages: positives, negatives and plain texts, each text once. answers: [queries] int64.
    held_out: the numbers of the queries held out of training, int64, rising.
    negatives: of each query, the numbers of the passages that the data call wrong; empty if not asked for.
    """

    queries: Texts
    passages: Texts
    answers: np.ndarray
    held_out: np.ndarray
    report: dict[str, int]
    negatives: list[tuple[int, ...]]
    scored: Scored | None = None
    archive: Archive | None = None

    @property
    def digest(self) -> str:
        """Of all that is trained on."""
        texts = (self.queries.ids, self.queries.starts, self.passages.ids, self.passages.starts)
        scored = (self.scored.queries, self.scored.passages, self.scored.scores) if self.scored else ()
        return digest(*texts, self.answers, self.held_out, self.negatives, *scored)

    @property
    def trained(self) -> np.ndarray:
        """The numbers of the queries that are trained on, int64, rising."""
        return np.setdiff1d(np.arange(len(self.queries)), self.held_out)


class Reader:
    """Gathers texts, tokenises them in batches, and keeps each passage once (told by a 64-bit digest)."""

    def __init__(self, tokenizer: Tokenizer, excluded: Exclusion, archive: Archive | None = None) -> None:
        self.excluded, self.archive = excluded, archive
        self.queries, self.passages = _Ids(tokenizer), _Ids(tokenizer)
        self.numbers: dict[bytes, int] = {}
        self.answers, self.negatives = array.array("q"), []
        self.left_out = 0

    def passage(self, text: str) -> int:
        """The number of a passage, new or known."""
        number = self.numbers.setdefault(key(text), len(self.passages))
        if number == len(self.passages):
            self._archive("passages", number, text)
            self.passages.add(text)
        return number

    def query(self, text: str, answer: int, negatives: tuple[int, ...]) -> int:
        """The number of a new query."""
        self._archive("queries", len(self.queries), text)
        self.queries.add(text)
        self.answers.append(answer)
        self.negatives.append(negatives)
        return len(self.queries) - 1

    def is_excluded(self, *texts: str) -> bool:
        """Whether one of the texts is an evaluation set's; counts what is left out."""
        is_excluded = any(text in self.excluded for text in texts)
        self.left_out += is_excluded
        return is_excluded

    def _archive(self, kind: str, number: int, text: str) -> None:
        if self.archive:
            self.archive.add(kind, number, text)


class _Ids:
    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.code, self.type = ("H", np.uint16) if tokenizer.get_vocab_size() <= 1 << 16 else ("I", np.uint32)
        self.ids, self.lengths, self.waiting = array.array(self.code), array.array("i"), []

    def __len__(self) -> int:
        return len(self.lengths) + len(self.waiting)

    def add(self, text: str) -> None:
        self.waiting.append(text)
        if len(self.waiting) == BATCH:
            self._tokenise()

    def texts(self) -> Texts:
        self._tokenise()
        starts = np.concatenate([[0], np.cumsum(np.array(self.lengths, dtype=np.int64))]).astype(np.int64)
        return Texts(np.frombuffer(self.ids, dtype=self.type), starts)

    def _tokenise(self) -> None:
        for encoding in self.tokenizer.encode_batch_fast(self.waiting):
            self.ids.extend(encoding.ids)
            self.lengths.append(len(encoding.ids))
        self.waiting = []


def read_corpus(
    data: Data,
    folder: Path,
    tokenizer: Tokenizer,
    seed: int,
    archive: Archive | None = None,
    *,
    negatives: bool = False,
) -> Corpus:
    """Sample the recipe's files below `folder`. The same seed gives the same corpus. Files are streamed;
    what stays in memory is the token ids, about 2 bytes a token, and about 150 bytes a passage.

    tokenizer: with the truncation that texts are cut by. archive: where to keep the texts themselves.
    negatives: read the pairs' own.
    """
    rng = np.random.default_rng(seed)
    reader = Reader(tokenizer, Exclusion.matching(data.exclude, folder), archive)
    for source in data.pairs:
        for query, positive, wrong in _sample(_pairs, folder, source, rng):
            if reader.is_excluded(positive, query):
                continue
            answer = reader.passage(positive)
            numbers = tuple(map(reader.passage, wrong)) if negatives else ()
            reader.query(query, answer, numbers)
            if rng.random() < data.keywords:
                reader.query(keywords(query, rng), answer, numbers)
    for source in data.texts:
        for text in _sample(lines, folder, source, rng):
            if not reader.is_excluded(text):
                reader.passage(text)
    scored = read_scores(data.scores, folder, reader) if data.scores else None
    return _corpus(reader, scored, rng, data.hold_out)


def _corpus(reader: Reader, scored: Scored | None, rng: np.random.Generator, hold_out: int) -> Corpus:
    count = len(reader.queries)
    held_out = np.sort(rng.permutation(count)[: min(hold_out, count // 10)])
    if scored is not None:
        rows = ~np.isin(scored.queries, held_out)
        scored = Scored(scored.queries[rows], scored.passages[rows], scored.scores[rows])
    report = {
        "passages excluded": reader.left_out,
        "queries": count,
        "passages": len(reader.passages),
    }
    answers = np.array(reader.answers, dtype=np.int64)
    return Corpus(
        reader.queries.texts(), reader.passages.texts(), answers, held_out, report, reader.negatives,
        scored, reader.archive,
    )  # fmt: skip


def tokenised(texts: Iterable[str], tokenizer: Tokenizer) -> Texts:
    """The token ids of texts, by a tokenizer with its truncation set."""
    ids = _Ids(tokenizer)
    for text in texts:
        ids.add(text)
    return ids.texts()


def check_pairs(corpus: Corpus, folder: Path) -> None:
    """Raises RecipeError if pairs cannot teach a difference: too few, or all with one passage or query."""
    queries, answers = len(corpus.queries), len(np.unique(corpus.answers))
    if queries < 2:
        raise RecipeError(f"{folder}: the recipe's files gave {queries} pairs; at least 2 are needed")
    if answers < 2:
        raise RecipeError(
            f"{folder}: one-sided data: {queries} queries, but all of one passage; at least 2 are needed"
        )
    first = corpus.queries[0]
    if all(np.array_equal(corpus.queries[n], first) for n in range(queries)):
        raise RecipeError(f"{folder}: one-sided data: {answers} passages, but all of one query")


def key(text: str) -> bytes:
    """8 bytes that tell texts apart."""
    return hashlib.blake2b(text.encode(), digest_size=8).digest()


def keywords(query: str, rng: np.random.Generator) -> str:
    """Two to four words of the query, longer words more likely, in their order."""
    words = re.findall(WORD, query)
    if len(words) < 3:
        return query
    weights = np.array([len(word) ** 2 for word in words], dtype=float)
    count = min(int(rng.integers(2, 5)), len(words) - 1)
    chosen = rng.choice(len(words), size=count, replace=False, p=weights / weights.sum())
    return " ".join(words[i] for i in sorted(chosen))


def _pairs(path: Path) -> Iterator[tuple[str, str, list[str]]]:
    for number, line in enumerate(lines(path), 1):
        pair = json_value(line)
        texts = [pair.get("query"), pair.get("positive")] if isinstance(pair, dict) else [None]
        wrong = (pair.get("negatives") or []) if isinstance(pair, dict) else []
        if not (isinstance(wrong, list) and all(isinstance(text, str) for text in [*texts, *wrong])):
            raise RecipeError(
                f'{path}:{number}: expected {{"query": "...", "positive": "..."}}, and "negatives" as a '
                f"list of texts, found {line[:80]!r}"
            )
        query, positive, *wrong = (text.strip() for text in [*texts, *wrong])
        if query and positive:
            yield query, positive, [text for text in wrong if text]


def _sample(
    read: Callable[[Path], Iterator[Any]], folder: Path, source: Source, rng: np.random.Generator
) -> Iterator[Any]:
    """A file's items, or `take` of them in their order: then the file is read twice and never held."""
    path = folder / source.file
    count = sum(1 for _ in read(path)) if source.take else 0
    if source.take < count:
        chosen = np.zeros(count, dtype=bool)
        chosen[rng.permutation(count)[: source.take]] = True
        yield from (item for item, take in zip(read(path), chosen, strict=True) if take)
        return
    empty = True
    for item in read(path):
        empty = False
        yield item
    if empty:
        raise RecipeError(f"{path}: empty: it gave nothing to train on")


def read_scores(source: ScoredSource, folder: Path, reader: Reader) -> Scored:
    """The scored rows, with their queries and documents added to the reader. A query's answer is its best
    document.
    """
    rows = list(_score_rows(source, folder))
    if not rows:
        raise RecipeError(f"{source.source}: table {source.table!r} is empty")
    passage_names = np.unique(np.concatenate([names for _, names, _ in rows]))
    documents = np.full(len(passage_names), -1)
    for row in table(source.source, "documents", folder):
        name = _hashes([_field(row, "document_id", source)])
        at = min(int(np.searchsorted(passage_names, name)[0]), len(passage_names) - 1)
        if passage_names[at] == name[0] and not reader.is_excluded(_field(row, "text", source)):
            documents[at] = reader.passage(_field(row, "text", source))
    query_ids = {name for name, _, _ in rows}
    texts = {
        name: _field(row, "text", source)
        for row in table(source.source, "queries", folder)
        if (name := _field(row, "query_id", source)) in query_ids
    }
    rows = [
        (texts.get(name, ""), documents[np.searchsorted(passage_names, names)], s) for name, names, s in rows
    ]
    resolved = _resolved(rows, reader, source.ways)
    if not len(resolved.queries):
        raise RecipeError(f"{source.source}: no row whose query and at least two documents are in its tables")
    return resolved


def _score_rows(source: ScoredSource, folder: Path) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    for number, row in enumerate(table(source.source, source.table, folder), 1):
        where = f"{source.source}: row {number}"
        names, scores = (_list(_field(row, name, source), where, name) for name in ("document_ids", "scores"))
        if len(names) != len(scores):
            raise RecipeError(f"{where}: {len(names)} documents, {len(scores)} scores")
        try:
            values = np.array(scores[: source.ways], dtype=np.float32)
        except (TypeError, ValueError, OverflowError):  # of texts, lists, and whole numbers without bound
            values = np.array([np.nan])
        if values.ndim != 1 or not np.isfinite(values).all():
            raise RecipeError(f"{where}: a score that is not a finite number")
        yield _field(row, "query_id", source), _hashes(names[: source.ways]), values
        if number == source.take:
            return


def _list(value: Any, where: str, name: str) -> list[Any]:
    """A list, which some tables hold as text."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            value = ast.literal_eval(value)
    if not isinstance(value, list):
        raise RecipeError(f"{where}: expected {name} to be a list, found {str(value)[:80]!r}")
    return value


def _hashes(names: list[Any]) -> np.ndarray:
    return np.frombuffer(b"".join(key(str(name)) for name in names), dtype=np.uint64)


def _resolved(rows: list[tuple[str, np.ndarray, np.ndarray]], reader: Reader, ways: int) -> Scored:
    """rows: a query's text, its documents' numbers (-1: not there), their scores."""
    queries, passages, scores = [], [], []
    for text, numbers, values in rows:
        numbers, values = numbers[numbers >= 0], values[numbers >= 0]
        if len(numbers) < 2 or not text or reader.is_excluded(text):
            continue
        queries.append(reader.query(text, int(numbers[np.argmax(values)]), ()))
        passages.append(np.pad(numbers, (0, ways - len(numbers)), constant_values=-1))
        scores.append(np.pad(values, (0, ways - len(values))))
    shape = (len(queries), ways)
    return Scored(
        np.array(queries, dtype=np.int64),
        np.array(passages, dtype=np.int64).reshape(shape),
        np.array(scores, dtype=np.float32).reshape(shape),
    )


def _field(row: dict[str, Any], name: str, source: ScoredSource) -> Any:
    if row.get(name) is None:
        raise RecipeError(f"{source.source}: expected a column {name!r}, found {', '.join(row)}")
    return row[name] if isinstance(row[name], list) else str(row[name])
