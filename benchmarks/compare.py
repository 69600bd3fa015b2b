"""Two commits against each other, turn and turn about: what a change costs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parent.parent
SIDE = Path(__file__).parent / "compare_side.py"
LOSS = 0.10  # of time, beyond which a change is flagged
TEXTS = 300

Times = dict[str, list[float]]


def measure(base: str, head: str, rounds: int) -> tuple[dict[str, Any], list[tuple[str, float, str]]]:
    """The results, and the rows of a table: percent of time that `head` takes more, or less, than `base`."""
    with (
        tempfile.TemporaryDirectory() as place,
        _built(base, Path(place)) as first,
        _built(head, Path(place)) as second,
    ):
        texts = Path(place, "texts.json")
        texts.write_text(json.dumps(_texts()), encoding="utf-8")
        times = _in_turn({"base": first, "head": second}, texts, rounds)
    changes = {name: changed(times["base"][name], times["head"][name]) for name in times["base"]}
    losses = [name for name, change in changes.items() if change > LOSS]
    results = {
        "base": _commit(base), "head": _commit(head), "rounds": rounds, "seconds": times, "changes": changes,
        "losses": losses,
    }  # fmt: skip
    rows = [(name, 100 * change, "% LOSS" if name in losses else "%") for name, change in changes.items()]
    return results, rows


def changed(base: list[float], head: list[float]) -> float:
    """By how much the time changed, as a share: the smaller of what the best and what the medians say.

    A process that the machine disturbed moves one of the two, seldom both.

    >>> round(changed([1.0, 1.1, 1.2], [1.2, 1.3, 1.4]), 2)
    0.18
    """
    ratios = (min(head) / min(base), median(head) / median(base))
    return min(ratios, key=lambda ratio: abs(ratio - 1)) - 1


def _in_turn(sides: dict[str, Path], texts: Path, rounds: int) -> dict[str, Times]:
    """Seconds of both sides, one process after the other; who goes first changes from round to round."""
    times: dict[str, Times] = {side: {} for side in sides}
    for number in range(rounds):
        for side in list(sides)[:: 1 if number % 2 else -1]:
            for name, seconds in _run(sides[side], texts).items():
                times[side].setdefault(name, []).append(seconds)
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
    return times


def _run(packages: Path, texts: Path) -> dict[str, float]:
    paths = [os.fspath(packages), *{sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OPENBLAS_NUM_THREADS": "1"}
    # Without -S an editable install of this environment would be measured in the place of both.
    command = [sys.executable, "-S", os.fspath(SIDE), os.fspath(texts)]
    output = subprocess.run(command, env=environment, cwd=packages, stdout=subprocess.PIPE, check=True).stdout
    seconds: dict[str, float] = json.loads(output)
    return seconds


@contextmanager
def _built(commit: str, place: Path) -> Iterator[Path]:
    """A folder with the package of a commit, compiled."""
    name = _commit(commit)
    tree, packages = place / f"tree-{name}", place / f"packages-{name}"
    if packages.exists():  # a commit against itself: what the machine does to equal code
        yield packages
        return
    _git("worktree", "add", "--detach", "--quiet", os.fspath(tree), commit)
    try:
        options = ["--no-build-isolation"] if find_spec("scikit_build_core") else []
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", *options]
        subprocess.run([*pip, "--target", os.fspath(packages), os.fspath(tree)], check=True)
        yield packages
    finally:
        _git("worktree", "remove", "--force", os.fspath(tree))


def _commit(name: str) -> str:
    return _git("rev-parse", "--short", f"{name}^{{commit}}")


def _git(*arguments: str) -> str:
    command = ["git", "-C", os.fspath(ROOT), *arguments]
    process = subprocess.run(command, capture_output=True, text=True)
    if process.returncode:
        sys.exit(f"git {' '.join(arguments)}: {process.stderr.strip()}")
    return process.stdout.strip()


def _texts() -> list[str]:
    """Paragraphs of the documentation: the same for both sides, and always at hand."""
    pages = sorted((ROOT / "docs").rglob("*.md"))
    paragraphs = [text for page in pages for text in re.split(r"\n\s*\n", page.read_text(encoding="utf-8"))]
    return [text for text in paragraphs if len(text) > 200][:TEXTS]
