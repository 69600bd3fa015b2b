"""`fs.evaluate` ranks collections with a model and measures the rankings, with confidence intervals."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from femtosearch import _core, system
from femtosearch.errors import QueryError, ReadError, check_whole
from femtosearch.evaluation.cache import open_index
from femtosearch.evaluation.collection import Collection
from femtosearch.evaluation.measures import check_extra, measure
from femtosearch.evaluation.rankings import (
    CANDIDATES,
    INDEXED,
    MODES,
    ModeRankings,
    Progress,
    ScoredCollection,
    by_bm25,
    by_index,
    by_rows,
)
from femtosearch.evaluation.results import Evaluation, ModeResult, SetResult, intervals, table_of
from femtosearch.evaluation.rules import Rules, rules_named
from femtosearch.evaluation.sources import read_source
from femtosearch.model.model import Model
from femtosearch.system import cores

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
    progress: Progress | None = None,
) -> Evaluation:
    """Score a model on collections: every query asked, measured by trec_eval, with 95% intervals.

    sources:     folders in BEIR's or NanoBEIR's layout, or `beir/NAME`, `nanobeir`, `nanobeir/NAME`.
    model:       a Model, or what Model.load takes; None is the default model.
    modes:       of "maxsim", "rerank", "fde" and "hybrid" (through an index, as a user searches), "bm25",
                 "exact" (float32 MaxSim of documents cut at the model's length, as peers score) and "float32"
                 (float32 MaxSim of documents in passages). None takes the modes that the rules name.
    rules:       "beir", "txtai", "pylate" or "sentence-transformers": docs/evaluation.md says what each does.
    split:       the split of the qrels.
    limit:       asks the first so many queries of each collection.
    candidates:  passages that "rerank" scores.
    cache:       a folder for indexes ($FEMTOSEARCH_CACHE, or below ~/.cache).
    progress:    called with what is being done, how many are done, of how many.
    Returns      an Evaluation; `errors` names collections of which no query has a relevant document.
    Raises ReadError (also when every collection is in `errors`), QueryError, MissingExtraError,
    CheckpointError, StoreError.
    """
    scoring, modes = rules_named(rules), _modes(modes, rules_named(rules))
    check_extra()  # before the work, not after it
    loaded = model if isinstance(model, Model) else Model.load(model)
    collections = _collections(sources, split)
    call: Progress = progress or (lambda *_: None)
    folder = Path(cache) if cache is not None else system.cache_folder()
    from importlib import metadata  # slow to import, and seldom needed

    sets, groups, errors = [], [], {}
    for collection in collections:
        scored = ScoredCollection.of(collection.first(_limit(limit)), scoring)
        if not any(scored.relevant.values()):
            errors[collection.name] = _nothing_relevant(scored)
            continue
        rankings, seconds = _rankings(scored, loaded, modes, candidates, folder, call)
        result, group = _set_result(collection, scored, rankings)
        sets.append(replace(result, indexing_seconds=seconds))
        groups.append(group)
    if not sets:
        raise ReadError("; ".join(errors.values()))
    return Evaluation(
        loaded.name, loaded.fingerprint, rules, candidates, metadata.version("femtosearch"), machine(),
        tuple(sets), intervals(groups), errors,
    )  # fmt: skip


def machine() -> dict[str, Any]:
    """Describe the machine that times are measured on."""
    return {
        "processor": _processor(),
        "cores": cores(),
        "kernel": _core.kernel(),
        "system": platform.system(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def _modes(modes: Sequence[str] | None, rules: Rules) -> tuple[str, ...]:
    """The modes to measure, each once. Raises QueryError."""
    chosen = tuple(dict.fromkeys(rules.modes if modes is None else modes))
    for mode in chosen:
        if mode not in MODES:
            raise QueryError(f"mode: expected one of {', '.join(MODES)}, found {mode!r}")
    if not chosen:
        raise QueryError(f"modes: expected one or more of {', '.join(MODES)}, found none")
    return chosen


def _limit(limit: int | None) -> int | None:
    return None if limit is None else check_whole(QueryError, "limit", limit, 1)


def _collections(sources: Source | Iterable[Source], split: str | None) -> list[Collection]:
    """Read all sources. Raises QueryError for two collections of one name: results are told apart by it."""
    listed: Iterable[Source] = [sources] if isinstance(sources, (str, Path)) else sources
    if not isinstance(listed, Iterable):
        raise QueryError(f"sources: expected a folder or a list of them, found {type(sources).__name__}")
    collections = [collection for source in listed for collection in read_source(source, split)]
    if not collections:
        raise QueryError("sources: expected one collection or more, found none")
    names = [collection.name for collection in collections]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise QueryError(f"sources: expected collections of different names, found {twice[0]!r} twice")
    return collections


def _nothing_relevant(scored: ScoredCollection) -> str:
    count = len(scored.queries)
    return (
        f"{scored.name}: expected a query with a relevant document, found {count} queries without one: check "
        "the grades in its qrels"
    )


def _rankings(
    scored: ScoredCollection,
    model: Model,
    modes: Sequence[str],
    candidates: int,
    folder: Path,
    progress: Progress,
) -> tuple[dict[str, ModeRankings], float | None]:
    """Each mode's rankings, and the seconds that indexing took; None if nothing was indexed."""
    rankings: dict[str, ModeRankings] = {}
    seconds: float | None = None
    call = _named(scored, progress)
    if any(mode in INDEXED for mode in modes):
        opened, seconds = open_index(scored, model, folder, call)
        with opened as index:
            for mode in modes:
                if mode in INDEXED:
                    rankings[mode] = by_index(scored, index, mode, candidates, call)
    for mode in modes:
        if mode == "bm25":
            rankings[mode] = by_bm25(scored, call)
        elif mode not in INDEXED:
            rankings[mode] = by_rows(scored, model, call, uncut=mode == "float32")
    return {mode: rankings[mode] for mode in modes}, seconds


def _named(scored: ScoredCollection, progress: Progress) -> Progress:
    """Call `progress` with the collection's name before what is being done."""
    return lambda what, done, total: progress(f"{scored.name}: {what}", done, total)


def _set_result(
    collection: Collection, scored: ScoredCollection, by_mode: Mapping[str, ModeRankings]
) -> tuple[SetResult, dict[str, np.ndarray]]:
    """The results of a collection, and mode -> [queries, measures] for the mean over collections."""
    values = {}
    for mode, result in by_mode.items():
        ranked = {query: [name for name, _ in pairs] for query, pairs in result.rankings.items()}
        values[mode] = measure(ranked, scored.relevant, capped=scored.rules.binary)
    group = {mode: table_of(by_query) for mode, by_query in values.items()}
    means = intervals([group])
    modes = {
        mode: ModeResult(
            values[mode],
            means[mode],
            median(result.milliseconds) if result.milliseconds else None,
            result.bytes,
            result.rankings,
        )
        for mode, result in by_mode.items()
    }
    counts = dict(collection.counts)
    dropped = len(collection.entries) - len(scored.documents)
    if dropped:
        counts["documents that the rules leave out, for they have no text"] = dropped
    return SetResult(scored.name, len(scored.documents), len(scored.queries), counts, modes), group
