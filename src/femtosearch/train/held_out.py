"""nDCG@10 of held-out queries over a sample of passages: what training is steered by, never an evaluation
set.
"""

from __future__ import annotations

import numpy as np
import torch

from femtosearch.train.maxsim import maxsim
from femtosearch.train.student import Pupil
from femtosearch.train.teacher import batches

DISTRACTORS = 3000
BATCH_TOKENS = 8192


@torch.no_grad()
def held_out_ndcg(pupil: Pupil, seed: int) -> float | None:
    """Each held-out query has one right passage, among those of the others and some distractors. None if no
    query is held out.
    """
    corpus, student = pupil.corpus, pupil.student
    if not len(corpus.held_out):
        return None
    rng = np.random.default_rng(seed)
    answers = corpus.answers[corpus.held_out]
    pool = np.unique(np.concatenate([answers, rng.permutation(len(corpus.passages))[:DISTRACTORS]]))
    asked = pupil.queries(corpus.held_out)
    queries = student.rows(asked)
    scores = torch.empty(len(queries), len(pool))
    for numbers in batches(corpus.passages.lengths[pool], BATCH_TOKENS):
        passages = pupil.passages(pool[numbers])
        scores[:, numbers] = maxsim(queries, asked.kept, student.rows(passages), passages.kept).cpu()
    right = scores[torch.arange(len(answers)), torch.from_numpy(np.searchsorted(pool, answers))]
    rank = (scores > right[:, None]).sum(1) + 1
    return float(torch.where(rank <= 10, 1 / torch.log2(rank + 1.0), 0.0).mean())
