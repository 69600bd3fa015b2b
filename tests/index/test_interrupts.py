"""Ctrl-C before any line of an operation leaves an index that works: nothing open, nothing stale."""

import random
import sys
from pathlib import Path

import pytest

import femtosearch
from femtosearch import Index
from femtosearch.fde import Muvera

from ..fakes import FakeModel, fast_path

__all__ = ["fast_path"]

pytestmark = pytest.mark.slow

MODEL = FakeModel()
PACKAGE = str(Path(femtosearch.__file__).parent)
FDE = Muvera(2, 2, 4)


class Interrupt:
    """Raises KeyboardInterrupt before the n-th line that this thread executes in the package."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.count = 0

    def __enter__(self):
        self._before = sys.gettrace()
        sys.settrace(self._call)
        return self

    def __exit__(self, *_):
        sys.settrace(self._before)

    def _call(self, frame, event, argument):
        return self._line if frame.f_code.co_filename.startswith(PACKAGE) else None

    def _line(self, frame, event, argument):
        if event == "line":
            self.count += 1
            if self.count == self.at:
                raise KeyboardInterrupt
        return self._line


OPERATIONS = {
    "add": (
        lambda index: index.add([{"id": "c", "text": "word3"}, {"id": "a", "text": "word4"}]),
        {"b", "a", "c"},
    ),
    "delete": (lambda index: index.delete(["a", "nothing"]), {"b"}),
    "compact": (lambda index: index.compact(), {"a", "b"}),
    "set_fde": (lambda index: index.set_fde(FDE), {"a", "b"}),
    "set_rows": (lambda index: index.set_rows(bits=4), {"a", "b"}),
    "search": (lambda index: index.search("word1", k=9), {"a", "b"}),
    "get": (lambda index: index.get("a"), {"a", "b"}),
    "stats": (lambda index: index.stats(), {"a", "b"}),
}


def prepared(place):
    index = Index(place, model=MODEL, timeout=0.3)
    index.add([{"id": "gone", "text": "word1"}, {"id": "a", "text": "word1"}, {"id": "b", "text": "word2"}])
    index.delete("gone")
    return index


def check(index, place, after):
    """The index, and another one on its folder, answer right and can be written to."""
    ids = {document.id for document in index}
    assert ids in ({"a", "b"}, after), ids
    assert {hit.id for hit in index.search("word1 word2 word3", k=99)} == ids and len(index) == len(ids)
    if place is not None:
        with Index(place, model=MODEL, timeout=0.3) as other:
            other.add([{"id": "other", "text": "word5"}])
            ids.add("other")
            assert index.verify() == []
    index.add([{"id": "more", "text": "word6"}])
    ids.add("more")
    assert {hit.id for hit in index.search("word1", k=99)} == ids == {document.id for document in index}
    index.compact()
    assert index.stats().dead_passages == 0


def lines_of(name, place):
    """How many lines the operation executes."""
    with prepared(place) as index, Interrupt(0) as counter:
        OPERATIONS[name][0](index)
    return counter.count


@pytest.mark.parametrize("place", ["folder", "memory"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_interrupt_before_any_line(fast_path, name, place):
    operation, after = OPERATIONS[name]
    count = lines_of(name, fast_path / "count" if place == "folder" else None)
    assert count > 3
    numbers = range(1, count + 1)
    for at in sorted(random.Random(name).sample(numbers, min(count, 60))):
        folder = fast_path / f"{at}" if place == "folder" else None
        index = prepared(folder)
        try:
            with Interrupt(at):
                operation(index)
        except KeyboardInterrupt:
            pass
        check(index, folder, after)
        index.close()


@pytest.mark.parametrize("place", ["folder", "memory"])
def test_an_interrupt_whose_traceback_is_kept(fast_path, place):
    """A notebook keeps the last error, and with it every frame: no lock may hang on one."""
    tracebacks = []
    for at in range(40, 240, 5):
        folder = fast_path / f"{at}" if place == "folder" else None
        index = prepared(folder)
        try:
            with Interrupt(at):
                OPERATIONS["add"][0](index)
        except KeyboardInterrupt as error:
            tracebacks.append(error)
        check(index, folder, OPERATIONS["add"][1])
        index.close()
    assert tracebacks


def test_an_interrupt_while_it_is_opened_or_closed(fast_path):
    prepared(fast_path / "i").close()
    with Interrupt(0) as counter:
        Index(fast_path / "i", model=MODEL).close()
    for at in range(1, counter.count + 1, 3):
        try:
            with Interrupt(at):
                Index(fast_path / "i", model=MODEL).close()
        except KeyboardInterrupt:
            pass
        with Index(fast_path / "i", model=MODEL, timeout=0.3) as index:
            index.add([{"id": "a", "text": "word1"}])
            assert len(index) == 2


def test_an_interrupt_while_it_is_made(fast_path):
    with Interrupt(0) as counter:
        Index(fast_path / "count", model=MODEL).close()
    for at in range(1, counter.count + 1, 3):
        folder = fast_path / f"{at}"
        try:
            with Interrupt(at):
                Index(folder, model=MODEL).close()
        except KeyboardInterrupt:
            pass
        with Index(folder, model=MODEL, timeout=0.3) as index:
            index.add([{"id": "a", "text": "word1"}])
            assert len(index) == 1 and index.verify() == []
