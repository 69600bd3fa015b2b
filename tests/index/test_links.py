"""Links and special files in the folder of an index: refused by name, and nothing outside it is touched."""

import os
import shutil
import sqlite3

import pytest

from femtosearch import Index
from femtosearch.errors import FemtosearchError, StoreError
from femtosearch.index.stats import describe

from ..fakes import FakeModel, fast_path

__all__ = ["fast_path"]

MODEL = FakeModel()
NAMES = [
    "writer.lock",
    "catalog.db",
    "catalog.db-wal",
    "catalog.db-shm",
    "catalog.db-journal",
    "segments",
    "segments/1.seg",
]


@pytest.fixture
def folder(fast_path):
    """The folder of an index with a segment of its own and one dead passage."""
    with Index(fast_path / "i", model=MODEL) as index:
        index.add([{"id": "a", "text": "word1"}, {"id": "b", "text": "word2"}])
        index.delete("b")
    return fast_path / "i"


@pytest.fixture
def precious(fast_path):
    """A folder with files of the user's, and what is in them."""
    place = fast_path / "precious"
    place.mkdir()
    with Index(place / "other", model=MODEL) as index:
        index.add([{"id": "mine", "text": "word1"}])
    (place / "file").write_bytes(b"precious\n")
    return place


def contents(place):
    return {path: path.read_bytes() for path in sorted(place.rglob("*")) if path.is_file()}


def use(folder):
    """All that an index does, each call by itself; the errors that came."""
    errors = []
    calls = (
        lambda index: index.search("word1"),
        lambda index: index.add([{"id": "c", "text": "word3"}]),
        lambda index: index.delete("a"),
        lambda index: index.compact(),
        lambda index: index.stats(),
        lambda index: index.verify(),
    )
    for call in calls:
        try:
            with Index(folder, model=MODEL, timeout=0.2) as index:
                call(index)
        except FemtosearchError as error:
            errors.append(str(error))
    return errors


def target_of(precious, name):
    """What somebody would have this name lead to."""
    if name == "segments":
        return precious / "other" / "segments"
    if name.endswith(".seg"):
        return precious / "other" / "segments" / "1.seg"
    return precious / "other" / "catalog.db" if name == "catalog.db" else precious / "file"


def plant(path, kind, target):
    """Put a link of that kind, or a folder, where a file of the index would lie."""
    if kind == "folder":
        path.mkdir()
    elif kind == "hard":
        os.link(target, path)
    else:
        path.symlink_to(target)


def clear(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["symbolic", "dangling", "hard"])
def test_links_are_refused(folder, precious, name, kind):
    target, path = target_of(precious, name), folder / name
    if kind == "hard" and name == "segments":
        pytest.skip("there are no hard links of folders")
    clear(path)
    plant(path, kind, precious / "nothing" if kind == "dangling" else target)
    before = contents(precious)
    errors = use(folder)
    assert any(name in error for error in errors)
    assert contents(precious) == before and not (precious / "nothing").exists()
    assert os.path.lexists(path)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_special_files_are_refused(folder, name, kind):
    if (kind, name) == ("folder", "segments"):
        pytest.skip("a folder belongs there")
    clear(folder / name)
    if kind == "pipe":
        os.mkfifo(folder / name)
    elif kind == "folder":
        (folder / name).mkdir()
    else:
        try:
            os.mknod(folder / name, 0o600 | 0o020000, os.makedev(1, 5))
        except PermissionError:
            pytest.skip("only root makes devices")
    errors = use(folder)
    assert any(name in error and "expected" in error for error in errors)
    assert os.path.lexists(folder / name)


@pytest.mark.parametrize("kind", ["symbolic", "hard"])
def test_a_lock_where_no_index_is_yet(fast_path, precious, kind):
    folder = fast_path / "new"
    folder.mkdir()
    plant(folder / "writer.lock", kind, precious / "file")
    before = contents(precious)
    with pytest.raises(StoreError, match=r"writer\.lock"):
        Index(folder, model=MODEL)
    assert contents(precious) == before


def test_a_lock_with_a_text_of_its_own_keeps_it(folder):
    (folder / "writer.lock").write_text("a shopping list\n")
    with Index(folder, model=MODEL) as index:
        index.add(["word4"])
    assert (folder / "writer.lock").read_text() == "a shopping list\n"


@pytest.mark.parametrize("name", ["2.seg", "2.seg.part"])
@pytest.mark.parametrize("kind", ["symbolic", "hard", "folder"])
def test_a_name_that_the_next_segment_would_take(folder, precious, name, kind):
    path = folder / "segments" / name
    plant(path, kind, precious / "file")
    before = contents(precious)
    with Index(folder, model=MODEL) as index:
        with pytest.raises(StoreError, match=name):
            index.add(["word4"])
        assert [hit.id for hit in index.search("word1")] == ["a"] and len(index) == 1
    assert contents(precious) == before and os.path.lexists(path)


@pytest.mark.parametrize("kind", ["symbolic", "hard", "folder"])
def test_a_garbage_name_that_nobody_needs_harms_nothing(folder, precious, kind):
    path = folder / "segments" / "99.seg"
    plant(path, kind, precious / "file")
    before = contents(precious)
    with Index(folder, model=MODEL) as index:
        index.add(["word4"])
        index.compact()
    assert contents(precious) == before and os.path.lexists(path)


def test_a_link_to_the_folder_itself_is_followed(folder, fast_path):
    (fast_path / "link").symlink_to(folder)
    with Index(fast_path / "link", model=MODEL) as index:
        index.add([{"id": "c", "text": "word3"}])
        assert index.search("word3", k=1)[0].id == "c"


def test_a_log_that_somebody_left_for_sqlite_to_play_back(folder, fast_path):
    """A rollback journal would be played back into the catalogue, and may name another file to be deleted."""
    (folder / "catalog.db-journal").write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + b"\0" * 1000)
    before = (folder / "catalog.db").read_bytes()
    with pytest.raises(StoreError, match=r"catalog\.db-journal"):
        Index(folder, model=MODEL)
    assert (folder / "catalog.db").read_bytes() == before


@pytest.mark.parametrize("name", [b"caf\xe9", "caf\u00e9 \U0001f98a".encode(), b"50% off? #1"])
def test_odd_names_of_folders(fast_path, name):
    folder = os.fsdecode(os.path.join(os.fsencode(fast_path), name))
    with Index(folder, model=MODEL) as index:
        index.add([{"id": "a", "text": "word1"}])
    with Index(folder, model=MODEL) as index:
        assert [hit.id for hit in index.search("word1")] == ["a"]
    assert describe(folder).documents == 1


def test_a_name_with_a_nul(fast_path):
    with pytest.raises(StoreError, match="NUL"):
        Index(f"{fast_path}/a\0b", model=MODEL)


def test_a_relative_folder_outlives_a_change_of_folder(fast_path, monkeypatch):
    monkeypatch.chdir(fast_path)
    with Index("i", model=MODEL) as index:
        index.add([{"id": "a", "text": "word1"}])
        (fast_path / "deeper").mkdir()
        monkeypatch.chdir(fast_path / "deeper")
        index.add([{"id": "b", "text": "word1"}])
        index.compact()
        assert len(index.search("word1")) == 2


HOSTILE = {
    "an endless view": "ALTER TABLE meta RENAME TO m2; CREATE VIEW meta AS WITH RECURSIVE c(x) AS "
    "(SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x AS name, x AS value FROM c",
    "a view of tombstones": "ALTER TABLE dead RENAME TO d2; CREATE VIEW dead AS WITH RECURSIVE c(x) AS "
    "(SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x AS key FROM c",
    "a trigger": "CREATE TRIGGER t AFTER INSERT ON documents BEGIN "
    "DELETE FROM documents WHERE id <> '0'; END",
    "another table": "CREATE TABLE photos (x)",
    "an index": "CREATE INDEX i ON documents (text)",
    "a virtual table": "CREATE VIRTUAL TABLE more_words USING fts5(text)",
    "a generated column": "ALTER TABLE documents ADD COLUMN x AS (abs(key))",
    "a check": "DROP TABLE dead; CREATE TABLE dead (key INTEGER PRIMARY KEY CHECK (key > 5))",
}


@pytest.mark.parametrize("statements", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_database_with_more_than_the_known_tables(folder, statements):
    connection = sqlite3.connect(folder / "catalog.db")
    connection.executescript(statements)
    connection.close()
    for call in (lambda: Index(folder, model=MODEL), lambda: describe(folder)):
        with pytest.raises(StoreError, match=r"expected the tables of an index|without"):
            call()


@pytest.mark.parametrize(
    "statement",
    [
        f"UPDATE sqlite_sequence SET seq = {2**63 - 1} WHERE name = 'segments'",
        "UPDATE sqlite_sequence SET seq = 0 WHERE name = 'segments'",
        "UPDATE sqlite_sequence SET seq = 'many' WHERE name = 'segments'",
        f"UPDATE sqlite_sequence SET seq = {2**63 - 1} WHERE name = 'documents'",
        f"UPDATE segments SET rows = {2**63 - 1}",
        "UPDATE segments SET passages = -1",
        "UPDATE segments SET first = 'x'",
        "INSERT INTO dead VALUES (-5)",
        "UPDATE meta SET value = '[\"fts\"]' WHERE name = 'features'",
        "UPDATE meta SET value = '{' WHERE name = 'features'",
        "DELETE FROM meta WHERE name = 'features'",
        "DELETE FROM meta WHERE name = 'model'",
        "UPDATE documents SET text = CAST(x'ff' AS TEXT)",
        "UPDATE documents SET digest = 5",
    ],
)
def test_numbers_and_texts_that_cannot_be(folder, statement):
    connection = sqlite3.connect(folder / "catalog.db")
    connection.execute(statement)
    connection.commit()
    connection.close()
    errors = use(folder)
    assert all("catalog.db" in error or ".seg" in error for error in errors)


def test_a_feature_that_is_not_known_is_named(folder):
    connection = sqlite3.connect(folder / "catalog.db")
    connection.execute("UPDATE meta SET value = '[\"digests\", \"telepathy\"]' WHERE name = 'features'")
    connection.commit()
    connection.close()
    with pytest.raises(
        StoreError, match="it needs 'telepathy', which this femtosearch does not know: upgrade"
    ):
        Index(folder, model=MODEL)
