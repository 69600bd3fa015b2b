"""Readers in threads and processes beside a writer."""

from __future__ import annotations

import random
import threading
from contextlib import suppress
from pathlib import Path

from femtosearch import Index, ModelMismatchError
from tests.fakes import FakeModel
from torture.contents import FAKE, check_folder
from torture.counts import Counts
from torture.operations import State, perform, topic
from torture.processes import Tally, collect, fork
from torture.rounds import Wrong, told
from torture.sequence import Progress, Reader, commits

_COMMITS = 60
_PROCESSES = 2
_THREADS = 2
_PATIENCE = 90.0
_OTHER_MODEL = FakeModel(name="other")


def beside_a_writer(place: Path, seed: int, counts: Counts) -> None:
    """One process writes, reopens and opens a second time; others read, open and close, in threads."""
    operations, states = commits(seed, _COMMITS)
    progress = Progress(place / "progress")
    Index(place / "index", model=FAKE).close()
    tallies = [Tally(place / f"{n}.tally") for n in range(_PROCESSES + 1)]
    jobs = [fork(lambda: _write(place, (seed, operations, states), tallies[0]))]
    for n in range(1, _PROCESSES + 1):
        jobs.append(fork(lambda n=n: _read(place, states, (seed, n), tallies[n])))
    for job, tally in zip(jobs, tallies, strict=True):
        collect(job, tally, counts, "readers", _PATIENCE)
    _check_end(place, states[progress.acknowledged :], counts, "readers")


def _check_end(place: Path, states: list[State], counts: Counts, name: str) -> None:
    counts.case(name)
    try:
        check_folder(place / "index", states)
    except Exception as error:
        counts.fault(name, f"at the end: {told(error)}")


def _write(place: Path, script: tuple[int, list, list[State]], tally: Tally) -> None:
    seed, operations, states = script
    rng = random.Random(seed)
    progress = Progress(place / "progress")
    visits = Reader(progress, states, rng)
    index = Index(place / "index", model=FAKE)
    for number, operation in enumerate(operations, 1):
        try:
            progress.begun = number
            if topic(operation) == "reopen":
                index.close()
                index = Index(place / "index", model=FAKE)
            perform(index, operation)
            progress.acknowledged = number
            tally.case()
            if rng.random() < 0.3:
                open_again(place / "index", visits, rng)
        except Exception as error:
            tally.fault(f"commit {number}, {topic(operation)}: {told(error)}")
            break
    else:
        index.close()
    progress.begun = max(progress.begun, _COMMITS)
    (place / "ended").touch()


def open_again(folder: Path, visits: Reader, rng: random.Random) -> None:
    """Open the index once more in the same process; sometimes that fails, as it should."""
    if rng.random() < 0.3:
        with suppress(ModelMismatchError):
            Index(folder, model=_OTHER_MODEL)
            raise Wrong("an index was opened with another model")
    else:
        with Index(folder, model=FAKE) as again:
            visits.ask(again)


def _read(place: Path, states: list[State], seed: tuple[int, int], tally: Tally) -> None:
    shared = Index(place / "index", model=FAKE)
    threads = [
        threading.Thread(target=_ask, args=(place, states, (*seed, n), tally, shared))
        for n in range(_THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shared.close()


def _ask(place: Path, states: list[State], seed: tuple[int, ...], tally: Tally, shared: Index) -> None:
    """Ask until the writer has ended: the shared index, and ones that are opened and closed beside it."""
    rng = random.Random(repr(seed))
    reader = Reader(Progress(place / "progress"), states, rng)
    asked = 0
    while not (place / "ended").exists():
        try:
            if rng.random() < 0.2:
                with Index(place / "index", model=FAKE) as mine:
                    reader.ask(mine)
            reader.ask(shared)
            asked += 1
        except Exception as error:
            tally.fault(told(error))
            break
    tally.case(asked)
