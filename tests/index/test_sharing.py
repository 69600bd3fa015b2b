"""One index opened, closed and forked by several at once: nothing is lost, no lock outlives its holder."""

import gc
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from femtosearch import FemtosearchError, Index
from femtosearch.errors import LockedError, StoreError
from femtosearch.fde import Muvera
from femtosearch.index.lock import FolderLock
from femtosearch.index.segments import OutdatedError

from ..fakes import FakeModel, fast_path

__all__ = ["fast_path"]

pytestmark = pytest.mark.slow

MODEL = FakeModel()
HOME = Path(__file__).resolve().parents[2]
ELSEWHERE = """
import json, sys
from femtosearch import Index
from tests.fakes import FakeModel
with Index(sys.argv[1], model=FakeModel(), timeout=float(sys.argv[3])) as index:
    if sys.argv[2]:
        index.add([{"id": sys.argv[2], "text": "note"}])
    print(json.dumps(sorted(hit.id for hit in index.search("note", k=99))))
"""


def elsewhere(folder, add="", timeout=5.0):
    """What another process finds, after it has added a document."""
    command = [sys.executable, "-c", ELSEWHERE, str(folder), add, str(timeout)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HOME), *sys.path])}
    answer = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=HOME)
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


def posix_locks(folder):
    """How many POSIX locks this process has on the catalogue."""
    inode = str((folder / "catalog.db").stat().st_ino)
    locks = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    mine = [lock for lock in locks if lock[1] == "POSIX" and lock[4] == str(os.getpid())]
    return sum(lock[5].split(":")[-1] == inode for lock in mine)


def open_and_close(folder):
    Index(folder, model=MODEL).close()


def open_with_another_model(folder):
    with pytest.raises(StoreError):
        Index(folder, model=FakeModel(name="another"))


def describe_it(folder):
    from femtosearch.index.stats import describe

    describe(folder)


def open_by_a_link(folder):
    link = folder.with_name("link")
    link.symlink_to(folder)
    Index(link, model=MODEL).close()


@pytest.mark.parametrize("again", [open_and_close, open_with_another_model, describe_it, open_by_a_link])
def test_an_index_opened_twice_in_a_process_keeps_its_log(fast_path, again):
    folder = fast_path / "i"
    index = Index(folder, model=MODEL)
    index.add([{"id": "1", "text": "note"}])
    index.search("note")
    again(folder)
    assert elsewhere(folder) == ["1"]
    index.add([{"id": "2", "text": "note"}])
    assert elsewhere(folder) == ["1", "2"]
    assert elsewhere(folder, add="3") == ["1", "2", "3"]
    assert index.verify() == []
    index.close()
    assert elsewhere(folder) == ["1", "2", "3"]


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="the system does not list its locks")
def test_a_second_open_drops_no_lock(tmp_path):
    gc.collect()  # catalogues that other tests left open, on another device, may have the same inode
    index = Index(tmp_path / "i", model=MODEL)
    index.add(["note"])
    before = posix_locks(tmp_path / "i")
    assert before
    for again in (open_and_close, open_with_another_model, describe_it):
        again(tmp_path / "i")
        assert posix_locks(tmp_path / "i") == before
    index.close()


def test_an_index_has_one_connection(fast_path, monkeypatch):
    import sqlite3

    with Index(fast_path / "i", model=MODEL) as index:
        index.add(["note"])
    opened = []  # but for the scratch file, without a name, in which verify makes its table of words
    connect = sqlite3.connect

    def counted(name, *args, **more):
        opened.extend([name] if name else [])
        return connect(name, *args, **more)

    monkeypatch.setattr(sqlite3, "connect", counted)
    with Index(fast_path / "i", model=MODEL) as index:
        index.search("note")
        index.stats()
        index.verify()
        assert len(opened) == 1
        index.add(["more"])
        index.compact()
        assert len(opened) == 2  # one more for all writes


@pytest.mark.parametrize("place", ["folder", "memory"])
@pytest.mark.parametrize("name", ["add", "delete", "compact", "search", "stats", "verify", "get"])
def test_close_beside_other_threads(fast_path, place, name):
    calls = {
        "add": lambda index: index.add([f"text {n}" for n in range(12)], batch=2),
        "delete": lambda index: index.delete(["a", "b"]),
        "compact": lambda index: index.compact(),
        "search": lambda index: index.search("text a", k=3),
        "stats": lambda index: index.stats(),
        "verify": lambda index: index.verify(),
        "get": lambda index: index.get("a"),
    }
    outcomes = set()

    def call(index):
        try:
            for _ in range(3):
                calls[name](index)
            outcomes.add("ended")
        except StoreError as error:
            outcomes.add("closed" if "closed" in str(error) else str(error))
        except BaseException as error:
            outcomes.add(repr(error))

    for n in range(25):
        index = Index(fast_path / "i" if place == "folder" else None, model=MODEL)
        index.add([{"id": "a", "text": "text a"}])
        thread = threading.Thread(target=call, args=(index,))
        thread.start()
        time.sleep(n * 1e-4)
        index.close()
        thread.join()
    assert outcomes <= {"ended", "closed"}


def test_the_lock_is_free_while_a_forked_child_lives(fast_path):
    context = multiprocessing.get_context("fork")
    with Index(fast_path / "i", model=MODEL, timeout=0.2) as index:
        pools = []

        def texts():
            pools.append(context.Pool(1))
            yield from pools[0].imap(str, range(3))

        try:
            index.add(texts())
            index.add(["one more"])
            assert "x" in elsewhere(fast_path / "i", add="x", timeout=0.2)
        finally:
            pools[0].terminate()
            pools[0].join()
        assert len(index) == 5


def test_the_lock_dies_with_its_holder_though_a_child_lives(fast_path):
    script = (
        "import os, sys, time\nfrom femtosearch.index.lock import FolderLock\nfrom pathlib import Path\n"
        "with FolderLock(Path(sys.argv[1])).hold(1.0):\n"
        "    child = os.fork()\n"
        "    if child == 0:\n        os.close(1)\n        time.sleep(30)\n        os._exit(0)\n"
        "    print(child, flush=True)\n    time.sleep(30)\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", script, str(fast_path / "writer.lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        child = int(holder.stdout.readline())
        try:
            with pytest.raises(LockedError), FolderLock(fast_path / "writer.lock").hold(0.0):
                pass
            holder.kill()
            holder.wait()
            with FolderLock(fast_path / "writer.lock").hold(1.0):
                pass
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_child_that_goes_on_with_its_parents_write_is_stopped(fast_path):
    """A generator forks, so that the write goes on in both processes: it ends well in the parent alone."""
    with Index(fast_path / "i", model=MODEL) as index:
        children = []

        def texts():
            yield {"id": "a", "text": "note"}
            children.append(os.fork())
            yield {"id": "b", "text": "note"}

        try:
            index.add(texts(), batch=1)
        except FemtosearchError as error:
            os._exit(7 if children == [0] and "fork" in str(error) else 8)
        if children == [0]:
            os._exit(9)
        assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 7
        assert len(index) == 2 and index.verify() == []
        assert elsewhere(fast_path / "i", add="c") == ["a", "b", "c"]


def test_a_lock_that_does_not_lock_loses_nothing(fast_path, monkeypatch):
    """On a file system whose flock does nothing SQLite's own locks keep the writers apart."""
    monkeypatch.setattr("femtosearch.system.lock", lambda descriptor: True)
    errors = []

    def write(name):
        with Index(fast_path / "i", model=MODEL, timeout=20) as index:
            for n in range(15):
                try:
                    index.add([{"id": f"{name}{n}", "text": "note"}])
                except StoreError as error:
                    errors.append(error)

    open_and_close(fast_path / "i")
    threads = [threading.Thread(target=write, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with Index(fast_path / "i", model=MODEL) as index:
        assert len(index) == len(index.search("note", k=99)) == 45 - len(errors) and index.verify() == []
    assert all(isinstance(error, LockedError) for error in errors)


def test_waiting_for_a_writer_ends_in_time(fast_path):
    open_and_close(fast_path / "i")
    with Index(fast_path / "i", model=MODEL, timeout=0.1) as index:
        holder = FolderLock(fast_path / "i" / "writer.lock")
        with holder.hold(1.0):
            start = time.monotonic()
            with pytest.raises(LockedError):
                index.add(["x"])
            assert time.monotonic() - start < 5


def test_what_has_moved_on_is_asked_again(fast_path):
    """The FDE that a snapshot names goes while it is described, counted or measured."""
    with Index(fast_path / "i", model=MODEL, fde=Muvera(2, 2, 4)) as index:
        index.add([f"word{n} word{n + 1}" for n in range(30)])
        snapshots, encoding_of = index._snapshots, index._store.encoding
        for number, ask in enumerate([index.stats, lambda: index.calibrate([f"word{n}" for n in range(25)])]):
            moved = []

            def encoding(state, number=number, moved=moved):
                if not moved:
                    moved.append(True)
                    with Index(fast_path / "i", model=MODEL) as other:
                        other.set_fde(Muvera(2, 3, 4 - number))
                return encoding_of(state)

            index._store._encoding = None
            index._store.encoding = encoding
            snapshots.release()
            assert ask() and moved
            index._store.encoding = encoding_of
        with pytest.raises(OutdatedError):
            snapshots.ask(lambda snapshot: (_ for _ in ()).throw(OutdatedError("gone for good")))
        with pytest.raises(StoreError, match="changed faster than it could be read"):
            snapshots.ask(lambda snapshot: None)


def test_writers_that_are_always_faster_are_paused(fast_path):
    folder = fast_path / "i"
    with Index(folder, model=MODEL) as index, Index(folder, model=MODEL, timeout=0) as other:
        index.add(["a note"])

        def outrun(snapshot):
            """A writer commits while the question is asked, if it may."""
            try:
                other.add([f"note {len(other)}"])
            except LockedError:
                return "alone"
            raise OutdatedError("gone meanwhile")

        assert index._snapshots.ask(outrun) == "alone"
        with index._store.hold_lock(), pytest.raises(StoreError, match="changed faster"):
            index._snapshots.ask(lambda snapshot: None)  # by the writer itself, which waits for nobody
        other.add(["the lock is free again"])


def test_a_check_pauses_writers_that_are_always_faster(fast_path, monkeypatch):
    folder = fast_path / "i"
    with Index(folder, model=MODEL) as index, Index(folder, model=MODEL, timeout=0) as other:
        index.add(["a note"])
        state_of = type(index._store.catalog).state

        def state(catalog):
            """What the catalogue says, and then a compaction, which takes away the segments that it names."""
            seen = state_of(catalog)
            if catalog is index._store.catalog:
                with suppress(LockedError):
                    other.add([f"note {len(other)}"])
                    other.compact()
            return seen

        monkeypatch.setattr(type(index._store.catalog), "state", state)
        assert index.verify() == []


def test_an_iteration_of_a_page_is_of_one_moment():
    with Index(model=FakeModel()) as index:
        index.add([{"id": name, "text": f"old {name}"} for name in "abc"])
        documents = iter(index)
        assert next(documents).text == "old a"
        index.add([{"id": "b", "text": "new b"}, {"id": "d", "text": "new d"}])
        assert [document.text for document in documents] == ["old b", "old c"]
        assert {document.text for document in index} == {"old a", "old c", "new b", "new d"}


def test_another_index_in_the_place_of_one_that_is_open(tmp_path):
    folder = tmp_path / "notes"
    with Index(folder, model=MODEL) as index:
        index.add([{"id": "old", "text": "old words"}])
        shutil.rmtree(folder)
        with Index(folder, model=MODEL) as other:
            for n in range(6):
                other.add([{"id": f"new {n}", "text": f"words {n}"}])
        assert index.add(["more words"]) and len(index) == 7
        assert index.get("old") is None and len(index.search("words", k=9)) == 7
        with Index(folder, model=MODEL) as other:
            assert other.verify() == [] and len(other) == 7
        folder.rename(tmp_path / "before")
        with Index(folder, model=MODEL) as other:
            other.add([{"id": "third", "text": "words"}])
        assert [hit.id for hit in index.search("words")] == ["third"]
        with Index(tmp_path / "before", model=MODEL) as other:
            assert other.verify() == [] and len(other) == 7
        shutil.rmtree(folder)
        for call in (lambda: index.add(["text"]), lambda: index.search("words"), lambda: len(index)):
            with pytest.raises(StoreError):
                call()
        Index(folder, model=FakeModel(5)).close()
        for call in (lambda: index.add(["text"]), lambda: index.search("words"), lambda: len(index)):
            with pytest.raises(StoreError, match="an index of another model lies there now"):
                call()
