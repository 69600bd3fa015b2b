"""Building shards from files: tasks divide documents among shards by their ids, then tasks encode the shards.

The result of a task is complete only with a file beside it that says so. So a task whose worker dies is run
again, and a build that was interrupted continues where it stopped.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import operator
import os
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import Any

from femtosearch.errors import CorruptError, ReadError, StoreError, check_whole
from femtosearch.index.documents import Draft
from femtosearch.index.index import Index
from femtosearch.index.schema import Origin
from femtosearch.index.store import CATALOG
from femtosearch.model.model import Model
from femtosearch.read.entries import Options, Skipped
from femtosearch.server.cluster import manifest as manifests
from femtosearch.server.cluster.engine import MEMORY, Engine, engine_at
from femtosearch.server.cluster.manifest import (
    Manifest,
    ShardFacts,
    folder_of,
    parse_manifest,
    shard_facts,
    shard_name,
)
from femtosearch.server.cluster.portions import Portion, identities, portions_of
from femtosearch.server.cluster.storage import Storage, facts_of, storage_at
from femtosearch.types import Document

_LEVEL = 1  # of gzip
_BUFFER = 32 << 20  # bytes of documents that wait to be written


@dataclass(frozen=True, slots=True)
class Recipe:
    """How shards are encoded: the model's name or folder, which every node must find, and its precision."""

    model: str | None
    precision: str
    fde: str | None
    threads: int

    def load(self) -> Model:
        """The model. Raises CheckpointError."""
        return Model.load(self.model, precision=self.precision)


@dataclass(frozen=True, slots=True)
class Built:
    """The result of a build.

    divided, encoded:  how many portions were read, and shards encoded, by this run; the others existed.
    skipped:           what was left out of files, or changed, in the portions that this run read.
    """

    manifest: Manifest
    divided: int
    encoded: int
    skipped: tuple[Skipped, ...] = ()


Report = Callable[[str, int, int], object]


def build(
    sources: Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    shards: int,
    address: str | None = None,
    model: str | None = None,
    precision: str = "float32",
    fde: str | None = "auto",
    threads: int = 1,
    options: Options | None = None,
    engine: Engine | None = None,
    progress: Report | None = None,
) -> Built:
    """Build an index of several shards. It replaces an earlier build when all of it is ready.

    sources:  files, folders, and URLs of fsspec, such as s3://bucket/corpus; all nodes must reach them.
    out:      a folder that all nodes see, or a URL.
    shards:   how many; a document is always in the same one, by a hash of its id.
    address:  of a Ray cluster; None starts one on this machine; "here" is this process, without Ray.
    threads:  how many threads encode a shard.
    progress: called with the phase ("dividing" or "encoding"), how many tasks are done, and of how many.
    Of several documents with one id the last counts. Raises ReadError, StoreError, ServerError.
    """
    check_whole(StoreError, "shards", shards, 1, manifests.MOST_SHARDS)
    paths = _paths_of(sources)
    store = storage_at(out)
    _check_manifest(store)
    portions = portions_of(paths, options or Options(), store)
    recipe = Recipe(model, precision, fde, threads)
    loaded = recipe.load()
    origin = Origin(loaded.name, loaded.fingerprint, loaded.dims)
    name = _name(portions, shards, origin, recipe)
    places = [*paths, store.place]
    held_here = next((place for place in places if place.startswith(MEMORY)), store.place)
    runner = engine or engine_at(address, place=held_here)
    try:
        with store.alone():
            return _Build(store, name, portions, shards, recipe, origin, progress).run(runner)
    finally:
        if engine is None:
            runner.close()


def _paths_of(sources: object) -> list[str]:
    """A list of paths and URLs as text. Raises ReadError for values of other types."""
    items = [sources] if isinstance(sources, (str, os.PathLike)) else sources
    paths = list(items) if isinstance(items, Iterable) else [items]
    for path in paths:
        if not isinstance(path, (str, os.PathLike)):
            raise ReadError(f"sources: expected paths or URLs, found {type(path).__name__}")
    return [str(path) for path in paths]


@dataclass(frozen=True, slots=True)
class _Build:
    store: Storage
    name: str
    portions: list[Portion]
    shards: int
    recipe: Recipe
    origin: Origin
    progress: Report | None

    def run(self, engine: Engine) -> Built:
        folder = folder_of(self.name)
        spools = [f"{folder}/spool/{number:06}" for number in range(len(self.portions))]
        shards = {n: f"{folder}/{shard_name(n)}" for n in range(self.shards)}
        facts = {n: facts for n, name in shards.items() if (facts := _shard_there(self.store, name))}
        missing = [number for number in shards if number not in facts]
        skipped, encoded = self._divided(engine, spools) if missing else [], len(missing)
        place = self.store.place
        calls = [(place, shards[n], n, self.shards, spools, self.recipe) for n in missing]
        for number, _ in self._run(engine, "encoding", encode, calls):
            facts[missing[number]] = self._encoded_facts(shards[missing[number]])
        manifest = Manifest(self.name, self.origin, tuple(facts[number] for number in shards))
        former = read_manifest(self.store, required=False)
        self.store.write(manifests.NAME, manifest.content())
        self._clean(manifest, former)
        divided = [entry for entry in skipped if entry is not None]
        return Built(manifest, len(divided), encoded, tuple(fault for entry in divided for fault in entry))

    def _encoded_facts(self, folder: str) -> ShardFacts:
        """The facts of a shard that a task has just encoded. Raises StoreError."""
        facts = _shard_there(self.store, folder)
        if facts is None:
            raise _gone(self.store, folder)
        return facts

    def _divided(self, engine: Engine, spools: list[str]) -> list[list[Skipped] | None]:
        """What was left out of each portion; None for one that was divided before."""
        pairs = zip(spools, self.portions, strict=True)
        calls = [(self.store.place, spool, portion, self.shards) for spool, portion in pairs]
        answers = dict(self._run(engine, "dividing", divide, calls))
        return [answers[number] for number in range(len(calls))]

    def _run(
        self, engine: Engine, phase: str, task: Callable[..., Any], calls: list[Any]
    ) -> Iterator[tuple[int, Any]]:
        """Run a task for each call; yields the number of the call and its result, as they end."""
        for ended, answer in enumerate(engine.run(task, calls), 1):
            if self.progress is not None:
                self.progress(phase, ended, len(calls))
            yield answer

    def _clean(self, manifest: Manifest, former: Manifest | None) -> None:
        """Remove what the build needed, and builds before the last one, which may still be served."""
        folder = folder_of(manifest.build)
        self.store.remove(f"{folder}/spool")
        ours = {shard.folder for shard in manifest.shards}
        for name in self.store.folders(folder):
            if name.startswith("shard-") and name not in ours:  # of a worker that was lost
                self.store.remove(f"{folder}/{name}")
        keep = {folder, folder_of(former.build) if former else folder}
        for name in self.store.folders():
            if manifests.is_build(name) and name not in keep:
                self.store.remove(name)


def read_manifest(store: Storage, *, required: bool = True) -> Manifest | None:
    """The manifest at a place. Raises StoreError for a place that has none, or one that is not ours."""
    content = store.read(manifests.NAME)
    place = f"{store.place}/{manifests.NAME}"
    if content is None and required:
        raise StoreError(
            f"{store.place}: there is no cluster's index here (no {manifests.NAME}): make one with "
            "femtosearch cluster build"
        )
    return None if content is None else parse_manifest(content, place)


def _gone(store: Storage, name: str) -> StoreError:
    return StoreError(
        f"{store.place}/{name}: it was removed while it was needed: is another build running there?"
    )


def _check_manifest(store: Storage) -> None:
    """Raise StoreError for a manifest that is not ours, which stays."""
    try:
        read_manifest(store, required=False)
    except StoreError as error:
        raise StoreError(f"{error}; nothing was built: remove that file, or choose another place") from None


def divide(place: str, spool: str, portion: Portion, shards: int) -> list[Skipped] | None:
    """A task: write the documents of a portion to a file for each shard. Returns what was skipped; None if
    another task has done it already.
    """
    store = storage_at(place)
    if _counts(store, spool, shards) is not None:
        return None
    skipped: list[Skipped] = []
    with TemporaryDirectory(prefix="femtosearch-") as folder:
        spooled = _Spool(Path(folder), shards)
        for draft in portion.drafts(skipped):
            spooled.add(draft)
        spooled.flush()
        for number in spooled.numbers():
            store.put(spooled.path(number), f"{spool}/{number}.jsonl.gz")
    store.write(f"{spool}/ready.json", json.dumps(spooled.counts).encode())
    return skipped


class _Spool:
    """A file of documents for each shard, of which none is open for longer than it is written to.

    counts:  how many documents each shard has.
    """

    def __init__(self, folder: Path, shards: int) -> None:
        self.counts = [0] * shards
        self._folder, self._waiting, self._bytes = folder, defaultdict[int, list[bytes]](list), 0

    def add(self, draft: Draft) -> None:
        """Add a document, which has its id."""
        assert draft.id is not None
        number = manifests.shard_of(draft.id, len(self.counts))
        line = json.dumps([draft.id, draft.text, draft.metadata], ensure_ascii=False).encode() + b"\n"
        self._waiting[number].append(line)
        self.counts[number] += 1
        self._bytes += len(line)
        if self._bytes > _BUFFER:
            self.flush()

    def flush(self) -> None:
        """Append the documents that wait to the files."""
        for number, lines in self._waiting.items():
            with gzip.open(self.path(number), "ab", _LEVEL) as file:
                file.writelines(lines)
        self._waiting.clear()
        self._bytes = 0

    def numbers(self) -> list[int]:
        """The shards that have a file."""
        return [number for number, count in enumerate(self.counts) if count]

    def path(self, number: int) -> Path:
        """The file of a shard."""
        return self._folder / f"{number}.jsonl.gz"


def encode(
    place: str, folder: str, number: int, shards: int, spools: list[str], recipe: Recipe
) -> ShardFacts:
    """A task: make the index of one shard from its documents in the spools."""
    store = storage_at(place)
    ready = _shard_there(store, folder)
    if ready is not None:
        return ready
    with TemporaryDirectory(prefix="femtosearch-") as scratch:
        draft = Path(scratch, "shard")
        with Index(draft, model=recipe.load(), fde=recipe.fde) as index:
            index.add(_spooled(store, number, shards, spools, Path(scratch)), threads=recipe.threads)
            stats = index.stats()
        names = sorted(path for path in draft.rglob("*") if path.name == CATALOG or path.suffix == ".seg")
        files = {path.relative_to(draft).as_posix(): facts_of(path) for path in names}
        attempt = f"{folder}-{token_hex(4)}"  # of its own: a worker that was given up may still be writing
        facts = ShardFacts(PurePosixPath(attempt).name, stats.documents, stats.passages, files)
        for name in files:
            store.put(draft / name, f"{attempt}/{name}")
    store.write(f"{folder}.json", json.dumps(asdict(facts)).encode())
    return facts


def _spooled(
    store: Storage, number: int, shards: int, spools: list[str], scratch: Path
) -> Iterator[Document]:
    """The documents of one shard, in the order of the sources, one spool at a time on this machine."""
    for spool in spools:
        counts = _counts(store, spool, shards)
        if counts is None:
            raise _gone(store, spool)
        path, count = scratch / "spool.jsonl.gz", 0
        if counts[number]:
            store.fetch(f"{spool}/{number}.jsonl.gz", path)
            for document in _lines(path, f"{store.place}/{spool}"):
                yield document
                count += 1
        if count != counts[number]:
            raise CorruptError(
                f"{store.place}/{spool}: expected {counts[number]:,} documents of shard {number}, found "
                f"{count:,}: remove it, and build again"
            )


def _lines(path: Path, spool: str) -> Iterator[Document]:
    """The documents in a file of a spool. Raises CorruptError."""
    try:
        with gzip.open(path, "rb") as lines:
            for line in lines:
                name, text, metadata = json.loads(line)
                yield Document(name, text, json.loads(metadata))
    except (OSError, EOFError, zlib.error, ValueError, TypeError) as error:
        raise CorruptError(f"{spool}: it is damaged ({error}): remove it, and build again") from None


def _counts(store: Storage, spool: str, shards: int) -> list[int] | None:
    """How many documents a spool that is ready has for each shard."""
    counts = _written(store, f"{spool}/ready.json")
    is_whole = isinstance(counts, list) and len(counts) == shards
    return counts if is_whole and all(type(count) is int for count in counts) else None


def _shard_there(store: Storage, folder: str) -> ShardFacts | None:
    """The facts of a shard that is complete: the file beside it exists, and its files have the
    right sizes.
    """
    try:
        facts = shard_facts(_written(store, f"{folder}.json"), folder)
    except StoreError:
        return None
    parent = PurePosixPath(folder).parent
    sizes = (store.size(f"{parent}/{facts.folder}/{name}") for name in facts.files)
    lengths = (entry.bytes for entry in facts.files.values())
    return facts if all(map(operator.eq, sizes, lengths)) else None


def _written(store: Storage, name: str) -> Any:
    """The JSON that a task wrote; None if there is none, or the file is damaged."""
    try:
        return json.loads(store.read(name) or b"null")
    except (ValueError, RecursionError):
        return None


def _name(portions: list[Portion], shards: int, origin: Origin, recipe: Recipe) -> str:
    """The name of a build: a digest of all that it depends on, so that an equal build has the same name."""
    settings = asdict(portions[0].options)
    depends = [
        identities(portions),
        settings,
        shards,
        asdict(origin),
        recipe.precision,
        recipe.fde,
        manifests.HASH,
    ]
    return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:16]
