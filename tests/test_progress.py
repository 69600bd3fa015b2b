"""The progress line: on a terminal alone, not too often, with the time that is left."""

import io

import pytest

from femtosearch import progress as module
from femtosearch.progress import CLEAR, Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def drawn(stream):
    return stream.getvalue().split(CLEAR)


def test_a_share_that_is_known(clock):
    stream = Terminal()
    with Progress(stream=stream) as progress:
        progress.update("indexing", 0, share=0.0, unit="documents")
        clock[0] += 10
        progress.update("indexing", 1234, share=0.5, unit="documents")
        progress.update("indexing", 1235, share=0.5, unit="documents")  # too soon to be drawn
    line = "indexing [############------------]  50%  1,234 documents  123/s  10.0 s left"
    assert drawn(stream)[-2:] == [line, ""]
    assert progress.seconds == 10


def test_a_total_that_is_known(clock):
    stream = Terminal()
    progress = Progress(stream=stream)
    progress.update("distil", 5, 12)
    clock[0] += 60
    progress.update("distil", 6, 12, note="loss 1")
    assert drawn(stream)[-1] == "distil [############------------]  50%  6 of 12  0/s  6 min 0 s left  loss 1"
    progress.update("distil", 12, 12, note="loss 2")  # the end is always drawn
    assert drawn(stream)[-1] == "distil [########################] 100%  12 of 12  0/s  loss 2"
    clock[0] += 1
    progress.update("contrast", 1, 12)  # another task: its speed is not known yet
    assert drawn(stream)[-1] == "contrast [##----------------------]   8%  1 of 12"


def test_nothing_is_known(clock):
    stream = Terminal()
    progress = Progress(stream=stream)
    progress.update("indexing", 1, unit="documents")
    assert drawn(stream)[-1] == "indexing  1 documents"


@pytest.mark.parametrize(("stream", "quiet"), [(io.StringIO(), False), (Terminal(), True)])
def test_silence(stream, quiet):
    with Progress(stream=stream, quiet=quiet) as progress:
        progress.update("indexing", 1, 1)
    assert stream.getvalue() == ""
