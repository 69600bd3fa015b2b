"""Writers, a refresh, compactions and snapshots at once, each in its own process, and readers beside them.

Each writer has documents of its own, so that what it does can be computed without knowing in which order the
others commit. An answer is right if the documents of each writer in it are those after one of its commits, no
older one than it had acknowledged before the question.
"""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from femtosearch import Index
from femtosearch.fde import Muvera
from femtosearch.read import refresh
from torture.contents import FAKE
from torture.counts import Counts
from torture.operations import WORDS, holds
from torture.processes import Tally, collect, fork
from torture.rounds import Wrong, told
from torture.sequence import QUERY, Progress

_WRITERS = ("ann", "bob")
_FILES = "files"  # the writer that refreshes a folder
_ALL = (*_WRITERS, _FILES)
_COMMITS = 25  # of each writer
_READERS = 2  # processes, of as many threads
_IDS = 12  # of each writer
_PATIENCE = 120.0
_EVERYTHING = 9_999

Documents = dict[str, list[Any]]
Step = tuple[dict[str, Any], Documents]  # what a writer does, and what it then has


def at_once(place: Path, seed: int, counts: Counts) -> None:
    """One round: all of them until the writers have done their commits."""
    scripts = {name: _script(name, seed) for name in _ALL}
    crowd = Crowd(place, scripts, seed)
    Index(place / "index", model=FAKE).close()
    jobs: dict[str, Callable[[Tally], None]] = {
        f"writer {name}": (lambda tally, name=name: crowd.write(name, tally)) for name in _ALL
    }
    jobs["keeper"] = crowd.keep
    for number in range(_READERS):
        jobs[f"reader {number}"] = lambda tally, number=number: crowd.read(number, tally)
    tallies = {name: Tally(place / f"{name}.tally") for name in jobs}
    children = {name: fork(lambda name=name, job=job: job(tallies[name])) for name, job in jobs.items()}
    for name, child in children.items():
        collect(child, tallies[name], counts, f"crowd: {name.split()[0]}", _PATIENCE)
    counts.case("crowd: end")
    try:
        crowd.check_end()
    except Exception as error:
        counts.fault("crowd: end", told(error))


def _script(name: str, seed: int) -> list[Step]:
    """What a writer does, commit by commit; the first entry is what it has before."""
    rng = random.Random(f"{seed} {name}")
    documents: Documents = {}
    steps: list[Step] = [({}, documents)]
    for _ in range(_COMMITS):
        step = _drawn(name, rng, documents)
        documents = step[1]
        steps.append(step)
    return steps


def _drawn(name: str, rng: random.Random, documents: Documents) -> Step:
    ids = [f"{name}{number}" for number in range(_IDS)]
    new = {
        each: [
            " ".join([QUERY, *rng.choices(WORDS, k=rng.randrange(9))]),
            {"who": name, "n": rng.randrange(99)},
        ]
        for each in rng.sample(ids, rng.randrange(1, 7))
    }
    if name == _FILES:
        return {"refresh": new}, new
    kind = rng.choice(["add", "add", "delete", "where", "update"])
    if kind == "add":
        return {"add": new}, {**documents, **new}
    if kind == "delete":
        return {"delete": list(new)}, {i: each for i, each in documents.items() if i not in new}
    if kind == "where":
        below = rng.randrange(30)
        return {"where": below}, {i: each for i, each in documents.items() if each[1]["n"] >= below}
    number = rng.randrange(99)
    changed = {i: [documents[i][0], {**documents[i][1], "n": number}] for i in new if i in documents}
    return {"update": list(changed), "n": number}, {**documents, **changed}


class Crowd:
    """The processes of a round, and what they share: the index, the scripts and how far each writer is."""

    def __init__(self, place: Path, scripts: dict[str, list[Step]], seed: int) -> None:
        self._place, self._scripts, self._seed = place, scripts, seed
        self._folder = place / "index"
        self._progress = {name: Progress(place / f"{name}.progress") for name in scripts}

    def write(self, name: str, tally: Tally) -> None:
        """Commit after commit of one writer."""
        progress = self._progress[name]
        try:
            with Index(self._folder, model=FAKE, timeout=_PATIENCE) as index:
                for number, (operation, _) in enumerate(self._scripts[name][1:], 1):
                    progress.begun = number
                    self._do(index, name, operation)
                    progress.acknowledged = number
                    tally.case()
        except Exception as error:
            tally.fault(f"commit {progress.begun} of {name}: {told(error)}")
        (self._place / f"{name}.ended").touch()

    def _do(self, index: Index, name: str, operation: dict[str, Any]) -> None:
        if "add" in operation:
            index.add({"id": i, "text": text, **facts} for i, (text, facts) in operation["add"].items())
        elif "delete" in operation:
            index.delete(operation["delete"])
        elif "where" in operation:
            index.delete(where={"who": name, "n": {"$lt": operation["where"]}})
        elif "update" in operation:
            index.update(operation["update"], {"n": operation["n"]})
        else:
            refresh(index, [self._written(operation["refresh"])])

    def _written(self, documents: Documents) -> Path:
        """A folder of text files with those documents, whose names are their ids."""
        folder = self._place / "source"
        folder.mkdir(exist_ok=True)
        for path in folder.iterdir():
            if path.stem not in documents:
                path.unlink()
        for name, (text, facts) in documents.items():
            (folder / f"{name}.jsonl").write_text(json.dumps({"id": name, "text": text, **facts}))
        return folder

    def keep(self, tally: Tally) -> None:
        """Compact, change the FDE, copy and repair, as long as there are writers."""
        rng = random.Random(f"{self._seed} keeper")
        try:
            with Index(self._folder, model=FAKE, timeout=_PATIENCE) as index:
                works = [index.compact, index.repair, index.set_words, lambda: index.set_fde(Muvera(2, 2, 4))]
                while not self._is_over():
                    rng.choice(works)()
                    self._copy(index)
                    tally.case()
        except Exception as error:
            tally.fault(told(error))

    def _copy(self, index: Index) -> None:
        """A snapshot is whole, and of one state."""
        with TemporaryDirectory(dir=self._place) as name:
            question = Question(self._scripts, self._progress, {})
            index.snapshot(Path(name, "copy"))
            holds(Path(name, "copy"), None)
            with Index(Path(name, "copy"), model=FAKE) as copy:
                question.check({document.id: [document.text, document.metadata] for document in copy})

    def read(self, number: int, tally: Tally) -> None:
        """Ask in threads, as long as there are writers."""
        with Index(self._folder, model=FAKE) as shared:
            threads = [
                threading.Thread(target=self._ask, args=(shared, f"{self._seed} {number} {n}", tally))
                for n in range(_READERS)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    def _ask(self, index: Index, seed: str, tally: Tally) -> None:
        rng, oldest, asked = random.Random(seed), dict[str, int](), 0
        try:
            while not self._is_over():
                _answer(index, Question(self._scripts, self._progress, oldest), rng)
                asked += 1
        except Exception as error:
            tally.fault(told(error))
        tally.case(asked)

    def _is_over(self) -> bool:
        return all((self._place / f"{name}.ended").exists() for name in self._scripts)

    def check_end(self) -> None:
        """The index holds what all writers have in the end, and answers as a fresh one. Raises Wrong."""
        documents = {i: each for steps in self._scripts.values() for i, each in steps[-1][1].items()}
        holds(self._folder, documents)
        with Index(self._folder, model=FAKE) as index, Index(model=FAKE) as fresh:
            fresh.add({"id": i, "text": text, **facts} for i, (text, facts) in documents.items())
            for hybrid in (0, 0.4, 1):
                answers = [
                    {hit.id: round(hit.score, 3) for hit in each.search(QUERY, k=_EVERYTHING, hybrid=hybrid)}
                    for each in (index, fresh)
                ]
                if answers[0] != answers[1]:
                    raise Wrong(f"hybrid={hybrid} gives {answers[0]}, a fresh index {answers[1]}")


class Question:
    """What may be answered: of each writer the states from what was acknowledged when it was asked.

    oldest:  of each writer the number of the commit that was seen last, which is kept up.
    """

    def __init__(
        self, scripts: dict[str, list[Step]], progress: dict[str, Progress], oldest: dict[str, int]
    ) -> None:
        self._scripts, self._progress, self._oldest = scripts, progress, oldest
        self._first = {name: max(oldest.get(name, 0), progress[name].acknowledged) for name in scripts}

    def check(self, documents: Documents, who: str | None = None, below: int = 99) -> None:
        """Raises Wrong where documents, of one writer or with a small `n` alone, are of no states."""
        for name in self._scripts if who is None else [who]:
            own = {i: each for i, each in documents.items() if each[1]["who"] == name}
            number = self._number(name, lambda state, own=own: own == _below(state, below))
            if who is None and below == 99:
                self._oldest[name] = number

    def check_counts(self, counts: dict[str, int]) -> None:
        """Raises Wrong where no state has so many documents of a writer."""
        for name in self._scripts:
            self._number(name, lambda state, name=name: len(state) == counts.get(name, 0))

    def _number(self, name: str, fits: Callable[[Documents], bool]) -> int:
        first, last = self._first[name], self._progress[name].begun
        for number in range(first, last + 1):
            if fits(self._scripts[name][number][1]):
                return number
        raise Wrong(f"an answer of the documents of {name} is of no commit from {first} to {last}")


def _below(documents: Documents, below: int) -> Documents:
    return {i: each for i, each in documents.items() if each[1]["n"] < below}


def _answer(index: Index, question: Question, rng: random.Random) -> None:
    """Ask one question and check what is answered."""
    how = rng.randrange(6)
    if how == 0:
        question.check({document.id: [document.text, document.metadata] for document in index})
    elif how == 1:
        question.check_counts({str(name): count for name, count in index.facets("who").items()})
    else:
        below, who = rng.choice([99, rng.randrange(99)]), rng.choice([None, *_ALL])
        where = {**({"n": {"$lt": below}} if below < 99 else {}), **({"who": who} if who else {})}
        hits = index.search(QUERY, k=_EVERYTHING, where=where or None, hybrid=rng.choice([0, 0.4, 1]))
        question.check({hit.id: [hit.text, hit.metadata] for hit in hits}, who, below)
