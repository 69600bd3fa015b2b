"""Stage `contrast`: InfoNCE over MaxSim on labelled pairs, with in-batch and hard negatives.

Gradient-cached (Gao et al., Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup, arXiv
2101.06983): texts are encoded in chunks without a graph; the loss is taken on their rows; then each chunk is
encoded again, with a graph, and given the gradient of its rows. So what has to fit in memory is one chunk's
activations, however large the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from femtosearch.train.corpus import Corpus, Texts
from femtosearch.train.maxsim import FAR, flat_maxsim
from femtosearch.train.mining import Miner
from femtosearch.train.recipe import ContrastStage
from femtosearch.train.student import Batch, Pupil, Student
from femtosearch.train.teacher import batches

SPARE = 4  # hard negatives asked for beyond those needed, since some turn out to be right


@dataclass(frozen=True, slots=True, eq=False)
class Draw:
    """A step's texts by their numbers, shortest first. queries: [n]; passages: [m], each once; labels: [n],
    the place of each query's own passage; counted: [n, m] bool.

    A passage does not count for a query that it answers, by this pair or by another pair with the same query,
    unless it is this pair's own: it would be a false negative.
    """

    queries: np.ndarray
    passages: np.ndarray
    labels: np.ndarray
    counted: np.ndarray


class Contrast:
    """Draws a step's pairs and negatives and takes the loss over all of the step's passages."""

    def __init__(self, pupil: Pupil, stage: ContrastStage, seed: int) -> None:
        self.pupil, self.stage, self.seed = pupil, stage, seed
        self.trained = pupil.corpus.trained
        self.same = _same_queries(pupil.corpus)
        self.right = _right_passages(pupil.corpus, self.same)
        self.miner: Miner | None = None

    def queries_of(self, step: int) -> np.ndarray:
        """A step's queries: each epoch every trained query once, but for the last few, in an order of its
        own.
        """
        batch = min(self.stage.batch, len(self.trained))
        epoch, at = divmod(step, len(self.trained) // batch)
        order = np.random.default_rng((self.seed, 10, epoch)).permutation(len(self.trained))
        return self.trained[order[at * batch : (at + 1) * batch]]

    def draw(self, step: int) -> Draw:
        """The step's texts, and which passages count for which query."""
        corpus = self.pupil.corpus
        queries = _by_length(self.queries_of(step), corpus.queries)
        right = corpus.answers[queries]
        passages = _by_length(
            np.unique(np.concatenate([right, *self._hard(queries, right, step)])), corpus.passages
        )
        counted = np.stack([~np.isin(passages, self.right[self.same[query]]) for query in queries])
        order = np.argsort(passages)
        labels = order[np.searchsorted(passages[order], right)]
        counted[np.arange(len(queries)), labels] = True
        return Draw(queries, passages, labels, counted)

    def losses(self, step: int) -> dict[str, Tensor]:
        """Cross-entropy of each query's own passage among those that count."""
        draw, pupil, tokens = self.draw(step), self.pupil, self.stage.chunk_tokens
        query_batches = chunks(pupil.queries, draw.queries, pupil.corpus.queries, tokens)
        texts = chunks(pupil.passages, draw.passages, pupil.corpus.passages, tokens)
        lengths = [torch.cat([batch.kept.sum(1) for batch in part]) for part in (query_batches, texts)]
        rows = [cached_rows(pupil.student, part) for part in (query_batches, texts)]
        scores = flat_maxsim(rows[0], lengths[0], rows[1], lengths[1].tolist()) / self.stage.temperature
        scores = scores.masked_fill(~torch.from_numpy(draw.counted).to(scores.device), FAR)
        labels = torch.from_numpy(draw.labels).to(scores.device)
        right = (scores.detach().argmax(-1) == labels).float().mean()
        return {"loss": F.cross_entropy(scores, labels), "right": right}

    def _hard(self, queries: np.ndarray, right: np.ndarray, step: int) -> list[np.ndarray]:
        """For each query the first `hard` of the mined passages that do not answer it."""
        if not self.stage.hard or self.stage.negatives == "none":
            return []
        mined = self.miner.nearest(queries, right, self.stage.hard + SPARE, step)
        negatives = []
        for query, row in zip(queries, mined, strict=True):
            wrong = (row >= 0) & ~np.isin(row, self.right[self.same[query]])
            negatives.append(row[wrong][: self.stage.hard])
        return negatives


def chunks(
    batch: Callable[[np.ndarray], Batch], numbers: np.ndarray, texts: Texts, tokens: int
) -> list[Batch]:
    """Texts, shortest first, as batches of about `tokens` tokens, in their order."""
    return [batch(numbers[which]) for which in batches(texts.lengths[numbers], tokens)]


def cached_rows(student: Student, parts: list[Batch]) -> Tensor:
    """The kept rows of the batches' texts, end to end, [T, D], encoded without a graph. Their gradient
    reaches the student's parameters through a second encoding, batch by batch.
    """
    anchor = student.dense.weight  # an input that has a gradient, so that the rows have one
    return _CachedRows.apply(student, parts, anchor)


class _CachedRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, student: Student, parts: list[Batch], anchor: Tensor) -> Tensor:
        ctx.student, ctx.parts = student, parts
        ctx.half = torch.is_autocast_enabled(anchor.device.type)
        rows = [student.rows(batch)[batch.kept] for batch in parts]  # torch records no graph in here
        ctx.sizes = [len(part) for part in rows]
        return torch.cat(rows)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, None, None]:
        for batch, part in zip(ctx.parts, grad.split(ctx.sizes), strict=True):
            with torch.enable_grad(), torch.autocast(grad.device.type, torch.float16, enabled=ctx.half):
                rows = ctx.student.rows(batch)[batch.kept]
            rows.backward(part)
        return None, None, None


def _by_length(numbers: np.ndarray, texts: Texts) -> np.ndarray:
    return numbers[np.argsort(texts.lengths[numbers], kind="stable")]


def _same_queries(corpus: Corpus) -> np.ndarray:
    """A number for each query, [queries]; queries of the same tokens have the same."""
    known: dict[bytes, int] = {}
    count = len(corpus.queries)
    return np.array([known.setdefault(corpus.queries[n].tobytes(), len(known)) for n in range(count)])


def _right_passages(corpus: Corpus, same: np.ndarray) -> list[np.ndarray]:
    """The passages that answer each query, under its number of `_same_queries`."""
    order = np.argsort(same, kind="stable")
    borders = np.flatnonzero(np.diff(same[order])) + 1
    return np.split(corpus.answers[order], borders)
