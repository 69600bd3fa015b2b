"""Where stage `distil` has a teacher's scores from: token vectors, mean vectors, a cross-encoder."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from femtosearch.errors import RecipeError
from femtosearch.train.archive import Archive
from femtosearch.train.maxsim import maxsim
from femtosearch.train.sources import extra
from femtosearch.train.student import Batch
from femtosearch.train.teacher import Vectors
from femtosearch.train.tokens import TokenTargets


class PoolScores(Protocol):
    """A teacher that scores n queries against m passages: [n, m]."""

    def scores(self, queries: np.ndarray, passages: np.ndarray, asked: Batch, kept: Batch) -> Tensor:
        """By their numbers in the corpus; the student's batches of the same texts say which tokens count."""
        ...


class TokenScores:
    """MaxSim of the teacher's projected token vectors, at the tokens that the student keeps."""

    def __init__(self, queries: TokenTargets, passages: TokenTargets) -> None:
        self.queries, self.passages = queries, passages

    def scores(self, queries: np.ndarray, passages: np.ndarray, asked: Batch, kept: Batch) -> Tensor:
        query_rows = self.queries.teacher_rows(queries, asked.ids.shape[1])
        passage_rows = self.passages.teacher_rows(passages, kept.ids.shape[1])
        query_mask, passage_mask = asked.attended.clone(), kept.kept.clone()
        query_mask[:, 1] = passage_mask[:, 1] = False  # the teacher has no prefix
        return maxsim(query_rows, query_mask, passage_rows, passage_mask)


class PooledScores:
    """Cosine of the teacher's mean vectors."""

    def __init__(self, queries: Vectors, passages: Vectors, device: torch.device) -> None:
        self.queries, self.passages, self.device = queries.pooled, passages.pooled, device

    def scores(self, queries: np.ndarray, passages: np.ndarray, asked: Batch, kept: Batch) -> Tensor:
        found = self.queries[queries].astype(np.float32) @ self.passages[passages].astype(np.float32).T
        return torch.from_numpy(found).to(self.device)


class CrossEncoderScores:
    """Any cross-encoder of Sentence Transformers: its logits, before any activation."""

    def __init__(self, source: str, archive: Archive) -> None:
        library = extra("sentence_transformers", 'the teacher\'s kind is "cross-encoder"')
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
        found = torch.zeros(candidates.shape)
        found[n, at] = torch.from_numpy(logits.astype(np.float32))
        return found
