"""Real processes that die: what was acknowledged is there, and nothing is there by half."""

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from femtosearch.errors import FemtosearchError, LockedError, StoreError
from femtosearch.index.index import Index
from femtosearch.index.segment import Segment

from ..fakes import FakeModel, fast_path
from .child import IDS, UNTIL_KILLED, expected, operation, perform
from .faults import OF_THE_SYSTEM, Steps

__all__ = ["fast_path"]

pytestmark = pytest.mark.slow

MODEL = FakeModel()
HOME = Path(__file__).resolve().parents[2]
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join([str(HOME), *filter(None, [os.environ.get("PYTHONPATH")])]),
    "OPENBLAS_NUM_THREADS": "1",
}
IN_NAMESPACE = ["unshare", "-rm", "sh", "-c"]
OF_ROWS = {"seed": 186, "count": 4}  # add, delete, compact, add
OF_FDES = {"seed": 7609, "count": 5, "fde": True}  # add, fde, delete, compact, add
CHILD = [sys.executable, "-m", "tests.index.child"]


class Children:
    """The process that forks the others."""

    def __init__(self) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(CHILD, stdin=pipe, stdout=pipe, text=True, env=ENVIRONMENT)

    def start(self, job: str, **arguments: object) -> int:
        return self._ask({"start": job, **arguments})

    def wait(self, number: int) -> int:
        return self._ask({"wait": number})

    def run(self, job: str, **arguments: object) -> int:
        return self.wait(self.start(job, **arguments))

    def _ask(self, command: dict[str, object]) -> int:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


@pytest.fixture(scope="module")
def children() -> Iterator[Children]:
    children = Children()
    with children.process:
        yield children


def contents(index: Index) -> dict[str, str]:
    found = {i: document.text for i in IDS if (document := index.get(i))}
    assert len(index) == len(found)
    return found


def check(folder: Path, log: Path, texts: dict[str, str]) -> dict[str, str]:
    """The index is as the log says: all that had returned, and what had begun whole or not at all."""
    begun = None
    for line in log.read_text().splitlines() if log.exists() else []:
        entry = json.loads(line)
        if "begin" in entry:
            begun = entry["begin"]
        elif "done" in entry:
            texts, begun = expected(texts, begun), None
    with Index(folder, model=MODEL) as index:
        found = contents(index)
        assert found in ([texts, expected(texts, begun)] if begun else [texts])
        whole = {i: text for i, text in found.items() if text}
        for mode in ("maxsim", "fde") if index.stats().fde else ("maxsim",):
            assert {hit.id: hit.text for hit in index.search("word1", k=99, mode=mode)} == whole
        index.delete([])  # any write sweeps up
        stats = index.stats()
    files = sorted((folder / "segments").iterdir())
    assert len(files) == stats.segments
    for file in files:
        Segment.open(file).verify()
    assert not [path.name for path in folder.iterdir() if "part" in path.name]
    return found


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.parametrize("fde", [False, True])
def test_killed_at_random_moments(children, fast_path, fde):
    rng = random.Random(11)
    texts: dict[str, str] = {}
    for n in range(24):
        log = fast_path / f"{n}.log"
        job = {"folder": str(fast_path / "i"), "log": str(log), "seed": n, "count": UNTIL_KILLED, "fde": fde}
        job = children.start("write", **job)
        if n % 2:  # however slow the machine, some rounds get somewhere
            wait_for(lambda log=log: log.exists() and log.read_text().count("done") >= 3)
        time.sleep(rng.random() ** 2 * 0.1)
        os.kill(job, signal.SIGKILL)
        assert children.wait(job) == -signal.SIGKILL
        texts = check(fast_path / "i", log, texts)


@pytest.mark.parametrize("job", [OF_ROWS, OF_FDES], ids=["rows", "fdes"])
def test_dead_at_every_step(children, fast_path, job):
    first = fast_path / "log"
    assert children.run("write", folder=str(fast_path / "whole"), log=str(first), **job) == 0
    steps = json.loads(first.read_text().splitlines()[-1])["steps"]
    assert steps > 40
    for at in range(1, steps + 1):
        folder, log = fast_path / f"{at}", fast_path / f"{at}.log"
        assert children.run("write", folder=str(folder), log=str(log), die_at=at, **job) == 9
        check(folder, log, {})
        shutil.rmtree(folder)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES, errno.EDQUOT])
def test_an_error_at_every_step(fast_path, code):
    def fail() -> None:
        raise OSError(code, os.strerror(code))

    with Index(fast_path / "i", model=MODEL) as index:
        rng = random.Random(code)
        texts: dict[str, str] = {}
        at = 0
        while at < 150:
            todo = operation(rng)
            at += 1
            try:
                with Steps(at % 20 + 1, fail, OF_THE_SYSTEM):
                    perform(index, todo)
            except StoreError as error:
                assert str(fast_path) in str(error) and os.strerror(code) in str(error)
                assert contents(index) in (texts, expected(texts, todo))  # after the commit it has happened
                texts = contents(index)
            else:
                texts = expected(texts, todo)
                assert contents(index) == texts
            assert {hit.id for hit in index.search("word1", k=99)} == set(filter(texts.get, texts))
        perform(index, {"add": {"0": "word0"}})
        assert index.get("0")
    check(fast_path / "i", fast_path / "none", {**texts, "0": "word0"})


@pytest.mark.parametrize("limit", [1000, 20_000, 300_000, 2_000_000])
def test_files_that_may_not_grow(children, fast_path, limit):
    assert children.run("full_disk", folder=str(fast_path / "i"), limit=limit) == 0


@pytest.mark.parametrize("size", ["400k", "1m", "3m"])
def test_a_full_disk(children, tmp_path, size):
    """A small disk, where this process may mount one; else a limit on a file's size."""
    place = tmp_path / "disk"
    place.mkdir()
    if may_mount(place):
        mount = f'mount -t tmpfs -o size={size} none "$0" && exec "$@"'
        job = json.dumps(["full_disk", {"folder": str(place / "i")}])
        subprocess.run([*IN_NAMESPACE, mount, str(place), *CHILD, job], env=ENVIRONMENT, check=True)
    else:
        assert children.run("full_disk", folder=str(place / "i"), limit=100_000) == 0


def may_mount(place: Path) -> bool:
    """Whether this process may mount a disk in a namespace of its own, gone with its last process."""
    attempt = [*IN_NAMESPACE, 'mount -t tmpfs none "$0"', str(place)]
    return bool(shutil.which("unshare")) and not subprocess.run(attempt, capture_output=True).returncode


def lock_up(folder: Path) -> None:
    """Take away everybody's right to write."""
    for path in sorted(folder.rglob("*"), reverse=True):
        path.chmod(0o555 if path.is_dir() else 0o444)
    folder.chmod(0o555)
    folder.parent.chmod(0o755)


def unlock(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)


@pytest.mark.parametrize("left", ["closed", "killed"])
def test_a_folder_that_may_only_be_read(children, fast_path, left):
    folder, log = fast_path / "i", fast_path / "log"
    with Index(folder, model=MODEL) as index:
        index.add([{"id": "a", "text": "word1"}, {"id": "b", "text": "word2"}])
        index.delete("b")
        if left == "killed":
            shutil.copytree(folder, fast_path / "copy")
            folder = fast_path / "copy"
    log.touch()
    log.chmod(0o666)
    lock_up(folder)
    try:
        assert children.run("read_only", folder=str(folder), log=str(log)) == 0
    finally:
        unlock(folder)
    found = json.loads(log.read_text())
    assert found["hits"] == found["after"] == ["a"] and found["count"] == 1
    assert "permission" in found["add"] and "permission" in found["delete"]


def test_a_reader_without_the_right_to_write_follows_a_writer(children, fast_path):
    folder, log = fast_path / "i", fast_path / "log"
    log.touch()
    log.chmod(0o666)
    index = Index(folder, model=MODEL)
    index.add([{"id": "0", "text": "word1"}])
    index.close()
    lock_up(folder)
    try:
        reader = children.start("follow", folder=str(folder), log=str(log))
        for sign in range(4):
            Path(f"{log}.{sign}").touch()
            wait_for(lambda sign=sign: log.read_text().count("[") == sign + 2)
            unlock(folder)
            if sign != 1:  # once the writer stays, with its log beside the catalog
                index = Index(folder, model=MODEL)
            index.add([{"id": f"{sign + 1}", "text": "word1"}])
            if sign != 0:
                index.close()
        assert children.wait(reader) == 0
    finally:
        unlock(folder)
    assert json.loads(log.read_text()) == [["0"], ["0", "1"], ["0", "1", "2"], ["0", "1", "2", "3"]]


def test_a_disk_that_may_only_be_read(children, tmp_path):
    place, log = tmp_path / "disk", tmp_path / "log"
    place.mkdir()
    with Index(tmp_path / "i", model=MODEL) as index:
        index.add([{"id": "a", "text": "word1"}])
    if not may_mount(place):  # then the folder's mode has to do
        lock_up(tmp_path / "i")
        place = tmp_path
        assert children.run("read_only", folder=str(place / "i"), log=str(log)) == 0
    else:
        mount = (
            'mount -t tmpfs none "$0" && cp -r "$1" "$0/i" && mount -o remount,ro "$0" && shift && exec "$@"'
        )
        job = json.dumps(["read_only", {"folder": str(place / "i"), "log": str(log)}])
        inside = [*IN_NAMESPACE, mount, str(place), str(tmp_path / "i")]
        subprocess.run([*inside, *CHILD, job], env=ENVIRONMENT, check=True)
    found = json.loads(log.read_text())
    assert found["hits"] == found["after"] == ["a"] and found["count"] == 1
    assert "writing needs" in found["add"] or "permission" in found["add"]


def test_two_processes_write(children, fast_path):
    jobs = [children.start("fill", folder=str(fast_path / "i"), name=name, count=15) for name in "ab"]
    assert [children.wait(job) for job in jobs] == [0, 0]
    with Index(fast_path / "i", model=MODEL) as index:
        assert {hit.id for hit in index.search("word1", k=99)} == {
            f"{name}{n}" for name in "ab" for n in range(15)
        }


def test_the_lock_says_who_holds_it_and_dies_with_its_holder(children, fast_path):
    flag = fast_path / "flag"
    with Index(fast_path / "i", model=MODEL, timeout=0.05) as index:
        index.add([{"id": "a", "text": "word1"}])
        holder = children.start("hold", folder=str(fast_path / "i"), flag=str(flag))
        wait_for(flag.exists)
        for change in (lambda: index.add(["y"]), lambda: index.delete("a"), index.compact):
            with pytest.raises(LockedError, match=rf"process {holder} on .+, since 20\S+, is writing"):
                change()
        assert index.search("word1")[0].id == "a" and len(index) == 1
        os.kill(holder, signal.SIGKILL)
        children.wait(holder)
        index.add([{"id": "b", "text": "word1"}])
        assert len(index) == 2


def test_readers_beside_a_writer_that_compacts(children, fast_path):
    with Index(fast_path / "i", model=MODEL) as index:
        index.add([{"id": "stays", "text": "anchor"}])
        seen = set()

        def look() -> bool:
            """Search, and whether anything but the anchor was found."""
            hits = [hit.text for hit in index.search("even odd anchor", k=99)]
            assert hits.count("even") == hits.count("odd") and hits.count("anchor") == 1
            seen.add(len(hits))
            return len(hits) > 1

        assert not look()
        jobs = [children.start("pairs", folder=str(fast_path / "i"), count=40) for _ in range(2)]
        wait_for(look)  # however late the writers begin
        for _ in range(300):
            look()
        assert [children.wait(job) for job in jobs] == [0, 0]
        assert len(seen) > 1


def test_an_index_does_not_cross_a_fork(fast_path):
    with Index(fast_path / "i", model=MODEL) as index:
        index.add(["x"])
        index._pid += 1  # as a forked child would see it
        with pytest.raises(FemtosearchError, match="fork"):
            index.search("x")
        index._pid -= 1
