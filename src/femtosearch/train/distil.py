"""Stage `distil`: the student's MaxSim scores learn the teacher's, over hard candidates, un-normalised.

A step takes a few seed passages, the passages nearest to each by the teacher's pooled vector, and some at
random; one query of each is scored against all of them. The loss is the KL divergence between the two
softmaxes of a query's scores, and a share of the token loss. Scores are sums, never scaled to [0, 1]: min-
max normalised scores would leave the size of an inner product, on which FDE rests, without meaning.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from femtosearch.train.corpus import Corpus
from femtosearch.train.recipe import DistilStage
from femtosearch.train.tokens import TokenTargets


class Distiller:
    """Draws a step's queries and passages and scores them with teacher and student."""

    def __init__(
        self, corpus: Corpus, queries: TokenTargets, passages: TokenTargets, stage: DistilStage, seed: int
    ) -> None:
        self.queries, self.passages, self.stage, self.seed = queries, passages, stage, seed
        trained = np.setdiff1d(np.arange(len(corpus.queries)), corpus.held_out)
        answers = corpus.answers[trained]
        order = np.argsort(answers, kind="stable")
        self.sorted_queries = trained[order]
        self.answered, first = np.unique(answers[order], return_index=True)
        self.first = np.append(first, len(order))
        self.pooled = torch.from_numpy(np.asarray(passages.vectors.pooled[self.answered], dtype=np.float32))

    def draw(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """(query numbers, passage numbers) of a step, one query to each passage."""
        rng = np.random.default_rng((self.seed, 7, step))
        seeds = rng.integers(0, len(self.answered), self.stage.clusters)
        count = min(self.stage.near, len(self.answered))
        near = torch.topk(self.pooled[seeds] @ self.pooled.T, count).indices.flatten().numpy()
        chosen = np.unique(np.concatenate([near, rng.integers(0, len(self.answered), self.stage.random)]))
        offsets = rng.random(len(chosen)) * (self.first[chosen + 1] - self.first[chosen])
        return self.sorted_queries[self.first[chosen] + offsets.astype(np.int64)], self.answered[chosen]

    def losses(self, step: int) -> dict[str, Tensor]:
        """The step's loss: KL divergence plus token_weight times the token loss."""
        query_numbers, passage_numbers = self.draw(step)
        query_ids, query_mask = self.queries.inputs(query_numbers)
        passage_ids, passage_mask = self.passages.inputs(passage_numbers)
        query_rows = self.queries.student(query_ids, query_mask)
        passage_rows = self.passages.student(passage_ids, passage_mask)
        kept = passage_mask & (self.passages.weights[passage_ids] > 0)
        kept[:, 1] = True
        scores = maxsim(query_rows, query_mask, passage_rows, kept)
        with torch.no_grad():
            wanted = self._teacher_scores(
                query_numbers, query_ids, query_mask, passage_numbers, passage_ids, kept
            )
        divergence = F.kl_div(
            F.log_softmax(scores, -1), F.log_softmax(wanted * self.stage.teacher_scale, -1),
            log_target=True, reduction="batchmean",
        )  # fmt: skip
        token = self.queries.loss(query_rows, query_ids, query_mask, query_numbers)
        token = token + self.passages.loss(passage_rows, passage_ids, passage_mask, passage_numbers)
        return {"loss": divergence + self.stage.token_weight * token, "kl": divergence, "token": token / 2}

    def _teacher_scores(
        self,
        query_numbers: np.ndarray,
        query_ids: Tensor,
        query_mask: Tensor,
        passage_numbers: np.ndarray,
        passage_ids: Tensor,
        kept: Tensor,
    ) -> Tensor:
        query_rows = self.queries.teacher_rows(query_numbers, query_ids.shape[1])
        passage_rows = self.passages.teacher_rows(passage_numbers, passage_ids.shape[1])
        query_mask, kept = query_mask.clone(), kept.clone()
        query_mask[:, 1] = kept[:, 1] = False  # the teacher has no prefix
        return maxsim(query_rows, query_mask, passage_rows, kept)


def maxsim(queries: Tensor, query_mask: Tensor, passages: Tensor, kept: Tensor) -> Tensor:
    """[n, Q, D], [n, Q], [m, T, D], [m, T] -> [n, m]: the sum over query rows of the maximum over kept
    passage rows.

    Only kept rows are multiplied; the maxima are taken passage by passage.
    """
    rows = queries[query_mask]
    best = torch.stack([(rows @ text[keep].T).amax(1) for text, keep in zip(passages, kept, strict=True)], 1)
    owner = torch.arange(len(queries)).repeat_interleave(query_mask.sum(1))
    return torch.zeros(len(queries), len(passages)).index_add_(0, owner, best)
