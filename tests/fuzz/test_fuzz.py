"""The corpus is played, and the fuzzer finds a fault that is there."""

import pytest

from . import targets
from .__main__ import corpus_of
from .fuzzer import Fuzzer
from .targets import TARGETS, play


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_holds(name):
    assert [play(name, content) for content in corpus_of(name)] == [None] * len(corpus_of(name))


@pytest.mark.parametrize("name", TARGETS)
def test_some_runs_of_each_target(name):
    fuzzer = Fuzzer(name, corpus_of(name), 1)
    runs = 10 if name in ("catalogues", "models", "sites") else 100  # these are slower
    fuzzer.run(60.0, runs)
    assert fuzzer.runs >= runs and fuzzer.lines > 5 and fuzzer.faults == []


def test_a_fault_is_found(monkeypatch):
    """Three letters in a row are reached step by step, by the lines that each leads to."""

    def fragile(content):
        if b"(" in content and b"=" in content:
            raise ZeroDivisionError

    monkeypatch.setitem(targets.TARGETS, "fragile", fragile)
    fuzzer = Fuzzer("fragile", [b"a"], 0)
    fuzzer.run(10.0, 20_000)
    assert fuzzer.faults and "ZeroDivisionError" in fuzzer.faults[0][1]
