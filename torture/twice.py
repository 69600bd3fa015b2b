"""An index that is opened more than once in a process, while another process opens, writes and closes it."""

from __future__ import annotations

import json
import os
import random
from contextlib import suppress
from pathlib import Path

from femtosearch import Index
from torture.contents import FAKE, check, check_folder
from torture.counts import Counts
from torture.operations import Operation, State, perform, topic
from torture.processes import end, fork
from torture.readers import open_again
from torture.rounds import Wrong, limited, told
from torture.sequence import Progress, Reader, commits

_COMMITS = 16
_PATIENCE = 60.0


class Neighbour:
    """Another process: for each command it opens the index, does something and closes it.

    It is forked before any index is open here, or SQLite would believe that it has our locks.
    """

    def __init__(self, folder: Path, operations: list[Operation], states: list[State]) -> None:
        hear, self._say = os.pipe()
        self._hear, say = os.pipe()
        self._number = fork(lambda: _serve(folder, (hear, say), operations, states))

    def look(self, number: int) -> None:
        """Check that the index holds what it does after so many commits. Raises Wrong."""
        self._ask({"look": number})

    def write(self, number: int) -> None:
        """Do that operation. Raises Wrong."""
        self._ask({"write": number})

    def close(self) -> None:
        end(self._number)
        os.close(self._say)
        os.close(self._hear)

    def _ask(self, command: dict[str, int]) -> None:
        os.write(self._say, json.dumps(command).encode() + b"\n")
        answer = json.loads(os.read(self._hear, 1 << 16))
        if answer:
            raise Wrong(f"another process, {command}: {answer}")


def _serve(folder: Path, pipes: tuple[int, int], operations: list[Operation], states: list[State]) -> None:
    hear, say = pipes
    while command := os.read(hear, 1 << 16):
        answer = ""
        try:
            for name, number in json.loads(command).items():
                with Index(folder, model=FAKE) as index:
                    if name == "look":
                        check(index, [states[number]])
                    else:
                        perform(index, operations[number])
        except Exception as error:
            answer = told(error)
        os.write(say, json.dumps(answer).encode() + b"\n")


def opened_twice(place: Path, seed: int, counts: Counts) -> None:
    """Commits by one index, by a second one in the same process, or by the neighbour; all see all of them."""
    operations, states = commits(seed, _COMMITS)
    folder = place / "index"
    neighbour = Neighbour(folder, operations, states)
    indexes: list[Index] = []
    number = 0
    try:
        with limited(_PATIENCE):
            indexes.append(Index(folder, model=FAKE))
            rng = random.Random(seed)
            for number in range(_COMMITS):
                counts.case("opened twice")
                _commit(indexes, number, (operations, states), neighbour, rng)
                _look(place, indexes, (number, states), neighbour, rng)
    except Exception as error:
        counts.fault("opened twice", f"commit {number}: {told(error)}")
        return
    finally:
        neighbour.close()
        for index in indexes:
            with suppress(Exception):
                index.close()
    counts.case("opened twice")
    try:
        check_folder(folder, states[-1:])
    except Exception as error:
        counts.fault("opened twice", f"at the end: {told(error)}")


def _commit(
    indexes: list[Index],
    number: int,
    script: tuple[list[Operation], list[State]],
    neighbour: Neighbour,
    rng: random.Random,
) -> None:
    operation = script[0][number]
    if topic(operation) == "reopen":
        index = indexes.pop(rng.randrange(len(indexes)))
        indexes.append(Index(index.folder, model=FAKE))
        index.close()
    elif rng.random() < 0.3:
        neighbour.write(number)
    else:
        perform(rng.choice(indexes), operation)


def _look(
    place: Path,
    indexes: list[Index],
    moment: tuple[int, list[State]],
    neighbour: Neighbour,
    rng: random.Random,
) -> None:
    """Look from everywhere, in an order by chance, and open or close an index more."""
    number, states = moment
    progress = Progress(place / "progress")
    progress.begun = progress.acknowledged = number + 1
    for step in rng.sample(range(4), rng.randrange(5)):
        if step == 0:
            neighbour.look(number + 1)
        elif step == 1:
            check(rng.choice(indexes), [states[number + 1]])
        elif step == 2:
            open_again(place / "index", Reader(progress, states, rng), rng)
        elif len(indexes) < 3:
            indexes.append(Index(place / "index", model=FAKE))
        else:
            indexes.pop().close()
