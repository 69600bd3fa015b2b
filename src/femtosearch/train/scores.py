"""Where stage `distil` has a teacher's scores from: token vectors, mean vectors, a cross-encoder."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from femtosearch.errors import RecipeError
from femtosearch.train.archive import Archive
from femtosearch.train.maxsim import maxsim
from femtosearch.train.sources import CROSS_ENCODER, extra
from femtosearch.train.student import Batch
from femtosearch.train.teacher import Vectors
from femtosearch.train.tokens import TokenTargets


class PoolScores(Protocol):
    """A teacher that scores n queries against m passages: [n, m]."""

    def scores(self, queries: np.ndarray, passages: np.ndarray, asked: Batch, kept: Batch) -> Tensor:
        """By their numbers in the corpus; the student's batches of the same texts say which tokens count."""
        ...


class TokenScores:
    """MaxSim of the teacher's token vectors, at the tokens that the student keeps, plus pooled_weight times
    the cosine of its mean vectors times the query's rows.
    """

    def __init__(self, queries: TokenTargets, passages: TokenTargets, pooled_weight: float = 0.0) -> None:
        self.queries, self.passages, self.pooled_weight = queries, passages, pooled_weight
        self.pooled = PooledScores(queries.vectors, passages.vectors, queries.student.device)

    def scores(self, queries: np.ndarray, passages: np.ndarray, asked: Batch, kept: Batch) -> Tensor:
        return self.of_rows(
            queries, passages, *self.query_rows(queries, asked), *self.passage_rows(passages, kept)
        )

    def query_rows(self, numbers: np.ndarray, batch: Batch) -> tuple[Tensor, Tensor]:
        """The teacher's vectors [n, T, C] of queries, and which count, [n, T]: it has no prefix."""
        counts = batch.attended.clone()
        counts[:, 1] = False
        return self.queries.teacher_rows(numbers, batch.ids.shape[1]), counts

    def passage_rows(self, numbers: np.ndarray, batch: Batch) -> tuple[Tensor, Tensor]:
        """The same of passages."""
        counts = batch.kept.clone()
        counts[:, 1] = False
        return self.passages.teacher_rows(numbers, batch.ids.shape[1]), counts

    def of_rows(self, queries: np.ndarray, passages: np.ndarray, *rows: Tensor) -> Tensor:
        """The scores from the rows of both."""
        scores = maxsim(*rows)
        if self.pooled_weight:
            counts = rows[1].sum(1, keepdim=True)
            scores = scores + self.pooled_weight * counts * self.pooled.cosines(queries, passages)
        return scores


class PooledScores:
    """Cosine of the teacher's mean vectors."""

    def __init__(self, queries: Vectors, passages: Vectors, device: torch.device) -> None:
        self.queries, self.passages, self.device = queries.pooled, passages.pooled, device

    def scores(self, queries: np.ndarray, passages: np.ndarray, asked: Batch, kept: Batch) -> Tensor:
        return self.cosines(queries, passages)

    def cosines(self, queries: np.ndarray, passages: np.ndarray) -> Tensor:
        """[n, m]"""
        scores = self.queries[queries].astype(np.float32) @ self.passages[passages].astype(np.float32).T
        return torch.from_numpy(scores).to(self.device)


class CrossEncoderScores:
    """Any cross-encoder of Sentence Transformers: its logits, before any activation."""

    def __init__(self, source: str, archive: Archive) -> None:
        library = extra("sentence_transformers", CROSS_ENCODER)
        self.archive = archive
        try:
            self.model = library.CrossEncoder(source)
        except (OSError, ValueError) as error:
            raise RecipeError(f"teacher {source!r}: no cross-encoder that can be loaded: {error}") from error

    def scores(self, queries: np.ndarray, candidates: np.ndarray) -> Tensor:
        """queries [n], candidates [n, C] passage numbers, -1 for none -> [n, C]; 0 for none."""
        n, at = np.nonzero(candidates >= 0)
        asked = self.archive.texts("queries", queries[n])
        pairs = list(zip(asked, self.archive.texts("passages", candidates[n, at]), strict=True))
        logits = np.asarray(
            self.model.predict(pairs, activation_fn=torch.nn.Identity(), show_progress_bar=False)
        )
        if logits.shape != (len(pairs),):
            raise RecipeError(f"the cross-encoder gives {logits.shape[1:]} numbers a pair; one is needed")
        scores = torch.zeros(candidates.shape)
        scores[n, at] = torch.from_numpy(logits.astype(np.float32))
        return scores
