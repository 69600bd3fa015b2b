"""The benchmarks can be started: their modules import what there is, and compare finds a loss and no more."""

import doctest
import importlib
import json
import re
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks import __main__ as command_line
from benchmarks import compare
from femtosearch.errors import MissingExtraError

FOLDER = Path(compare.__file__).parent
PEERS = {"pylate_side", "txtai_side"}  # which run in environments of their own
MODULES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem[0] != "_" and path.stem not in PEERS)
EXTRAS = {"torch", "transformers", "datasets", "pylate", "ray", "txtai"}


@pytest.mark.parametrize("name", MODULES)
def test_every_benchmark_imports(name):
    try:
        importlib.import_module(f"benchmarks.{name}")
    except ImportError as error:
        if not isinstance(error, MissingExtraError) and error.name not in EXTRAS:
            raise
        pytest.skip(str(error))


def test_every_benchmark_is_on_the_page(monkeypatch, capsys):
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["benchmarks", "--help"])
    with pytest.raises(SystemExit):
        command_line._options()
    names = re.findall(r"^ {4}(\w+)", capsys.readouterr().out, re.M)
    assert {"encode", "compare", "parity"} <= set(names)
    assert [name for name in names if f"`{name}`" not in page and f"benchmarks {name}" not in page] == []


@pytest.fixture
def sides(monkeypatch):
    """sides(base, head): seconds that the two commits take, in turn. Returns who ran, in order."""
    ran = []

    def sides(**seconds):
        @contextmanager
        def built(commit, place):
            yield Path(commit)

        def run(packages, texts):
            assert all(len(text) > 200 for text in json.loads(texts.read_text()))
            ran.append(packages.name)
            return {"search": seconds[packages.name], "encode": 1.0}

        monkeypatch.setattr(compare, "_built", built)
        monkeypatch.setattr(compare, "_run", run)
        monkeypatch.setattr(compare, "_commit", str)
        return ran

    return sides


def test_a_loss_above_ten_percent_is_flagged(sides):
    ran = sides(base=1.0, head=1.2)
    results, rows = compare.measure("base", "head", rounds=4)
    assert results["losses"] == ["search"]
    assert [unit for _, _, unit in rows] == ["% LOSS", "%"]
    assert ran == ["head", "base", "base", "head"] * 2  # in turn, and neither always first
    assert len(results["seconds"]["head"]["search"]) == 4


def test_less_is_none(sides):
    sides(base=1.0, head=1.05)
    assert compare.measure("base", "head", rounds=2)[0]["losses"] == []


def test_one_disturbed_process_is_no_loss():
    assert compare.changed([1.0, 1.0, 1.0], [1.0, 5.0, 5.0]) == 0
    assert doctest.testmod(compare) == (0, 1)
