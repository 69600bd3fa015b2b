"""Links and special files in an index folder: nothing outside is changed, and nothing waits for ever."""

from __future__ import annotations

import itertools
import os
import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from femtosearch import FemtosearchError, Index
from torture.contents import FAKE
from torture.counts import Counts
from torture.operations import State
from torture.rounds import Wrong, share
from torture.sandbox import Case, try_all
from torture.template import make, use

_PRECIOUS = b"precious\n"
_NAMES = (
    "writer.lock", "catalog.db", "catalog.db-wal", "catalog.db-shm", "catalog.db-journal", "catalog.db.part",
    "catalog.db.part-wal", "segments", "segments/1.seg", "segments/2.seg", "segments/99.seg",
    "segments/99.seg.part", "segments/5.seg.part",
)  # fmt: skip

Plant = Callable[[Path, Path], object]
PLANTS: dict[str, Plant] = {
    "symbolic link": lambda path, outside: path.symlink_to(outside / "file"),
    "hard link": lambda path, outside: os.link(outside / "file", path),
    "link to a folder": lambda path, outside: path.symlink_to(outside / "folder"),
    "link to a whole index": lambda path, outside: path.symlink_to(outside / "index" / _counterpart(path)),
    "dangling link": lambda path, outside: path.symlink_to(outside / "absent"),
    "link to itself": lambda path, outside: path.symlink_to(path),
    "FIFO": lambda path, outside: os.mkfifo(path),
    "folder": lambda path, outside: path.mkdir(),
    "full folder": lambda path, outside: (path / "inside").mkdir(parents=True),
    "device": lambda path, outside: path.symlink_to("/dev/zero"),
    "empty file": lambda path, outside: path.write_bytes(b""),
}


def _counterpart(path: Path) -> Path:
    return Path("segments") / path.name if path.parent.name == "segments" else Path(path.name)


def links(place: Path, seed: int, counts: Counts) -> None:
    """Plant something in an index, or in a folder in which one is made, and use that."""
    rng = random.Random(seed)
    state = make(place / "template", rng)
    pairs = list(itertools.product(_NAMES, PLANTS, (False, True)))
    cases = [_case(place, state, number, *pair) for number, pair in enumerate(rng.sample(pairs, share(60)))]
    try_all(cases, place, counts)


def _case(place: Path, state: State, number: int, name: str, plant: str, new: bool) -> Case:
    def attempt() -> None:
        outside, folder = place / f"{number}-outside", place / f"{number}"
        _outside(outside, place / "template")
        if new:
            folder.mkdir()
        else:
            shutil.copytree(place / "template", folder)
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        _remove(path)
        PLANTS[plant](path, outside)
        before = _tree(outside)
        try:
            _use(folder, state, intact=not new and "-wal" not in name)
        finally:
            after = _tree(outside)
            shutil.rmtree(folder, ignore_errors=True)
            shutil.rmtree(outside)
        if before != after:
            changed = sorted(p for p in {*before, *after} if before.get(p, 0) != after.get(p, 0))
            raise Wrong(f"what lies outside was changed: {changed[:5]}")

    topic = "links in a new folder" if new else "links"
    return topic, f"{plant} as {name}", attempt


def _use(folder: Path, state: State, *, intact: bool) -> None:
    if intact:
        use(folder, state, forged=False)
        return
    with suppress(FemtosearchError), Index(folder, model=FAKE, timeout=2) as index:
        index.add([{"id": "0", "text": "word1"}])
        if not index.search("word1") or index.get("0") is None:
            raise Wrong("what was acknowledged is not there")


def _outside(outside: Path, template: Path) -> None:
    (outside / "folder").mkdir(parents=True)
    (outside / "file").write_bytes(_PRECIOUS)
    (outside / "folder" / "1.seg").write_bytes(_PRECIOUS)
    (outside / "folder" / "99.seg.part").write_bytes(_PRECIOUS)
    shutil.copytree(template, outside / "index")
    (outside / "index" / "writer.lock").write_bytes(_PRECIOUS)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _tree(folder: Path) -> dict[str, bytes | None]:
    return {
        os.fspath(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))
    }
