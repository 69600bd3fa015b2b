"""Repair: every damage that can be mended is, and what cannot is named."""

import os
import shutil
import sqlite3
from contextlib import closing

import pytest

from femtosearch.fde import Muvera
from femtosearch.index import words
from femtosearch.index.index import Index
from femtosearch.index.repair import Repair

from ..fakes import FakeModel, fast_path

__all__ = ["fast_path"]

MODEL = FakeModel()
DOCUMENTS = [{"id": f"d{n}", "text": f"word{n % 7} word{n % 5} w{n} " * (1 + n % 9)} for n in range(120)]


@pytest.fixture(params=[None, Muvera(3, 2, 4)], ids=["bare", "fde"])
def folder(fast_path, request):
    with Index(fast_path / "n", model=MODEL, fde=request.param) as index:
        for begin in (0, 40, 80):
            index.add(DOCUMENTS[begin : begin + 40])
        index.delete(["d7", "d90"])
        index.add([{"id": "empty", "text": "!"}])
    return fast_path / "n"


def answers(folder):
    with Index(folder, model=MODEL) as index:
        hits = index.search("word1 word2 w9", k=200, mode="maxsim", hybrid=0.4)
        return [(hit.id, hit.score, hit.passage, hit.bm25) for hit in hits]


def mended(folder):
    with Index(folder, model=MODEL) as index:
        assert index.verify()
        repair = index.repair()
        assert repair.lost == index.verify()
        return repair


def sql(folder, statement):
    with closing(sqlite3.connect(folder / "catalog.db")) as database, database:
        database.execute(statement)


def segment(folder, number=2):
    return folder / "segments" / f"{number}.seg"


def flip(path, offset):
    content = bytearray(path.read_bytes())
    content[offset] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize("offset", [0, 20, 70, 500, -3])
def test_a_changed_byte_of_a_segment(folder, offset):
    """Bit for bit: the file that is written anew holds the same sections."""
    before, content = answers(folder), segment(folder).read_bytes()
    flip(segment(folder), offset if offset >= 0 else len(content) + offset)
    repair = mended(folder)
    assert repair.lost == [] and any("segment 2: encoded anew" in line for line in repair.mended)
    assert answers(folder) == before
    if offset == 500:  # codes alone: the passages are still known
        (new,) = [path for path in (folder / "segments").iterdir() if path.read_bytes() == content]
        assert new != segment(folder)


def test_typeset_texts_are_encoded_as_they_were(fast_path):
    """The model gets ligatures as letters, and words that a line's end broke whole, then and now."""
    folder = fast_path / "typeset"
    with Index(folder, model=MODEL, fde=None) as index:
        index.add([f"of\ufb01ce infor-\nmation of word{n % 7} w{n}" for n in range(60)])
    before, content = answers(folder), segment(folder, 1).read_bytes()
    flip(segment(folder, 1), 500)
    assert not any("cut anew" in line for line in mended(folder).mended) and answers(folder) == before
    (path,) = (folder / "segments").iterdir()
    assert path.read_bytes() == content
    path.unlink()
    assert mended(folder).lost == [] and answers(folder) == before


def test_a_segment_that_is_gone_or_cut(folder):
    before = answers(folder)
    os.unlink(segment(folder))
    with open(segment(folder, 3), "r+b") as file:
        file.truncate(100)
    assert mended(folder).lost == [] and answers(folder) == before


def test_all_segments_gone(folder):
    before = answers(folder)
    for path in (folder / "segments").iterdir():
        path.unlink()
    assert mended(folder).lost == [] and answers(folder) == before


def test_the_table_of_words(folder):
    before = answers(folder)
    sql(folder, "DELETE FROM words_data WHERE id > 10")
    assert mended(folder).lost == [] and answers(folder) == before


def test_tombstones(folder):
    before = answers(folder)
    sql(folder, "INSERT INTO dead SELECT key FROM documents WHERE id IN ('d1', 'd91')")
    assert mended(folder).lost == [] and answers(folder) == before


def test_passages_of_unknown_documents(folder):
    before = [answer for answer in answers(folder) if answer[0] != "d20"]
    sql(folder, "DELETE FROM documents WHERE id = 'd20'")
    repair = mended(folder)
    assert repair.lost == [] and any("1 unknown documents" in line for line in repair.mended)
    assert {answer[0] for answer in answers(folder)} == {answer[0] for answer in before}


def test_documents_whose_passages_are_gone(folder):
    before = sorted(answer[0] for answer in answers(folder))
    sql(folder, "DELETE FROM segments WHERE number = 2")
    with Index(folder, model=MODEL) as index:
        assert index.verify() == []  # a document may have no passage, so this is no damage to see
        assert index.repair() == Repair([], [])
    sql(folder, "DELETE FROM words_data WHERE id > 10")  # but it is mended with what is
    assert mended(folder).lost == [] and sorted(answer[0] for answer in answers(folder)) == before


def test_a_changed_text_cannot_be_mended(folder):
    sql(folder, "UPDATE documents SET text = 'other' WHERE id = 'd45'")
    flip(segment(folder), 500)
    repair = mended(folder)
    assert len(repair.lost) == 1 and "'d45'" in repair.lost[0].place
    assert "d45" not in [answer[0] for answer in answers_of_the_rest(folder)]


def answers_of_the_rest(folder):
    with Index(folder, model=MODEL) as index:
        hits = index.search("word1 word2 w9", k=99, mode="maxsim", hybrid=0)
        return [(hit.id,) for hit in hits]


def test_a_whole_index_is_left_alone(folder):
    before = {path: path.read_bytes() for path in (folder / "segments").iterdir()}
    with Index(folder, model=MODEL) as index:
        assert index.repair() == Repair([], [])
    assert {path: path.read_bytes() for path in (folder / "segments").iterdir()} == before


@pytest.mark.parametrize("column", ["id", "text", "metadata"])
@pytest.mark.parametrize("value", ["x'ff'", "zeroblob(1000000)", "17"])
def test_what_should_be_a_text_and_is_none(folder, column, value):
    """It is named; nothing raises what is no error of ours, and the other documents are found."""
    sql(folder, f"UPDATE documents SET {column} = {value} WHERE id = 'd5'")
    with Index(folder, model=MODEL) as index:
        assert any("damaged" in damage.message for damage in index.verify())
        lost = index.repair().lost
        assert lost and lost == index.verify()
        index.set_words()
        assert len(index.search("word1 word2", k=5, hybrid=1)) == 5


def test_a_document_that_an_index_of_sqlite_names_and_is_gone():
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE documents (key INTEGER PRIMARY KEY, id, text, metadata)")
        with pytest.raises(sqlite3.DatabaseError, match="the document of key 7 is missing"):
            words.remove(connection, 7, in_plain=True)


def test_the_lengths_of_all_documents_in_the_table_of_words(folder):
    """BM25 goes by their mean, so that a changed byte would change every score."""
    before = answers(folder)
    with closing(sqlite3.connect(folder / "catalog.db")) as database, database:
        (block,) = database.execute("SELECT block FROM words_data WHERE id = 1").fetchone()
        database.execute(
            "UPDATE words_data SET block = ? WHERE id = 1", (bytes([block[0]]) + b"\x7f" + block[2:],)
        )
    assert any("the table of words: made anew" in done for done in mended(folder).mended)
    assert answers(folder) == before


def test_an_index_without_segments_answers_or_says_what_is_wrong(folder):
    sql(folder, "DELETE FROM segments")
    with Index(folder, model=MODEL) as index:
        assert index.search("word1 word2 w9", k=5) == [] or index.verify()


def test_a_text_that_is_not_utf8_is_named_and_can_be_taken_out(folder):
    sql(folder, "UPDATE documents SET text = CAST(x'ff' || substr(text, 2) AS TEXT) WHERE id = 'd5'")
    flip(segment(folder), 500)
    repair = mended(folder)
    assert [damage.place for damage in repair.lost] == ["document 'd5'"]
    with Index(folder, model=MODEL) as index:
        assert "d5" in index and index.delete("d5") == 1
        index.set_words()
        assert not index.verify() and len(index) == len(list(index)) == 118


def test_an_fde_that_is_damaged(tmp_path):
    """The model's own is restored; of any other the passages get a new one, or none."""
    folder = tmp_path / "n"
    with Index(folder, model="femto", fde="auto") as index:
        index.add([f"the {color} cat" for color in ("red", "blue", "green")])
        before = index.search("blue cat", mode="fde")
    for number, fde in enumerate(("own", "auto", "muvera", None)):
        copy = tmp_path / str(number)
        shutil.copytree(folder, copy)
        changed = "substr(content, 1, 5000) || x'00' || substr(content, 5002)"
        sql(copy, f"UPDATE fde SET content = CAST({changed} AS BLOB)")
        with Index(copy, model="femto") as index:
            assert any("the FDE is damaged" in damage.message for damage in index.verify())
            if fde == "own":
                repair = index.repair()
                assert "the FDE: restored from the model" in repair.mended and repair.lost == []
                assert index.search("blue cat", mode="fde") == before
            else:
                index.set_fde(fde)
            assert not index.verify() and (index.stats().fde is None) == (fde is None)
