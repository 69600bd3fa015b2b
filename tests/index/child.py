"""Processes to be killed. Reads commands, one JSON object a line, and forks for each job.

{"start": job, ...arguments}   answers with the process's number
{"wait": number}               answers with its exit status, negative for a signal
"""

from __future__ import annotations

import json
import os
import random
import resource
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from femtosearch.errors import StoreError
from femtosearch.fde import Muvera
from femtosearch.index.index import Index

from ..fakes import FakeModel
from .faults import Steps

WORDS = [f"word{n}" for n in range(40)]
IDS = [f"{n}" for n in range(25)]
UNTIL_KILLED = 1_000_000
FDES = [None, Muvera(2, 2, 4), Muvera(2, 3, 2)]


def operation(rng: random.Random, fde: bool = False) -> dict[str, Any]:
    """Something to do to an index, as JSON; with `fde` also to its FDE."""
    kind = rng.choice(["add"] * 6 + ["delete"] * 2 + ["compact", "bits"] + ["fde"] * fde)
    if kind == "fde":
        return {"fde": rng.randrange(len(FDES))}
    if kind == "add":
        chosen = rng.sample(IDS, rng.randrange(1, 8))
        return {"add": {i: " ".join(rng.choices(WORDS, k=rng.randrange(12))) for i in chosen}}
    if kind == "bits":
        return {"bits": rng.choice([4, 8])}
    return {"delete": rng.sample(IDS, 4)} if kind == "delete" else {"compact": True}


def perform(index: Index, done: dict[str, Any]) -> None:
    if "add" in done:
        index.add(({"id": i, "text": text} for i, text in done["add"].items()), batch=2)
    elif "delete" in done:
        index.delete(done["delete"])
    elif "bits" in done:
        index.set_rows(bits=done["bits"])
    elif "fde" in done:
        index.set_fde(FDES[done["fde"]])
    else:
        index.compact()


def expected(texts: dict[str, str], done: dict[str, Any]) -> dict[str, str]:
    """What `perform` makes of an index with those texts."""
    gone = done.get("delete", ())
    return {i: text for i, text in {**texts, **done.get("add", {})}.items() if i not in gone}


def write(folder: str, log: str, seed: int, count: int, die_at: int = 0, fde: bool = False) -> None:
    """Do operations, each noted in the log when it begins and when it has returned; die at a step if told."""
    rng = random.Random(seed)
    note = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    steps = Steps(die_at, lambda: os._exit(9))
    with steps, Index(folder, model=FakeModel(), timeout=60) as index:
        for _ in range(count):
            todo = operation(rng, fde)
            os.write(note, (json.dumps({"begin": todo}) + "\n").encode())
            perform(index, todo)
            os.write(note, b'{"done": true}\n')
    os.write(note, (json.dumps({"steps": steps.count}) + "\n").encode())


def pairs(folder: str, count: int) -> None:
    """Write pairs that belong together, and compact in between."""
    with Index(folder, model=FakeModel(), timeout=60) as index:
        for n in range(count):
            index.add([{"id": f"e{n % 9}", "text": "even"}, {"id": f"o{n % 9}", "text": "odd"}])
            if n % 5 == 4:
                index.delete([f"e{n % 7}", f"o{n % 7}"])
                index.compact()


def fill(folder: str, name: str, count: int) -> None:
    with Index(folder, model=FakeModel(), timeout=60) as index:
        for n in range(count):
            index.add([{"id": f"{name}{n}", "text": WORDS[n % 40]}])


def hold(folder: str, flag: str) -> None:
    """Write until killed."""
    with Index(folder, model=FakeModel()) as index:
        index.add(["x"], progress=lambda _: (Path(flag).touch(), time.sleep(600)))


def renounce(folder: str) -> None:
    """Root, whom permissions do not bind, becomes nobody."""
    if os.geteuid() == 0 and os.access(folder, os.W_OK):
        os.setgid(65534)
        os.setuid(65534)


def follow(folder: str, log: str) -> None:
    """Search where nothing may be written by us, while another process writes: one search for each sign."""
    renounce(folder)
    found = []
    with Index(folder, model=FakeModel()) as index:
        for sign in range(4):
            while not Path(f"{log}.{sign}").exists():
                time.sleep(0.002)
            found.append(sorted(hit.id for hit in index.search("word1", k=99)))
            Path(log).write_text(json.dumps(found))


def read_only(folder: str, log: str) -> None:
    """Search where nothing may be written."""
    renounce(folder)
    found: dict[str, Any] = {}
    with Index(folder, model=FakeModel()) as index:
        found["hits"] = [hit.id for hit in index.search("word1", k=99)]
        found["count"] = len(index)
        for name, change in (("add", lambda: index.add(["x"])), ("delete", lambda: index.delete(["a"]))):
            try:
                change()
            except StoreError as error:
                found[name] = str(error)
        found["after"] = [hit.id for hit in index.search("word1", k=99)]
    Path(log).write_text(json.dumps(found))


def full_disk(folder: str, limit: int = 0) -> None:
    """Add until the disk, or the limit on a file's size, is full; what was there stays, and is found."""
    big = " ".join(WORDS * 2000)
    with Index(folder, model=FakeModel()) as index:
        index.add([{"id": "kept", "text": "anchor"}])
        if limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        ids = {"kept"}
        for attempt in range(20):
            try:
                ids |= set(index.add([{"id": f"{attempt} {n}", "text": big} for n in range(4)], batch=1))
            except StoreError as error:
                assert any(word in str(error) for word in ("full", "large", "refused")), error
                assert "try again" in str(error) or "check" in str(error), error
                break
        else:
            raise AssertionError("the disk did not fill up")
        assert len(index) == len(ids) and index.search("anchor", k=1)[0].id == "kept"
        assert {hit.id for hit in index.search("anchor", k=99)} == ids
        if limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        index.delete(ids - {"kept"})
        index.compact()
        index.add([{"id": "new", "text": "works again"}])
        assert index.search("works again")[0].id == "new" and len(index) == 2
    with Index(folder, model=FakeModel()) as index:
        assert len(index) == 2 and len(index.search("anchor")) == 2


JOBS = {job.__name__: job for job in (write, pairs, fill, hold, follow, read_only, full_disk)}


def _start(job: str, **arguments: Any) -> int:
    number = os.fork()
    if number == 0:
        status = 1
        try:
            JOBS[job](**arguments)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return number


def main() -> None:
    if len(sys.argv) > 1:
        job, arguments = json.loads(sys.argv[1])
        JOBS[job](**arguments)
        return
    for line in sys.stdin:
        command = json.loads(line)
        if "wait" in command:
            answer = os.waitstatus_to_exitcode(os.waitpid(command["wait"], 0)[1])
        else:
            answer = _start(command.pop("start"), **command)
        print(answer, flush=True)


if __name__ == "__main__":
    main()
