"""What an evaluation found, as types and as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from femtosearch.errors import ReadError
from femtosearch.evaluation.confidence import Interval, interval
from femtosearch.evaluation.measures import MEASURES
from femtosearch.evaluation.rankings import Ranked

KIND = "femtosearch evaluation"


@dataclass(frozen=True, slots=True)
class ModeResult:
    """One mode on one collection.

    queries:       query id -> measure -> value.
    means:         measure -> its mean over the queries, with a 95% interval.
    milliseconds:  of a query, the median; None of a mode that is no search engine.
    bytes:         a document, of what is searched; None where that is not defined.
    rankings:      query id -> documents and scores; empty if it was read from a file.
    """

    queries: Mapping[str, Mapping[str, float]]
    means: Mapping[str, Interval]
    milliseconds: float | None = None
    bytes: float | None = None
    rankings: Mapping[str, Ranked] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class SetResult:
    """One collection.

    documents, queries:  how many were searched and asked.
    counts:              what was odd in the files, in words -> how often.
    indexing_seconds:    from texts to an index on the disk; None where it was there already, or not needed.
    """

    name: str
    documents: int
    queries: int
    counts: Mapping[str, int]
    modes: Mapping[str, ModeResult]
    indexing_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A model on some collections.

    rules:       the scoring rules' name.
    candidates:  passages that "rerank" scored.
    machine:     what the milliseconds are of.
    means:       mode -> measure -> the mean of the collections' means.
    """

    model: str
    fingerprint: str
    rules: str
    candidates: int
    version: str
    machine: Mapping[str, Any]
    sets: tuple[SetResult, ...]
    means: Mapping[str, Mapping[str, Interval]]

    def json(self) -> dict[str, Any]:
        """All of it but the rankings, as JSON."""
        sets = []
        for one in self.sets:
            modes = {mode: _without(asdict(found), "rankings") for mode, found in one.modes.items()}
            sets.append({**_without(asdict(one), "modes"), "modes": modes})
        return {"kind": KIND, **_without(asdict(self), "sets"), "sets": sets}

    def brief(self) -> dict[str, Any]:
        """The same without the queries' own values."""
        said = self.json()
        for one in said["sets"]:
            for found in one["modes"].values():
                found["queries"] = {}
        return said

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Evaluation:
        """What `femtosearch evaluate --json` wrote into a file. Raises ReadError."""
        try:
            said = json.loads(Path(path).read_text(encoding="utf-8"))
            if said.pop("kind") != KIND:
                raise ValueError("of another kind")
            sets = tuple(_set(one) for one in said.pop("sets"))
            means = {mode: _intervals(found) for mode, found in said.pop("means").items()}
            return cls(**said, sets=sets, means=means)
        except OSError as error:
            raise ReadError(f"{os.fspath(path)}: cannot be read: {error.strerror or error}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ReadError(
                f"{os.fspath(path)}: expected what femtosearch evaluate --json prints, found something else "
                f"({error})"
            ) from error


def table_of(values: Mapping[str, Mapping[str, float]]) -> np.ndarray:
    """[queries, measures] float64."""
    return np.array([[found[name] for name in MEASURES] for found in values.values()])


def intervals(groups: Sequence[Mapping[str, np.ndarray]]) -> dict[str, dict[str, Interval]]:
    """mode -> measure -> interval, of the mean over the queries of each group, and over the groups.

    groups:  of each collection mode -> [queries, measures]; the same modes everywhere. All modes are drawn
             together, for they answered the same queries.
    """
    modes = list(groups[0])
    found = interval([np.concatenate([group[mode] for mode in modes], axis=1) for group in groups])
    size = len(MEASURES)
    return {
        mode: dict(zip(MEASURES, found[n * size : (n + 1) * size], strict=True))
        for n, mode in enumerate(modes)
    }


def _without(said: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in said.items() if key != name}


def _set(said: dict[str, Any]) -> SetResult:
    modes = {
        mode: ModeResult(**{**found, "means": _intervals(found["means"])})
        for mode, found in said.pop("modes").items()
    }
    return SetResult(**said, modes=modes)


def _intervals(said: Mapping[str, Any]) -> dict[str, Interval]:
    return {name: Interval(**value) for name, value in said.items()}
