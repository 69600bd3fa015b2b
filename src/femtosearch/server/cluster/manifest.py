"""The manifest of a cluster's index: its shards, their documents and their files.

The manifest is the last file that a build writes, and the only one that is ever replaced, so a reader always
sees one complete build.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from femtosearch.errors import CheckpointError, StoreError, is_whole, whole_number
from femtosearch.index.schema import Origin
from femtosearch.index.store import CATALOG
from femtosearch.tensors import parse_json

NAME = "manifest.json"
FORMAT, LAYOUT, HASH = "femtosearch-cluster", 1, "blake2b-64"
MOST_SHARDS = 10_000
MOST_BYTES = 256 << 20  # of a manifest
_BUILD = re.compile("[0-9a-f]{16}")
_DIGEST = re.compile("[0-9a-f]{64}")
_FOLDER = re.compile("shard-[0-9]{4,5}-[0-9a-f]{8}")
_FILE = re.compile(r"catalog\.db|segments/[0-9]{1,18}\.seg")


@dataclass(frozen=True, slots=True)
class FileFacts:
    """The size and digest of a file of a shard, by which it is recognised."""

    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ShardFacts:
    """One shard: an ordinary index in a folder inside that of the build.

    files:  path within the folder -> the facts of the file.
    """

    folder: str
    documents: int
    passages: int
    files: Mapping[str, FileFacts]


@dataclass(frozen=True, slots=True)
class Manifest:
    """A complete build. Shard n has the documents for whose ids `shard_of` gives n.

    build:   its name, which depends on the sources, the model and the number of shards.
    origin:  the model that all shards were made with.
    """

    build: str
    origin: Origin
    shards: tuple[ShardFacts, ...]

    @property
    def documents(self) -> int:
        """How many documents all shards have."""
        return sum(shard.documents for shard in self.shards)

    @property
    def passages(self) -> int:
        """How many passages all shards have."""
        return sum(shard.passages for shard in self.shards)

    def folder(self, number: int) -> str:
        """The path of a shard's folder, relative to that of the manifest."""
        return f"{folder_of(self.build)}/{self.shards[number].folder}"

    def content(self) -> bytes:
        """The manifest as it is written."""
        facts = {
            "format": FORMAT,
            "version": LAYOUT,
            "build": self.build,
            "hash": HASH,
            "model": asdict(self.origin),
            "shards": [asdict(shard) for shard in self.shards],
        }
        return json.dumps(facts, indent=1).encode()


def folder_of(build: str) -> str:
    """The folder of a build."""
    return f"build-{build}"


def is_build(name: str) -> bool:
    """Whether a folder has the name of a build."""
    return name.startswith("build-") and _BUILD.fullmatch(name.removeprefix("build-")) is not None


def shard_name(number: int) -> str:
    """The name of a shard's folder, without the digits that tell attempts to encode it apart."""
    return f"shard-{number:04}"


def shard_of(name: str, shards: int) -> int:
    """The number of the shard that has the document with an id. It never changes, and is the same everywhere.

    >>> [shard_of(name, 4) for name in ("a", "b", "c")]
    [3, 1, 3]
    """
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") % shards


def parse_manifest(content: bytes, place: str) -> Manifest:
    """Parse a manifest, which anyone may have written. Raises StoreError, which says what is wrong
    with it.
    """
    if len(content) > MOST_BYTES:
        raise StoreError(
            f"{place}: expected at most {MOST_BYTES:,} bytes, found {len(content):,}: build it again"
        )
    try:
        facts = parse_json(place, content)
    except CheckpointError as error:
        raise StoreError(str(error)) from None
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise _wrong(place, "format", FORMAT, facts.get("format") if isinstance(facts, dict) else facts)
    if facts.get("version") != LAYOUT or facts.get("hash") != HASH:
        newer = f"version {facts.get('version')!r}, hash {facts.get('hash')!r}"
        raise StoreError(
            f"{place}: expected version {LAYOUT}, hash {HASH!r}, found {newer[:100]}: a newer femtosearch is "
            "needed to read it"
        )
    build, shards = facts.get("build"), facts.get("shards")
    if not isinstance(build, str) or not _BUILD.fullmatch(build):
        raise _wrong(place, "build", "16 hexadecimal digits", build)
    if not isinstance(shards, list) or not 1 <= len(shards) <= MOST_SHARDS:
        raise _wrong(place, "shards", f"a list of 1 to {MOST_SHARDS:,}", shards)
    origin = _origin(facts.get("model"), place)
    checked = (shard_facts(shard, f"{place}: shard {number}") for number, shard in enumerate(shards))
    return Manifest(build, origin, tuple(checked))


def is_of_build(name: str) -> bool:
    """Whether a path from the index's own folder is one that builds write."""
    return name == NAME or is_build(name.partition("/")[0])


def shard_facts(facts: Any, place: str) -> ShardFacts:
    """Check the facts of a shard, from a manifest or from the file beside the shard. Raises StoreError."""
    if not isinstance(facts, dict) or not isinstance(facts.get("files"), dict):
        raise _wrong(place, "files", "a mapping", facts)
    folder = facts.get("folder")
    if not isinstance(folder, str) or not _FOLDER.fullmatch(folder):
        raise _wrong(place, "folder", "shard-NUMBER-DIGITS", folder)
    files = {}
    for name, entry in facts["files"].items():
        if not _FILE.fullmatch(name) or not isinstance(entry, dict):
            raise _wrong(place, "files", "catalog.db and segments/NUMBER.seg", name)
        digest = entry.get("sha256")
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            raise _wrong(place, f"sha256 of {name}", "64 hexadecimal digits", digest)
        files[name] = FileFacts(_count(entry, "bytes", place), digest)
    if CATALOG not in files:
        raise _wrong(place, "files", "a catalog.db among them", sorted(files)[:3])
    return ShardFacts(folder, _count(facts, "documents", place), _count(facts, "passages", place), files)


def _origin(model: Any, place: str) -> Origin:
    if not isinstance(model, dict):
        raise _wrong(place, "model", "a mapping", model)
    for name in ("name", "fingerprint"):
        if not isinstance(model.get(name), str) or not model[name].isprintable():
            raise _wrong(place, f"model: {name}", "a string", model.get(name))
    return Origin(model["name"], model["fingerprint"], _count(model, "dims", f"{place}: model"))


def _count(facts: Mapping[str, Any], name: str, place: str) -> int:
    number = facts.get(name)
    if not is_whole(number, 0, (1 << 60) - 1):
        raise _wrong(place, name, whole_number(0), number)
    return number


def _wrong(place: str, name: str, expected: str, actual: object) -> StoreError:
    return StoreError(f"{place}: {name}: expected {expected}, found {str(actual)[:80]!r}: build it again")
