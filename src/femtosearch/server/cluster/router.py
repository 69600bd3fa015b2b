"""The router: sends a call to all shards at once. One copy of each shard answers, or another if it
is slow.
"""

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

_PAUSE = 0.1  # seconds before a call is repeated if all copies failed
_MOST_TIMES = 1000  # answers of each method whose times are recorded
_ENOUGH = 50  # times that suffice to tell what is slow
_SLOW = 0.95  # an answer is slow if it takes longer than this share of all
_HEDGED = 0.05  # the share of calls that may be hedged, which means sent to a second copy
_OVERDUE = 1.0  # seconds after which a call is sent to another copy in any case: the node may be lost


class MissingShardsError(ServerError):
    """No copy of some shards answered in time. shards: their numbers."""

    def __init__(self, message: str, shards: Sequence[int]) -> None:
        super().__init__(message)
        self.shards = tuple(shards)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for shards.

    timeout:  seconds for each call to all shards.
    hedge:    seconds after which a call is also sent to another copy; None: what 95 of 100 answers take. At
              most one call in twenty is hedged.
    opening:  seconds for shards to be opened: every byte is read, and copied if they are in a bucket. A shard
              that fails is tried again until `timeout` is over.
    """

    timeout: float = 30.0
    hedge: float | None = None
    opening: float = 600.0


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers of shards by their numbers. missing: the shards that did not answer, and why."""

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
        self.counts = Counter[str]()  # of calls that were "asked" (sent), "hedged", and "failed"

    def __len__(self) -> int:
        return len(self._copies)

    def ask(self, method: str, arguments: Mapping[int, tuple[Any, ...]], *, opening: bool = False) -> Answers:
        """Call a method of shards, and wait for their answers.

        arguments:  shard -> the arguments for it.
        opening:    whether the shards are opened by this, for which they have longer.
        Raises QueryError, DocumentError as a shard does.
        """
        now, patience = time.monotonic(), self._patience
        latest = max(patience.timeout, patience.opening) if opening else patience.timeout
        return _Scatter(self, method, arguments, now + patience.timeout, now + latest).answers()

    def close(self) -> None:
        """Close all copies."""
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
        """The copies of a shard in the order in which they are called: in turn, recently lost ones last."""
        copies, turn, now = len(self._copies[shard]), next(self._turns), time.monotonic()
        order = [(turn + n) % copies for n in range(copies)]
        return sorted(order, key=lambda copy: self._lost.get((shard, copy), 0) > now - 1)

    def send(self, shard: int, copy: int, method: str, arguments: tuple[Any, ...]) -> Future[Any]:
        """Send a call to one copy; returns the future of its answer."""
        self.counts["asked"] += 1
        try:
            return self._copies[shard][copy].ask(method, *arguments)
        except FemtosearchError as error:
            failed: Future[Any] = Future()
            failed.set_exception(error)
            return failed

    def lose(self, shard: int, copy: int) -> None:
        """Record that a copy did not answer."""
        self.counts["failed"] += 1
        self._lost[shard, copy] = time.monotonic()

    def answered(self, method: str, seconds: float) -> None:
        """Record how long an answer took."""
        with self._lock:
            self._times.setdefault(method, deque(maxlen=_MOST_TIMES)).append(seconds)

    def hedge(self, method: str) -> float:
        """Seconds after which a call is also sent to another copy."""
        if self._patience.hedge is not None:
            return self._patience.hedge
        with self._lock:
            times = sorted(self._times.get(method, ()))
        return min(_OVERDUE, times[int(_SLOW * len(times))]) if len(times) >= _ENOUGH else _OVERDUE

    def may_hedge(self) -> bool:
        """Whether another call may be hedged."""
        return self.counts["hedged"] < _HEDGED * self.counts["asked"] + 1


@dataclass(eq=False)
class _ShardCall:
    """The call to one shard.

    untried:  copies that were not called in this round; pending: futures of those that were, and when.
    due:      when another copy is called, too; again: when all are called again, because all have failed.
    hopeless: how many copies differ from what the manifest says, so that to repeat the call is no use.
    """

    shard: int
    untried: list[int]
    pending: dict[Future[Any], tuple[int, float]] = field(default_factory=dict)
    due: float = 0.0
    again: float | None = None
    hopeless: int = 0


class _Scatter:
    """One call to several shards.

    deadline:  until when failed calls are repeated; latest: until when answers are waited for.
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
        self._open = {shard: _ShardCall(shard, router.order(shard)) for shard in arguments}
        self._answers = Answers({}, {})
        self._reasons: dict[int, str] = {}

    def answers(self) -> Answers:
        for call in self._open.values():
            self._send(call)
        while self._open and (now := time.monotonic()) < self._latest:
            pending = [future for call in self._open.values() for future in call.pending]
            pause = max(0.0, self._next(now) - now)
            if pending:
                wait(pending, pause, FIRST_COMPLETED)
            else:
                time.sleep(pause)
            for call in list(self._open.values()):
                self._look(call)
        for shard in list(self._open):
            self._miss(shard)
        return self._answers

    def _miss(self, shard: int) -> None:
        self._answers.missing[shard] = self._reasons.get(shard, "no answer in time")
        del self._open[shard]

    def _send(self, call: _ShardCall) -> None:
        copy = call.untried.pop(0)
        future = self._router.send(call.shard, copy, self._method, self._arguments[call.shard])
        now = time.monotonic()
        call.pending[future] = copy, now
        call.due = now + self._hedge

    def _next(self, now: float) -> float:
        """The next moment at which something has to be done without an answer."""
        moments = [self._deadline if now < self._deadline else self._latest]
        for call in self._open.values():
            if call.again is not None:
                moments.append(call.again)
            elif call.untried:
                moments.append(call.due)
        return min(moments)

    def _look(self, call: _ShardCall) -> None:
        """Take the answer of a shard, or call another copy if one failed or is slow."""
        for future in [future for future in call.pending if future.done()]:
            copy, since = call.pending.pop(future)
            error = future.exception()
            if error is None:
                self._router.answered(self._method, time.monotonic() - since)
                self._answers.by_shard[call.shard] = future.result()
                del self._open[call.shard]
                return
            self._fail(call, copy, error)
        now = time.monotonic()
        if now >= self._deadline and not call.pending and call.shard in self._open:
            self._miss(call.shard)
        elif call.again is not None and now >= call.again:
            call.again, call.hopeless = None, 0
            call.untried = self._router.order(call.shard)
            self._send(call)
        elif call.untried and call.pending and now >= call.due:
            self._hurry(call, now)

    def _hurry(self, call: _ShardCall, now: float) -> None:
        """Call another copy, too, if the call may be hedged, or is overdue."""
        copy, since = next(iter(call.pending.values()))
        overdue = now - since >= _OVERDUE
        if overdue:
            self._router.lose(call.shard, copy)
        if overdue or self._router.may_hedge():
            self._router.counts["hedged"] += 1
            self._send(call)
        else:
            call.due = since + _OVERDUE

    def _fail(self, call: _ShardCall, copy: int, error: BaseException) -> None:
        if isinstance(error, (QueryError, DocumentError)) or not isinstance(error, FemtosearchError):
            raise error
        self._router.lose(call.shard, copy)
        self._reasons[call.shard] = str(error)
        call.hopeless += isinstance(error, (CorruptError, ModelMismatchError))
        if call.pending:
            return
        if call.untried:
            self._send(call)
        elif call.hopeless < self._router.copies(call.shard):
            call.again = time.monotonic() + _PAUSE
        else:
            self._miss(call.shard)
