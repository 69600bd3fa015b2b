"""The search of all shards, in the two phases that `index.shard` describes; their hits are merged. To explain
hits, their shards give the share of each word and the numbers by which they are ranked, then all shards how
many documents rank before them; tokens are compared here.
"""

from __future__ import annotations

import heapq
import math
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from femtosearch.index.explain import TokenRows, token_matches, with_reasons
from femtosearch.index.fusion import PENALTY, WEIGHT, Moments
from femtosearch.index.hits import Spread
from femtosearch.index.places import without_copies
from femtosearch.index.queries import Query
from femtosearch.index.request import Quota, Request
from femtosearch.index.searches import Hits
from femtosearch.index.shard import First, Question, Reasons, Second, second_of
from femtosearch.server.cluster.manifest import shard_of
from femtosearch.server.cluster.version import Version
from femtosearch.types import Hit

OPTIONS = frozenset(["candidates", "recall", "where", "min_score", "per", "hybrid", "length_penalty"])
_AT_ONCE = Second((Moments(),), (-math.inf, -math.inf, -math.inf))  # where shards need not know of each other


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """The options of a search, checked.

    partial:     whether shards may be missing; spots, fold: as for `Index.search`.
    token_rows:  gives the rows of a text, to explain hits; None if no explanations were requested.
    """

    request: Request
    partial: bool = False
    spots: bool = False
    fold: bool = False
    token_rows: TokenRows | None = None


class Search:
    """One search of a version of the index."""

    def __init__(self, version: Version, options: SearchOptions) -> None:
        self._version, self._options = version, options
        self._missing: dict[int, str] = {}
        self._last: dict[str, tuple[Question, Second]] = {}  # by text, the last two phases sent to the shards

    def answers(self, queries: Sequence[Query]) -> list[list[Hit]]:
        """The hits of each query, best first. Raises MissingShardsError, QueryError."""
        self._miss(self._version.load())
        request = self._options.request
        if request.per is None:
            answers = self._best(request, queries)
        else:
            answers = [self._spread(query) for query in queries]
        if self._options.fold:
            answers = [self._folded(query, hits) for query, hits in zip(queries, answers, strict=True)]
        if self._options.token_rows is not None:
            pairs = zip(queries, answers, strict=True)
            answers = [self._explained(query.text, hits, self._options.token_rows) for query, hits in pairs]
        return [self._marked(hits) for hits in answers]

    def _marked(self, hits: list[Hit]) -> list[Hit]:
        marked = Hits(hits)
        marked.missing = tuple(self._version.names[number] for number in sorted(self._missing))
        return marked

    def _best(self, request: Request, queries: Sequence[Query]) -> list[list[Hit]]:
        """The k best of all shards, without a quota."""
        questions = self._questions(replace(request, per=None), queries)
        shards = [number for number in self._version.totals if number not in self._missing]
        seconds = [_AT_ONCE] * len(questions)
        if self._has_two_phases(questions[0]):
            firsts: dict[int, list[First]] = self._ask("begin", dict.fromkeys(shards, (questions,)))
            seconds = [
                second_of(question, [first[n] for first in firsts.values()])
                for n, question in enumerate(questions)
            ]
        answers = self._ask("finish", dict.fromkeys(shards, (questions, seconds)))
        for question, second in zip(questions, seconds, strict=True):
            self._last[question.query.text] = question, second
        return [merged((hits[n] for hits in answers.values()), request.k) for n in range(len(questions))]

    def _questions(self, request: Request, queries: Sequence[Query]) -> list[Question]:
        version = self._version
        weight = request.hybrid
        if weight is None:
            weight = WEIGHT if request.mode == "auto" and version.has_words else 0.0
            request = replace(request, hybrid=weight)
        statistics = version.statistics([query.text for query in queries]) if weight else None
        return [
            Question(
                uuid.uuid4().hex,
                query,
                replace(request, texts=[query.text]),
                statistics,
                version.passages,
                spots=self._options.spots,
                explain=self._options.token_rows is not None,
            )
            for query in queries
        ]

    def _has_two_phases(self, question: Question) -> bool:
        """Whether a score depends on what other shards have."""
        request = question.request
        penalty = PENALTY if request.length_penalty is None else request.length_penalty
        return bool(request.hybrid) or bool(penalty and self._version.is_long and request.mode != "fde")

    def _spread(self, query: Query) -> list[Hit]:
        """The k best hits of one query within the quota."""
        request = self._options.request
        assert request.per is not None
        k = 4 * request.k
        while True:
            hits = self._best(replace(request, k=k), [query])[0]
            chosen = within(hits, request.per, request.k)
            if len(chosen) == request.k or len(hits) < k:
                return chosen
            k *= 4

    def _folded(self, query: Query, hits: list[Hit]) -> list[Hit]:
        """The hits of one query without copies."""
        request = self._options.request

        def best(k: int) -> list[Hit]:
            hits = self._best(replace(request, k=k), [query])[0]
            return hits if request.per is None else within(hits, request.per, k)

        return without_copies(hits, request.k, best)

    def _explained(self, text: str, hits: list[Hit], token_rows: TokenRows) -> list[Hit]:
        """The hits of one query with their explanations."""
        if not hits:
            return hits
        question, second = self._last[text]
        reasons = self._reasons(question, second, hits)
        measures = [reason.measures for reason in reasons]
        shards = [number for number in self._version.totals if number not in self._missing]
        larger = self._ask("larger", dict.fromkeys(shards, (question, second, measures)))
        before = [Counter[str]() for _ in hits]
        for counts in larger.values():
            for total, count in zip(before, counts, strict=True):
                total.update(count)
        query = token_rows(text, True)
        return [
            with_reasons(
                hit,
                token_matches(text, query, hit, token_rows),
                reason.words,
                {name: ranked_before[name] for name in reason.measures},
                reason.parts,
            )
            for hit, reason, ranked_before in zip(hits, reasons, before, strict=True)
        ]

    def _reasons(self, question: Question, second: Second, hits: list[Hit]) -> list[Reasons]:
        """The shards' parts of the explanations of hits; empty ones for a shard that is missing by now."""
        ids: dict[int, list[str]] = {}
        for hit in hits:
            ids.setdefault(shard_of(hit.id, len(self._version.names)), []).append(hit.id)
        answers = self._ask("reasons", {n: (question, second, of_shard) for n, of_shard in ids.items()})
        pairs = [zip(ids[n], of_shard, strict=True) for n, of_shard in answers.items()]
        by_id = {name: reason for of_shard in pairs for name, reason in of_shard}
        return [by_id.get(hit.id) or Reasons({}, {}, {}) for hit in hits]

    def _ask(self, method: str, arguments: Mapping[int, tuple[Any, ...]]) -> dict[int, Any]:
        answers = self._version.router.ask(method, arguments)
        self._miss(answers.missing)
        return answers.by_shard

    def _miss(self, missing: Mapping[int, str]) -> None:
        """Record shards that did not answer. Raises MissingShardsError unless partial answers are allowed."""
        if missing and not self._options.partial:
            raise self._version.router.missing(missing)
        self._missing.update(missing)


def merged(lists: Iterable[list[Hit]], k: int) -> list[Hit]:
    """The k best hits of sorted lists: best first, of equal scores the smaller id first."""
    return list(heapq.merge(*lists, key=lambda hit: (-hit.score, hit.id)))[:k]


def within(hits: Iterable[Hit], quota: Quota, k: int) -> list[Hit]:
    """The first k hits within a quota."""
    return list(islice(filter(Spread(quota).takes, hits), k))
