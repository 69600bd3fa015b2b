"""Stage `distil`: the student's MaxSim scores learn a teacher's, over hard candidates, un-normalised.

The loss is the KL divergence between the two softmaxes of a query's scores. Scores are sums, never scaled to
[0, 1] unless the recipe asks for it: min-max normalised scores leave the size of an inner product, on which
FDE rests, without meaning.

Two ways to draw a step. Where a teacher's scores are cheap (`PoolDistiller`): a few seed passages, hard ones
and some at random, one query of each, every query against every passage. Where each score is dear, or given
(`ListDistiller`): some queries, each with candidates of its own.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from femtosearch.train.corpus import Corpus, Scored
from femtosearch.train.draw import PoolDraw
from femtosearch.train.maxsim import FAR, maxsim, own_maxsim
from femtosearch.train.mining import Miner
from femtosearch.train.recipe import DistilStage
from femtosearch.train.scores import CrossEncoderScores, PoolScores
from femtosearch.train.student import Pupil
from femtosearch.train.tokens import TokenTargets


class PoolDistiller:
    """Scores a step's passages for a step's queries with teacher and student, all with all."""

    def __init__(
        self,
        pupil: Pupil,
        stage: DistilStage,
        draw: PoolDraw,
        teacher: PoolScores,
        targets: list[TokenTargets],
    ) -> None:
        self.pupil, self.stage, self.draw, self.teacher, self.targets = pupil, stage, draw, teacher, targets

    def losses(self, step: int) -> dict[str, Tensor]:
        """The step's loss: KL divergence plus token_weight times the token loss."""
        numbers = self.draw(step)
        query_batch, passages = self.pupil.queries(numbers[0]), self.pupil.passages(numbers[1])
        student = self.pupil.student
        rows = student.rows(query_batch), student.rows(passages)
        scores = maxsim(rows[0], query_batch.kept, rows[1], passages.kept)
        with torch.no_grad():
            target = self.teacher.scores(*numbers, query_batch, passages)
        divergence = kl_divergence(scores, target, self.stage)
        if not self.stage.token_weight:
            return {"loss": divergence, "kl": divergence}
        token = self.targets[0].loss(rows[0], query_batch, numbers[0])
        token = token + self.targets[1].loss(rows[1], passages, numbers[1])
        return {"loss": divergence + self.stage.token_weight * token, "kl": divergence, "token": token / 2}


class Lists(Protocol):
    """A step's queries [n], their candidates [n, C], -1 for none, and the teacher's scores [n, C]."""

    def draw(self, step: int) -> tuple[np.ndarray, np.ndarray, Tensor]: ...


class StoredLists:
    """Scores that the data hold: each epoch every row once, in an order of its own."""

    def __init__(self, scored: Scored, batch: int, seed: int) -> None:
        self.scored, self.batch, self.seed = scored, batch, seed
        self.per_epoch = -(-len(scored.queries) // batch)

    def draw(self, step: int) -> tuple[np.ndarray, np.ndarray, Tensor]:
        epoch, at = divmod(step, self.per_epoch)
        order = np.random.default_rng((self.seed, 7, epoch)).permutation(len(self.scored.queries))
        rows = order[at * self.batch : (at + 1) * self.batch]
        scores = torch.from_numpy(self.scored.scores[rows])
        return self.scored.queries[rows], self.scored.passages[rows], scores


class JudgedLists:
    """Queries with their own passage, hard ones and random ones, judged by a cross-encoder."""

    def __init__(self, corpus: Corpus, stage: DistilStage, teacher: CrossEncoderScores, seed: int) -> None:
        self.corpus, self.stage, self.teacher, self.seed = corpus, stage, teacher, seed
        self.trained = corpus.trained
        self.miner: Miner | None = None

    def queries_of(self, step: int) -> np.ndarray:
        """A step's queries."""
        rng = np.random.default_rng((self.seed, 7, step))
        return self.trained[rng.permutation(len(self.trained))[: self.stage.batch]]

    def draw(self, step: int) -> tuple[np.ndarray, np.ndarray, Tensor]:
        queries = self.queries_of(step)
        right = self.corpus.answers[queries]
        hard = self.miner.nearest(queries, right, self.stage.near, step)
        rng = np.random.default_rng((self.seed, 8, step))
        far = rng.integers(0, len(self.corpus.passages), (len(queries), self.stage.random))
        candidates = np.concatenate([right[:, None], hard, far], 1)
        for row in candidates:  # each passage once
            again = np.ones(len(row), dtype=bool)
            again[np.unique(row, return_index=True)[1]] = False
            row[again] = -1
        return queries, candidates, self.teacher.scores(queries, candidates)


class ListDistiller:
    """Scores each query's own candidates."""

    def __init__(self, pupil: Pupil, stage: DistilStage, lists: Lists) -> None:
        self.pupil, self.stage, self.lists = pupil, stage, lists

    def losses(self, step: int) -> dict[str, Tensor]:
        """The step's KL divergence."""
        queries, candidates, target = self.lists.draw(step)
        student = self.pupil.student
        there = torch.from_numpy(candidates >= 0).to(student.device)
        numbers, where = np.unique(
            np.where(candidates < 0, candidates[:, :1], candidates), return_inverse=True
        )
        where = torch.from_numpy(where.reshape(candidates.shape)).to(student.device)
        query_batch, passages = self.pupil.queries(queries), self.pupil.passages(numbers)
        scores = own_maxsim(
            student.rows(query_batch), query_batch.kept, student.rows(passages)[where], passages.kept[where]
        )
        divergence = kl_divergence(scores, target.to(student.device), self.stage, there)
        return {"loss": divergence, "kl": divergence}


def kl_divergence(scores: Tensor, target: Tensor, stage: DistilStage, there: Tensor | None = None) -> Tensor:
    """KL(teacher || student) of the softmaxes of [n, C] scores, the mean over the queries; candidates that
    are not there do not count.
    """
    there = torch.ones_like(scores, dtype=torch.bool) if there is None else there
    if stage.normalise == "min-max":
        scores, target = _min_max(scores, there), _min_max(target, there)
    return F.kl_div(
        F.log_softmax(scores.masked_fill(~there, FAR), -1),
        F.log_softmax((target * stage.teacher_scale).masked_fill(~there, FAR), -1),
        log_target=True, reduction="batchmean",
    )  # fmt: skip


def _min_max(scores: Tensor, there: Tensor) -> Tensor:
    low = scores.masked_fill(~there, -FAR).amin(-1, keepdim=True)
    high = scores.masked_fill(~there, FAR).amax(-1, keepdim=True)
    return (scores - low) / (high - low).clamp(min=1e-8)
