"""System calls that fail: the error is one of ours, and the index holds a committed state."""

from __future__ import annotations

import errno
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from femtosearch import FemtosearchError, Index
from torture.contents import FAKE, check, check_folder
from torture.counts import Counts
from torture.operations import RECORDS, Operation, State, damage, documents, holds, outside, perform
from torture.rounds import Wrong, limited, play, share, told
from torture.shim import ERRORS, Failure, Shim

PRELOADED = True
_CASES = 60  # in one round
_PATIENCE = 20.0  # seconds for a case

Make = Callable[[random.Random], Operation]
SCENARIOS: dict[str, Make] = {
    "new": lambda rng: {"open": True},
    "open": lambda rng: {"open": True},
    "search": lambda rng: {"search": True},
    "add": lambda rng: {"add": documents(rng, ["20", "21", "22"])},
    "upsert": lambda rng: {"add": documents(rng, ["0", "1", "20"])},
    "join": lambda rng: {"add": documents(rng, ["20", "21", "22"])},
    "delete": lambda rng: {"delete": ["0", "3", "9"]},
    "compact": lambda rng: {"compact": True},
    "update": lambda rng: {"update": {name: {"n": 7} for name in ("0", "3", "9")}},
    "where": lambda rng: {"where": 30},
    "words": lambda rng: {"words": True},
    "rows": lambda rng: {"rows": True},
    "fde": lambda rng: {"fde": 1},
    "refresh": lambda rng: {"refresh": documents(rng, RECORDS[2:5])},
    "import": lambda rng: {"import": documents(rng, ["0", "20", "21"])},
    "snapshot": lambda rng: {"snapshot": True},
    "copy": lambda rng: {"snapshot": True},
    "repair": lambda rng: {"repair": True},
}


@dataclass(frozen=True, slots=True)
class Scenario:
    """An operation on copies of one index.

    template:  the index, closed; None for an operation that makes one.
    before:    what it holds.
    """

    name: str
    operation: Operation
    template: Path | None
    before: State

    @property
    def after(self) -> State:
        return self.before.after(self.operation)

    def watched(self, folder: Path) -> Path:
        """The folder in which calls fail: of the index, or of a copy of it."""
        return outside(folder) if self.name == "copy" else folder


def run(seconds: float, seed: int) -> Counts:
    """Let calls fail for so many seconds. Raises RuntimeError where the shim is not loaded."""
    shim = Shim()
    return play("faults", lambda place, seed, counts: _round(shim, place, seed, counts), seconds, seed)


def _round(shim: Shim, place: Path, seed: int, counts: Counts) -> None:
    """One operation, and many ways in which it can fail."""
    rng = random.Random(seed)
    name = list(SCENARIOS)[seed % len(SCENARIOS)]
    scenario = _prepared(place, name, rng)
    failures = _failures(shim, scenario, place / "counted")
    for number, failure in enumerate(rng.sample(failures, min(share(_CASES), len(failures)))):
        folder = place / f"{number}"
        counts.case(name)
        try:
            with limited(_PATIENCE):
                _case(shim, scenario, folder, failure)
        except Exception as error:
            counts.fault(name, f"{failure}: {told(error)}")
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(outside(folder), ignore_errors=True)


def _prepared(place: Path, name: str, rng: random.Random) -> Scenario:
    """The index that the operation is for: with several segments, and dead passages in them."""
    if name == "new":
        return Scenario(name, SCENARIOS[name](rng), None, State())
    ids = [str(n) for n in range(12)]
    operations: list[Operation] = [{"add": documents(rng, ids)}, {"delete": ids[8:10]}]
    operations += [{"add": documents(rng, ids[5:7])}]
    if rng.random() < 0.5:
        operations += [{"fde": 2}]
    if name == "join":  # as many small segments as are left side by side
        operations += [{"add": documents(rng, [str(n)])} for n in range(10, 16)]
    state = State()
    with Index(place / "template", model=FAKE) as index:
        for operation in operations:
            perform(index, operation)
            state = state.after(operation)
    if name == "repair":
        damage(place / "template")
    return Scenario(name, SCENARIOS[name](rng), place / "template", state)


def _failures(shim: Shim, scenario: Scenario, folder: Path) -> list[Failure]:
    """Every call that the operation makes, with every error that it can meet."""
    index = _started(scenario, folder)
    with shim.counting(scenario.watched(folder)) as calls:
        index = _act(scenario, folder, index)
    index.close()
    return [
        Failure(call, nth, error, forever)
        for call, errors in ERRORS.items()
        for nth in range(1, calls[call] + 1)
        for error in errors
        for forever in ((False, True) if error != errno.EINTR else (False,))  # a call is repeated after EINTR
    ]


def _started(scenario: Scenario, folder: Path) -> Index | None:
    """The index as it is before calls fail; None for an operation that opens it."""
    if scenario.template is not None:
        shutil.copytree(scenario.template, folder)
    return None if "open" in scenario.operation else Index(folder, model=FAKE, timeout=1)


def _act(scenario: Scenario, folder: Path, index: Index | None) -> Index:
    if index is None:
        index = Index(folder, model=FAKE, timeout=1)
    if scenario.name in ("open", "search"):
        check(index, [scenario.before])
    elif "snapshot" in scenario.operation:
        index.snapshot(outside(folder) / "copy")
    else:
        perform(index, scenario.operation)
    return index


def _case(shim: Shim, scenario: Scenario, folder: Path, failure: Failure) -> None:
    """Raises Wrong, and what should not have been raised."""
    index = _started(scenario, folder)
    possible = [scenario.after]
    with shim.failing(scenario.watched(folder), failure):
        try:
            index = _act(scenario, folder, index)
        except FemtosearchError:
            possible = [scenario.before, scenario.after]
    try:
        if index is not None:
            with index:
                if scenario.name == "repair":
                    index.repair()
                possible = [check(index, possible)]
        check_folder(folder, possible)
        if (outside(folder) / "copy").exists():
            holds(outside(folder) / "copy", possible[0].documents)
    except FemtosearchError as error:
        raise Wrong(f"without the fault: {told(error)}") from error
