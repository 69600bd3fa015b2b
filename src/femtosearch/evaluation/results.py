"""The results of an evaluation, as types and as JSON."""

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
    milliseconds:  the median over the queries; None for a mode that is no search engine.
    bytes:         bytes a document that are searched; None where that is not defined.
    rankings:      query id -> documents and scores; empty if the result was read from a file.
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
    counts:              an oddity of the files in words -> how often it occurred.
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
    machine:     the machine that the milliseconds were measured on.
    means:       mode -> measure -> the mean of the collections' means.
    errors:      a collection's name -> why it could not be scored.
    """

    model: str
    fingerprint: str
    rules: str
    candidates: int
    version: str
    machine: Mapping[str, Any]
    sets: tuple[SetResult, ...]
    means: Mapping[str, Mapping[str, Interval]]
    errors: Mapping[str, str] = field(default_factory=dict)

    def json(self) -> dict[str, Any]:
        """Everything but the rankings, for json.dumps."""
        sets = []
        for result in self.sets:
            modes = {mode: _without(asdict(scores), "rankings") for mode, scores in result.modes.items()}
            sets.append({**_without(asdict(result), "modes"), "modes": modes})
        return {"kind": KIND, **_without(asdict(self), "sets"), "sets": sets}

    def brief(self) -> dict[str, Any]:
        """The means without the values of single queries, for json.dumps."""
        fields = self.json()
        for result in fields["sets"]:
            for scores in result["modes"].values():
                scores["queries"] = {}
        return fields

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Evaluation:
        """Read a file that `femtosearch evaluate --json` wrote. Raises ReadError."""
        try:
            fields = json.loads(Path(path).read_text(encoding="utf-8"))
            if fields.pop("kind") != KIND:
                raise ValueError("of another kind")
            sets = tuple(_set(result) for result in fields.pop("sets"))
            means = {mode: _intervals(by_measure) for mode, by_measure in fields.pop("means").items()}
            return cls(**fields, sets=sets, means=means)
        except OSError as error:
            raise ReadError(f"{os.fspath(path)}: cannot be read: {error.strerror or error}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ReadError(
                f"{os.fspath(path)}: expected what femtosearch evaluate --json prints, found something else "
                f"({error})"
            ) from error


def table_of(values: Mapping[str, Mapping[str, float]]) -> np.ndarray:
    """query id -> measure -> value, as an array [queries, measures] float64."""
    return np.array([[by_measure[name] for name in MEASURES] for by_measure in values.values()])


def intervals(groups: Sequence[Mapping[str, np.ndarray]]) -> dict[str, dict[str, Interval]]:
    """The interval of the mean over the groups of each group's mean: mode -> measure -> interval.

    groups:  a mapping for each collection, mode -> [queries, measures], all of the same modes. All modes are
             drawn together, for they answered the same queries.
    """
    modes = list(groups[0])
    flat = interval([np.concatenate([group[mode] for mode in modes], axis=1) for group in groups])
    size = len(MEASURES)
    return {
        mode: dict(zip(MEASURES, flat[n * size : (n + 1) * size], strict=True))
        for n, mode in enumerate(modes)
    }


def _without(fields: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key != name}


def _set(fields: dict[str, Any]) -> SetResult:
    modes = {
        mode: ModeResult(**{**scores, "means": _intervals(scores["means"])})
        for mode, scores in fields.pop("modes").items()
    }
    return SetResult(**fields, modes=modes)


def _intervals(by_measure: Mapping[str, Any]) -> dict[str, Interval]:
    return {name: Interval(**value) for name, value in by_measure.items()}
