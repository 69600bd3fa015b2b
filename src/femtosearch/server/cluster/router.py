"""A question to all shards at once: each is answered by one of its copies, by another where that is slow."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from typing import Any

from femtosearch.errors import (
    CorruptError,
    DocumentError,
    FemtosearchError,
    ModelMismatchError,
    QueryError,
    ServerError,
)
from femtosearch.server.cluster.engine import Replica

_PAUSE = 0.1  # seconds before copies that all failed are asked again
_KEPT = 1000  # answers whose times are remembered
_ENOUGH = 50  # of them say what is slow
_SLOW = 0.95  # the share of answers that are faster than a slow one
_HEDGED = 0.05  # the share of questions that are asked twice, at most
_OVERDUE = 1.0  # seconds after which another copy is asked in any case, for a node may be gone


class MissingShardsError(ServerError):
    """No copy of some shards answered in time. shards: their numbers."""

    def __init__(self, message: str, shards: Sequence[int]) -> None:
        super().__init__(message)
        self.shards = tuple(shards)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long shards are waited for.

    timeout:  seconds for each question to all shards.
    hedge:    seconds after which another copy is asked, too; None: what 95 of 100 answers take. At most one
              question in twenty is asked twice.
    opening:  seconds for shards to be opened, of which every byte is read, and from a bucket copied; one that
              fails is asked again until `timeout` is over.
    """

    timeout: float = 30.0
    hedge: float | None = None
    opening: float = 600.0


@dataclass(frozen=True, slots=True)
class Answers:
    """What shards answered, by their numbers; of those that did not, why."""

    by_shard: dict[int, Any]
    missing: dict[int, str]


class Router:
    """The copies of all shards. Safe to use from several threads.

    names:  of the shards, for messages.
    """

    def __init__(self, copies: Sequence[Sequence[Replica]], names: Sequence[str], patience: Patience) -> None:
        self._copies = [list(replicas) for replicas in copies]
        self._names = names
        self._patience = patience
        self._turns = itertools.count()
        self._lock = threading.Lock()
        self._times: dict[str, deque[float]] = {}
        self._lost: dict[tuple[int, int], float] = {}
        self.counts = Counter[str]()  # of what was asked, asked twice, and failed

    def __len__(self) -> int:
        return len(self._copies)

    def ask(self, method: str, arguments: Mapping[int, tuple[Any, ...]], *, opening: bool = False) -> Answers:
        """What the shards answer, each by its number.

        arguments:  for each shard that is asked.
        opening:    they are opened first, for which they have longer.
        Raises QueryError, DocumentError as a shard does.
        """
        now, patience = time.monotonic(), self._patience
        latest = max(patience.timeout, patience.opening) if opening else patience.timeout
        return _Scatter(self, method, arguments, now + patience.timeout, now + latest).answers()

    def close(self) -> None:
        """Let go of all copies."""
        for replica in itertools.chain.from_iterable(self._copies):
            replica.close()

    def missing(self, reasons: Mapping[int, str]) -> MissingShardsError:
        """The error that says which shards are missing, and why."""
        numbers = sorted(reasons)
        shown = "; ".join(f"{self._names[number]}: {reasons[number]}" for number in numbers[:3])
        more = f"; and {len(numbers) - 3} more" if len(numbers) > 3 else ""
        return MissingShardsError(
            f"{len(numbers)} of {len(self)} shards did not answer ({shown}{more}): try again, or ask for a "
            "partial answer",
            numbers,
        )

    def copies(self, shard: int) -> int:
        """How many copies a shard has."""
        return len(self._copies[shard])

    def order(self, shard: int) -> list[int]:
        """The copies of a shard in the order in which they are asked: in turn, those that were lost last."""
        copies, turn, now = len(self._copies[shard]), next(self._turns), time.monotonic()
        order = [(turn + n) % copies for n in range(copies)]
        return sorted(order, key=lambda copy: self._lost.get((shard, copy), 0) > now - 1)

    def send(self, shard: int, copy: int, method: str, arguments: tuple[Any, ...]) -> Future[Any]:
        """The answer of one copy, once it is there."""
        self.counts["asked"] += 1
        try:
            return self._copies[shard][copy].ask(method, *arguments)
        except FemtosearchError as error:
            failed: Future[Any] = Future()
            failed.set_exception(error)
            return failed

    def lose(self, shard: int, copy: int) -> None:
        """Remember that a copy did not answer."""
        self.counts["failed"] += 1
        self._lost[shard, copy] = time.monotonic()

    def answered(self, method: str, seconds: float) -> None:
        """Remember how long an answer took."""
        with self._lock:
            self._times.setdefault(method, deque(maxlen=_KEPT)).append(seconds)

    def hedge(self, method: str) -> float:
        """Seconds after which another copy is asked, too."""
        if self._patience.hedge is not None:
            return self._patience.hedge
        with self._lock:
            times = sorted(self._times.get(method, ()))
        return min(_OVERDUE, times[int(_SLOW * len(times))]) if len(times) >= _ENOUGH else _OVERDUE

    def may_hedge(self) -> bool:
        """Whether there is a question to spare."""
        return self.counts["hedged"] < _HEDGED * self.counts["asked"] + 1


@dataclass(eq=False)
class _Asked:
    """One shard's part of a scatter.

    untried:  copies that were not asked in this round; pending: those that were, and when.
    due:      when another copy is asked, too; again: when all are asked again, for all have failed.
    hopeless: how many are not what the manifest says, which does not pass.
    """

    shard: int
    untried: list[int]
    pending: dict[Future[Any], tuple[int, float]] = field(default_factory=dict)
    due: float = 0.0
    again: float | None = None
    hopeless: int = 0


class _Scatter:
    """One question to several shards.

    deadline:  until when those that fail are asked again; latest: until when others are waited for.
    """

    def __init__(
        self,
        router: Router,
        method: str,
        arguments: Mapping[int, tuple[Any, ...]],
        deadline: float,
        latest: float,
    ) -> None:
        self._router, self._method, self._arguments = router, method, arguments
        self._deadline, self._latest = deadline, latest
        self._hedge = router.hedge(method)
        self._open = {shard: _Asked(shard, router.order(shard)) for shard in arguments}
        self._answers = Answers({}, {})
        self._reasons: dict[int, str] = {}

    def answers(self) -> Answers:
        for asked in self._open.values():
            self._send(asked)
        while self._open and (now := time.monotonic()) < self._latest:
            pending = [future for asked in self._open.values() for future in asked.pending]
            pause = max(0.0, self._next(now) - now)
            if pending:
                wait(pending, pause, FIRST_COMPLETED)
            else:
                time.sleep(pause)
            for asked in list(self._open.values()):
                self._look(asked)
        for shard in list(self._open):
            self._miss(shard)
        return self._answers

    def _miss(self, shard: int) -> None:
        self._answers.missing[shard] = self._reasons.get(shard, "no answer in time")
        del self._open[shard]

    def _send(self, asked: _Asked) -> None:
        copy = asked.untried.pop(0)
        future = self._router.send(asked.shard, copy, self._method, self._arguments[asked.shard])
        now = time.monotonic()
        asked.pending[future] = copy, now
        asked.due = now + self._hedge

    def _next(self, now: float) -> float:
        """When something is to be done though no answer comes."""
        moments = [self._deadline if now < self._deadline else self._latest]
        for asked in self._open.values():
            if asked.again is not None:
                moments.append(asked.again)
            elif asked.untried:
                moments.append(asked.due)
        return min(moments)

    def _look(self, asked: _Asked) -> None:
        """Take an answer that is there; ask another copy where one failed or is slow."""
        for future in [future for future in asked.pending if future.done()]:
            copy, since = asked.pending.pop(future)
            error = future.exception()
            if error is None:
                self._router.answered(self._method, time.monotonic() - since)
                self._answers.by_shard[asked.shard] = future.result()
                del self._open[asked.shard]
                return
            self._fail(asked, copy, error)
        now = time.monotonic()
        if now >= self._deadline and not asked.pending and asked.shard in self._open:
            self._miss(asked.shard)
        elif asked.again is not None and now >= asked.again:
            asked.again, asked.hopeless = None, 0
            asked.untried = self._router.order(asked.shard)
            self._send(asked)
        elif asked.untried and asked.pending and now >= asked.due:
            self._hurry(asked, now)

    def _hurry(self, asked: _Asked, now: float) -> None:
        """Ask another copy, too, if there is a question to spare, or this one is overdue."""
        copy, since = next(iter(asked.pending.values()))
        overdue = now - since >= _OVERDUE
        if overdue:
            self._router.lose(asked.shard, copy)
        if overdue or self._router.may_hedge():
            self._router.counts["hedged"] += 1
            self._send(asked)
        else:
            asked.due = since + _OVERDUE

    def _fail(self, asked: _Asked, copy: int, error: BaseException) -> None:
        if isinstance(error, (QueryError, DocumentError)) or not isinstance(error, FemtosearchError):
            raise error
        self._router.lose(asked.shard, copy)
        self._reasons[asked.shard] = str(error)
        asked.hopeless += isinstance(error, (CorruptError, ModelMismatchError))
        if asked.pending:
            return
        if asked.untried:
            self._send(asked)
        elif asked.hopeless < self._router.copies(asked.shard):
            asked.again = time.monotonic() + _PAUSE
        else:
            self._miss(asked.shard)
