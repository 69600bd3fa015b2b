"""Hard negatives: passages that a query could be taken in by.

A miner's `nearest(queries, passages, count, step)` takes the numbers of n queries and of their right passages
and gives [n, count] passage numbers, hardest first, -1 where there are fewer; the right passage may be among
them. It depends on the step alone, or on what an earlier step wrote down, so that a resumed run sees the
same.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from femtosearch.disk import write_whole
from femtosearch.train.archive import Archive
from femtosearch.train.cache import disk_errors
from femtosearch.train.maxsim import FAR, maxsim
from femtosearch.train.recipe import Mined
from femtosearch.train.student import Batch, Pupil
from femtosearch.train.teacher import batches

BATCH_TOKENS = 8192
COPY_BLOCK = 1 << 14


class Miner(Protocol):
    """See the module."""

    def nearest(self, queries: np.ndarray, passages: np.ndarray, count: int, step: int) -> np.ndarray: ...


class TeacherMiner:
    """The answered passages nearest to the right one by the teacher's mean vectors, [answered, H].

    They are copied to `path` in float32 and memory-mapped.
    """

    def __init__(self, answered: np.ndarray, pooled: np.ndarray, path: Path) -> None:
        self.answered = answered
        with disk_errors(path), path.open("wb") as file:
            for at in range(0, len(answered), COPY_BLOCK):
                file.write(pooled[answered[at : at + COPY_BLOCK]].astype(np.float32).tobytes())
        shape = (len(answered), pooled.shape[1])
        self.pooled = torch.from_numpy(np.memmap(path, np.float32, "r+", shape=shape))

    def nearest(self, queries: np.ndarray, passages: np.ndarray, count: int, step: int) -> np.ndarray:
        seeds = np.searchsorted(self.answered, passages)
        near = torch.topk(self.pooled[seeds] @ self.pooled.T, min(count, len(self.answered))).indices
        return self.answered[near.numpy()]


class WordMiner:
    """The passages that BM25 ranks highest for the query."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive

    def nearest(self, queries: np.ndarray, passages: np.ndarray, count: int, step: int) -> np.ndarray:
        lists = [self.archive.best(text, count) for text in self.archive.texts("queries", queries)]
        return _padded(lists, count)


class LabelMiner:
    """The negatives that the data name."""

    def __init__(self, negatives: list[tuple[int, ...]]) -> None:
        self.negatives = negatives

    def nearest(self, queries: np.ndarray, passages: np.ndarray, count: int, step: int) -> np.ndarray:
        return _padded([self.negatives[n][:count] for n in queries], count)


class NoMiner:
    """No hard negatives."""

    def nearest(self, queries: np.ndarray, passages: np.ndarray, count: int, step: int) -> np.ndarray:
        return np.full((len(queries), count), -1)


@dataclass
class StudentMiner:
    """What the student itself ranks highest, mined anew every stage.mine_every steps for the queries of the
    coming ones, and written down, so that a run that resumes between two minings has the same negatives.

    Memory: the rows of those queries, and one batch of passages.
    """

    pupil: Pupil
    stage: Mined
    queries_of: Callable[[int], np.ndarray]
    path: Path
    seed: int
    count: int
    start: int = -1

    def nearest(self, queries: np.ndarray, passages: np.ndarray, count: int, step: int) -> np.ndarray:
        start = step - step % self.stage.mine_every
        if start != self.start:
            self._mine(start)
        return self.table[np.searchsorted(self.asked, queries), :count]

    def _mine(self, start: int) -> None:
        path = self.path.with_name(f"{self.path.name}.{start}.npy")
        steps = range(start, start + self.stage.mine_every)
        self.asked = np.unique(np.concatenate([self.queries_of(step) for step in steps]))
        if path.exists():
            self.table = np.load(path, allow_pickle=False)
        else:
            self.table = self._search(start)
            content = io.BytesIO()
            np.save(content, self.table)
            with disk_errors(path):
                write_whole(path, content.getvalue())
        self.start = start

    @torch.no_grad()
    def _search(self, start: int) -> np.ndarray:
        pool = np.arange(len(self.pupil.corpus.passages))
        if 0 < self.stage.mine_from < len(pool):
            chosen = np.random.default_rng((self.seed, 9, start)).permutation(len(pool))
            pool = np.sort(chosen[: self.stage.mine_from])
        corpus = self.pupil.corpus
        blocks = list(batches(corpus.queries.lengths[self.asked], BATCH_TOKENS))
        asked = [self._rows(self.pupil.queries(self.asked[block])) for block in blocks]
        best = [torch.full((len(block), self.count), FAR) for block in blocks]
        numbers = [torch.full((len(block), self.count), -1) for block in blocks]
        for which in batches(corpus.passages.lengths[pool], BATCH_TOKENS):
            rows = self._rows(self.pupil.passages(pool[which]))
            here = torch.from_numpy(pool[which])
            for n, (query_rows, query_kept) in enumerate(asked):
                scores = torch.cat([best[n], maxsim(query_rows, query_kept, *rows).cpu()], 1)
                candidates = torch.cat([numbers[n], here.expand(len(scores), -1)], 1)
                best[n], order = torch.topk(scores, self.count)
                numbers[n] = candidates.gather(1, order)
        table = np.empty((len(self.asked), self.count), dtype=np.int64)
        table[np.concatenate(blocks)] = torch.cat(numbers).numpy()
        return table

    def _rows(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Rows and which of them are kept; or the mean of the kept ones as the only row."""
        rows = self.pupil.student.rows(batch)
        if self.stage.mine_by == "maxsim":
            return rows, batch.kept
        means = torch.nn.functional.normalize((rows * batch.kept[..., None]).sum(1, keepdim=True), dim=-1)
        return means, batch.kept[:, 1:2]


def _padded(rows: list, count: int) -> np.ndarray:
    table = np.full((len(rows), count), -1)
    for row, numbers in zip(table, rows, strict=True):
        row[: len(numbers)] = numbers
    return table
