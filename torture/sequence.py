"""A sequence of commits that every process can compute, so that an answer can be told from a wrong one."""

from __future__ import annotations

import mmap
import random
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from femtosearch import Index
from torture.operations import IDS, RECORDS, Operation, State, draw, topic
from torture.rounds import Wrong

_COUNTER_BYTES = 8
_ALL = 999
QUERY = "anchor"  # a word that every text has


def commits(seed: int, count: int) -> tuple[list[Operation], list[State]]:
    """Operations, and the states before the first and after each of them."""
    rng = random.Random(seed)
    operations = [_anchored(draw(rng)) for _ in range(count)]
    states = [State()]
    for operation in operations:
        states.append(states[-1].after(operation))
    return operations, states


def _anchored(operation: Operation) -> Operation:
    name = topic(operation)
    if name not in ("add", "import", "refresh"):
        return operation
    return {name: {i: [f"{QUERY} {text}", metadata] for i, (text, metadata) in operation[name].items()}}


def _copied(index: Index, place: Path) -> Path:
    index.snapshot(place / "copy")
    return place / "copy"


class Progress:
    """Two numbers in a file that processes share: commits begun, and commits acknowledged."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(2 * _COUNTER_BYTES))
        with path.open("r+b") as file:
            # As integers: each is read and written at once, where struct.pack_into writes zeros first.
            self._counters = memoryview(mmap.mmap(file.fileno(), 2 * _COUNTER_BYTES)).cast("q")

    @property
    def begun(self) -> int:
        return self._counters[0]

    @begun.setter
    def begun(self, number: int) -> None:
        self._counters[0] = number

    @property
    def acknowledged(self) -> int:
        return self._counters[1]

    @acknowledged.setter
    def acknowledged(self, number: int) -> None:
        self._counters[1] = number


class Reader:
    """Asks an index, and checks that each answer is of one commit that could be seen, and of no older one."""

    def __init__(self, progress: Progress, states: list[State], rng: random.Random) -> None:
        self._progress = progress
        self._states = states
        self._rng = rng
        self._oldest = 0

    def ask(self, index: Index) -> None:
        """One question. Raises Wrong."""
        first = max(self._oldest, self._progress.acknowledged)
        how = self._rng.randrange(6)
        if how < 2:
            hits = index.search(QUERY, k=_ALL, hybrid=self._rng.choice([0, 0.4, 1]))
            self._match(first, {hit.id: [hit.text, hit.metadata] for hit in hits}, "search")
        elif how == 4:
            below = self._rng.randrange(99)
            hits = index.search(QUERY, k=_ALL, where={"n": {"$lt": below}})
            self._match(
                first, {hit.id: [hit.text, hit.metadata] for hit in hits}, "search with a filter", below
            )
        elif how == 5:
            self._copy(index, first)
        elif how == 2:
            self._get(index, first)
        else:
            documents = len(index)
            if documents not in [len(state.documents) for state in self._visible(first)]:
                raise Wrong(f"len is {documents}, which no commit from {first} to now has")

    def _visible(self, first: int) -> list[State]:
        return self._states[first : self._progress.begun + 1]

    def _match(self, first: int, documents: dict[str, Any], question: str, below: int = 99) -> None:
        """The answer is the documents of a commit whose number `n` is below a bound."""

        def fits(state: State) -> bool:
            return documents == {
                i: content for i, content in state.documents.items() if content[1]["n"] < below
            }

        for number, state in enumerate(self._visible(first), first):
            if fits(state):
                self._oldest = number
                return
        older = [n for n, state in enumerate(self._states[:first]) if fits(state)]
        what = f"is of commit {older[-1]}" if older else "is of no commit"
        raise Wrong(f"the answer of {question} {what}, expected one from {first} to {self._progress.begun}")

    def _copy(self, index: Index, first: int) -> None:
        """A snapshot is an index that is whole, of one commit."""
        with TemporaryDirectory() as place, Index(_copied(index, Path(place)), model=index.model) as copy:
            if damage := copy.verify():
                raise Wrong(f"a snapshot is damaged: {damage[:3]}")
            documents = {document.id: [document.text, document.metadata] for document in copy}
            self._match(first, documents, "a snapshot")

    def _get(self, index: Index, first: int) -> None:
        name = self._rng.choice([*IDS, *RECORDS])
        document = index.get(name)
        content = None if document is None else [document.text, document.metadata]
        if content not in [state.documents.get(name) for state in self._visible(first)]:
            raise Wrong(f"get({name!r}) gives {content}, which no commit from {first} to now has")
