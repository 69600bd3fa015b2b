"""Threads and processes at once: every answer is of one commit, and of none older than acknowledged."""

from __future__ import annotations

from torture import closing, crowd, forks, readers, twice
from torture.counts import Counts
from torture.rounds import Round, play

PRELOADED = False
_ROUNDS: tuple[Round, ...] = (
    readers.beside_a_writer,
    closing.beside_calls,
    twice.opened_twice,
    forks.forked,
    crowd.at_once,
)


def run(seconds: float, seed: int) -> Counts:
    """Play the rounds in turn for so many seconds."""
    return play("together", lambda place, seed, counts: _of(seed)(place, seed, counts), seconds, seed)


def _of(seed: int) -> Round:
    return _ROUNDS[seed % len(_ROUNDS)]
