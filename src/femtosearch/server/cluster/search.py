"""A search of all shards: asked twice, as `index.shard` says, and the hits put together."""

from __future__ import annotations

import heapq
import math
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from femtosearch.index.fusion import PENALTY, WEIGHT, Moments
from femtosearch.index.hits import group_of
from femtosearch.index.places import folded
from femtosearch.index.request import Quota, Request
from femtosearch.index.searches import Hits
from femtosearch.index.shard import First, Question, Second, second_of
from femtosearch.server.cluster.version import Version
from femtosearch.types import Hit

OPTIONS = frozenset(["candidates", "recall", "where", "min_score", "per", "hybrid", "length_penalty"])
_MOST_FOLDED = 16  # times k hits are looked at, to find k that are no copies
_AT_ONCE = Second(Moments(), (-math.inf, -math.inf, -math.inf))  # where shards need not know of each other


@dataclass(frozen=True, slots=True)
class Asked:
    """What a search was asked, checked."""

    request: Request
    partial: bool = False
    spots: bool = False
    fold: bool = False


class Search:
    """One search of a version."""

    def __init__(self, version: Version, asked: Asked) -> None:
        self._version, self._asked = version, asked
        self._missing: dict[int, str] = {}

    def answers(self, rows: Sequence[np.ndarray]) -> list[list[Hit]]:
        """The hits of each query, best first.

        rows:  of each query, [Q, D] float32.
        Raises MissingShardsError, QueryError.
        """
        self._miss(self._version.load())
        request = self._asked.request
        if request.per is None:
            answers = self._best(request, rows)
        else:
            answers = [self._spread(text, query) for text, query in zip(request.texts, rows, strict=True)]
        if self._asked.fold:
            asked = zip(request.texts, rows, answers, strict=True)
            answers = [self._folded(text, query, hits) for text, query, hits in asked]
        return [self._marked(hits) for hits in answers]

    def _marked(self, hits: list[Hit]) -> list[Hit]:
        marked = Hits(hits)
        marked.missing = tuple(self._version.names[number] for number in sorted(self._missing))
        return marked

    def _best(self, request: Request, rows: Sequence[np.ndarray]) -> list[list[Hit]]:
        """The k best of all shards, without a quota."""
        questions = self._questions(replace(request, per=None), rows)
        shards = [number for number in self._version.totals if number not in self._missing]
        seconds = [_AT_ONCE] * len(questions)
        if self._asks_twice(questions[0]):
            firsts: dict[int, list[First]] = self._ask("begin", dict.fromkeys(shards, (questions,)))
            seconds = [
                second_of(question, [first[n] for first in firsts.values()])
                for n, question in enumerate(questions)
            ]
        answers = self._ask("finish", dict.fromkeys(shards, (questions, seconds)))
        return [merged((hits[n] for hits in answers.values()), request.k) for n in range(len(questions))]

    def _questions(self, request: Request, rows: Sequence[np.ndarray]) -> list[Question]:
        version = self._version
        weight = request.hybrid
        if weight is None:
            weight = WEIGHT if request.mode == "auto" and version.has_words else 0.0
            request = replace(request, hybrid=weight)
        statistics = version.statistics(request.texts) if weight else None
        return [
            Question(
                uuid.uuid4().hex,
                query,
                replace(request, texts=[text]),
                statistics,
                version.passages,
                self._asked.spots,
            )
            for text, query in zip(request.texts, rows, strict=True)
        ]

    def _asks_twice(self, question: Question) -> bool:
        """Whether a score depends on what other shards have."""
        request = question.request
        penalty = PENALTY if request.length_penalty is None else request.length_penalty
        return bool(request.hybrid) or bool(penalty and self._version.is_long and request.mode != "fde")

    def _spread(self, text: str, query: np.ndarray) -> list[Hit]:
        """The k best of which no more than so many have one value of a field."""
        request = replace(self._asked.request, texts=[text])
        assert request.per is not None
        k = 4 * request.k
        while True:
            hits = self._best(replace(request, k=k), [query])[0]
            chosen = within(hits, request.per, request.k)
            if len(chosen) == request.k or len(hits) < k:
                return chosen
            k *= 4

    def _folded(self, text: str, query: np.ndarray, hits: list[Hit]) -> list[Hit]:
        """The hits of one query without copies, asked for again where copies have taken places."""
        request, k = replace(self._asked.request, texts=[text]), self._asked.request.k
        while len(folded(hits)) < request.k and len(hits) == k < _MOST_FOLDED * request.k:
            k *= 2
            hits = self._best(replace(request, k=k), [query])[0]
            hits = hits if request.per is None else within(hits, request.per, k)
        return folded(hits)[: request.k]

    def _ask(self, method: str, arguments: Mapping[int, tuple[Any, ...]]) -> dict[int, Any]:
        answers = self._version.router.ask(method, arguments)
        self._miss(answers.missing)
        return answers.by_shard

    def _miss(self, missing: Mapping[int, str]) -> None:
        """Remember shards that did not answer. Raises MissingShardsError where all are wanted."""
        if missing and not self._asked.partial:
            raise self._version.router.missing(missing)
        self._missing.update(missing)


def merged(several: Iterable[list[Hit]], k: int) -> list[Hit]:
    """The k best hits of lists that are sorted so: best first, of equals the smaller id first."""
    return list(heapq.merge(*several, key=lambda hit: (-hit.score, hit.id)))[:k]


def within(hits: Iterable[Hit], quota: Quota, k: int) -> list[Hit]:
    """The first k hits of which no more than so many have one value of a field."""
    counts: Counter[str] = Counter()
    chosen: list[Hit] = []
    for hit in hits:
        values = group_of(hit, quota)
        if len(chosen) < k and all(counts[value] < quota.most for value in values):
            counts.update(values)
            chosen.append(hit)
    return chosen
