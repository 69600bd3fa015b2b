"""Changes of files as they happen: editors that write by renaming, moved folders, many files at once."""

import os
import threading
import time

import pytest

from femtosearch.errors import MissingExtraError, ReadError
from femtosearch.index.index import Index
from femtosearch.read import refresh
from femtosearch.read.watch import changes

from ..fakes import FakeModel


def follow(folder, index, steps):
    """Refresh at each change, while another thread takes the steps, until the index holds what it should."""
    for step, expected in steps:
        timer = threading.Timer(0.3, step)
        timer.start()
        deadline = time.monotonic() + 20
        for _ in changes(index):
            refresh(index)
            if {document.text for document in index} == expected or time.monotonic() > deadline:
                break
        timer.join()
        assert {document.text for document in index} == expected


@pytest.mark.slow
def test_changes_are_followed(tmp_path):
    pytest.importorskip("watchfiles")
    folder = tmp_path / "d"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.md").write_text("one")
    (folder / "sub" / "b.md").write_text("two")

    def write_by_renaming():
        (folder / ".a.tmp").write_text("changed")
        os.replace(folder / ".a.tmp", folder / "a.md")

    def write_many():
        for number in range(200):
            (folder / f"{number}.txt").write_text(f"text {number}")

    with Index(model=FakeModel()) as index:
        refresh(index, [folder])
        many = {f"text {number}" for number in range(200)}
        follow(
            folder,
            index,
            [
                (write_by_renaming, {"changed", "two"}),
                (lambda: os.rename(folder / "sub", folder / "moved"), {"changed", "two"}),
                (lambda: (folder / "moved" / "b.md").write_text("three"), {"changed", "three"}),
                (write_many, {"changed", "three"} | many),
                (lambda: os.unlink(folder / "a.md"), {"three"} | many),
            ],
        )


def test_an_index_without_sources_has_nothing_to_watch():
    pytest.importorskip("watchfiles")
    with Index(model=FakeModel()) as index, pytest.raises(ReadError, match="files or folders to watch"):
        next(changes(index))


def test_a_missing_extra_is_told(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "watchfiles", None)
    with Index(model=FakeModel()) as index, pytest.raises(MissingExtraError, match=r"femtosearch\[watch\]"):
        next(changes(index))


def test_there_is_a_look_at_the_beginning_and_one_when_it_is_quiet_again(tmp_path, monkeypatch):
    """What happened before the watch began, and events that the system lost, are not missed for ever."""
    watchfiles = pytest.importorskip("watchfiles")
    batches = [set(), set(), {(1, "a")}, {(1, "a"), (2, "b")}, set(), set()]
    monkeypatch.setattr(watchfiles, "watch", lambda *_, **__: iter(batches))
    (tmp_path / "a.txt").write_text("one")
    with Index(model=FakeModel()) as index:
        refresh(index, [tmp_path])
        told = changes(index)
        assert [next(told) for _ in range(5)] == [0, 1, 2, 0, 1]
