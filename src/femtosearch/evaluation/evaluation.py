"""`femtosearch.evaluation`: a model's rankings of collections, what they are worth, and how sure that is."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from femtosearch import _core
from femtosearch.errors import QueryError
from femtosearch.evaluation.cache import cache_folder, open_index
from femtosearch.evaluation.collection import Collection
from femtosearch.evaluation.measures import measure
from femtosearch.evaluation.rankings import (
    CANDIDATES,
    INDEXED,
    MODES,
    Found,
    Say,
    Subject,
    by_bm25,
    by_index,
    by_rows,
)
from femtosearch.evaluation.results import Evaluation, ModeResult, SetResult, intervals, table_of
from femtosearch.evaluation.rules import Rules, rules_named
from femtosearch.evaluation.sources import read_source
from femtosearch.model.model import Model

Source = str | Path


def evaluate(
    sources: Source | Iterable[Source],
    model: Model | Source | None = None,
    *,
    modes: Sequence[str] | None = None,
    rules: str = "beir",
    split: str | None = None,
    limit: int | None = None,
    candidates: int = CANDIDATES,
    cache: Source | None = None,
    progress: Say | None = None,
) -> Evaluation:
    """Score a model on collections: every query asked, measured by trec_eval, with 95% intervals.

    sources:     folders in BEIR's or NanoBEIR's layout, or `beir/NAME`, `nanobeir`, `nanobeir/NAME`.
    model:       a Model, or what Model.load takes; None is the default model.
    modes:       of "maxsim", "rerank" and "fde" (through an index, as a user searches), "bm25", "exact"
                 (float32 MaxSim of documents cut at the model's length, as the peers score) and "float32"
                 (the same of whole documents). None is what the rules name.
    rules:       "beir", "txtai", "pylate" or "sentence-transformers": docs/evaluation.md says what each does.
    split:       of the qrels.
    limit:       so many queries of each collection, the first ones.
    candidates:  passages that "rerank" scores.
    cache:       a folder for indexes ($FEMTOSEARCH_CACHE, or below ~/.cache).
    progress:    called with what is done, how far, of how many.
    Raises ReadError, QueryError, MissingExtra, CheckpointError, StoreError.
    """
    scored, wanted = rules_named(rules), _modes(modes, rules_named(rules))
    loaded = model if isinstance(model, Model) else Model.load(model)
    listed: Iterable[Source] = [sources] if isinstance(sources, (str, Path)) else sources
    collections = [one for source in listed for one in read_source(source, split)]
    if not collections:
        raise QueryError("sources: expected one collection or more, found none")
    say: Say = progress or (lambda *_: None)
    folder = Path(cache) if cache is not None else cache_folder()
    from importlib import metadata  # slow to import, and seldom wanted

    sets, groups = [], []
    for collection in _named_apart(collections):
        subject = Subject.of(collection.first(_limit(limit)), scored)
        found, took = _found(subject, loaded, wanted, candidates, folder, say)
        result, group = _set_result(collection, subject, found, scored)
        sets.append(replace(result, indexing_seconds=took))
        groups.append(group)
    return Evaluation(
        loaded.name, loaded.fingerprint, rules, candidates, metadata.version("femtosearch"), machine(),
        tuple(sets), intervals(groups),
    )  # fmt: skip


def machine() -> dict[str, Any]:
    """What times are measured on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"processor": _processor(), "cores": cores, "kernel": _core.kernel(), "system": platform.system()}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def _modes(modes: Sequence[str] | None, rules: Rules) -> tuple[str, ...]:
    """Each mode once. Raises QueryError."""
    wanted = tuple(dict.fromkeys(rules.modes if modes is None else modes))
    for mode in wanted:
        if mode not in MODES:
            raise QueryError(f"mode: expected one of {', '.join(MODES)}, found {mode!r}")
    if not wanted:
        raise QueryError(f"modes: expected one or more of {', '.join(MODES)}, found none")
    return wanted


def _limit(limit: int | None) -> int | None:
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise QueryError(f"limit: expected a whole number of 1 or more, found {limit!r}")
    return limit


def _named_apart(collections: Sequence[Collection]) -> list[Collection]:
    """Raises QueryError for two of one name, which no result could tell apart."""
    names = [one.name for one in collections]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise QueryError(f"sources: expected collections of different names, found {twice[0]!r} twice")
    return list(collections)


def _found(
    subject: Subject, model: Model, modes: Sequence[str], candidates: int, folder: Path, say: Say
) -> tuple[dict[str, Found], float | None]:
    """What each mode finds, and the seconds that indexing took, if anything was indexed."""
    found: dict[str, Found] = {}
    took: float | None = None
    if any(mode in INDEXED for mode in modes):
        opened, took = open_index(subject, model, folder, _of(subject, say))
        with opened as index:
            for mode in modes:
                if mode in INDEXED:
                    found[mode] = by_index(subject, index, mode, candidates, _of(subject, say))
    for mode in modes:
        if mode == "bm25":
            found[mode] = by_bm25(subject, _of(subject, say))
        elif mode not in INDEXED:
            found[mode] = by_rows(subject, model, _of(subject, say), whole=mode == "float32")
    return {mode: found[mode] for mode in modes}, took


def _of(subject: Subject, say: Say) -> Say:
    return lambda what, done, total: say(f"{subject.name}: {what}", done, total)


def _set_result(
    collection: Collection, subject: Subject, found: Mapping[str, Found], rules: Rules
) -> tuple[SetResult, dict[str, np.ndarray]]:
    values = {}
    for mode, one in found.items():
        ranked = {query: [name for name, _ in pairs] for query, pairs in one.rankings.items()}
        values[mode] = measure(ranked, subject.relevant, capped=rules.binary)
    group = {mode: table_of(by_query) for mode, by_query in values.items()}
    means = intervals([group])
    modes = {
        mode: ModeResult(
            values[mode], means[mode], median(one.milliseconds) if one.milliseconds else None, one.bytes,
            one.rankings,
        )
        for mode, one in found.items()
    }  # fmt: skip
    counts = dict(collection.counts)
    dropped = len(collection.entries) - len(subject.documents)
    if dropped:
        counts["documents that the rules leave out, for they have no text"] = dropped
    return SetResult(subject.name, len(subject.documents), len(subject.queries), counts, modes), group
