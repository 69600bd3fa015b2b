"""The sources of `femtosearch evaluate`: a folder, or the name of a set of BEIR or NanoBEIR."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from femtosearch.errors import MissingExtraError, ReadError
from femtosearch.evaluation.collection import Collection, collect
from femtosearch.evaluation.files import SUBSETS, is_beir, is_nano, read_beir, read_nano
from femtosearch.read.records import Record

DATA = "FEMTOSEARCH_COLLECTIONS"  # names a folder with local copies of sets
NAME = re.compile(r"(beir|nanobeir)(?:/([\w-]+))?")
NANO = (
    "ClimateFEVER", "DBPedia", "FEVER", "FiQA2018", "HotpotQA", "MSMARCO", "NFCorpus", "NQ", "QuoraRetrieval",
    "SCIDOCS", "ArguAna", "SciFact", "Touche2020",
)  # fmt: skip
HUB_NANO = "sentence-transformers/NanoBEIR-en"


def read_source(source: str | os.PathLike[str], split: str | None = None) -> list[Collection]:
    """Read the collections of a source.

    source:  a folder: BEIR's layout, NanoBEIR's, or folders of these, sorted by name; or `beir/NAME`,
             `nanobeir`, `nanobeir/NAME`: its copy in the folder that $FEMTOSEARCH_COLLECTIONS names, else
             the Hub's, through `datasets` (extra [evaluate]).
    split:   the split of the qrels; None takes test, or the only one. With NanoBEIR it is the set's name.
    Raises ReadError, MissingExtraError.
    """
    text = os.fspath(source)
    if Path(text).exists():
        return _folder(Path(text), split)
    named = NAME.fullmatch(text)
    if named is None or (named[1] == "beir" and named[2] is None):
        expected = "a folder, beir/NAME, nanobeir or nanobeir/NAME"
        raise ReadError(f"{text}: expected {expected}, found no such folder; check the path")
    local = _local(text, named[1], named[2])
    if local is not None:
        return _folder(local, split)
    names = _nano_names(named[2]) if named[1] == "nanobeir" else []
    return [_hub_nano(name) for name in names] if names else [_hub_beir(str(named[2]), split or "test")]


def _folder(folder: Path, split: str | None) -> list[Collection]:
    if is_beir(folder):
        return [read_beir(folder, split)]
    if is_nano(folder):
        return read_nano(folder, split)
    folders = [path for path in sorted(folder.glob("*/")) if is_beir(path) or is_nano(path)]
    if not folders:
        expected = "corpus.jsonl, NanoBEIR's folders corpus, queries and qrels, or folders of these"
        raise ReadError(f"{folder}: expected {expected}, found neither")
    return [collection for path in folders for collection in _folder(path, split)]


def _local(text: str, family: str, name: str | None) -> Path | None:
    """A set's copy below $FEMTOSEARCH_COLLECTIONS: under its full name or, of BEIR, the set's alone."""
    if not os.environ.get(DATA):
        return None
    data = Path(os.environ[DATA])
    places = [data / text, data / family.upper() / (name or "")]
    places += [data / str(name)] if family == "beir" else []
    return next((place for place in places if place.is_dir()), None)


def _nano_names(name: str | None) -> list[str]:
    if name is None:
        return [f"Nano{name}" for name in NANO]
    plain = name.lower().removeprefix("nano")
    names = [f"Nano{name}" for name in NANO if name.lower() == plain]
    if not names:
        raise ReadError(f"nanobeir/{name}: expected one of {', '.join(NANO)}, found {name!r}")
    return names


def _hub_nano(name: str) -> Collection:
    corpus, queries, qrels = (_hub_rows(HUB_NANO, subset, name) for subset in SUBSETS)
    return collect(name, corpus, queries, qrels)


def _hub_beir(name: str, split: str) -> Collection:
    corpus = _hub_rows(f"BeIR/{name}", "corpus", "corpus")
    queries = _hub_rows(f"BeIR/{name}", "queries", "queries")
    return collect(name, corpus, queries, _hub_rows(f"BeIR/{name}-qrels", "default", split))


def _hub_rows(repository: str, subset: str, split: str) -> Iterator[tuple[str, Record]]:
    """The rows of a data set on the Hub, or in the Hub's cache where there is no connection."""
    load = _datasets()
    where = f"{repository}, {subset}, {split}"
    try:
        rows = load(repository, subset, split=split)
    except Exception as error:  # of many kinds: no connection, no such name, no such split
        reason = " ".join(str(error).split())
        raise ReadError(
            f"{where}: the Hub did not give it: {type(error).__name__}: {reason}; check the name and the "
            f"connection, or put a copy into the folder that ${DATA} names"
        ) from error
    return ((f"{where}, row {number}", dict(row)) for number, row in enumerate(rows))


def _datasets() -> Callable[..., Any]:
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise MissingExtraError(
            f"a set from the Hub needs {error.name}: pip install 'femtosearch[evaluate]'; or put a copy of "
            f"it into the folder that ${DATA} names"
        ) from error
    return load_dataset  # type: ignore[no-any-return]
