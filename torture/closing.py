"""close() in one thread beside calls in others: each finishes, or says that the index is closed."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

from femtosearch import FdeError, FemtosearchError, Index, StoreError
from torture.contents import FAKE
from torture.counts import Counts
from torture.operations import FDES, QUERIES, WORDS
from torture.processes import Tally, collect, fork
from torture.rounds import share, told

_TRIES = 60  # by one process
_THREADS = 3
_PATIENCE = 60.0
_LONGEST = 0.02  # seconds from the threads' start to close()

Call = Callable[[Index], object]
CALLS: dict[str, Call] = {
    "add": lambda index: index.add([f"{WORDS[n]} {WORDS[-n]}" for n in range(12)], batch=2),
    "upsert": lambda index: index.add([{"id": f"{n}", "text": WORDS[n]} for n in range(12)], batch=2),
    "delete": lambda index: index.delete([f"{n}" for n in range(6)]),
    "search": lambda index: [index.search(text, k=5) for text in QUERIES[:6]],
    "get": lambda index: [index.get(f"{n}") for n in range(6)],
    "len": len,
    "stats": lambda index: index.stats(),
    "compact": lambda index: index.compact(),
    "fde": lambda index: index.set_fde(FDES[1]),
    "calibrate": lambda index: index.calibrate(QUERIES),
}


def beside_calls(place: Path, seed: int, counts: Counts) -> None:
    """A process that tries it many times; a crash ends it, and is a fault."""
    tally = Tally(place / "tally")
    number = fork(lambda: _many(place, random.Random(seed), tally))
    collect(number, tally, counts, "closing", _PATIENCE)


def _many(place: Path, rng: random.Random, tally: Tally) -> None:
    folder = place / "index"
    with Index(folder, model=FAKE) as index:
        index.add([{"id": f"{n}", "text": f"{WORDS[n]} {WORDS[-n]}"} for n in range(20)])
        index.set_fde(FDES[2])
    for _ in range(share(_TRIES)):
        tally.case()
        acknowledged: list[str] = []
        _once(folder if rng.random() < 0.8 else None, rng, tally, acknowledged)
        if acknowledged:
            with Index(folder, model=FAKE) as index:
                missing = [name for name in acknowledged if name not in index]
                if missing:
                    tally.fault(f"acknowledged, and not there: {missing}")
                index.delete(acknowledged)


def _once(folder: Path | None, rng: random.Random, tally: Tally, acknowledged: list[str]) -> None:
    index = Index(folder, model=FAKE, timeout=5)
    names = rng.choices(list(CALLS), k=_THREADS)
    threads = [
        threading.Thread(target=_call, args=(index, name, tally, acknowledged if folder else []))
        for name in names
    ]
    for thread in threads:
        thread.start()
    time.sleep(rng.random() * _LONGEST)
    _guarded("close", tally, index.close)
    for thread in threads:
        thread.join()


def _call(index: Index, name: str, tally: Tally, acknowledged: list[str]) -> None:
    answer = _guarded(name, tally, lambda: CALLS[name](index))
    if name == "add" and isinstance(answer, list):
        acknowledged += answer


def _guarded(name: str, tally: Tally, call: Callable[[], object]) -> object:
    """What a call returns; what it raises is a fault, unless it says that the index is closed."""
    try:
        return call()
    except Exception as error:
        if not (isinstance(error, FemtosearchError) and _is_allowed(name, error)):
            tally.fault(f"{name} beside close: {told(error)}")
    return None


def _is_allowed(name: str, error: FemtosearchError) -> bool:
    """Closed; or calibration, which refuses an index that is too small or has another FDE by then."""
    return "closed" in str(error) or (name == "calibrate" and isinstance(error, (FdeError, StoreError)))
