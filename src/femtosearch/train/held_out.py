"""nDCG@10 of held-out queries over a sample of passages: what training is steered by, never an evaluation
set.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from femtosearch.train.corpus import Corpus
from femtosearch.train.maxsim import maxsim
from femtosearch.train.teacher import batches

DISTRACTORS = 3000
BATCH_TOKENS = 8192


class Encoding(Protocol):
    """What turns a corpus's texts, by their numbers, into rows [n, T, D] and which of them count, [n, T]."""

    corpus: Corpus

    def query_rows(self, numbers: np.ndarray) -> tuple[Tensor, Tensor]: ...

    def passage_rows(self, numbers: np.ndarray) -> tuple[Tensor, Tensor]: ...


@torch.no_grad()
def held_out_ndcg(encoding: Encoding, seed: int) -> float | None:
    """Each held-out query has one right passage, among those of the others and some distractors. None if no
    query is held out.
    """
    corpus = encoding.corpus
    if not len(corpus.held_out):
        return None
    rng = np.random.default_rng(seed)
    answers = corpus.answers[corpus.held_out]
    pool = np.unique(np.concatenate([answers, rng.permutation(len(corpus.passages))[:DISTRACTORS]]))
    query_rows = encoding.query_rows(corpus.held_out)
    scores = torch.empty(len(answers), len(pool))
    for numbers in batches(corpus.passages.lengths[pool], BATCH_TOKENS):
        scores[:, numbers] = maxsim(*query_rows, *encoding.passage_rows(pool[numbers])).cpu()
    right = scores[torch.arange(len(answers)), torch.from_numpy(np.searchsorted(pool, answers))]
    rank = (scores > right[:, None]).sum(1) + 1
    return float(torch.where(rank <= 10, 1 / torch.log2(rank + 1.0), 0.0).mean())
