"""Processes that are killed at random moments: what they acknowledged is there, nothing is there by half."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

from femtosearch import Index
from torture.contents import FAKE, check_folder, femto
from torture.counts import Counts
from torture.operations import Operation, State, draw, perform, topic
from torture.processes import fork
from torture.rounds import Wrong, play, share, told

PRELOADED = False
_KILLS = 12  # in one round, of the writers of one index
_LONGEST = 0.06  # seconds from the last noted operation to the kill
_PATIENCE = 60.0


def run(seconds: float, seed: int) -> Counts:
    """Kill writers for so many seconds."""
    return play("kills", _round, seconds, seed)


def _round(place: Path, seed: int, counts: Counts) -> None:
    """One index: a writer is killed, the index is checked, and the next writer goes on with it."""
    rng = random.Random(seed)
    model = femto() if seed % 6 == 5 else FAKE
    state = State()
    for number in range(share(_KILLS)):
        log = place / f"{number}.log"
        writer = fork(lambda log=log, number=number: write(place / "index", log, model, (seed, number)))
        _wait(log, rng.choice([0, 0, 1, 2, 4]))
        time.sleep(rng.random() ** 2 * _LONGEST)
        os.kill(writer, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(writer, 0)[1])
        entries = _entries(log)
        moment = next((topic(e["begin"]) for e in reversed(entries) if "begin" in e), "start")
        counts.case(moment)
        try:
            if status != -signal.SIGKILL:
                raise Wrong(f"the writer ended with {status}: {entries[-1:]}")
            possible = _possible(entries, state)
            mends = moment == "mend" and len(possible) > 1
            state = check_folder(place / "index", possible, model, mends=mends)
        except Exception as error:
            counts.fault(moment, f"kill {number}: {told(error)}")
            return


def write(folder: Path, log: Path, model: Any, seed: tuple[int, int]) -> None:
    """Open the index and do operations by chance until killed; each is noted before and after."""
    note = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        rng = random.Random(repr(seed))
        _note(note, {"begin": {"open": True}})
        index = Index(folder, model=model, timeout=60)
        _note(note, {"done": True})
        while True:
            operation = draw(rng, damages=True)
            _note(note, {"begin": operation})
            if topic(operation) == "reopen":
                index.close()
                index = Index(folder, model=model, timeout=60)
            perform(index, operation)
            _note(note, {"done": True})
    except Exception as error:
        _note(note, {"error": told(error)})
        raise


def _note(descriptor: int, entry: dict[str, Any]) -> None:
    os.write(descriptor, (json.dumps(entry) + "\n").encode())


def _entries(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def _wait(log: Path, acknowledged: int) -> None:
    """Until so many operations were acknowledged, or the writer failed."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        text = log.read_text() if log.exists() else ""
        if text.count('"done"') >= acknowledged or '"error"' in text:
            return
        time.sleep(0.001)


def _possible(entries: list[dict[str, Any]], state: State) -> list[State]:
    """What the index may hold: all that was acknowledged; and what had begun, whole or not at all."""
    begun: Operation | None = None
    for entry in entries:
        if "begin" in entry:
            begun = entry["begin"]
        elif begun is not None:
            state, begun = state.after(begun), None
    return [state] if begun is None else [state, state.after(begun)]
