import json
import random
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from femtosearch.errors import CorruptError, FemtosearchError, StoreError
from femtosearch.fde import Muvera
from femtosearch.index.catalog import Catalog
from femtosearch.index.connection import create
from femtosearch.index.documents import Draft
from femtosearch.index.index import Index
from femtosearch.index.schema import APPLICATION, NEWEST, Origin
from femtosearch.index.segment_header import Summary
from femtosearch.index.stats import describe
from femtosearch.types import Document

from ..fakes import FakeModel, fast_path

__all__ = ["fast_path"]

MODEL = FakeModel()
ORIGIN = Origin("a model", "abc", 6)


@pytest.fixture(params=["folder", "memory"])
def catalog(request, fast_path):
    if request.param == "memory":
        catalog = Catalog.in_memory(ORIGIN)
    else:
        create(fast_path / "catalog.db", ORIGIN)
        catalog = Catalog(fast_path / "catalog.db")
    yield catalog
    catalog.close()


def test_a_new_catalog(catalog):
    assert catalog.origin == ORIGIN
    state = catalog.state()
    assert state.segments == {} and len(state.tombstones) == 0 and state.version == catalog.version()
    assert catalog.count() == 0 and catalog.get("a") is None and catalog.fetch([1, 2]) == {}


def test_keys_are_never_given_twice(catalog):
    with catalog.write() as transaction:
        first = [transaction.put(Draft(i, "text", "{}")) for i in ("a", "b", "a")]
        assert transaction.remove("b") and not transaction.remove("b")
    with catalog.write() as transaction:
        first.append(transaction.put(Draft("c", "text", '{"x": 1}')))
    assert first == sorted(set(first))
    assert catalog.state().tombstones.tolist() == first[:2]
    assert catalog.fetch(first) == {
        first[2]: Document("a", "text"),
        first[3]: Document("c", "text", {"x": 1}),
    }
    assert catalog.ids(first) == {first[2]: "a", first[3]: "c"}


def test_segment_numbers_are_never_given_twice(catalog):
    summary = Summary(1, 2, 3, 4, 5)
    with catalog.write() as transaction:
        assert transaction.next_number() == 1
        transaction.add_segments({1: summary, 2: summary})
        transaction.drop_segments([1, 2], np.empty(0, np.int64))
        assert transaction.next_number() == 3
    with pytest.raises(RuntimeError), catalog.write() as transaction:
        transaction.add_segments({3: summary})
        raise RuntimeError
    with catalog.write() as transaction:
        assert transaction.next_number() == 3 and transaction.segments() == {}


def test_what_fails_leaves_nothing(catalog):
    version = catalog.version()
    with pytest.raises(KeyboardInterrupt), catalog.write() as transaction:
        transaction.put(Draft("a", "text", "{}"))
        raise KeyboardInterrupt
    assert catalog.count() == 0 and (catalog.version() == version or catalog._path is None)
    with catalog.write() as transaction:
        transaction.put(Draft("a", "text", "{}"))
    assert catalog.count() == 1 and catalog.version() != version


def test_many_keys(catalog):
    with catalog.write() as transaction:
        keys = [transaction.put(Draft(f"{n}", "", "{}")) for n in range(1201)]
    assert len(catalog.fetch(keys)) == 1201 and catalog.ids(keys)[keys[700]] == "700"


def test_a_reader_does_not_see_what_is_not_committed(fast_path):
    create(fast_path / "catalog.db", ORIGIN)
    reader, writer = Catalog(fast_path / "catalog.db"), Catalog(fast_path / "catalog.db")
    version = reader.version()
    with writer.write() as transaction:
        transaction.put(Draft("a", "text", "{}"))
        assert reader.count() == writer.count() == 0 and reader.version() == version
    assert reader.count() == writer.count() == 1 and reader.version() != version
    reader.close()
    writer.close()


def make(folder: Path) -> Path:
    with Index(folder, model=MODEL) as index:
        index.add([{"id": f"{n}", "text": f"word{n} common", "n": n} for n in range(20)])
        index.delete("3")
    return folder / "catalog.db"


def use(folder: Path) -> None:
    """All that an index does; any error must be one of ours."""
    with Index(folder, model=MODEL, timeout=0.1) as index:
        index.search("common", k=99)
        index.get("5")
        len(index)
        index.add([{"id": "5", "text": "again"}])
        index.delete("6")
        index.compact()
        index.stats()


@pytest.mark.parametrize(
    "content", [b"", b"x", b"\0" * 4096, b"SQLite format 3\0", b"SQLite format 3\0" + b"\xff" * 4096]
)
def test_a_catalog_that_is_no_database(fast_path, content):
    path = make(fast_path / "i")
    path.write_bytes(content)
    for _ in range(2):
        with pytest.raises(StoreError, match=r"catalog\.db"):
            Index(fast_path / "i", model=MODEL)
    assert path.read_bytes() == content


def test_random_bytes(fast_path):
    path = make(fast_path / "i")
    path.write_bytes(random.Random(1).randbytes(40_000))
    with pytest.raises(CorruptError, match="expected an index's catalog"):
        use(fast_path / "i")


def test_the_database_of_another_program(fast_path):
    folder = fast_path / "i"
    folder.mkdir()
    other = sqlite3.connect(folder / "catalog.db")
    other.executescript("PRAGMA journal_mode = WAL; CREATE TABLE photos (x); INSERT INTO photos VALUES (1);")
    other.close()
    before = (folder / "catalog.db").read_bytes()
    with pytest.raises(StoreError, match="another program"):
        Index(folder, model=MODEL)
    with pytest.raises(StoreError, match="another program"):
        describe(folder)
    assert [path.name for path in folder.iterdir()] == ["catalog.db"]
    assert (folder / "catalog.db").read_bytes() == before


def test_too_new_is_not_corrupt(fast_path):
    path = make(fast_path / "i")
    sql(path, f"PRAGMA user_version = {NEWEST + 1}")
    with pytest.raises(StoreError, match="upgrade") as caught:
        Index(fast_path / "i", model=MODEL)
    assert not isinstance(caught.value, CorruptError)


def sql(path: Path, statements: str) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(statements)
    connection.close()


@pytest.mark.parametrize(
    "statements",
    [
        "DROP TABLE meta",
        "DROP TABLE documents",
        "DROP TABLE segments",
        "DROP TABLE dead",
        "DELETE FROM meta",
        "UPDATE meta SET value = 'six' WHERE name = 'dims'",
        "UPDATE meta SET value = x'00' WHERE name = 'model'",
        "UPDATE documents SET metadata = '['",
        "UPDATE documents SET metadata = '[]'",
        "UPDATE documents SET metadata = x'ff'",
        f"UPDATE documents SET metadata = '{'[' * 100_000}'",
        "UPDATE documents SET text = x'ff00'",
        "UPDATE documents SET text = CAST(x'ff' AS TEXT)",
        "UPDATE documents SET id = CAST(key AS BLOB)",
        "UPDATE segments SET passages = 'many'",
        "UPDATE segments SET passages = passages + 1",
        "UPDATE segments SET rows = 1.5",
        "UPDATE segments SET checksum = 0",
        "UPDATE segments SET number = 99",
        "UPDATE segments SET number = -1",
        "UPDATE segments SET first = 0",
        "INSERT INTO segments SELECT number + 1, first, passages, rows, bytes, checksum FROM segments",
        "UPDATE sqlite_sequence SET seq = 'x'; UPDATE segments SET bytes = 'x'",
        "DROP TABLE dead; CREATE TABLE dead (key); INSERT INTO dead VALUES ('x')",
        "DROP TABLE dead; CREATE VIEW dead AS SELECT 'x' AS key",
        "DROP TABLE segments; CREATE TABLE segments (number)",
    ],
)
def test_a_catalog_that_contradicts_itself(fast_path, statements):
    sql(make(fast_path / "i"), statements)
    with pytest.raises(CorruptError, match=str(fast_path)):
        use(fast_path / "i")


def test_a_sequence_that_is_no_number(fast_path):
    sql(make(fast_path / "i"), "UPDATE sqlite_sequence SET seq = 'x' WHERE name = 'segments'")
    with pytest.raises(CorruptError):
        use(fast_path / "i")


@pytest.mark.parametrize("damage", ["missing", "another", "truncated", "empty", "folder"])
def test_segments_that_are_not_the_named_ones(fast_path, damage):
    make(fast_path / "i")
    make(fast_path / "j")
    segment = next((fast_path / "i" / "segments").iterdir())
    with Index(fast_path / "j", model=MODEL) as other:
        other.add(["more"])
    if damage == "another":
        segment.write_bytes((fast_path / "j" / "segments" / "2.seg").read_bytes())
    elif damage == "truncated":
        segment.write_bytes(segment.read_bytes()[:-1])
    elif damage == "empty":
        segment.write_bytes(b"")
    else:
        segment.unlink()
        if damage == "folder":
            segment.mkdir()
    with Index(fast_path / "i", model=MODEL) as index:
        for _ in range(2):
            with pytest.raises(StoreError, match=r"1\.seg"):
                index.search("common")
        assert index.get("5") and len(index) == 19  # the texts are still there to be saved


@pytest.mark.slow
def test_flipped_bytes_never_crash(fast_path):
    """A damaged database gives one of our errors or, where the damage is in a text, a damaged text."""
    path = make(fast_path / "i")
    content = path.read_bytes()
    files = {p: p.read_bytes() for p in (fast_path / "i").rglob("*") if p.is_file()}
    rng = random.Random(5)
    outcomes = set()
    for _ in range(150):
        damaged = bytearray(content)
        for _ in range(rng.choice([1, 3, 50])):
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        for other in (fast_path / "i").rglob("*"):
            if other.is_file():
                other.unlink()
        for name, data in files.items():
            name.write_bytes(data)
        path.write_bytes(damaged)
        try:
            use(fast_path / "i")
            outcomes.add("fine")
        except FemtosearchError as error:
            outcomes.add(type(error).__name__)
    assert {"fine", "CorruptError"} <= outcomes


def test_foreign_files_beside_the_segments_stay(fast_path):
    make(fast_path / "i")
    foreign = [fast_path / "i" / "segments" / name for name in ("notes.txt", "1.seg.bak", "x.seg")]
    garbage = [fast_path / "i" / "segments" / name for name in ("77.seg", "78.seg.part")]
    for path in (*foreign, *garbage):
        path.write_text("x")
    use(fast_path / "i")
    assert all(path.exists() for path in foreign) and not any(path.exists() for path in garbage)


def test_segments_without_their_catalog_are_not_swept_away(fast_path):
    make(fast_path / "i").unlink()
    with pytest.raises(StoreError, match=r"without its catalog\.db"):
        Index(fast_path / "i", model=MODEL)
    assert (fast_path / "i" / "segments" / "1.seg").exists()


def test_closed_while_in_use(catalog):
    catalog.close()
    with pytest.raises(StoreError, match="the index is closed: open it again") as caught:
        catalog.count()
    assert not isinstance(caught.value, CorruptError)


@pytest.mark.parametrize(
    "left", [(), ("writer.lock",), ("writer.lock", "segments"), ("catalog.db.part", "catalog.db.part-wal")]
)
def test_an_index_whose_making_was_interrupted_is_made(fast_path, left):
    folder = fast_path / "i"
    folder.mkdir()
    for name in left:
        (folder / name).mkdir() if name == "segments" else (folder / name).write_bytes(b"half")
    use(folder)


def test_the_header_says_whose_it_is(fast_path):
    header = make(fast_path / "i").read_bytes()[:100]
    assert int.from_bytes(header[68:72], "big") == APPLICATION and header[68:72] == b"Femt"
    assert int.from_bytes(header[60:64], "big") == NEWEST == 4
    with Index(fast_path / "f", model=MODEL, fde=Muvera(2, 2, 4)) as index:
        index.add(["words"])
    header = (fast_path / "f" / "catalog.db").read_bytes()[:100]
    assert int.from_bytes(header[60:64], "big") == NEWEST


def test_metadata_is_readable_json(fast_path):
    connection = sqlite3.connect(make(fast_path / "i"))
    (metadata,) = connection.execute("SELECT metadata FROM documents WHERE id = '7'").fetchone()
    connection.close()
    assert json.loads(metadata) == {"n": 7}


def test_a_full_disk_can_be_searched(fast_path, monkeypatch):
    """What SQLite leaves behind where it has no space for the index of its log, and its error."""
    with Index(fast_path / "i", model=MODEL) as index:
        index.add([{"id": "a", "text": "word1"}])
    folder, connect = fast_path / "i", sqlite3.connect

    def refused(name, **options):
        if "mode=rw" not in name:
            return connect(name, **options)
        (folder / "catalog.db-wal").touch()
        (folder / "catalog.db-shm").write_bytes(bytes(3))
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE
        raise error

    monkeypatch.setattr("femtosearch.index.connection.sqlite3.connect", refused)
    for _ in range(2):
        with Index(folder, model=MODEL) as index:
            assert index.search("word1")[0].id == "a" and len(index) == 1
            with pytest.raises(StoreError, match="no space for a log: free some and open it again"):
                index.add([{"id": "b", "text": "word2"}])
        assert (folder / "catalog.db-wal").exists()  # which another process may have open by now
    monkeypatch.undo()
    with Index(folder, model=MODEL) as index:
        index.add([{"id": "b", "text": "word2"}])
        assert len(index) == 2
