"""Rounds of a kind, one after the other: each has a seed of its own, by which it can be played again."""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from torture.counts import Counts

_MEMORY = Path("/dev/shm")

SHARE = "TORTURE_SHARE"  # in the environment: how much of a round is played; the smoke test takes little

Round = Callable[[Path, int, Counts], None]


class Wrong(Exception):
    """An answer, or the content of an index, is not what was promised."""


def announce(counts: Counts) -> None:
    """Called before each round; `torture.slices` puts another function here, in a child."""


def play(kind: str, play_round: Round, seconds: float, seed: int) -> Counts:
    """Play rounds `seed`, `seed + 1` and so on, each in a folder of its own, until the time is over.

    At least one is played. What a round raises is a fault.
    """
    counts = Counts(kind)
    deadline = time.monotonic() + seconds
    while True:
        counts.seed = seed
        announce(counts)
        with workplace() as place:
            try:
                play_round(place, seed, counts)
            except Exception as error:
                counts.fault("round", told(error))
        counts.rounds += 1
        seed += 1
        if time.monotonic() >= deadline:
            return counts


def share(count: int) -> int:
    """So many cases of a round, or the share of them that the environment asks for; at least one."""
    return max(1, round(count * float(os.environ.get(SHARE, "1"))))


@contextmanager
def workplace() -> Iterator[Path]:
    """An empty folder, in memory where the system has some, that goes with the block."""
    where = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    with TemporaryDirectory(dir=where, prefix="torture-", ignore_cleanup_errors=True) as name:
        yield Path(name).resolve()


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise Wrong in the main thread, also where it waits for a lock, if the block takes longer."""

    def late(*_: object) -> None:
        raise Wrong(f"no answer within {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def told(error: BaseException) -> str:
    """An error in one line, with the last places that it came through."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    places = " < ".join(f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in reversed(frames))
    return f"{type(error).__name__}: {error} ({places})".replace("\n", " ")[:600]
