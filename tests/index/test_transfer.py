"""Export and import: JSON lines and Parquet, with vectors and without, and files that lie."""

import base64
import gzip
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal

import numpy as np
import pytest

from femtosearch.errors import DocumentError, QueryError, StoreError
from femtosearch.fde import Muvera
from femtosearch.index import export
from femtosearch.index.adopt import Adopted
from femtosearch.index.index import Index
from femtosearch.read import read
from femtosearch.types import Document, Rows

from ..fakes import FakeModel, fast_path

__all__ = ["fast_path"]

KINDS = ["e.jsonl", "e.jsonl.gz", "e.ndjson", "e.parquet"]
DOCUMENTS = [
    {"id": f"d{n}", "text": f"word{n % 7} é漢 " * (n % 12), "n": n, "deep": {"x": [n, None, "\u2028"]}}
    for n in range(50)
]


class CountingModel(FakeModel):
    encoded = 0

    def encode_passages(self, texts):
        self.encoded += len(texts)
        return super().encode_passages(texts)


@pytest.fixture
def index():
    with Index(model=FakeModel(), fde=Muvera(3, 2, 4)) as index:
        index.add(DOCUMENTS)
        index.delete("d9")
        yield index


def answers(index):
    hits = index.search("word1 word2", k=99, mode="maxsim", hybrid=0.4)
    return list(index), [(hit.id, hit.score, hit.passage) for hit in hits]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("vectors", [False, True])
def test_there_and_back(index, fast_path, kind, vectors):
    if kind.endswith("parquet"):
        pytest.importorskip("pyarrow")
    model = CountingModel()
    assert index.export(fast_path / kind, vectors=vectors) == 49
    with Index(fast_path / "n", model=model) as other:
        assert other.import_file(fast_path / kind) == Adopted(49, 49 if vectors else 0)
        assert answers(other) == answers(index) and not other.verify()
        assert (model.encoded == 0) == vectors
        other.import_file(fast_path / kind)  # again: each in the place of the one that is there
        assert answers(other) == answers(index) and not other.verify()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("vectors", [True, False])
def test_nothing_is_lost_on_the_way(tmp_path, kind, vectors):
    """Documents without a row, and metadata whose keys a document has, too."""
    if kind.endswith("parquet"):
        pytest.importorskip("pyarrow")
    odd = [
        Document("none", ""),
        Document("keys", "text", {"id": "INV-7", "text": "note", "metadata": {"x": 1}, "title": "Title"}),
    ]
    with Index(model=Silent()) as index:
        index.add([*odd, {"id": "unknown", "text": "silence"}, {"id": "known", "text": "word1"}])
        index.export(tmp_path / kind, vectors=vectors)
        with Index(model=Silent()) as other:
            assert other.import_file(tmp_path / kind).documents == 4
            assert list(other) == list(index) and other.verify() == []
            assert [hit.id for hit in other.search("word1")] == [hit.id for hit in index.search("word1")]


class Silent(FakeModel):
    """Knows no row of a text about silence."""

    def encode_passages(self, texts):
        passages = super().encode_passages(texts)
        lengths = np.diff(passages.rows.starts)
        lengths[[texts[owner] == "silence" for owner in passages.owner]] = 0
        kept = np.concatenate(
            [np.arange(a, a + n) for a, n in zip(passages.rows.starts, lengths, strict=False)]
        )
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return replace(passages, rows=Rows(passages.rows.rows[kept.astype(int)], starts))


def test_only_what_passes(index, fast_path):
    assert index.export(fast_path / "e.jsonl", vectors=True, where="n >= 45") == 5
    with Index(model=FakeModel()) as other:
        assert other.import_file(fast_path / "e.jsonl").documents == 5
        assert [document.id for document in other] == [f"d{n}" for n in range(45, 50)]


def test_records_that_others_wrote(fast_path):
    path = fast_path / "e.jsonl"
    path.write_text(
        '{"id": 5, "text": "a", "passages": "two"}\n{"_id": -7, "text": "b", "x": 1}\n'
        '{"_id": "c", "id": "d", "text": "e"}\n{"id": "f", "text": "g", "metadata": {}, "passages": []}\n'
    )
    with Index(model=FakeModel()) as index:
        assert index.import_file(path).documents == 4
        assert {document.id: document.metadata for document in index} == {
            "5": {"passages": "two"},
            "-7": {"x": 1},
            "d": {"_id": "c"},
            "f": {},
        }


def test_a_table_of_a_database(fast_path):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = {
        "id": [1, 2],
        "text": ["a", "b"],
        "day": [date(2020, 1, 2), None],
        "price": [Decimal("1.5")] * 2,
    }
    parquet.write_table(
        arrow.table({**columns, "at": [datetime(2020, 1, 2, 3)] * 2}), fast_path / "e.parquet"
    )
    with Index(model=FakeModel()) as index:
        assert index.import_file(fast_path / "e.parquet").documents == 2
        assert index.get("1").metadata == {"day": "2020-01-02", "price": 1.5, "at": "2020-01-02T03:00:00"}
        assert index.count("day >= 2020-01-01") == 1


def test_rows_of_another_model_are_encoded(index, fast_path):
    index.export(fast_path / "e.jsonl", vectors=True)
    with Index(model=FakeModel(dims=8)) as other:
        assert other.import_file(fast_path / "e.jsonl") == Adopted(49, 0)


def test_files_that_others_wrote(fast_path):
    path = fast_path / "e.jsonl"
    path.write_text('{"text": "x", "year": 1}\n\n{"id": "b", "text": "y", "metadata": {"year": 2}}\n')
    with Index(model=FakeModel()) as index:
        assert index.import_file(path).documents == 2
        assert sorted(index.facets("year").items()) == [(1, 1), (2, 1)]


@pytest.mark.parametrize(
    ("path", "error"),
    [("e.txt", StoreError), (3, StoreError), (None, StoreError), ("no/such.jsonl", StoreError)],
)
def test_places_that_cannot_be(index, fast_path, path, error):
    place = fast_path / path if isinstance(path, str) else path
    with pytest.raises(error):
        index.export(place)
    with pytest.raises(error):
        index.import_file(place)
    with pytest.raises(QueryError):
        index.export(fast_path / "e.jsonl", where="x =")
    assert list(fast_path.iterdir()) == []


def exported(index, path):
    index.export(path, vectors=True, where="id = 'd5'")
    header, record = map(json.loads, path.read_text().split("\n")[:2])
    return header, record


def encoded(content):
    return base64.b64encode(content).decode()


def scales(record, value):
    return encoded(np.full(record["passages"][0]["rows"], value, "<f4").tobytes())


def ones(record):
    return encoded(b"\x01" * (8 * record["passages"][0]["rows"]))


def change(**fields):
    return lambda record: record["passages"][0].update(fields)


CHANGES = [
    ("span: expected", change(span=[0, 10**6])),
    ("span: expected", change(span=[5, 2])),
    ("span: expected", change(span=[0])),
    ("span: expected", change(span="x")),
    ("span: expected", change(span=[-1, 2])),
    ("rows: expected", change(rows=-1)),
    ("rows: expected", change(rows=True)),
    ("codes: expected", change(rows=10**9)),
    ("codes: expected", change(codes="!!")),
    ("codes: expected", change(codes=None)),
    ("codes: expected", change(codes=encoded(b"x"))),
    ("scales: expected", change(scales="")),
    ("expected codes", lambda record: change(scales=scales(record, np.nan))(record)),
    ("expected codes", lambda record: change(scales=scales(record, -1))(record)),
    ("expected codes", lambda record: change(codes=ones(record))(record)),
    ("passages: expected", lambda record: record.update(passages={})),
    ("expected an object", lambda record: record.update(passages=[1])),
    ("metadata: expected", lambda record: record.update(metadata=[])),
    ("the text must be a string", lambda record: record.update(text=3)),
    ("the id must be a string", lambda record: record.update(id=3.5)),
    ('it has no "text"', lambda record: record.pop("text")),
]


@pytest.mark.parametrize(("message", "altered"), CHANGES)
def test_files_that_lie(index, fast_path, message, altered):
    path = fast_path / "e.jsonl"
    header, record = exported(index, path)
    altered(record)
    path.write_text(f"{json.dumps(header)}\n{json.dumps(record)}\n")
    with Index(model=FakeModel()) as other:
        with pytest.raises(DocumentError, match=rf"e\.jsonl, line 2: .*{message}"):
            other.import_file(path)
        assert len(other) == 0


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b'{"text": "x"}\n5'])
def test_lines_that_are_none(fast_path, content):
    (fast_path / "e.jsonl").write_bytes(content)
    with Index(model=FakeModel()) as index:
        with pytest.raises(DocumentError, match=r"e\.jsonl, line \d: expected a JSON object"):
            index.import_file(fast_path / "e.jsonl")
        assert len(index) == 0


def test_compressed_files_that_are_cut(index, fast_path):
    index.export(fast_path / "e.jsonl.gz")
    whole = (fast_path / "e.jsonl.gz").read_bytes()
    for content in (whole[:-20], b"plain", gzip.compress(b"x")[:12]):
        (fast_path / "e.jsonl.gz").write_bytes(content)
        with Index(model=FakeModel()) as other, pytest.raises((StoreError, DocumentError)):
            other.import_file(fast_path / "e.jsonl.gz")


def test_compressed_files_that_are_damaged(index, fast_path):
    index.export(fast_path / "e.jsonl.gz")
    whole = (fast_path / "e.jsonl.gz").read_bytes()
    for place in range(len(whole) // 4, len(whole) - 4, 7):
        damaged = whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :]
        (fast_path / "e.jsonl.gz").write_bytes(damaged)
        faults = pytest.raises((StoreError, DocumentError), match=r"e\.jsonl\.gz")
        with Index(model=FakeModel()) as other, faults:
            other.import_file(fast_path / "e.jsonl.gz")


def test_metadata_of_a_flat_record_may_be_null_and_yields_to_its_fields(fast_path):
    lines = ['{"id": "a", "text": "x", "metadata": null, "n": 1}']
    lines += ['{"id": "b", "text": "x", "metadata": null}']
    lines += ['{"id": "c", "text": "x", "metadata": {"n": 1, "m": 1}, "n": 2}']
    (fast_path / "e.jsonl").write_text("\n".join(lines))
    with Index(model=FakeModel()) as index:
        index.import_file(fast_path / "e.jsonl")
        assert [document.metadata for document in index] == [{"n": 1}, {}, {"n": 2, "m": 1}]


def test_a_missing_number_of_a_table_is_none(fast_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    nan = float("nan")
    columns = {"id": ["a", "b"], "text": ["x", "y"], "n": [1.5, nan], "m": [[nan, 1.0], None]}
    parquet.write_table(arrow.table(columns), fast_path / "e.parquet")
    expected = {"a": {"n": 1.5, "m": [None, 1.0]}, "b": {}}
    with Index(model=FakeModel()) as index:
        index.import_file(fast_path / "e.parquet")
        assert {document.id: document.metadata for document in index} == expected
    documents = list(read([str(fast_path / "e.parquet")]))
    assert [{name: d.metadata[name] for name in "nm" if name in d.metadata} for d in documents] == [
        *expected.values()
    ]


def test_parquet_that_is_none(fast_path):
    pytest.importorskip("pyarrow")
    (fast_path / "e.parquet").write_bytes(b"PAR1 and nothing")
    with Index(model=FakeModel()) as index, pytest.raises(StoreError, match="expected a Parquet file"):
        index.import_file(fast_path / "e.parquet")


def test_a_search_does_not_wait_for_an_export(fast_path, monkeypatch):
    """The export ends here only once a search has been answered that began while it ran."""
    has_begun, is_answered = threading.Event(), threading.Event()

    def records(*arguments):
        has_begun.set()
        assert is_answered.wait(20)
        return export_records(*arguments)

    export_records = export._records
    monkeypatch.setattr(export, "_records", records)
    with Index(fast_path / "i", model=FakeModel()) as index, ThreadPoolExecutor() as pool:
        index.add([{"id": "a", "text": "word1"}])
        exported = pool.submit(index.export, fast_path / "out.jsonl")
        assert has_begun.wait(20) and index.search("word1")[0].id == "a" and len(index) == 1
        is_answered.set()
        assert exported.result() == 1


@pytest.mark.parametrize("vectors", [True, False])
def test_the_same_file_again_adds_nothing(index, fast_path, vectors):
    """Records without an id have that of their content, with their rows as without."""
    index.export(fast_path / "e.jsonl", vectors=vectors)
    lines = [json.loads(line) for line in (fast_path / "e.jsonl").read_text().rstrip("\n").split("\n")]
    without = [{name: content for name, content in line.items() if name != "id"} for line in lines]
    (fast_path / "e.jsonl").write_text("\n".join(map(json.dumps, without)))
    with Index(model=CountingModel()) as other:
        other.import_file(fast_path / "e.jsonl")
        passages = other.stats().passages
        other.import_file(fast_path / "e.jsonl")
        assert len(other) == len(index) and other.stats().passages == passages == index.stats().passages
        assert not other.verify()


@pytest.mark.parametrize("kind", ["e.jsonl", "e.parquet"])
def test_rows_of_four_bits_are_the_same_after_any_number_of_trips(fast_path, kind):
    if kind.endswith("parquet"):
        pytest.importorskip("pyarrow")
    texts = [f"the {color} {animal} sat" for color in ("red", "blue") for animal in ("cat", "dog", "hen")]
    with Index(model="femto") as index:
        index.add(texts)
        hits = index.search("a blue cat", hybrid=0)
        index.export(fast_path / f"0{kind}", vectors=True)
    for trip in range(3):
        with Index(model="femto") as other:
            assert other.stats().row_bits == 4
            assert other.import_file(fast_path / f"{trip}{kind}") == Adopted(6, 6)
            assert other.search("a blue cat", hybrid=0) == hits and not other.verify()
            other.export(fast_path / f"{trip + 1}{kind}", vectors=True)
    with Index(model="femto") as wide:
        wide.set_rows(bits=8)
        wide.import_file(fast_path / f"0{kind}")
        again = wide.search("a blue cat", hybrid=0)
        assert [hit.score for hit in again] == pytest.approx([hit.score for hit in hits], abs=0.1)
