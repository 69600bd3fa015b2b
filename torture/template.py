"""The index whose files are changed, and what may be done to it afterwards."""

from __future__ import annotations

import io
import random
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path

from femtosearch import FemtosearchError, Index
from femtosearch.cli import main
from torture.contents import FAKE, check
from torture.operations import Operation, State, documents, perform
from torture.rounds import Wrong


def make(folder: Path, rng: random.Random) -> State:
    """An index with two segments, dead passages and FDEs; what it holds."""
    ids = [str(n) for n in range(14)]
    operations: list[Operation] = [
        {"add": documents(rng, ids)},
        {"fde": 1},
        {"add": documents(rng, [*ids[3:6], "20"])},
        {"delete": ids[:2]},
    ]
    state = State()
    with Index(folder, model=FAKE) as index:
        for operation in operations:
            perform(index, operation)
            state = state.after(operation)
        check(index, [state])  # and what a fresh index answers is known to all forked processes
    return state


def use(folder: Path, state: State, *, forged: bool) -> None:
    """Open the index, ask it and write to it. Raises Wrong, and what is no FemtosearchError.

    forged:  the checksums were made to agree, so that another answer is right for these files.
    """
    with suppress(FemtosearchError), Index(folder, model=FAKE, timeout=2) as index:
        with suppress(FemtosearchError):
            try:
                check(index, [state])
            except Wrong as wrong:
                if not forged and not reported(index):
                    raise Wrong(f"silently: {wrong}") from wrong
        _write(index)
    _describe(folder)


def reported(index: Index) -> bool:
    """Whether verify() reports damage. An index that has no such method reports none."""
    verify = getattr(index, "verify", None)
    if verify is None:
        return False
    try:
        return bool(verify())
    except FemtosearchError:
        return True


def _write(index: Index) -> None:
    """Each kind of write, and a question after it; an error of ours is right."""
    for operation in ({"add": {"0": ["word1", {}]}}, {"delete": ["3"]}, {"compact": True}, {"fde": 2}):
        with suppress(FemtosearchError):
            perform(index, operation)
            index.search("word1 word2", k=5)
    for mode in ("rerank", "fde", "maxsim"):
        with suppress(FemtosearchError):
            index.search("word1", mode=mode)
    with suppress(FemtosearchError):
        index.stats()
    reported(index)


def _describe(folder: Path) -> None:
    """Let the command line say what is there, and look for damage. Raises Wrong at a fault of its own."""
    lines = io.StringIO()
    with redirect_stdout(lines), redirect_stderr(lines), suppress(SystemExit):
        main(["info", str(folder)])
        main(["check", str(folder)])
    if "fault of femtosearch" in lines.getvalue() or "Traceback" in lines.getvalue():
        raise Wrong(f"the command line: {lines.getvalue()}")
