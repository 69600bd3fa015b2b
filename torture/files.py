"""Files that somebody changed: the index or model works, or says what is wrong, and touches nothing else."""

from __future__ import annotations

from torture import catalogue_files, link_files, model_files, segment_files
from torture.counts import Counts
from torture.rounds import Round, play

PRELOADED = False
_ROUNDS: tuple[Round, ...] = (
    segment_files.segments,
    catalogue_files.catalogues,
    model_files.models,
    link_files.links,
)


def run(seconds: float, seed: int) -> Counts:
    """Play the rounds in turn for so many seconds."""
    return play("files", lambda place, seed, counts: _of(seed)(place, seed, counts), seconds, seed)


def _of(seed: int) -> Round:
    return _ROUNDS[seed % len(_ROUNDS)]
