"""Cases in forked processes with little memory and little time: a crash or a hang ends one case, not all."""

from __future__ import annotations

import json
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

from torture.counts import Counts
from torture.processes import end, fork
from torture.rounds import told

MEMORY = 1500 << 20  # bytes beyond those that the process has when it begins
SECONDS = 10.0  # of one case
_PAUSE = 0.005

Case = tuple[str, str, Callable[[], object]]  # a topic, a description, and what raises if there is a fault


def try_all(cases: list[Case], place: Path, counts: Counts) -> None:
    """Do every case, many in one process; what it raises, its crash and its hang are faults."""
    first = 0
    while first < len(cases):
        log = place / f"cases-{first}.log"
        log.touch()
        number = fork(lambda first=first, log=log: _work(cases[first:], log))
        ending = _ending(number, log)
        entries = [json.loads(line) for line in log.read_text().splitlines()]
        for (topic, text, _), entry in zip(cases[first:], entries, strict=False):
            counts.case(topic)
            if entry:
                counts.fault(topic, f"{text}: {entry}")
        first += len(entries)
        if ending and first < len(cases):
            topic, text, _ = cases[first]
            counts.case(topic)
            counts.fault(topic, f"{text}: {ending}")
            first += 1


def _work(cases: list[Case], log: Path) -> None:
    """Do cases; one line for each that was done, with its fault or an empty string."""
    limit = _memory() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND)
    for _, _, attempt in cases:
        fault = ""
        try:
            attempt()
        except BaseException as error:
            fault = told(error)
        os.write(descriptor, json.dumps(fault).encode() + b"\n")


def _memory() -> int:
    """The address space of this process, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _ending(number: int, log: Path) -> str:
    """How the process ended, if badly; it is killed where a case takes too long."""
    size, since = 0, time.monotonic()
    while True:
        ended, status = os.waitpid(number, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return f"the process ended with {code}" if code else ""
        now = log.stat().st_size
        if now != size:
            size, since = now, time.monotonic()
        elif time.monotonic() - since > SECONDS:
            end(number)
            return f"no answer within {SECONDS:.0f} s"
        time.sleep(_PAUSE)
