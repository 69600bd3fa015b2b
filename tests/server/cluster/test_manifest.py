"""Which shard has a document, and manifests that anyone may have written."""

import json
from collections import Counter

import pytest

from femtosearch.errors import StoreError
from femtosearch.index.schema import Origin
from femtosearch.server.cluster.manifest import FileFacts, Manifest, ShardFacts, parse_manifest, shard_of

DIGEST = "ab" * 32


def manifest():
    files = {"catalog.db": FileFacts(10, DIGEST), "segments/1.seg": FileFacts(20, DIGEST)}
    shards = tuple(ShardFacts(f"shard-{n:04}-0123abcd", 3, 4, files) for n in range(2))
    return Manifest("0123456789abcdef", Origin("femto", "f" * 8, 50), shards)


def test_a_document_is_in_the_same_shard_for_ever():
    names = ("a", "b", "é", "notes/a.md", "\ud800")
    assert [shard_of(name, 7) for name in names[:4]] == [2, 5, 2, 2]
    assert shard_of(names[4], 7) in range(7)
    assert {shard_of(name, 1) for name in names} == {0}


def test_shards_are_of_about_one_size():
    counts = Counter(shard_of(f"document {n}", 8) for n in range(8000))
    assert set(counts) == set(range(8))
    assert max(counts.values()) < 1.15 * 1000


def test_a_manifest_is_read_as_it_was_written():
    assert parse_manifest(manifest().content(), "m") == manifest()
    assert (manifest().documents, manifest().passages) == (6, 8)
    assert manifest().folder(1) == "build-0123456789abcdef/shard-0001-0123abcd"


def changed(*path, to):
    facts = json.loads(manifest().content())
    inner = facts
    for step in path[:-1]:
        inner = inner[step]
    if to is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = to
    return json.dumps(facts).encode()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "not valid JSON"),
        (b"[]", "format"),
        (b"{" * 100_000, "not valid JSON"),
        (b'{"format": "x", "format": "y"}', "twice"),
        (changed("format", to="zip"), "femtosearch-cluster"),
        (changed("version", to=2), "newer femtosearch"),
        (changed("hash", to="md5"), "newer femtosearch"),
        (changed("build", to="../../etc"), "16 hexadecimal digits"),
        (changed("build", to=None), "16 hexadecimal digits"),
        (changed("shards", to=[]), "a list of 1 to"),
        (changed("shards", to={}), "a list of 1 to"),
        (changed("shards", 0, to=3), "shard 0"),
        (changed("shards", 1, "folder", to="../shard-0000-0123abcd"), "shard 1: folder"),
        (changed("shards", 1, "documents", to=-1), "documents"),
        (changed("shards", 1, "documents", to=True), "documents"),
        (changed("shards", 1, "passages", to=1.5), "passages"),
        (changed("shards", 0, "files", to={"../../x": {}}), "catalog.db and segments"),
        (
            changed("shards", 0, "files", to={"segments/1.seg": {"bytes": 1, "sha256": DIGEST}}),
            "a catalog.db",
        ),
        (changed("shards", 0, "files", "catalog.db", "sha256", to="00"), "64 hexadecimal digits"),
        (changed("shards", 0, "files", "catalog.db", "bytes", to="9"), "bytes"),
        (changed("model", to="femto"), "model"),
        (changed("model", "name", to="\x1b[31m"), "model: name"),
        (changed("model", "dims", to=None), "dims"),
    ],
)
def test_a_hostile_manifest_is_refused_by_name(content, told):
    with pytest.raises(StoreError, match="m: ") as error:
        parse_manifest(content, "m")
    assert told in str(error.value)
