"""Stage `project`: a linear map of the teacher's vectors to the student's dims that ranks as they do.

The first principal directions say most of what a vector is, not most of what a ranking needs. So the map
starts there and learns, by KL divergence over hard candidates, to keep the scores of all directions.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn
from torch.nn import functional as F

from femtosearch.train.corpus import Corpus
from femtosearch.train.distil import kl_divergence
from femtosearch.train.draw import PoolDraw
from femtosearch.train.maxsim import maxsim
from femtosearch.train.recipe import ProjectStage
from femtosearch.train.scores import TokenScores
from femtosearch.train.student import Pupil


class Projecting(nn.Module):
    """The map, [C, dims], in training."""

    def __init__(
        self, pupil: Pupil, stage: ProjectStage, draw: PoolDraw, teacher: TokenScores, first: Tensor
    ) -> None:
        super().__init__()
        self.pupil, self.stage, self.draw, self.teacher = pupil, stage, draw, teacher
        self.table = nn.Parameter(first.to(pupil.student.device))

    @property
    def corpus(self) -> Corpus:
        """Of the pupil."""
        return self.pupil.corpus

    @property
    def directions(self) -> Tensor:
        """[C, dims], no longer in training."""
        return self.table.detach()

    def losses(self, step: int) -> dict[str, Tensor]:
        """The step's KL divergence."""
        queries, passages = self.draw(step)
        query_vectors = self.teacher.query_rows(queries, self.pupil.queries(queries))
        passage_vectors = self.teacher.passage_rows(passages, self.pupil.passages(passages))
        target = self.teacher.of_rows(queries, passages, *query_vectors, *passage_vectors)
        scores = maxsim(
            self._projected(query_vectors[0]),
            query_vectors[1],
            self._projected(passage_vectors[0]),
            passage_vectors[1],
        )
        return {"loss": kl_divergence(scores, target, self.stage)}

    def query_rows(self, numbers: np.ndarray) -> tuple[Tensor, Tensor]:
        """The projected unit vectors [n, T, dims] of queries, and which count, [n, T]."""
        rows, counts = self.teacher.query_rows(numbers, self.pupil.queries(numbers))
        return self._projected(rows), counts

    def passage_rows(self, numbers: np.ndarray) -> tuple[Tensor, Tensor]:
        """The same of passages."""
        rows, counts = self.teacher.passage_rows(numbers, self.pupil.passages(numbers))
        return self._projected(rows), counts

    def _projected(self, rows: Tensor) -> Tensor:
        return F.normalize(rows @ self.table, dim=-1)
