"""Children that are forked or spawned while an index is written to: none keeps its lock, none harms it."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from femtosearch import FemtosearchError, Index
from torture.contents import FAKE, check_folder
from torture.counts import Counts
from torture.operations import State
from torture.processes import exit_status, fork
from torture.rounds import Wrong, limited, told

_PATIENCE = 60.0
_SOON = 1.0  # seconds in which the writer's lock has to be free
_FIRST = {f"{n}": [f"word{n}", {}] for n in range(4)}
_SECOND = {"20": ["word1 word20", {}]}

Trial = Callable[[Path, random.Random], object]


def forked(place: Path, seed: int, counts: Counts) -> None:
    """Each trial in a process of its own, because it has open indexes when it forks."""
    rng = random.Random(seed)
    for name, trial in TRIALS.items():
        counts.case(f"forks: {name}")
        folder = place / name.replace(" ", "-")
        log = place / "log"
        log.write_text("")
        number = fork(lambda trial=trial, folder=folder, log=log: _noted(trial, folder, rng, log))
        try:
            status = exit_status(number, _PATIENCE)
            if status not in (0, -signal.SIGKILL) or log.read_text():
                raise Wrong(log.read_text() or f"ended with {status}")
            with limited(_PATIENCE), Index(folder, model=FAKE, timeout=_SOON) as index:
                index.add([{"id": i, "text": text} for i, (text, _) in _SECOND.items()])
            check_folder(folder, [State({**_FIRST, **_SECOND})])
        except Exception as error:
            counts.fault(f"forks: {name}", told(error))
        _end_children(place)


def _noted(trial: Trial, folder: Path, rng: random.Random, log: Path) -> None:
    try:
        trial(folder, rng)
    except BaseException as error:
        log.write_text(told(error))
        raise


def _texts(during: Callable[[], object]) -> Iterator[dict[str, str]]:
    """The first documents; something happens in the midst of them."""
    for n, (name, (text, _)) in enumerate(_FIRST.items()):
        if n == 2:
            during()
        yield {"id": name, "text": text}


def _sleeper(folder: Path) -> int:
    """A child that stays for a while: its number, which is also noted so that it can be ended."""
    number = fork(lambda: time.sleep(_PATIENCE))
    with (folder.parent / "children").open("a") as file:
        file.write(f"{number}\n")
    return number


def _end_children(place: Path) -> None:
    children = place / "children"
    if children.exists():
        for line in children.read_text().split():
            with suppress(ProcessLookupError):
                os.kill(int(line), signal.SIGKILL)
        children.unlink()


def _child_stays(folder: Path, rng: random.Random) -> None:
    """The writer goes on after `add`, while the child that was forked inside it is still there."""
    index = Index(folder, model=FAKE, timeout=_SOON)
    index.add(_texts(lambda: _sleeper(folder)), batch=rng.randrange(1, 4))
    index.add([{"id": "0", "text": "word0"}])
    index.close()


def _writer_dies(folder: Path, rng: random.Random) -> None:
    """The writer is killed inside a second `add`; its child is still there."""
    index = Index(folder, model=FAKE, timeout=_SOON)
    index.add(_texts(lambda: None))

    def die() -> None:
        _sleeper(folder)
        os.kill(os.getpid(), signal.SIGKILL)

    index.add(({"id": "9", "text": name} for name in [*"ab", *iter(lambda: die() or "c", "c")]), batch=1)


def _child_uses_it(folder: Path, rng: random.Random) -> None:
    """The child uses the index that it inherited: that is refused, and its end harms nobody."""
    index = Index(folder, model=FAKE, timeout=_SOON)
    refusals: list[int] = []

    def use() -> None:
        number = fork(lambda: _refused(index, rng.random()))
        refusals.append(exit_status(number, _PATIENCE))

    index.add(_texts(use), batch=rng.randrange(1, 4))
    if refusals != [0]:
        raise Wrong(f"a child that uses what it inherited ended with {refusals}")
    index.close()


def _refused(index: Index, chance: float) -> None:
    for call in (lambda: index.search("word1"), lambda: index.add(["x"]), index.stats, lambda: len(index)):
        try:
            call()
        except FemtosearchError:
            continue
        raise Wrong("an index was used on the other side of a fork")
    if chance < 0.5:
        index.close()
    sys.stdout.flush()


def _child_opens_it(folder: Path, rng: random.Random) -> None:
    """The child opens the index again, as the error advises; the parent closes; the child then writes."""
    index = Index(folder, model=FAKE, timeout=_SOON)
    index.add(_texts(lambda: None))
    hear, say = os.pipe()
    opened, tell = os.pipe()

    def again() -> None:
        mine = Index(folder, model=FAKE, timeout=_SOON)
        mine.search("word1")
        os.write(tell, b"x")
        os.read(hear, 1)
        mine.add([{"id": "8", "text": "word8"}])
        mine.search("word1")

    number = fork(again)
    if rng.random() < 0.8:
        os.read(opened, 1)
    index.close()
    os.write(say, b"x")
    if status := exit_status(number, _PATIENCE):
        raise Wrong(f"the child that opened it again ended with {status}")
    with Index(folder, model=FAKE, timeout=_SOON) as index:
        if index.delete("8") != 1:
            raise Wrong("what the child acknowledged is not there")


def _spawned(folder: Path, rng: random.Random) -> None:
    """A spawned process starts inside `add`, and stays."""
    index = Index(folder, model=FAKE, timeout=_SOON)

    def spawn() -> None:
        process = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(_PATIENCE,))
        process.start()
        with (folder.parent / "children").open("a") as file:
            file.write(f"{process.pid}\n")

    index.add(_texts(spawn), batch=rng.randrange(1, 4))
    index.add([{"id": "0", "text": "word0"}])
    index.close()


def _pooled(folder: Path, rng: random.Random) -> None:
    """The texts come from a pool of forked processes that outlives `add`."""
    index = Index(folder, model=FAKE, timeout=_SOON)
    pools = []

    def texts() -> Iterator[dict[str, str]]:
        pools.append(multiprocessing.get_context("fork").Pool(2))
        yield from pools[0].imap(_document, _FIRST)

    try:
        index.add(texts(), batch=rng.randrange(1, 4))
        index.add([{"id": "0", "text": "word0"}])
        index.close()
    finally:
        pools[0].terminate()


def _document(name: str) -> dict[str, str]:
    return {"id": name, "text": _FIRST[name][0]}


TRIALS: dict[str, Trial] = {
    "child stays": _child_stays,
    "writer dies": _writer_dies,
    "child uses it": _child_uses_it,
    "child opens it": _child_opens_it,
    "pool": _pooled,
    "spawn": _spawned,
}
