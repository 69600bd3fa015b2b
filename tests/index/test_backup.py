"""Snapshots: an index copied as of one moment, while others write."""

import os
import threading

import pytest

from femtosearch.errors import StoreError
from femtosearch.fde import Muvera
from femtosearch.index import backup
from femtosearch.index.index import Index

from ..fakes import FakeModel, fast_path

__all__ = ["fast_path"]

MODEL = FakeModel()
DOCUMENTS = [{"id": f"d{n}", "text": f"word{n % 7} word{n % 5} w{n}", "n": n} for n in range(60)]


def contents(index):
    hits = index.search("word1 word2", k=100, hybrid=0.5)
    return list(index), [(hit.id, hit.score, hit.bm25) for hit in hits]


@pytest.mark.parametrize("place", ["folder", "memory"])
def test_a_copy_is_the_same_index(fast_path, place):
    with Index(fast_path / "n" if place == "folder" else None, model=MODEL, fde=Muvera(3, 2, 4)) as index:
        index.add(DOCUMENTS, batch=10)
        index.delete(["d3", "d4"])
        index.update("d5", {"n": -5})
        size = index.snapshot(fast_path / "deep" / "copy")
        with Index(fast_path / "deep" / "copy", model=MODEL) as copy:
            assert contents(copy) == contents(index) and not copy.verify()
            assert copy.stats().fde == index.stats().fde
            copy.add(["one more"])
            copy.compact()
            assert len(copy) == len(index) + 1 and not copy.verify()
        assert size > 10_000 and os.listdir(fast_path / "deep") == ["copy"]


def test_an_empty_folder_is_a_place(fast_path):
    (fast_path / "copy").mkdir()
    with Index(fast_path / "n", model=MODEL) as index:
        index.snapshot(fast_path / "copy")
    with Index(fast_path / "copy", model=MODEL) as copy:
        assert len(copy) == 0


def test_places_that_are_taken(fast_path):
    (fast_path / "full").mkdir()
    (fast_path / "full" / "x").write_text("mine")
    (fast_path / "file").write_text("mine")
    (fast_path / "link").symlink_to(fast_path / "nowhere")
    with Index(fast_path / "n", model=MODEL) as index:
        for name in ("full", "file", "link", "n"):
            with pytest.raises(StoreError, match="it is there already: choose another place"):
                index.snapshot(fast_path / name)
        for place, message in ((None, "expected a folder"), (3, "expected a path"), ("a\0b", "a NUL")):
            with pytest.raises(StoreError, match=message):
                index.snapshot(place)
        with pytest.raises(StoreError):
            index.snapshot(fast_path / "file" / "below")
        (fast_path / "n" / "empty").mkdir()
        for inside in ("copy", "empty", "segments/copy", "../n/copy"):
            with pytest.raises(StoreError, match="inside the index itself: choose a place outside"):
                index.snapshot(fast_path / "n" / inside)
        (fast_path / "n" / "empty").rmdir()
    assert (fast_path / "full" / "x").read_text() == "mine"
    assert sorted(os.listdir(fast_path)) == ["file", "full", "link", "n"]


def test_a_copy_that_fails_leaves_nothing(fast_path, monkeypatch):
    def fail(draft, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backup, "replace_folder", fail)
    with Index(fast_path / "n", model=MODEL) as index, pytest.raises(StoreError, match="No space left"):
        index.snapshot(fast_path / "copy")
    assert os.listdir(fast_path) == ["n"]


def test_copies_beside_a_writer_are_each_one_commit(fast_path):
    """Every commit adds two documents and takes out two, and now and then compacts."""
    with Index(fast_path / "n", model=MODEL) as index:
        index.add([{"id": f"{n}", "text": f"pair {n // 2}"} for n in range(10)])
        stop, errors = threading.Event(), []

        def write():
            n = 10
            try:
                with Index(fast_path / "n", model=MODEL) as writer:
                    while not stop.is_set():
                        writer.add(
                            [{"id": f"{n}", "text": f"pair {n // 2}"}, {"id": f"{n + 1}", "text": "x"}]
                        )
                        writer.delete([f"{n - 10}", f"{n - 9}"])
                        if n % 8 == 0:
                            writer.compact()
                        n += 2
            except Exception as error:
                errors.append(error)

        thread = threading.Thread(target=write)
        thread.start()
        try:
            for number in range(8):
                index.snapshot(fast_path / f"copy{number}")
        finally:
            stop.set()
            thread.join()
    assert not errors
    for number in range(8):
        with Index(fast_path / f"copy{number}", model=MODEL) as copy:
            ids = sorted(int(document.id) for document in copy)
            assert len(ids) in (10, 12) and ids == list(range(ids[0], ids[0] + len(ids))) and ids[0] % 2 == 0
            assert not copy.verify() and len(copy.search("pair", k=99)) == len(ids)


def test_damage_is_not_copied(fast_path):
    """Or a copy that is whole would be thrown away for one that is not."""
    with Index(fast_path / "n", model=MODEL) as index:
        index.add(DOCUMENTS)
    (path,) = (fast_path / "n" / "segments").iterdir()
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with Index(fast_path / "n", model=MODEL) as index, pytest.raises(StoreError, match=r"1\.seg"):
        index.snapshot(fast_path / "copy")
    assert os.listdir(fast_path) == ["n"]
