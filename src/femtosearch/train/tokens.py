"""Stage `tokens`: the student's rows learn the teacher's projected token vectors, token by token.

The loss is 1 - cosine, over every token but the prefix and, in passages, the words of the skiplist.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from femtosearch.train.corpus import Texts
from femtosearch.train.student import Batch, Student
from femtosearch.train.teacher import Vectors, batches


class TokenTargets:
    """Texts beside their cached teacher rows, of C numbers, and the directions [C, dims] among them that the
    student learns.
    """

    def __init__(
        self, student: Student, texts: Texts, vectors: Vectors, directions: Tensor, *, queries: bool
    ) -> None:
        self.student, self.texts, self.vectors, self.queries = student, texts, vectors, queries
        self.directions = directions.to(student.device)
        self.weights = torch.ones(student.bert.config.vocab_size)
        self.weights[[student.query_id, student.document_id, *([] if queries else student.skipped)]] = 0
        if student.conventions.expand_queries:
            self.weights[student.mask_id] = 0
        self.weights = self.weights.to(student.device)

    def inputs(self, numbers: np.ndarray) -> Batch:
        """The student's batch of these texts."""
        return self.student.batch([self.texts[n] for n in numbers], queries=self.queries)

    def teacher_rows(self, numbers: np.ndarray, length: int) -> Tensor:
        """The teacher's cached rows where the student's tokens are, [N, length, C]; zeros at prefix and
        padding.

        A text that the student cuts keeps its first rows and, for the [SEP], its last.
        """
        conventions = self.student.conventions
        limit = conventions.query_length if self.queries else conventions.document_length
        out = np.zeros((len(numbers), length, self.vectors.rows.shape[1]), dtype=np.float16)
        for n, number in enumerate(numbers):
            start, stop = self.texts.starts[number], self.texts.starts[number + 1]
            count = min(stop - start, limit - 1)
            out[n, 0] = self.vectors.rows[start]
            out[n, 2 : count + 1] = self.vectors.rows[start + 1 : start + count]
            out[n, count] = self.vectors.rows[stop - 1]
        return torch.from_numpy(out).to(self.student.device).float()

    def loss(self, rows: Tensor, batch: Batch, numbers: np.ndarray) -> Tensor:
        """Mean of 1 - cosine(student row, teacher row) over the tokens that count."""
        target = F.normalize(self.teacher_rows(numbers, batch.ids.shape[1]) @ self.directions, dim=-1)
        weights = self.weights[batch.ids] * batch.attended
        return ((1 - (rows * target).sum(-1)) * weights).sum() / weights.sum()


def token_plan(
    kinds: list[Texts], batch_tokens: int, epochs: float, seed: int
) -> list[tuple[int, np.ndarray]]:
    """The batches of all epochs: (which kind, text numbers). Lengths are jittered, so epochs differ."""
    plan: list[tuple[int, np.ndarray]] = []
    size = None
    for epoch in range(int(np.ceil(epochs))):
        rng = np.random.default_rng((seed, epoch))
        whole = [
            (kind, numbers)
            for kind, texts in enumerate(kinds)
            for numbers in batches(texts.lengths + rng.integers(0, 8, len(texts)), batch_tokens)
        ]
        size = size or len(whole)
        plan += [whole[i] for i in rng.permutation(len(whole))]
    return plan[: max(1, int((size or 0) * epochs))]


def token_loss(kinds: list[TokenTargets], plan: list[tuple[int, np.ndarray]], step: int) -> dict[str, Tensor]:
    """The loss of one step of the plan."""
    kind, numbers = plan[step]
    targets = kinds[kind]
    batch = targets.inputs(numbers)
    return {"loss": targets.loss(targets.student.rows(batch), batch, numbers)}


def mean_vectors(
    texts: list[tuple[Texts, Vectors]], prior: Tensor, weight: float = 3.0, chunk: int = 1 << 18
) -> Tensor:
    """Each piece's mean teacher row, [V, C], over the texts and `weight` times the prior: the piece alone."""
    total, counts = prior * weight, torch.full((len(prior),), weight)
    for ids, vectors in texts:
        for at in range(0, len(ids.ids), chunk):
            pieces = torch.from_numpy(ids.ids[at : at + chunk].astype(np.int64))
            rows = torch.from_numpy(vectors.rows[at : at + chunk].astype(np.float32))
            total.index_add_(0, pieces, rows)
            counts.index_add_(0, pieces, torch.ones(len(pieces)))
    return total / counts[:, None]
