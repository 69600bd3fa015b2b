"""Odd files: what each is taken for, and that nothing is dropped without being counted."""

import gzip
import json
import re
import shutil
import sys
from types import SimpleNamespace

import pytest

from femtosearch.errors import MissingExtraError, ReadError
from femtosearch.evaluation import read_source
from femtosearch.evaluation.rules import RULES

from .collections import DOCUMENTS, QRELS, QUERIES, write_beir, write_lines


def read(folder, split=None):
    return read_source(folder, split)[0]


def counted(collection):
    return {what.split(",")[0]: number for what, number in collection.counts.items()}


def test_a_folder_is_read(beir):
    found = read(beir)
    assert found.name == "toy" and found.queries == QUERIES
    assert [entry.text for entry in found.entries] == list(DOCUMENTS.values())
    assert found.grades == {"q1": {"d1": 2, "d4": 1}, "q2": {"d2": 1}, "q3": {"d3": 1}}
    assert counted(found) == {"documents without a title": 4}


@pytest.mark.parametrize(
    "qrels",
    [
        QRELS.partition("\n")[2],
        QRELS.replace("\t", " ").partition("\n")[2],
        "".join(f"{q} 0 {d} {g}\n" for q, d, g in map(str.split, QRELS.splitlines()[1:])),
        "\ufeff" + QRELS.replace("\n", "\r\n"),
        "".join(f"{d}\t{g}\t{q}\n" for q, d, g in map(str.split, QRELS.splitlines())),
        "".join(f"{q}\t{d}\t{g}\t{n}\n" for n, (q, d, g) in enumerate(map(str.split, QRELS.splitlines()))),
        QRELS.replace("\n", "\tnote\n").replace("query-id", "Query ID"),
        "qid 0 docid rel\n"
        + "".join(f"{q} 0 {d} {g}\n" for q, d, g in map(str.split, QRELS.splitlines()[1:])),
    ],
    ids=[
        "no header",
        "spaces",
        "TREC",
        "BOM and CRLF",
        "order",
        "a column more",
        "a text more",
        "TREC header",
    ],
)
def test_qrels_of_other_forms_are_the_same(tmp_path, qrels):
    assert read(write_beir(tmp_path / "other", qrels=qrels)).grades["q1"] == {"d1": 2, "d4": 1}


def test_ids_that_are_spelled_differently_are_shown(beir):
    """pandas writes whole numbers as 10.0 where a cell of the column is empty."""
    path = beir / "qrels" / "test.tsv"
    good = path.read_text()
    path.write_text(re.sub(r"\td(\d)", r"\t\1.0", good))
    with pytest.raises(ReadError, match=r"corpus, found none of 4: a document is 'd1', a judged one '1\.0'"):
        read(beir)
    path.write_text(re.sub(r"^q(\d)", r"\1.0", good, flags=re.M))
    with pytest.raises(ReadError, match=r"found none of \d judged: a query is 'q1', a judged one '1\.0'"):
        read(beir)


def test_missing_judgements_are_told(beir):
    shutil.rmtree(beir / "qrels")
    with pytest.raises(ReadError, match=r"expected judgements in qrels/test.tsv, found no folder qrels"):
        read(beir)
    (beir / "qrels").mkdir()
    with pytest.raises(ReadError, match="found no file in qrels"):
        read(beir)


def test_gzip_is_read(beir):
    for name in ("corpus.jsonl", "queries.jsonl"):
        content = (beir / name).read_bytes()
        (beir / name).unlink()
        (beir / f"{name}.gz").write_bytes(gzip.compress(content))
    assert read(beir).queries == QUERIES


def test_a_bom_and_crlf_in_the_corpus_are_no_text(beir):
    path = beir / "corpus.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert [entry.text for entry in read(beir).entries] == list(DOCUMENTS.values())


def test_a_line_may_be_long(beir):
    long = "cat " * 5_000_000  # 20 MB: longer lines take the same way and more time
    write_lines(beir / "corpus.jsonl", [{"_id": "d1", "text": long}])
    assert read(beir).entries[0].text == long


def test_qrels_that_name_what_is_not_there_are_counted(tmp_path):
    qrels = QRELS + "q1\tgone\t1\nq9\td1\t1\n"
    found = read(write_beir(tmp_path / "toy", qrels=qrels))
    assert counted(found)["judged queries without a text"] == 1
    assert counted(found)["relevant documents that the corpus lacks"] == 1
    assert found.grades["q1"]["gone"] == 1 and "q9" not in found.queries


def test_queries_without_judgements_are_counted(tmp_path):
    found = read(write_beir(tmp_path / "toy", queries={**QUERIES, "q4": "moon"}))
    assert counted(found)["queries without judgements"] == 1 and "q4" not in found.queries


def test_of_one_id_the_last_counts(beir):
    rows = [{"_id": name, "text": text} for name, text in DOCUMENTS.items()]
    write_lines(beir / "corpus.jsonl", [*rows, {"_id": "d1", "text": "another"}])
    found = read(beir)
    assert found.entries[0].text == "another" and len(found.entries) == 4
    assert counted(found)["documents of an id that is there twice"] == 1


def test_empty_documents_are_counted(tmp_path):
    found = read(write_beir(tmp_path / "toy", documents={**DOCUMENTS, "d5": " "}))
    assert counted(found)["empty documents"] == 1 and len(found.entries) == 5


def test_grades_of_zero_and_below_are_not_relevant(tmp_path):
    found = read(write_beir(tmp_path / "toy", qrels=QRELS + "q2\td1\t0\nq2\td3\t-1\n"))
    assert RULES["beir"].relevant(found)["q2"] == {"d2": 1}
    assert (counted(found)["grades of 0"], counted(found)["grades below 0"]) == (1, 1)


def test_titles_go_before_texts(beir):
    write_lines(
        beir / "corpus.jsonl", [{"_id": "d1", "title": "Cats", "text": "sit"}, {"_id": 2, "text": "x"}]
    )
    assert [document.text for document in RULES["beir"].documents(read(beir))] == ["Cats sit", "x"]
    assert read(beir).entries[1].id == "2"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("corpus.jsonl", "no json\n", "corpus.jsonl:1: expected a JSON object"),
        ("corpus.jsonl", '{"_id": "d1"}\n', "expected an object with _id and text, found '_id'"),
        ("corpus.jsonl", '{"_id": null, "text": "x"}\n', "expected an id that is a string"),
        (
            "queries.jsonl",
            '{"_id": "q1", "text": 3}\n',
            "texts, found a number",
        ),
        (
            "qrels/test.tsv",
            "q1\td1\tgood\nq1\td1\tbad\n",
            "test.tsv:2: expected a grade that is",
        ),
        ("qrels/test.tsv", "q1\td1\t9999999999999999999\n", "at most 1,000,000, found '99999"),
        ("qrels/test.tsv", "q1 d1 1 2 3\n", "found a row of 5"),
        ("qrels/test.tsv", "note\tqid\tdocid\n-\tq1\n", ":2: expected the columns of the header"),
        ("qrels/test.tsv", "q7\td1\t1\n", "expected judgements of its queries, found none"),
    ],
)
def test_what_is_no_collection_is_said_with_its_place(beir, name, content, said):
    (beir / name).write_text(content, encoding="utf-8")
    with pytest.raises(ReadError, match=said):
        read(beir)


def test_a_split_is_chosen_by_name(beir):
    (beir / "qrels" / "dev.tsv").write_text("q1\td1\t1\n")
    assert read(beir).queries == QUERIES and list(read(beir, "dev").queries) == ["q1"]
    with pytest.raises(ReadError, match="expected a split train, found dev, test"):
        read(beir, "train")


def test_a_broken_gzip_is_said(beir):
    whole = gzip.compress((beir / "corpus.jsonl").read_bytes())
    (beir / "corpus.jsonl").write_bytes(whole[:-12])
    with pytest.raises(ReadError, match="cannot be read"):
        read(beir)


def test_no_folder_is_said(tmp_path, beir):
    with pytest.raises(ReadError, match="found no such folder"):
        read_source(tmp_path / "none")
    (beir / "queries.jsonl").unlink()
    with pytest.raises(ReadError, match=r"found no queries\.jsonl"):
        read_source(beir)
    with pytest.raises(ReadError, match="found neither"):
        read_source(beir / "qrels")


def test_a_folder_of_collections_is_all_of_them(tmp_path):
    for name in ("b", "a"):
        write_beir(tmp_path / "all" / name)
    assert [one.name for one in read_source(tmp_path / "all")] == ["a", "b"]


def test_a_name_is_a_local_copy_where_there_is_one(tmp_path, monkeypatch):
    monkeypatch.setenv("FEMTOSEARCH_COLLECTIONS", str(tmp_path))
    write_beir(tmp_path / "beir" / "toy")
    assert read_source("beir/toy")[0].name == "toy"
    with pytest.raises(ReadError, match="nanobeir/none: expected one of ClimateFEVER"):
        read_source("nanobeir/none")


def test_nanobeirs_layout_is_read(tmp_path):
    for part, rows in (
        ("corpus", [{"_id": "d1", "text": "x"}]),
        ("queries", [{"_id": "q1", "text": "y"}]),
        ("qrels", [{"query-id": "q1", "corpus-id": ["d1"]}]),
    ):
        for name in ("NanoA", "NanoB"):
            write_lines(tmp_path / part / f"{name}.jsonl", rows)
    assert [one.name for one in read_source(tmp_path)] == ["NanoA", "NanoB"]
    assert read(tmp_path, "NanoB").grades == {"q1": {"d1": 1}}
    (tmp_path / "qrels" / "NanoB.jsonl").write_text(json.dumps({"query-id": "q1"}))
    with pytest.raises(ReadError, match="expected query-id and corpus-id"):
        read_source(tmp_path)


@pytest.mark.parametrize("content", [b"", b"garbage", b"PAR1" + bytes(40) + b"PAR1"])
def test_a_broken_parquet_file_is_named(tmp_path, content):
    pytest.importorskip("pyarrow")
    for part in ("corpus", "queries", "qrels"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "NanoA.parquet").write_bytes(content)
    with pytest.raises(ReadError, match=r"NanoA\.parquet: expected a Parquet file, found a broken one"):
        read_source(tmp_path)


PARTS = {
    "corpus": [{"_id": "d1", "title": "", "text": "x"}],
    "queries": [{"_id": "q1", "text": "y"}],
    "qrels": [{"query-id": "q1", "corpus-id": "d1", "score": 1}],
}


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        (
            "beir/nfcorpus",
            [
                ("BeIR/nfcorpus", "corpus", "corpus"),
                ("BeIR/nfcorpus", "queries", "queries"),
                ("BeIR/nfcorpus-qrels", "default", "test"),
            ],
        ),
        (
            "nanobeir/scifact",
            [("sentence-transformers/NanoBEIR-en", part, "NanoSciFact") for part in PARTS],
        ),
    ],
)
def test_a_name_is_fetched_from_the_hub(monkeypatch, name, asked):
    calls = []

    def load_dataset(repository, part, split):
        calls.append((repository, part, split))
        return PARTS["qrels" if part == "default" else part]

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    (found,) = read_source(name)
    assert calls == asked and found.grades == {"q1": {"d1": 1}}


def test_a_hub_that_says_no_is_told(monkeypatch):
    def load_dataset(*_, **__):
        raise ConnectionError("no route")

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    with pytest.raises(
        ReadError, match=r"the Hub did not give it: ConnectionError: no route; .*_COLLECTIONS"
    ):
        read_source("nanobeir")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'femtosearch\[evaluate\]'"):
        read_source("beir/nq")
