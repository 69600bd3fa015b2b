"""Ctrl-C at any moment inside the engine: the same index then answers right, and nothing stays locked."""

from __future__ import annotations

import dis
import os
import random
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import femtosearch
from femtosearch import FemtosearchError, Index
from torture.contents import FAKE, check
from torture.counts import Counts
from torture.operations import FDES, Operation, State, damage, documents, holds, perform, topic
from torture.rounds import Wrong, limited, play, share, told

PRELOADED = False
_CASES = 80  # in one round
_PATIENCE = 20.0  # seconds for a case
_SOON = 1.0  # seconds in which another index has to get the writer's lock
_PACKAGE = os.path.dirname(femtosearch.__file__) + os.sep

Make = Callable[[random.Random], Operation]
OPERATIONS: list[Operation] = [
    {"add": {"20": ["word1 word2", {}], "21": ["word3", {}]}},
    {"add": {"0": ["word1 word5", {}], "20": ["word4", {}]}},
    {"delete": ["1", "3"]},
    {"update": {"1": {"n": 7}, "3": {"n": 7}}},
    {"where": 30},
    {"words": True},
    {"rows": True},
    {"refresh": {"r1": ["word1 word2", {"n": 5}], "r4": ["word3", {"n": 6}]}},
    {"import": {"0": ["word1 word5", {"n": 1}], "21": ["word4", {}]}},
    {"snapshot": True},
    {"repair": True},
    {"compact": True},
    {"fde": 1},
    {"fde": 0},
    {"calibrate": True},
    {"search": True},
    {"get": True},
    {"stats": True},
    {"close": True},
    {"open": True},
]


class Interrupt:
    """Sends SIGINT to this process at a moment inside the engine's own files, counted from 1; 0: only counts.

    lines:  whether the moments are lines; else they are where Python itself looks for signals.
    """

    def __init__(self, at: int = 0, *, lines: bool = True) -> None:
        self.count = 0
        self._at = at
        self._lines = lines
        self._looks = False  # whether the last instruction ended with a look for signals

    def __enter__(self) -> Interrupt:
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _trace(self, frame: FrameType, event: str, _: object) -> Any:
        if not frame.f_code.co_filename.startswith(_PACKAGE):
            return None
        if event == "call":
            frame.f_trace_opcodes = not self._lines
        elif event == "opcode":
            looks, self._looks = self._looks, _looks(frame.f_code)[frame.f_lasti]
            if looks:
                self._moment()
        elif event == "line" and self._lines:
            self._moment()
        return self._trace

    def _moment(self) -> None:
        self.count += 1
        if self.count == self._at:
            sys.settrace(None)
            signal.raise_signal(signal.SIGINT)  # so that a mask or handler of the engine counts too


@cache
def _looks(code: CodeType) -> list[bool]:
    """By the place of an instruction: whether Python looks for signals at its end."""
    looks = [False] * (len(code.co_code) + 2)
    for instruction in dis.get_instructions(code):
        name = instruction.opname
        looks[instruction.offset] = name.startswith(("CALL", "RESUME", "JUMP_BACKWARD"))
    return looks


@dataclass(frozen=True, slots=True)
class Start:
    """Where an operation starts.

    template:  an index's closed folder, to be copied; None: one in memory.
    lines:     whether it is interrupted at lines; else where Python looks for signals.
    """

    operation: Operation
    template: Path | None
    before: State
    lines: bool

    @property
    def name(self) -> str:
        return topic(self.operation)

    @property
    def possible(self) -> list[State]:
        return [self.before, self.before.after(self.operation)]

    @contextmanager
    def index(self, folder: Path) -> Iterator[Index]:
        """An index that is as it is before the operation; closed at the end."""
        if self.template is not None:
            shutil.copytree(self.template, folder)
        index = _opened(self.template and folder, self.before)
        try:
            yield index
        finally:
            with suppress(FemtosearchError):
                index.close()
            shutil.rmtree(folder, ignore_errors=True)


def run(seconds: float, seed: int) -> Counts:
    """Interrupt for so many seconds."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return play("interrupts", _round, seconds, seed)
    finally:
        signal.signal(signal.SIGINT, before)


def _round(place: Path, seed: int, counts: Counts) -> None:
    """One operation, interrupted at many of its moments."""
    rng = random.Random(seed)
    start = _start(place, seed, rng)
    where = "memory" if start.template is None else "folder"
    with start.index(place / "counted") as index, Interrupt(lines=start.lines) as moments:
        _act(index, start, place / "copied")
    moment = "line" if start.lines else "look for signals"
    for number in rng.sample(range(1, moments.count + 1), min(share(_CASES), moments.count)):
        counts.case(f"{start.name} ({where})")
        try:
            with limited(_PATIENCE):
                _case(start, place / "index", number)
        except Exception as error:
            counts.fault(f"{start.name} ({where})", f"{moment} {number} of {moments.count}: {told(error)}")


def _start(place: Path, seed: int, rng: random.Random) -> Start:
    operation = OPERATIONS[seed // 2 % len(OPERATIONS)]
    lines = seed // (2 * len(OPERATIONS)) % 2 == 0
    before = State(documents(rng, [str(n) for n in range(6)]), 2 if rng.random() < 0.7 else 0)
    if seed % 2 or "open" in operation:
        with _opened(place / "template", before) as index:
            perform(index, {"add": before.documents})
            index.delete("5")
        if "repair" in operation:
            damage(place / "template")
        before = before.after({"delete": ["5"]})
        return Start(operation, place / "template", before, lines)
    return Start(operation, None, before, lines)


def _opened(folder: Path | None, state: State) -> Index:
    """An index; one in memory is filled."""
    if folder is not None and folder.exists():
        return Index(folder, model=FAKE, timeout=_SOON)
    index = Index(folder, model=FAKE, timeout=_SOON, fde=FDES[state.fde])
    if folder is None:
        perform(index, {"add": state.documents})
    return index


def _act(index: Index, start: Start, copy: Path) -> None:
    if start.name == "search":
        index.search("word1 word2", k=5)
    elif start.name == "get":
        index.get("1")
    elif start.name == "stats":
        index.stats()
    elif start.name == "snapshot":
        index.snapshot(copy)
    elif start.name == "close":
        index.close()
    elif start.name == "open":
        Index(index.folder, model=FAKE, timeout=_SOON).close()
    else:
        perform(index, start.operation)


def _case(start: Start, folder: Path, number: int) -> None:
    """Raises Wrong, and what should not have been raised."""
    with start.index(folder) as index:
        possible = start.possible
        try:
            with Interrupt(number, lines=start.lines):
                _act(index, start, folder.with_name("copy"))
            possible = possible[-1:]  # the signal came where Python drops errors: the operation is done
        except KeyboardInterrupt:
            pass
        _check_copy(folder.with_name("copy"), start.before)
        if start.template is not None:
            _check_lock(folder)
        if start.name == "repair":
            index.repair()
        if start.name != "close" or not _is_closed(index):
            state = check(index, possible)
            index.add([{"id": "22", "text": "word1"}])
            index.delete("22")
            possible = [check(index, [state])]
        if start.template is not None:
            with Index(folder, model=FAKE, timeout=_SOON) as another:
                another.add([{"id": "23", "text": "word2"}])
                another.delete("23")
                check(another, possible)


def _check_copy(copy: Path, state: State) -> None:
    """Raises Wrong where a copy is there that is not whole; it is removed."""
    if copy.exists():
        holds(copy, state.documents)
        shutil.rmtree(copy)
    if drafts := [path.name for path in copy.parent.iterdir() if path.name.startswith(".copy")]:
        raise Wrong(f"an interrupted snapshot leaves {drafts}")


def _check_lock(folder: Path) -> None:
    """Raises Wrong where SQLite's write lock is still taken."""
    with closing(sqlite3.connect(folder / "catalog.db", timeout=0.2, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise Wrong(f"a transaction has stayed open: {error}") from error


def _is_closed(index: Index) -> bool:
    """Whether the index says that it is closed; what else it raises is a fault."""
    try:
        len(index)
    except FemtosearchError as error:
        if "closed" not in str(error):
            raise
        return True
    return False
