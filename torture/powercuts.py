"""Power cuts: every write and sync of a run is recorded, and the disks that a cut could leave are opened."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

from femtosearch import Index
from torture.contents import FAKE, check_folder
from torture.counts import Counts
from torture.operations import Operation, State, draw, holds, perform, topic
from torture.record import MARK, Disk, entries
from torture.rounds import Wrong, play, share, told
from torture.shim import Shim

PRELOADED = True
_OPERATIONS = 9  # of one recorded run
_CUTS = 3  # disks that are drawn at each moment
_SHARED = "-shm"  # SQLite's shared memory: made anew by whoever opens the catalogue first

Ignored = Callable[[str], bool]


def run(seconds: float, seed: int) -> Counts:
    """Cut the power for so many seconds. Raises RuntimeError where the shim is not loaded."""
    return _played("powercuts", seconds, seed, lambda path: False)


def run_without_sync(seconds: float, seed: int) -> Counts:
    """The same as if no segment were ever synced: this finds faults, or the kind is worth nothing."""
    return _played("powercuts", seconds, seed, lambda path: ".seg" in path)


def _played(kind: str, seconds: float, seed: int, ignored: Ignored) -> Counts:
    shim = Shim()

    def record_and_replay(place: Path, seed: int, counts: Counts) -> None:
        rng = random.Random(seed)
        if seed % 4 == 3:
            state = _record_copy(shim, place, rng)
            _replay_copy(place, (rng, state), counts, ignored)
        else:
            _record(shim, place, rng)
            _replay(place, random.Random(seed), counts, ignored)

    return play(kind, record_and_replay, seconds, seed)


def _record(shim: Shim, place: Path, rng: random.Random) -> None:
    """Make an index in place/index and do operations by chance, recorded in place/record."""
    folder = place / "index"
    with shim.recording(folder, place / "record"):
        shim.mark(json.dumps({"begin": {"open": True}}))
        index = Index(folder, model=FAKE)
        shim.mark(json.dumps({"done": True}))
        for _ in range(_OPERATIONS):
            operation = draw(rng, damages=True)
            shim.mark(json.dumps({"begin": operation}))
            if topic(operation) == "reopen":
                index.close()
                index = Index(folder, model=FAKE)
            perform(index, operation)
            shim.mark(json.dumps({"done": True}))
        index.close()


def _replay(place: Path, rng: random.Random, counts: Counts, ignored: Ignored) -> None:
    """After each recorded call, check some of the disks that a cut at that moment can leave."""
    disk = Disk(os.fspath(place), ignored)
    state, begun = State(), None
    seen: set[bytes] = set()
    for entry in entries(place / "record"):
        if entry.call == MARK:
            remark = json.loads(entry.first)
            if "begin" in remark:
                begun = remark["begin"]
            elif begun is not None:
                state, begun = state.after(begun), None
            continue
        disk.apply(entry)
        possible = [state] if begun is None else [state, state.after(begun)]
        for _ in range(share(_CUTS)):
            _check(place, disk.after_a_cut(rng), possible, begun, (seen, counts))
    _compare(place / "index", disk)


def _record_copy(shim: Shim, place: Path, rng: random.Random) -> State:
    """Make an index, and record how a copy of it is made in place/backup/copy; what both hold."""
    state = State()
    with Index(place / "index", model=FAKE) as index:
        for _ in range(_OPERATIONS):
            operation = draw(rng)
            if topic(operation) != "reopen":
                perform(index, operation)
                state = state.after(operation)
        with shim.recording(place / "backup", place / "record"):
            index.snapshot(place / "backup" / "copy")
            shim.mark("done")
    return state


def _replay_copy(place: Path, drawn: tuple[random.Random, State], counts: Counts, ignored: Ignored) -> None:
    """After each recorded call: what a cut leaves is no copy, or a whole one; at the end it is whole."""
    rng, state = drawn
    disk, is_done = Disk(os.fspath(place), ignored), False
    for entry in entries(place / "record"):
        is_done = is_done or entry.call == MARK
        if entry.call != MARK:
            disk.apply(entry)
        for _ in range(share(_CUTS)):
            counts.case("snapshot")
            remains = disk.after_a_cut(rng).items()
            _write(
                {path: data for path, data in remains if not path.endswith(_SHARED)}, place, place / "after"
            )
            copy = place / "after" / "backup" / "copy"
            try:
                if copy.exists() or is_done:
                    holds(copy, state.documents)
                    check_folder(copy, [state])
            except Exception as error:
                counts.fault("snapshot", f"after {entry.call}: {told(error)}")
            shutil.rmtree(place / "after")
    _compare(place / "backup", disk)


def _check(
    place: Path,
    remains: dict[str, bytes | None],
    possible: list[State],
    begun: Operation | None,
    tally: tuple[set[bytes], Counts],
) -> None:
    """Check what remains after a cut, unless the same was checked before."""
    seen, counts = tally
    remains = {path: content for path, content in remains.items() if not path.endswith(_SHARED)}
    digest = hashlib.sha256(repr((sorted(remains.items()), [s.key() for s in possible])).encode()).digest()
    if digest in seen:
        return
    seen.add(digest)
    moment = topic(begun) if begun else "between"
    counts.case(moment)
    target = place / "after" / "index"
    _write(remains, place, place / "after")
    try:
        check_folder(target, possible, mends=moment == "mend")
    except Exception as error:
        counts.fault(moment, f"cut {len(seen)}: {told(error)}")
    shutil.rmtree(place / "after")


def _write(remains: dict[str, bytes | None], source: Path, target: Path) -> None:
    for path, content in remains.items():
        place = target / os.path.relpath(path, source)
        if content is None:
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.write_bytes(content)


def _compare(folder: Path, disk: Disk) -> None:
    """Raises Wrong where the record does not lead to the files that there are."""
    files = {
        os.fspath(path): None if path.is_dir() else path.read_bytes() for path in [folder, *folder.rglob("*")]
    }
    recorded = {path: content for path, content in disk.now().items() if path != disk.root}
    if {p: c for p, c in files.items() if _SHARED not in p} != {
        p: c for p, c in recorded.items() if _SHARED not in p
    }:
        differing = sorted(p for p in {*files, *recorded} if files.get(p, 0) != recorded.get(p, 0))
        raise Wrong(f"the record does not lead to what is there: {differing}")
