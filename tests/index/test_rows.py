"""Rows of an index in 8 or 4 bits: set_rows, and all that an index does afterwards."""

import json
import shutil
import sqlite3

import numpy as np
import pytest

from femtosearch.errors import QueryError, StoreError
from femtosearch.fde import Muvera
from femtosearch.index.batch import RowCodes
from femtosearch.index.index import Index
from femtosearch.index.segment import Segment
from femtosearch.index.stats import describe

from ..fakes import FakeModel, fast_path
from .test_format import GOLDEN, Recorded

__all__ = ["fast_path"]

MODEL = FakeModel(dims=40)
SMALL = FakeModel(dims=31)
WORDS = "word1 word2 word3"


def documents(first, last):
    return [
        {"id": f"{n}", "text": " ".join(f"word{(n * k) % 9}" for k in range(1, 6))}
        for n in range(first, last)
    ]


def bits_of(index):
    return {view.segment.widths.row_bits for view in index._snapshots.take().views.values()}


def answers(index, **how):
    return [(hit.id, hit.score) for hit in index.search(WORDS, k=99, hybrid=0, **how)]


@pytest.fixture
def filled(fast_path):
    with Index(fast_path / "i", model=MODEL, fde=None) as index:
        index.add(documents(0, 30))
        yield index


def test_a_new_index_has_4_bits_and_one_of_few_dims_8(filled):
    assert filled.stats().row_bits == 4 and bits_of(filled) == {4}
    with Index(model=SMALL) as small:
        small.add(documents(0, 3))
        assert small.stats().row_bits == 8 and bits_of(small) == {8}


def test_rows_are_given_other_bits_and_keep_them(filled, fast_path):
    four, bytes_of_four = answers(filled), filled.stats().bytes
    filled.set_rows(bits=8)
    assert bits_of(filled) == {8} and filled.verify() == [] and filled.stats().bytes > bytes_of_four
    filled.add(documents(30, 40))
    filled.delete([f"{n}" for n in range(30, 40)])
    filled.compact()
    assert bits_of(filled) == {8} and filled.stats().row_bits == 8
    np.testing.assert_allclose(dict(answers(filled))[four[0][0]], four[0][1], atol=0.05)
    filled.set_rows(bits=4)
    assert bits_of(filled) == {4} and filled.verify() == []
    with Index(fast_path / "i", model=MODEL) as again:
        assert answers(again) == answers(filled) and again.stats().row_bits == 4
    assert describe(fast_path / "i").row_bits == 4


def test_the_same_bits_change_nothing(filled):
    before = filled._snapshots.take().state.version
    filled.set_rows(bits=4)
    assert filled._snapshots.take().state.version == before


def test_rows_in_8_bits_are_what_an_index_of_8_bits_has(fast_path):
    with Index(fast_path / "a", model=MODEL) as first, Index(fast_path / "b", model=MODEL) as second:
        for index in (first, second):
            index.set_rows(bits=8)
            index.add(documents(0, 30))
        assert answers(first) == answers(second)
        second.set_rows(bits=4)
        first.set_rows(bits=4)
        assert answers(first) == answers(second)


@pytest.mark.parametrize("bits", [2, 0, 16, True, "4", 4.5, None])
def test_other_bits_are_refused(filled, bits):
    with pytest.raises(QueryError, match="bits: expected 8 or 4, found"):
        filled.set_rows(bits=bits)
    assert filled.stats().row_bits == 4


def test_fdes_stay_and_are_made_of_4_bits(fast_path):
    with Index(fast_path / "i", model=MODEL, fde=Muvera(2, 2, 4)) as index:
        index.add(documents(0, 40))
        assert index._snapshots.take().has_stored_fdes
        by_fde = answers(index, mode="fde")
        index.set_rows(bits=8)
        assert index._snapshots.take().has_stored_fdes and answers(index, mode="fde") == by_fde
        index.set_rows(bits=4)
        index.set_fde(
            Muvera(2, 2, 4)
        )  # from the rows in 4 bits, in which there is only one way to write them
        assert answers(index, mode="fde") == by_fde
        index.set_fde(None)
        assert not index._snapshots.take().has_fde and bits_of(index) == {4}
        summaries = index._snapshots.take().state.segments.values()
        assert not any(summary.has_fdes(MODEL.dims, 4) for summary in summaries)


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
@pytest.mark.parametrize("bits", [(4, 4), (4, 8), (8, 4)])
def test_exported_rows_are_imported_whatever_their_bits(filled, fast_path, kind, bits):
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    filled.set_rows(bits=bits[0])
    filled.export(fast_path / f"a.{kind}", vectors=True)
    with Index(fast_path / "j", model=MODEL) as other:
        other.set_rows(bits=bits[1])
        adopted = other.import_file(fast_path / f"a.{kind}")
        assert adopted.with_rows == len(filled) and bits_of(other) == {bits[1]} and other.verify() == []
        names, scores = zip(*answers(other), strict=True)
        expected = dict(answers(filled))
        assert set(names) == set(expected)
        np.testing.assert_allclose(scores, [expected[name] for name in names], atol=0.1)


def test_a_damaged_segment_is_repaired_in_4_bits(filled, fast_path):
    before = answers(filled)
    (path,) = (fast_path / "i" / "segments").glob("*.seg")
    content = bytearray(path.read_bytes())
    content[600] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    with Index(fast_path / "i", model=MODEL) as index:
        assert index.verify() and index.repair().lost == []
        assert answers(index) == before and bits_of(index) == {4}


@pytest.mark.parametrize("version", ["v1", "v2", "v3", "v4"])
@pytest.mark.parametrize("change", ["rows", "words", "keys"])
def test_what_an_old_index_is_given_can_be_taken_out(tmp_path, version, change):
    shutil.copytree(GOLDEN / version / "index", tmp_path / "i")
    model = Recorded(json.loads((GOLDEN / version / "expected.json").read_text()))
    with Index(tmp_path / "i", model=model) as index:
        hits, layout, words = (
            index.search("any", k=99, hybrid=0),
            index.stats().format_version,
            index.stats().words,
        )
        assert index.stats().row_bits == 8
        if change == "rows":
            index.set_rows(bits=4)
            assert index.stats().row_bits == 4 and index.verify() == []
            assert Index(tmp_path / "i", model=model).stats().format_version == 4
            index.set_rows(bits=8)
        elif change == "words":
            index.set_words(True)
            index.set_words(words)
        else:
            index.set_keys(["lang"])
            index.set_keys([])
    with Index(tmp_path / "i", model=model) as index:
        assert index.stats().format_version == layout and index.verify() == []
        again = index.search("any", k=99, hybrid=0)
        if change != "rows":
            assert again == hits
        index.add([{"id": "new", "text": "word"}])
        assert len(again) == len(hits) and index.get("new") is not None


def test_a_catalogue_whose_bits_are_none_is_refused(filled, fast_path):
    filled.close()
    connection = sqlite3.connect(fast_path / "i" / "catalog.db")
    connection.execute("UPDATE meta SET value = 3 WHERE name = 'row_bits'")
    connection.commit()
    connection.close()
    with pytest.raises(StoreError, match="the bits of the rows are missing, or not 4"):
        Index(fast_path / "i", model=MODEL).search(WORDS)


def test_codes_row_by_row_are_the_rows_of_a_segment(filled):
    for view in filled._snapshots.take().views.values():
        segment: Segment = view.segment
        rows = RowCodes.of(segment.codes, 3, 20)
        assert (rows.bits, rows.levels) == (4, True)
        np.testing.assert_array_equal(rows.rows(40), segment.codes.rows()[3:20])
        assert rows.in_bits(4, 40) is rows and rows.in_bits(8, 40).bits == 8


@pytest.mark.parametrize("bits", [4, 8])
def test_a_query_that_is_asked_again_has_the_same_scores(fast_path, bits):
    """From the second one on the rows that measure the spread of scores are copies, which lie together."""
    with Index(fast_path / "i", model=MODEL, fde=Muvera(2, 2, 4)) as index:
        index.set_rows(bits=bits)
        index.add(documents(0, 700))
        index.add(documents(700, 900))
        index.delete(["3", "650"])
        first = [hit.score for hit in index.search(WORDS, k=20, mode="rerank", candidates=30)]
        assert all(
            [hit.score for hit in index.search(WORDS, k=20, mode="rerank", candidates=30)] == first
            for _ in range(3)
        )
