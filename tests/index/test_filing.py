"""Documents of files: what did not change is left alone, what is gone goes, no id is taken from another."""

import inspect
import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from femtosearch.errors import StoreError
from femtosearch.fde import Muvera
from femtosearch.index.documents import Draft
from femtosearch.index.filing import Cut, Filed
from femtosearch.index.index import Index
from femtosearch.index.schema import FEATURES, NEWEST, SOURCES
from femtosearch.index.sources import SourceTable
from femtosearch.index.stats import describe

from ..fakes import FakeModel, fast_path  # noqa: F401
from .test_format import GOLDEN, VERSIONS, Recorded

MODEL = FakeModel()


@pytest.fixture(params=["folder", "memory"])
def index(request, fast_path):  # noqa: F811
    with Index(fast_path / "n" if request.param == "folder" else None, model=MODEL) as index:
        yield index


def filed(name, text, *ids, **more):
    return Filed(name, ids or (name,), Draft(None, text, "{}"), again=f"{name} again", **more)


def put(index, path, *documents, source="/s", stamp="1"):
    """File a file's documents; the tally and what was told."""
    with index.filing() as filing:
        file = filing.begin(filing.source(source, {}), path)
        taken = [told for document in documents if (told := filing.put(file, document))]
        filing.end(file, stamp, b"")
    return filing.tally, taken


def contents(index):
    return {document.id: document.text for document in index}


def test_what_did_not_change_is_left_alone(index):
    put(index, "/s/a", filed("1", "red cat"), filed("2", "blue dog"))
    before = index.stats()
    tally, _ = put(index, "/s/a", filed("1", "red cat"), filed("2", "blue dog"))
    assert (tally.stored, tally.unchanged, tally.removed) == (0, 2, 0)
    assert (index.stats().passages, index.stats().dead_passages) == (before.passages, 0)
    tally, _ = put(index, "/s/a", filed("2", "green dog"), filed("3", "new"))
    assert (tally.stored, tally.unchanged, tally.removed) == (2, 0, 1)
    assert contents(index) == {"2": "green dog", "3": "new"}
    assert index.verify() == []


def test_no_file_takes_an_id_of_another(index):
    put(index, "/s/a", filed("1", "apples"))
    _, [taken] = put(index, "/s/b", filed("1", "hammers", "1", "b#1"))
    assert (taken.id, taken.chosen, taken.place.path) == ("1", "b#1", "/s/a")
    _, [taken] = put(index, "/s/c", filed("1", "nails", "1", "b#1"))
    assert taken.chosen == "b#1 (2)"
    assert contents(index) == {"1": "apples", "b#1": "hammers", "b#1 (2)": "nails"}
    _, told = put(index, "/s/b", filed("1", "saws", "1", "b#1"))
    assert told == [] and index.get("b#1").text == "saws" and len(index) == 3


def test_one_id_twice_in_a_file_keeps_both(index):
    twice = [filed("1", "one", marks=[(0, {"lines": 1})]), filed("1", "two")]
    _, [taken] = put(index, "/s/a", *twice)
    assert (taken.chosen, taken.place.marks) == ("1 again#1", [(0, {"lines": 1})])
    tally, _ = put(index, "/s/a", *twice)
    assert tally.unchanged == 2
    assert contents(index) == {"1": "one", "1 again#1": "two"}


def test_a_file_goes_with_its_documents(index):
    put(index, "/s/a", filed("1", "one"), filed("2", "two"))
    put(index, "/s/b", filed("3", "three"))
    [source] = index.sources()
    assert (source.path, source.files, source.documents) == ("/s", 2, 3)
    with index.filing() as filing:
        filing.remove_file("/s/a")
        filing.remove_file("/s/never")
    assert (filing.tally.removed, filing.tally.files_removed) == (2, 1)
    assert contents(index) == {"3": "three"} and set(index.files()) == {"/s/b"}


def test_a_deleted_document_is_of_no_file(index):
    put(index, "/s/a", filed("1", "one"), filed("2", "two"))
    index.delete("1")
    index.add([{"id": "2", "text": "mine"}])
    assert index.sources()[0].documents == 0
    put(index, "/s/a", filed("1", "one"), filed("2", "two", "2", "a#2"))
    assert contents(index) == {"1": "one", "2": "mine", "a#2": "two"}


def test_a_document_of_before_is_known_again_by_its_path_or_content(index, tmp_path):
    path = tmp_path / "a.md"
    index.add([{"id": "a.md", "text": "old", "path": str(path)}, {"id": "b", "text": "same"}])
    index.add([{"id": "c", "text": "mine"}])
    path_draft = Draft(None, "new", json.dumps({"path": str(path)}))
    _, told = put(index, str(path), Filed("", ("a.md",), path_draft), source=str(tmp_path))
    tally, more = put(index, "/s/t", filed("b", "same"), filed("c", "theirs", "c", "t#c"))
    assert told == [] and [taken.chosen for taken in more] == ["t#c"] and tally.unchanged == 1
    assert contents(index) == {"a.md": "new", "b": "same", "c": "mine", "t#c": "theirs"}


def test_a_file_over_several_commits(index):
    with index.filing() as filing:
        file = filing.begin(filing.source("/s", {}), "/s/a")
        filing.put(file, filed("1", "one"))
    assert index.files()["/s/a"].stamp == ""
    with index.filing() as filing:
        again = filing.go_on(file)
        filing.put(again, filed("2", "two"))
        filing.end(again, "1", b"x")
    assert contents(index) == {"1": "one", "2": "two"} and index.files()["/s/a"].stamp == "1"


def test_two_processes_that_read_one_file_lose_nothing(index):
    with index.filing() as filing:
        first = filing.begin(filing.source("/s", {}), "/s/a")
        filing.put(first, filed("1", "one"))
    with index.filing() as filing:
        second = filing.begin(filing.source("/s", {}), "/s/a")
        filing.put(second, filed("1", "one"))
        filing.put(second, filed("2", "two"))
    with index.filing() as filing:
        again = filing.go_on(first)
        filing.put(again, filed("2", "two"))
        filing.end(again, "1", b"")
    with index.filing() as filing:
        filing.end(filing.go_on(second), "1", b"")
    assert contents(index) == {"1": "one", "2": "two"}


def test_nothing_is_filed_where_the_block_raises(index):
    put(index, "/s/a", filed("1", "one"))
    with pytest.raises(KeyError), index.filing() as filing:
        filing.remove_file("/s/a")
        raise KeyError
    assert contents(index) == {"1": "one"} and "/s/a" in index.files()


def test_passages_do_not_cross_a_cut(index):
    put(index, "/s/a", filed("1", "one two three four", cut=Cut([8])))
    assert index.stats().passages == 2
    [hit] = index.search("three four")
    assert hit.text[slice(*hit.passage)] == "three four"


def test_where_a_document_comes_from(fast_path):  # noqa: F811
    with Index(fast_path / "n", model=MODEL) as index:
        put(index, "/s/caf\udce9", filed("1", "one", marks=[(0, {"page": 1})]))
        assert index.sources()[0].path == "/s" and list(index.files()) == ["/s/caf\udce9"]
        [place] = index._store.catalog.places([1, 2]).values()
        assert place == ("/s/caf\udce9", [(0, {"page": 1})])


@pytest.mark.parametrize("version", VERSIONS)
def test_an_old_index_gets_sources_and_keeps_what_it_has(version, tmp_path):
    shutil.copytree(GOLDEN / version / "index", tmp_path / "i")
    expected = json.loads((GOLDEN / version / "expected.json").read_text())
    with Index(tmp_path / "i", model=Recorded(expected)) as index:
        assert index.sources() == [] and index.files() == {}
        before = contents(index)
        put(index, "/s/a", filed("new", "word"))
    assert describe(tmp_path / "i").format_version == NEWEST
    with Index(tmp_path / "i", model=Recorded(expected)) as index:
        assert contents(index) == {**before, "new": "word"}
        assert (index.stats().fde is not None) == (expected.get("by_fde") is not None)
        assert index.verify() == []
        index.set_fde(Muvera(2, 2, 3))
        index.set_fde(None)
        assert index.verify() == [] and index.stats().format_version == NEWEST


def test_old_code_refuses_sources_by_name(fast_path, monkeypatch):  # noqa: F811
    with Index(fast_path / "n", model=MODEL) as index:
        put(index, "/s/a", filed("1", "one"))
    monkeypatch.setattr("femtosearch.index.schema.FEATURES", FEATURES - {SOURCES})
    with pytest.raises(StoreError, match="needs 'sources', which this femtosearch does not know: upgrade"):
        Index(fast_path / "n", model=MODEL)


def test_an_index_without_files_is_as_before(fast_path):  # noqa: F811
    with Index(fast_path / "n", model=MODEL) as index:
        index.add(["x"])
    database = sqlite3.connect(Path(fast_path / "n" / "catalog.db"))
    assert database.execute("PRAGMA user_version").fetchone() == (4,)
    assert not database.execute("SELECT 1 FROM sqlite_schema WHERE name = 'files'").fetchall()
    database.close()


@pytest.mark.parametrize("name", [name for name in vars(SourceTable) if not name.startswith("_")])
def test_errors_of_the_database_are_named_with_its_place(name):
    connection = sqlite3.connect(":memory:")
    connection.close()
    table = SourceTable(connection, "notes/catalog.db")
    method = getattr(table, name)
    arguments = {"key": 1, "number": 1, "source": 1, "file": 1, "turn": 1, "options": {}, "digest": b""}
    wanted = list(inspect.signature(method).parameters)
    with pytest.raises(StoreError, match=r"notes/catalog\.db"):
        method(*(arguments.get(parameter, "a") for parameter in wanted))
