"""The time shared out among the kinds: slices in child processes, as many at once as there are cores."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from torture import slices
from torture.counts import Counts

SLICE = 20.0  # seconds of one child process
_STEP = 10_007  # a prime, between the first seeds of slices: no two play the same rounds


class Schedule:
    """Plays kinds until the time is over; of all kinds always the one that has had the least time."""

    def __init__(self, kinds: list[str], seconds: float, seed: int, library: Path) -> None:
        self.counts = {kind: Counts(kind) for kind in kinds}
        self._used = dict.fromkeys(kinds, 0.0)
        self._end = time.monotonic() + seconds
        self._seed = seed
        self._library = library
        self._lock = threading.Lock()

    @property
    def seconds_left(self) -> float:
        return max(0.0, self._end - time.monotonic())

    def run(self, jobs: int, show: Callable[[], object], every: float) -> None:
        """Play with so many child processes at once, and call `show` every so many seconds."""
        workers = [threading.Thread(target=self._work) for _ in range(jobs)]
        for worker in workers:
            worker.start()
        while any(worker.is_alive() for worker in workers):
            workers[0].join(every)
            for worker in workers[1:]:
                worker.join(0)
            show()

    def _work(self) -> None:
        while self.seconds_left > 0:
            seconds = min(SLICE, self.seconds_left)
            with self._lock:
                kind = min(self._used, key=lambda name: self._used[name])
                self._used[kind] += seconds
                seed, self._seed = self._seed, self._seed + _STEP
            started = time.monotonic()
            counts = slices.run(kind, seconds, seed, self._library)
            with self._lock:
                self._used[kind] += time.monotonic() - started - seconds
                self.counts[kind].add(counts)
