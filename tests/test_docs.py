"""What the documents promise holds: the README's code runs, its commands are CI's, the versions agree."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from benchmarks.snippets import PAGE, known, pairs
from femtosearch.model.model import BUILT_INS, FDE, Model, built_in
from femtosearch.tensors import read_tensors

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


@pytest.fixture
def shell(tmp_path):
    """Runs a command line as the README's reader would, with this Python's scripts first."""
    bin_folder = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "100"}
    environment["XDG_DATA_HOME"] = str(tmp_path / "data")
    for name in ("docs", "README.md"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "lines.txt").write_text("Stock markets fell.\nA kitten slept.\n")

    def run(line):
        return subprocess.run(
            line, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        ).stdout

    return run


def test_the_readmes_python_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (block,) = blocks("python")
    exec(compile(block, "README.md", "exec"), {})
    assert "A kitten slept." in capsys.readouterr().out


@pytest.mark.slow
def test_the_readmes_shell_lines_run(shell):
    first, _, lines = blocks("sh")
    index, search = first.strip().removeprefix("pip install . && ").split(" && ")
    assert "indexed" in shell(index)
    assert "reliability.md" in shell(search).splitlines()[0]
    for line in lines.strip().splitlines():
        assert shell(line) is not None
    best = shell('femtosearch rerank "a small cat" < lines.txt').splitlines()[0]
    assert best.rstrip().endswith("A kitten slept.")


COMING_FROM = PAGE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    place = tmp_path_factory.mktemp("coming-from")
    Model.load().save(place / "megabyte")
    return place


@pytest.mark.parametrize(("peer", "theirs", "ours"), pairs(COMING_FROM))
def test_the_lines_beside_a_peers_run(peer, theirs, ours, saved, monkeypatch, capsys):
    monkeypatch.chdir(saved)
    compile(theirs, peer, "exec")  # `python -m benchmarks parity` runs it, and compares
    exec(compile(known(COMING_FROM) + ours, PAGE.name, "exec"), {})
    assert capsys.readouterr().out.strip()


def test_every_peer_has_lines_beside_it():
    assert {peer for peer, _, _ in pairs(COMING_FROM)} == {"pylate", "sentence-transformers", "txtai"}
    assert COMING_FROM.count("```python title") == 2 * len(pairs(COMING_FROM))


def test_ci_runs_the_readmes_test_command():
    _, command, _ = (block.strip() for block in blocks("sh"))
    run = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert f"\n{command} || exit 1\nunset PYTEST_ADDOPTS\nmake dev-all\nmake check PASSED=" in run


def test_the_quick_tests_leave_out_what_is_slow():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert '-m pytest -m "not slow" $(ALL_CORES)' in makefile
    assert re.search(r"^test-all:.*\n.* -m pytest \$\(ALL_CORES\) \$\(if \$\(PASSED\)", makefile, re.M)
    check = re.search(r"^check: (.*)$", makefile, re.M).group(1).split()
    assert {"lint", "types", "docs", "test-all"} <= set(check)


def test_the_readme_is_short_and_shows_code_early():
    lines = README.splitlines()
    assert len(lines) < 110
    assert "```python" in lines[:25]


def test_the_changelogs_newest_version_is_the_packages():
    newest = re.search(r"^## (\d\S*)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M).group(1)
    assert newest == PROJECT["version"]


def test_numpy_is_the_one_run_time_dependency():
    assert [re.match(r"[a-z]+", name).group() for name in PROJECT["dependencies"]] == ["numpy"]


@pytest.mark.parametrize("name", built_in())
def test_a_built_in_model_is_as_small_as_promised(name):
    files = [path for path in (BUILT_INS / name).rglob("*.safetensors") if path.name != FDE]
    stored = sum(tensor.size for path in files for tensor in read_tensors(path).values())
    assert stored <= (250_000 if name == "femto" else 3_000_000)
    assert sum(path.stat().st_size for path in files) <= 1 << 20
    assert (BUILT_INS / name / FDE).stat().st_size <= 1 << 20
    assert name in (BUILT_INS / name / "README.md").read_text(encoding="utf-8")
