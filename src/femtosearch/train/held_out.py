"""nDCG@10 of held-out queries over a sample of passages: what training is steered by, never an evaluation
set.
"""

from __future__ import annotations

import numpy as np
import torch

from femtosearch.train.corpus import Corpus
from femtosearch.train.distil import maxsim
from femtosearch.train.student import Student
from femtosearch.train.teacher import batches

DISTRACTORS = 3000


@torch.no_grad()
def held_out_ndcg(student: Student, corpus: Corpus, seed: int) -> float:
    """Each held-out query has one right passage, among those of the others and some distractors."""
    rng = np.random.default_rng(seed)
    answers = corpus.answers[corpus.held_out]
    pool = np.unique(np.concatenate([answers, rng.permutation(len(corpus.passages))[:DISTRACTORS]]))
    ids, mask = student.batch([corpus.queries[n] for n in corpus.held_out], queries=True)
    queries = student(ids, mask)
    scores = torch.empty(len(queries), len(pool))
    for numbers in batches(corpus.passages.lengths[pool], 8192):
        passage_ids, passage_mask = student.batch([corpus.passages[n] for n in pool[numbers]], queries=False)
        scores[:, numbers] = maxsim(queries, mask, student(passage_ids, passage_mask), passage_mask)
    right = scores[torch.arange(len(answers)), torch.from_numpy(np.searchsorted(pool, answers))]
    rank = (scores > right[:, None]).sum(1) + 1
    return float(torch.where(rank <= 10, 1 / torch.log2(rank + 1.0), 0.0).mean())
