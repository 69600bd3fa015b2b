"""What a kind of torture counted: cases, by what was tried, and faults."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

_MOST_TEXTS = 40  # faults whose texts are stored; all are counted


@dataclass(frozen=True, slots=True)
class Fault:
    """A promise that did not hold: in which round, and how."""

    kind: str
    seed: int
    text: str

    @property
    def replay(self) -> str:
        """The command that plays the round again."""
        return f"python -m torture --kind {self.kind} --seed {self.seed}"


@dataclass(slots=True)
class Counts:
    """Cases and faults of one kind.

    topics:  what was tried -> [cases, faults].
    faults:  the first of them, with their texts.
    """

    kind: str
    seed: int = 0
    rounds: int = 0
    topics: dict[str, list[int]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    @property
    def cases(self) -> int:
        return sum(cases for cases, _ in self.topics.values())

    @property
    def faulty(self) -> int:
        """How many faults there were."""
        return sum(faults for _, faults in self.topics.values())

    def case(self, topic: str, count: int = 1) -> None:
        """Count cases that were tried."""
        self.topics.setdefault(topic, [0, 0])[0] += count

    def fault(self, topic: str, text: str) -> None:
        """Count a fault of the round that is being played."""
        self.topics.setdefault(topic, [0, 0])[1] += 1
        if len(self.faults) < _MOST_TEXTS:
            self.faults.append(Fault(self.kind, self.seed, f"{topic}: {text}"))

    def add(self, more: Counts) -> None:
        """Add what another slice of the same kind counted."""
        self.rounds += more.rounds
        for topic, (cases, faults) in more.topics.items():
            here = self.topics.setdefault(topic, [0, 0])
            here[0] += cases
            here[1] += faults
        self.faults += more.faults[: _MOST_TEXTS - len(self.faults)]

    def to_json(self) -> dict[str, Any]:
        """As JSON, with the totals."""
        return {
            "kind": self.kind,
            "cases": self.cases,
            "faulty": self.faulty,
            "rounds": self.rounds,
            "topics": self.topics,
            "faults": [{"seed": fault.seed, "text": fault.text} for fault in self.faults],
        }

    @classmethod
    def of_json(cls, value: dict[str, Any]) -> Counts:
        """What `to_json` made."""
        faults = [Fault(value["kind"], fault["seed"], fault["text"]) for fault in value["faults"]]
        return cls(value["kind"], 0, value["rounds"], value["topics"], faults)
