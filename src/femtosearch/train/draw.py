"""How a step of a stage that learns a cheap teacher's scores is drawn: a few seed passages, hard ones near
them and some at random, one query of each, every query against every passage.
"""

from __future__ import annotations

import numpy as np

from femtosearch.train.corpus import Corpus
from femtosearch.train.mining import Miner
from femtosearch.train.recipe import PoolStage


class Answered:
    """The passages that answer a trained query, rising, and the queries of each."""

    def __init__(self, corpus: Corpus) -> None:
        trained = corpus.trained
        answers = corpus.answers[trained]
        order = np.argsort(answers, kind="stable")
        self.queries = trained[order]
        self.passages, first = np.unique(answers[order], return_index=True)
        self.first = np.append(first, len(order))

    def a_query(self, places: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A query of each passage, by the passages' places in self.passages."""
        offsets = rng.random(len(places)) * (self.first[places + 1] - self.first[places])
        return self.queries[self.first[places] + offsets.astype(np.int64)]


class PoolDraw:
    """Draws each step's queries and passages; what it draws depends on the step alone."""

    def __init__(self, corpus: Corpus, stage: PoolStage, seed: int) -> None:
        self.stage, self.seed = stage, seed
        self.answered = Answered(corpus)
        self.miner: Miner | None = None

    def seeds(self, step: int) -> np.ndarray:
        """Places of a step's seed passages among the answered ones."""
        return np.random.default_rng((self.seed, 7, step)).integers(
            0, len(self.answered.passages), self.stage.clusters
        )

    def queries_of(self, step: int) -> np.ndarray:
        """A query of each seed passage: what a miner asks."""
        return self.answered.a_query(self.seeds(step), np.random.default_rng((self.seed, 8, step)))

    def __call__(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """(query numbers, passage numbers) of a step: one query to each passage that has any."""
        rng = np.random.default_rng((self.seed, 7, step))
        passages, stage = self.answered.passages, self.stage
        seeds = passages[rng.integers(0, len(passages), stage.clusters)]
        near = self.miner.nearest(self.queries_of(step), seeds, stage.near, step)
        far = passages[rng.integers(0, len(passages), stage.random)]
        own = [] if stage.negatives == "teacher" else [seeds]  # the teacher's nearest begin with the seed
        chosen = np.unique(np.concatenate([near[near >= 0], far, *own]))
        places = np.searchsorted(passages, chosen)
        places = places[passages[np.minimum(places, len(passages) - 1)] == chosen]
        return self.answered.a_query(places, rng), chosen
