"""Fresh processes: what they take until they end, beside one that imports numpy and nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.encode import Row
from benchmarks.judged import collection
from benchmarks.machine import in_child

FILES = 12  # that are indexed in one process
TREE = 5000  # files that are searched without an index of a name
NUMPY = "numpy"
COMMAND = "import sys; from femtosearch.cli import main; sys.exit(main(sys.argv[1:]))"  # as its script does
FIRST_HIT = (
    "import femtosearch as fs, sys\nprint(fs.Index(sys.argv[1]).search(sys.argv[2], mode=sys.argv[3])[0].id)"
)
ADDING = (
    "import femtosearch as fs, os, sys\n"
    "fs.Index(sys.argv[1]).add([{'id': str(os.getpid()), 'text': 'A kitten slept by the fire.'}])"
)


def measure(data: Path, python: str | None, runs: int) -> tuple[dict[str, Any], list[Row]]:
    """The results, and the rows of a table: the processor's time (user and system), the median of `runs`
    rounds after one that fills the caches, turn and turn about; and the most memory that any of them held,
    which is at least what this process holds.

    python:  of an environment with femtosearch, such as one without an editable install; None: this one.
    """
    with tempfile.TemporaryDirectory() as place:
        texts = in_child(_prepare, data, Path(place))
        commands = _commands(python or sys.executable, Path(place), texts[0])
        places = {"FEMTOSEARCH_CACHE": f"{place}/cache", "XDG_DATA_HOME": f"{place}/trees"}
        measured = _alternately(commands, runs, os.environ | places)
    base = measured[NUMPY]["seconds"]
    rows = [
        row
        for name, facts in measured.items()
        for row in (
            (name, facts["seconds"] / base, f"of numpy's {base:.3f} s"),
            (f"{name}: memory", facts["peak_bytes"] / 1e6, "MB"),
        )
    ]
    return {"runs": runs, "processes": measured}, rows


def _prepare(data: Path, place: Path) -> list[str]:
    """Two indexes of the collection, the second with FDEs, and some files. Returns the first query."""
    from femtosearch.index.index import Index

    documents = collection(data).documents
    with Index(place / "plain") as index:
        index.add(documents)
    shutil.copytree(place / "plain", place / "fde")
    with Index(place / "fde") as index:
        index.set_fde("auto")
    (place / "files").mkdir()
    for number, document in enumerate(documents[:FILES]):
        (place / "files" / f"{number}.txt").write_text(document.text, encoding="utf-8")
    for number in range(TREE):
        path = place / "tree" / f"{number % 50}" / f"{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{documents[number % len(documents)].text} {number}", encoding="utf-8")
    return [next(iter(collection(data).queries.values()))]


def _commands(python: str, place: Path, query: str) -> dict[str, Callable[[], list[str]]]:
    run = [python, "-c"]
    plain, fde, new = str(place / "plain"), str(place / "fde"), str(place / "new")

    def indexing() -> list[str]:
        shutil.rmtree(new, ignore_errors=True)
        return [*run, COMMAND, "index", new, str(place / "files"), "--quiet"]

    def unsolved() -> list[str]:
        shutil.rmtree(place / "cache", ignore_errors=True)
        return [*run, FIRST_HIT, fde, query, "rerank"]

    return {
        NUMPY: lambda: [*run, "import numpy"],
        "femtosearch --help": lambda: [*run, COMMAND, "--help"],
        "the first hit": lambda: [*run, FIRST_HIT, plain, query, "auto"],
        "femtosearch search": lambda: [*run, COMMAND, "search", plain, query],
        "a tree of 5,000 files, unchanged": lambda: [*run, COMMAND, query, str(place / "tree")],
        "femtosearch index, 12 files": indexing,
        "the first hit, by FDEs, solved for": unsolved,
        "the first hit, by FDEs, from the cache": lambda: [*run, FIRST_HIT, fde, query, "rerank"],
        "one document more, with its FDE": lambda: [*run, ADDING, fde],
    }


def _alternately(
    commands: dict[str, Callable[[], list[str]]], runs: int, environment: dict[str, str]
) -> dict[str, dict[str, float]]:
    times: dict[str, list[float]] = {name: [] for name in commands}
    elapsed: dict[str, list[float]] = {name: [] for name in commands}
    peaks = dict.fromkeys(commands, 0)
    for number in range(runs + 1):
        for name, command in commands.items():
            arguments, began = command(), time.perf_counter()
            process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, env=environment)
            _, status, used = os.wait4(process.pid, 0)
            if status:
                sys.exit(f"{name}: expected it to end well, found status {status}")
            if number:
                times[name].append(used.ru_utime + used.ru_stime)
                elapsed[name].append(time.perf_counter() - began)
            peaks[name] = max(peaks[name], used.ru_maxrss * (1 if sys.platform == "darwin" else 1024))
    return {
        name: {"seconds": median(taken), "best": min(taken), "peak_bytes": peaks[name]}
        | {"elapsed": median(elapsed[name]), "best_elapsed": min(elapsed[name])}
        for name, taken in times.items()
    }
