"""What is done to an index, as JSON, and what the index then holds."""

from __future__ import annotations

import json
import random
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from femtosearch import FdeError, Index
from femtosearch.fde import Muvera

WORDS = [f"word{n}" for n in range(40)]
IDS = [f"{n}" for n in range(25)]
FDES = [None, Muvera(2, 2, 4), Muvera(2, 3, 2)]
QUERIES = [f"{WORDS[n]} {WORDS[-n]}" for n in range(24)]

Operation = dict[str, Any]


@dataclass(frozen=True, slots=True)
class State:
    """What an index holds: id -> [text, metadata], and the number of its FDE in FDES."""

    documents: dict[str, list[Any]] = field(default_factory=dict)
    fde: int = 0

    def after(self, operation: Operation) -> State:
        """What `perform` makes of it."""
        gone = set(operation.get("delete", ()))
        documents = {**self.documents, **operation.get("add", {})}
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
        return replace(self, documents=documents, fde=operation.get("fde", self.fde))

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


def draw(rng: random.Random) -> Operation:
    """An operation by chance; most of them are adds, many of which replace documents."""
    others = ["compact", "fde", "calibrate", "reopen", "update", "update", "where", "words", "repair"]
    name = rng.choice(["add"] * 6 + ["delete"] * 2 + others)
    if name == "add":
        return {"add": documents(rng, rng.sample(IDS, rng.randrange(1, 8)))}
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
    elif name == "repair":
        index.repair()
    elif name == "compact":
        index.compact()
    elif name == "calibrate":
        calibrate(index)


def update(index: Index, metadata: dict[str, dict[str, Any]]) -> None:
    """Change the metadata of documents, all to the same, which is one commit."""
    index.update(list(metadata), next(iter(metadata.values())))


def calibrate(index: Index) -> None:
    """Calibrate; an index without an FDE, or with too few passages, refuses, and that is right."""
    with suppress(FdeError):
        index.calibrate(QUERIES)
