"""What is done to an index, as JSON, and what the index then holds."""

from __future__ import annotations

import json
import os
import random
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from femtosearch import FdeError, Index
from femtosearch.fde import Muvera
from femtosearch.read import refresh, steps
from tests.fakes import FakeModel
from torture.rounds import Wrong

WORDS = [f"word{n}" for n in range(40)]
RECORDS = [f"r{n}" for n in range(6)]  # ids of documents that a refresh gives
IDS = [f"{n}" for n in range(25)]
_FAKE = FakeModel()
steps.COMMIT_SECONDS = 1e9  # a refresh is one commit, however slow the machine is
FDES = [None, Muvera(2, 2, 4), Muvera(2, 3, 2)]
QUERIES = [f"{WORDS[n]} {WORDS[-n]}" for n in range(24)]

Operation = dict[str, Any]


@dataclass(frozen=True, slots=True)
class State:
    """What an index holds: id -> [text, metadata], and the number of its FDE in FDES.

    rough:  its rows were given other bits, so that scores are nearly what those of a fresh index are.
    """

    documents: dict[str, list[Any]] = field(default_factory=dict)
    fde: int = 0
    rough: bool = False

    def after(self, operation: Operation) -> State:
        """What `perform` makes of it."""
        gone = set(operation.get("delete", ()))
        if "refresh" in operation:
            gone |= set(RECORDS) - operation["refresh"].keys()
        documents = dict(self.documents)
        for kind in ("add", "import", "refresh"):
            documents.update(operation.get(kind, {}))
        for name, metadata in operation.get("update", {}).items():
            if name in documents:
                text, before = documents[name]
                documents[name] = [text, {**before, **metadata}]
        below = operation.get("where", -1)
        documents = {
            name: content
            for name, content in documents.items()
            if name not in gone and content[1].get("n", below) >= below
        }
        rough = self.rough or "rows" in operation
        return replace(self, documents=documents, fde=operation.get("fde", self.fde), rough=rough)

    def key(self) -> str:
        """Equal for equal states."""
        return json.dumps([dict(sorted(self.documents.items())), self.fde])

    @classmethod
    def of_key(cls, key: str) -> State:
        """The state with that key."""
        return cls(*json.loads(key))


def topic(operation: Operation) -> str:
    """The operation's name."""
    return next(iter(operation))


def draw(rng: random.Random, *, damages: bool = False) -> Operation:
    """An operation by chance; most of them are adds, many of which replace documents.

    damages:  whether a segment may be damaged, and mended at once.
    """
    others = ["compact", "fde", "calibrate", "reopen", "update", "update", "where", "words", "rows", "repair"]
    others += ["refresh", "refresh", "import", "snapshot"] + ["mend"] * damages
    name = rng.choice(["add"] * 6 + ["delete"] * 2 + others)
    if name in ("add", "import"):
        return {name: documents(rng, rng.sample(IDS, rng.randrange(1, 8)))}
    if name == "refresh":
        return {"refresh": documents(rng, rng.sample(RECORDS, rng.randrange(1, 6)))}
    if name == "delete":
        return {"delete": rng.sample(IDS, 4)}
    if name == "update":
        metadata = {"n": rng.randrange(99), "new": rng.random()}
        return {"update": dict.fromkeys(rng.sample(IDS, 3), metadata)}
    if name == "where":
        return {"where": rng.randrange(20)}
    return {"fde": rng.randrange(len(FDES))} if name == "fde" else {name: True}


def documents(rng: random.Random, ids: list[str]) -> dict[str, list[Any]]:
    """Documents with those ids, with texts and metadata by chance."""
    return {i: [" ".join(rng.choices(WORDS, k=rng.randrange(12))), {"n": rng.randrange(99)}] for i in ids}


def perform(index: Index, operation: Operation) -> None:
    """Do to an open index what is no matter of opening it."""
    name = topic(operation)
    if name == "add":
        content = operation["add"].items()
        index.add(({"id": i, "text": text, **metadata} for i, (text, metadata) in content), batch=2)
    elif name == "delete":
        index.delete(operation["delete"])
    elif name == "fde":
        index.set_fde(FDES[operation["fde"]])
    elif name == "update":
        update(index, operation["update"])
    elif name == "where":
        index.delete(where={"n": {"$lt": operation["where"]}})
    elif name == "words":
        index.set_words()
    elif name == "rows":
        index.set_rows(bits=4 if index.stats().row_bits == 8 else 8)
    elif name == "repair":
        index.repair()
    elif name == "compact":
        index.compact()
    elif name == "calibrate":
        calibrate(index)
    elif name == "refresh":
        with _files(index) as folder:
            refresh(index, [_written(folder, operation["refresh"])])
    elif name == "import":
        with _files(index) as folder:
            (folder / "more.jsonl").write_bytes(_exported(json.dumps(operation["import"])))
            index.import_file(folder / "more.jsonl")
    elif name == "snapshot":
        with _files(index) as folder:
            _snapshot(index, folder / "copy")
    elif name == "mend":
        damage(index.folder)
        index.repair()


def update(index: Index, metadata: dict[str, dict[str, Any]]) -> None:
    """Change the metadata of documents, all to the same, which is one commit."""
    index.update(list(metadata), next(iter(metadata.values())))


def calibrate(index: Index) -> None:
    """Calibrate; an index without an FDE, or with too few passages, refuses, and that is right."""
    with suppress(FdeError):
        index.calibrate(QUERIES)


@contextmanager
def _files(index: Index) -> Iterator[Path]:
    """A folder for files beside an index: the same one each time; of one in memory a new one."""
    if index.folder is None:
        with TemporaryDirectory() as name:
            yield Path(name)
    else:
        folder = outside(index.folder)
        folder.mkdir(exist_ok=True)
        yield folder


def outside(folder: Path) -> Path:
    """Where files beside an index in a folder are."""
    return folder.with_name(f"{folder.name}-files")


def _written(folder: Path, content: dict[str, list[Any]]) -> Path:
    """A folder of JSON lines, two records a file; a file that has none goes."""
    (folder / "source").mkdir(exist_ok=True)
    for number in range(0, len(RECORDS), 2):
        lines = [
            json.dumps({"id": name, "text": content[name][0], **content[name][1]}) + "\n"
            for name in RECORDS[number : number + 2]
            if name in content
        ]
        file = folder / "source" / f"{number}.jsonl"
        if lines:
            file.write_text("".join(lines))
        else:
            file.unlink(missing_ok=True)
    return folder / "source"


@lru_cache(maxsize=100)
def _exported(content: str) -> bytes:
    """A file of documents as `export` writes it, every other one with the rows of the passages."""
    with TemporaryDirectory() as place, Index(model=_FAKE) as index:
        index.add(
            [{"id": i, "text": text, **metadata} for i, (text, metadata) in json.loads(content).items()]
        )
        index.export(Path(place, "a.jsonl"), vectors=len(content) % 2 == 0)
        return Path(place, "a.jsonl").read_bytes()


def _snapshot(index: Index, target: Path) -> None:
    """Copy an index, and check the copy. One that was interrupted is whole, or not there. Raises Wrong."""
    if target.exists():
        holds(target, None, index.model)
        gone = target.with_name(f"gone-{secrets.token_hex(8)}")
        target.rename(gone)  # or a kill would leave half of a copy
        shutil.rmtree(gone)
    documents = {document.id: [document.text, document.metadata] for document in index}
    index.snapshot(target)
    holds(target, documents, index.model)


def holds(folder: Path, documents: dict[str, list[Any]] | None, model: Any = _FAKE) -> None:
    """Raises Wrong where a snapshot is damaged, or does not hold those documents, if any are expected."""
    with Index(folder, model=model) as copy:
        if faults := copy.verify():
            raise Wrong(f"a snapshot is damaged: {faults[:3]}")
        copied = {document.id: [document.text, document.metadata] for document in copy}
    if documents is not None and copied != documents:
        raise Wrong(f"a snapshot holds {sorted(copied)}, expected {sorted(documents)}")


def damage(folder: Path) -> None:
    """Change bytes in the middle of the largest segment of an index, if it has one."""
    segments = sorted((folder / "segments").glob("*.seg"), key=lambda path: path.stat().st_size)
    if segments:
        size = segments[-1].stat().st_size
        with segments[-1].open("r+b") as file:
            file.seek(size // 2)
            byte = file.read(1)
            file.seek(size // 2)
            file.write(bytes([byte[0] ^ 0xFF]))
            os.fsync(file.fileno())
