"""A version of a cluster's index: one build as it is served, with the copies of its shards and
their totals.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from femtosearch.index.keywords import keywords_in
from femtosearch.index.shard import Totals
from femtosearch.index.word_table import WordStatistics
from femtosearch.server.cluster.engine import Engine
from femtosearch.server.cluster.holder import Place
from femtosearch.server.cluster.manifest import Manifest
from femtosearch.server.cluster.router import Patience, Router

_MOST_PHRASES = 100_000  # phrases whose counts are kept


class Version:
    """A build that is served. It is closed when it was retired and the last request has its answer.

    totals:  of each shard that has answered so far.
    """

    def __init__(
        self, engine: Engine, store: str, manifest: Manifest, copies: int, patience: Patience
    ) -> None:
        shards = len(manifest.shards)
        self.manifest = manifest
        places = [
            Place(store, manifest.folder(n), n, shards, facts, manifest.origin)
            for n, facts in enumerate(manifest.shards)
        ]
        replicas = [[engine.hold(place, copy) for copy in range(copies)] for place in places]
        self.names = tuple(f"shard {number}" for number in range(shards))
        self.router = Router(replicas, self.names, patience)
        self.totals: dict[int, Totals] = {}
        self._phrases: dict[str, dict[int, int]] = {}
        self._lock = threading.Lock()
        self._users, self._retired = 0, False

    def load(self, *, opening: bool = False) -> dict[int, str]:
        """Open the shards that are not open yet. Returns those that cannot be opened, and why.

        opening:  wait as long as opening may take, not as long as a search.
        """
        unknown = [number for number in range(len(self.names)) if number not in self.totals]
        if not unknown:
            return {}
        answers = self.router.ask("totals", dict.fromkeys(unknown, ()), opening=opening)
        self.totals.update(answers.by_shard)
        return answers.missing

    def enter(self) -> bool:
        """Begin a request; False if the version is retired. Whoever enters also leaves."""
        with self._lock:
            self._users += not self._retired
            return not self._retired

    def leave(self) -> None:
        """End a request."""
        with self._lock:
            self._users -= 1
            last = self._retired and not self._users
        if last:
            self.router.close()

    def retire(self) -> None:
        """Close the shards as soon as the last request has ended."""
        with self._lock:
            idle = not self._retired and not self._users
            self._retired = True
        if idle:
            self.router.close()

    @property
    def has_words(self) -> bool:
        """Whether all shards have a table of words."""
        return all(totals.has_words for totals in self.totals.values())

    @property
    def passages(self) -> int:
        """How many passages all shards have."""
        return sum(totals.passages for totals in self.totals.values())

    @property
    def is_long(self) -> bool:
        """Whether some document has more than one passage."""
        return any(totals.long for totals in self.totals.values())

    def statistics(self, queries: Sequence[str]) -> WordStatistics:
        """The statistics over all shards of the words of queries; a shard that does not answer is
        left out.
        """
        looked_up = (keywords_in(query, in_plain=plain) for query in queries for plain in (True, False))
        phrases = list(dict.fromkeys(phrase for keywords in looked_up for phrase in keywords.every()))
        counts = self._counts(phrases)
        every = self.totals.values()
        return WordStatistics(
            sum(totals.documents for totals in every),
            sum(totals.rows for totals in every),
            sum(totals.tokens for totals in every),
            {phrase: sum(counts[phrase].values()) for phrase in phrases},
        )

    def _counts(self, phrases: Sequence[str]) -> dict[str, dict[int, int]]:
        """For each phrase how many documents of each shard have it. Counts are kept for later queries."""
        by_phrase = {phrase: dict(self._phrases.get(phrase, {})) for phrase in phrases}
        arguments: dict[int, tuple[Any, ...]] = {}
        for number in self.totals:
            missing = [phrase for phrase in phrases if number not in by_phrase[phrase]]
            if missing:
                arguments[number] = (missing,)
        if not arguments:
            return by_phrase
        for number, counts in self.router.ask("counts", arguments).by_shard.items():
            for phrase, count in zip(arguments[number][0], counts, strict=True):
                by_phrase[phrase][number] = count
        with self._lock:
            if len(self._phrases) + len(by_phrase) > _MOST_PHRASES:
                self._phrases.clear()
            self._phrases.update(by_phrase)
        return by_phrase
