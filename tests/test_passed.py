"""A second run leaves out what the first one passed, and nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TESTS = """
import os
import pytest

@pytest.mark.parametrize("text", ["a", "a b", "é"])
def test_good(text): pass

def test_bad(): assert os.environ["MORE"] == "1"

def test_skipped(): pytest.skip("not here") if os.environ["MORE"] == "0" else None

@pytest.fixture
def broken():
    yield
    assert os.environ["MORE"] == "1"

def test_broken_at_its_end(broken): pass

@pytest.mark.again
def test_again(): pass
"""
FILES = {
    "pytest.ini": "[pytest]\ntestpaths = checks\n",
    "checks/conftest.py": "from tests.passed import pytest_addoption, pytest_configure\n",
    "checks/test_x.py": TESTS,
}


def run(folder, more, *flags):
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *flags, "--passed=made/passed.txt"]
    environment = {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "MORE": more}
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    return ran.stdout, (folder / "made/passed.txt").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("flags", [(), ("-p", "xdist", "-n", "2")], ids=["one process", "two"])
def test_only_what_passed_is_left_out(tmp_path, flags):
    if flags:
        pytest.importorskip("xdist")
    (tmp_path / "checks").mkdir()
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    output, names = run(tmp_path, "0", *flags)
    assert "1 failed, 5 passed, 1 skipped, 1 error" in output
    assert len(names.splitlines()) == 4
    output, names = run(tmp_path, "1", *flags)
    assert "4 passed" in output and "failed" not in output and "error" not in output
    assert len(names.splitlines()) == 7
    output, _ = run(tmp_path, "1", *flags)
    assert "1 passed" in output
