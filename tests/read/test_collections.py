"""Collections of Chroma, txtai and LanceDB, with the tables that these make."""

import json
import sqlite3
from contextlib import closing

import pytest

from femtosearch.errors import ReadError
from femtosearch.read.collections import read_collection
from femtosearch.types import Document

CHROMA = """
CREATE TABLE collections (id TEXT PRIMARY KEY, name TEXT NOT NULL, dimension INTEGER);
CREATE TABLE segments (id TEXT PRIMARY KEY, type TEXT, scope TEXT, collection TEXT);
CREATE TABLE embeddings (id INTEGER PRIMARY KEY, segment_id TEXT, embedding_id TEXT, seq_id BLOB);
CREATE TABLE embedding_metadata (id INTEGER, key TEXT, string_value TEXT, int_value INTEGER,
                                 float_value REAL, bool_value INTEGER, PRIMARY KEY (id, key));
INSERT INTO collections VALUES ('c1', 'notes', 2), ('c2', 'other', 2);
INSERT INTO segments VALUES ('s1', 'metadata', 'METADATA', 'c1'), ('v1', 'vector', 'VECTOR', 'c1'),
                            ('s2', 'metadata', 'METADATA', 'c2');
INSERT INTO embeddings VALUES (1, 's1', 'a', 1), (2, 's1', 'b', 2), (3, 's2', 'o', 3);
INSERT INTO embedding_metadata VALUES
    (1, 'chroma:document', 'the cat', NULL, NULL, NULL), (1, 'year', NULL, 2020, NULL, NULL),
    (1, 'ok', NULL, NULL, NULL, 1), (1, 'f', NULL, NULL, 1.5, NULL),
    (3, 'chroma:document', 'other', NULL, NULL, NULL);
"""
TXTAI = """
CREATE TABLE documents (id TEXT PRIMARY KEY, data JSON, tags TEXT, entry DATETIME);
CREATE TABLE sections (indexid INTEGER PRIMARY KEY, id TEXT, text TEXT, tags TEXT, entry DATETIME);
"""


def database(path, script, rows=()):
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
        for statement, values in rows:
            connection.execute(statement, values)
        connection.commit()


def test_chroma(tmp_path):
    database(tmp_path / "chroma.sqlite3", CHROMA)
    assert list(read_collection(tmp_path, "notes")) == [
        Document("a", "the cat", {"year": 2020, "ok": True, "f": 1.5}),
        Document("b", "", {}),
    ]
    assert list(read_collection(tmp_path, "other")) == [Document("o", "other", {})]
    with pytest.raises(ReadError, match="expected the name of one collection, found notes, other"):
        list(read_collection(tmp_path))
    with pytest.raises(ReadError, match="expected 'x', found notes, other: say which with --collection"):
        list(read_collection(tmp_path, "x"))


def test_a_missing_number_of_txtai_is_null(tmp_path):
    row = ("a", '{"year": NaN, "of": {"n": [1, NaN]}}')
    statements = ["INSERT INTO sections VALUES (0, ?, ?, NULL, NULL)"]
    statements += ["INSERT INTO documents VALUES (?, ?, NULL, NULL)"]
    database(tmp_path / "documents", TXTAI, list(zip(statements, [("a", "the cat"), row], strict=True)))
    (document,) = read_collection(tmp_path)
    assert document == Document("a", "the cat", {"year": None, "of": {"n": [1, None]}})


def test_txtai(tmp_path):
    rows = [
        ("INSERT INTO sections VALUES (?, ?, ?, ?, ?)", (0, "a", "the cat", None, None)),
        ("INSERT INTO sections VALUES (?, ?, ?, ?, ?)", (1, "b", "a dog", "x", None)),
        ("INSERT INTO documents VALUES ('b', ?, NULL, NULL)", (json.dumps({"text": "a dog", "n": 1}),)),
    ]
    database(tmp_path / "documents", TXTAI, rows)
    assert list(read_collection(tmp_path)) == [
        Document("a", "the cat", {}),
        Document("b", "a dog", {"n": 1, "tags": "x"}),
    ]


@pytest.mark.parametrize("script", ["CREATE VIEW v AS SELECT 1;", "CREATE TABLE t (x);"])
def test_databases_of_other_kinds(tmp_path, script):
    database(tmp_path / "chroma.sqlite3", script)
    with pytest.raises(ReadError, match=r"expected tables alone|it cannot be read"):
        list(read_collection(tmp_path))


def test_folders_of_nothing(tmp_path):
    (tmp_path / "documents").write_text("not a database")
    with pytest.raises(ReadError, match="there is no such file or folder"):
        list(read_collection(tmp_path / "none"))
    for place in (tmp_path, tmp_path / "documents"):
        with pytest.raises(ReadError, match=r"expected a folder with chroma\.sqlite3"):
            list(read_collection(place))


@pytest.mark.parametrize(("column", "name"), [("id", "a"), ("_id", "a"), ("other", "notes:1")])
def test_lancedb(tmp_path, column, name):
    lancedb = pytest.importorskip("lancedb")
    rows = [{column: "a", "text": "the cat", "n": 1, "vector": [0.5, 1.0]}]
    lancedb.connect(tmp_path).create_table("notes", rows)
    metadata = {"other": "a", "n": 1} if column == "other" else {"n": 1}
    assert list(read_collection(tmp_path)) == [Document(name, "the cat", metadata)]
