"""Damage to an index of files: it is seen, mended, and the files are read again where that helps."""

import sqlite3
from contextlib import closing

import pytest

from femtosearch.index.index import Index
from femtosearch.read.refresh import refresh

from ..fakes import FakeModel


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An index of six files, in two segments."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d").mkdir()
    with Index("n", model=FakeModel()) as index:
        for group in (0, 3):
            for number in range(group, group + 3):
                (tmp_path / "d" / f"{number}.md").write_text(f"# word{number}\n\nword{number} text")
            refresh(index, ["d"])
        assert len(index) == 6
    return tmp_path / "n"


def sql(folder, statement):
    with closing(sqlite3.connect(folder / "catalog.db")) as database, database:
        database.execute(statement)


def places(index):
    return sorted((hit.id, hit.source, hit.lines, hit.heading) for hit in index.search("word1 text", k=9))


def test_documents_that_are_encoded_anew_stay_documents_of_their_files(folder, tmp_path):
    with Index(folder, model=FakeModel()) as index:
        before = places(index)
    first, second = sorted((folder / "segments").iterdir())
    first.rename(tmp_path / "third")
    second.rename(first)
    (tmp_path / "third").rename(second)
    with Index(folder, model=FakeModel()) as index:
        assert index.repair().lost == [] and places(index) == before and len(before) == 6
        (tmp_path / "d" / "1.md").unlink()
        assert refresh(index).removed == 1 and len(index) == 5


def test_a_file_is_read_again_whose_document_is_damaged(folder):
    sql(folder, "UPDATE documents SET text = 'another text that is longer than it was' WHERE id = '4.md'")
    with Index(folder, model=FakeModel()) as index:
        assert [damage.place for damage in index.repair().lost] == ["document '4.md'"]
        assert refresh(index).stored == 1
        index.set_words()
        assert index.verify() == [] and index.get("4.md").text.endswith("word4 text")


@pytest.mark.parametrize(
    "statement, message",
    [
        ("UPDATE origins SET marks = '[[0, {' WHERE key = 2", "the place of the document of key 2"),
        ("UPDATE sources SET options = '{'", "the options of a source are damaged"),
        ("DELETE FROM sources", "a file of an unknown source (6 of them)"),
        ("DELETE FROM files WHERE number = 1", "a place in an unknown file (1 of them)"),
        ("INSERT INTO origins VALUES (99, 1, 'x', 1, '[]')", "a place of an unknown document (1 of them)"),
    ],
)
def test_damage_to_what_is_known_of_files_is_seen(folder, statement, message):
    sql(folder, statement)
    with Index(folder, model=FakeModel()) as index:
        assert any(message in damage.message for damage in index.verify())


def test_a_place_that_cannot_be_read_is_mended_by_the_next_refresh(folder):
    with Index(folder, model=FakeModel()) as index:
        before = places(index)
    sql(folder, "UPDATE origins SET marks = '[[0, {' WHERE key = 2")
    with Index(folder, model=FakeModel()) as index:
        assert any("read again by the next refresh" in line for line in index.repair().mended)
        refresh(index)
        assert index.verify() == [] and places(index) == before
