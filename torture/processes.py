"""Forked processes that do a job and say what they counted."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from torture.counts import Counts
from torture.rounds import Wrong, told

_PAUSE = 0.002


def fork(job: Callable[[], object]) -> int:
    """Do a job in a forked process, which then ends: its number. An error is its exit status 1."""
    number = os.fork()
    if number == 0:
        status = 1
        try:
            job()
            status = 0
        finally:
            os._exit(status)
    return number


def exit_status(number: int, seconds: float) -> int:
    """How a forked process ended, negative for a signal; it is killed after so many seconds. Raises Wrong."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(number, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(_PAUSE)
    end(number)
    raise Wrong(f"a process did not end in {seconds:.0f} s")


def end(number: int) -> None:
    """Kill a forked process."""
    os.kill(number, signal.SIGKILL)
    os.waitpid(number, 0)


class Tally:
    """Cases and faults of a forked process, in a file that outlives its crash."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("a")

    def case(self, count: int = 1) -> None:
        self._write({"cases": count})

    def fault(self, text: str) -> None:
        self._write({"fault": text})

    def into(self, counts: Counts, topic: str) -> None:
        """Add what the process wrote to the counts."""
        for line in self._path.read_text().splitlines():
            entry = json.loads(line)
            if "cases" in entry:
                counts.case(topic, entry["cases"])
            else:
                counts.fault(topic, entry["fault"])

    def _write(self, entry: dict[str, object]) -> None:
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()


def collect(number: int, tally: Tally, counts: Counts, topic: str, seconds: float) -> None:
    """Wait for a forked process, and count what it tallied. An end that is not 0, or late, is a fault."""
    try:
        if status := exit_status(number, seconds):
            raise Wrong(f"the process ended with {status}")
    except Wrong as wrong:
        counts.fault(topic, told(wrong))
    tally.into(counts, topic)
