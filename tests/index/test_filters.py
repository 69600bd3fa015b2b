"""Filters in an index: search, count, delete, update, iteration and facets; and wrong ones."""

import itertools
import random
from enum import Enum

import pytest

from femtosearch.errors import CorruptError, DocumentError, QueryError
from femtosearch.fde import Muvera
from femtosearch.index.index import Index
from femtosearch.types import Document

from ..fakes import FakeModel, fast_path

__all__ = ["fast_path"]

MODEL = FakeModel()
WORDS = [f"word{n}" for n in range(30)]


@pytest.fixture(params=["folder", "memory"])
def index(request, fast_path):
    with Index(fast_path / "notes" if request.param == "folder" else None, model=MODEL) as index:
        yield index


def random_documents(seed, count):
    rng = random.Random(seed)
    return [
        {"id": f"d{n}", "text": " ".join(rng.choices(WORDS, k=rng.randint(1, 20))), "n": n, "odd": n % 2 == 1}
        for n in range(count)
    ]


def ids(hits):
    return [hit.id for hit in hits]


@pytest.fixture(scope="module")
def many():
    with Index(model=MODEL, fde=Muvera(4, 2, 4)) as index:
        index.add(random_documents(0, 150))
        index.delete(["d7", "d8"])
        yield index


@pytest.mark.parametrize(
    "where", ["n < 3", "n < 40", "odd = true", "n >= 0", "n in (5, 77, 140)", "n > 1000"]
)
def test_the_k_best_of_those_that_pass(many, where):
    """Few or many pass: the hits are those of an index that has no others."""
    passing = list(many.documents(where))
    with Index(model=MODEL, fde=Muvera(4, 2, 4)) as alone:
        alone.add(passing)
        queries = ("word1 word2", "word9", "word3 word4 word5 word28")
        for query, mode in itertools.product(queries, ("maxsim", "rerank", "fde", "auto")):
            options = {"candidates": 1000} if mode == "rerank" else {}
            hits = many.search(query, k=10, mode=mode, where=where, **options)
            expected = alone.search(query, k=10, mode=mode, **options)
            assert [(hit.id, hit.score) for hit in hits] == [(hit.id, hit.score) for hit in expected]
            assert len(hits) == min(10, len(passing)) == len(many.search(query, where=where))


def test_k_hits_though_the_candidates_are_of_few_documents():
    """One long document has all the best passages; there are k hits all the same."""
    with Index(model=MODEL, fde=Muvera(4, 2, 4)) as index:
        index.add([{"id": "long", "text": "word1 word2 " * 2000}, *random_documents(1, 300)])
        assert len(index.search("word1 word2", k=10, mode="rerank")) == 10
        assert len(index.search("word1 word2", k=10, mode="rerank", candidates=20)) == 1


def test_filters_see_the_last_commit(index):
    index.add([{"id": "a", "text": "x", "n": 1}, {"id": "b", "text": "x", "n": 2}])
    assert ids(index.search("x", where="n = 1")) == ["a"]
    index.add([{"id": "a", "text": "x", "n": 2}])
    assert ids(index.search("x", where="n = 1")) == []
    assert ids(index.search("x", where="n = 2")) == ["a", "b"]
    index.delete("b")
    assert ids(index.search("x", where={"n": 2})) == ["a"]
    assert ids(index.search("x", where={"n": True})) == []


def test_a_commit_between_the_snapshot_and_the_filter(fast_path, monkeypatch):
    from femtosearch.index import filtering

    with Index(fast_path / "n", model=MODEL) as index, Index(fast_path / "n", model=MODEL) as other:
        index.add([{"id": name, "text": "x", "n": 1} for name in "abc"])
        real, calls = filtering.select, []

        def select(*arguments):
            if not calls:
                other.update("a", {"n": 2})
            calls.append(arguments)
            return real(*arguments)

        monkeypatch.setattr(filtering, "select", select)
        assert ids(index.search("x", where="n = 1")) == ["b", "c"] and len(calls) == 2


def test_counts_and_iteration(index):
    index.add(random_documents(2, 600))
    assert index.count() == 600 and index.count("odd = true") == 300 and index.count({"n": {"$lt": 5}}) == 5
    assert [document.id for document in index.documents("n >= 590")] == [f"d{n}" for n in range(590, 600)]
    assert sum(1 for _ in index.documents("odd = false")) == 300
    assert index.count({}) == 600


def test_delete_by_filter(index):
    index.add(random_documents(3, 20))
    assert index.delete(where="n >= 15") == 5 and len(index) == 15
    assert index.delete(["d1", "d2", "d9", "d19"], where={"odd": True}) == 2 and "d2" in index
    assert index.delete(where="n = 1000") == 0
    assert index.delete([]) == 0
    for arguments in ({}, {"where": {}}):
        with pytest.raises((DocumentError, QueryError)):
            index.delete(**arguments)
    assert len(index) == 13 and not index.verify()


def test_get_several(index):
    index.add(random_documents(4, 3))
    assert [d and d.id for d in index.get(["d2", "x", "", "d0", "d2"])] == ["d2", None, None, "d0", "d2"]
    assert index.get([]) == []


class CountingModel(FakeModel):
    encoded = 0

    def encode_passages(self, texts):
        self.encoded += len(texts)
        return super().encode_passages(texts)


def test_update_encodes_nothing_and_keeps_every_score(fast_path):
    model = CountingModel()
    with Index(fast_path / "n", model=model, fde=Muvera(4, 2, 4)) as index:
        index.add(random_documents(5, 60), batch=10)
        index.add([{"id": "empty", "text": ""}])
        before, encoded = index.search("word1 word2 word3", k=60), model.encoded
        assert index.update(["d3", "nobody", "d41", "d3", "empty"], {"n": -1, "new": [1]}) == 3
        assert index.get("d3").metadata == {"n": -1, "odd": True, "new": [1]}
        assert index.update("d4", {"only": 1}, replace=True) == 1
        assert index.get("d4").metadata == {"only": 1}
        assert index.update("d5", {"n": 5}) == 1  # as it was
        after = index.search("word1 word2 word3", k=60)
        assert [(h.id, h.score, h.passage) for h in after] == [(h.id, h.score, h.passage) for h in before]
        assert model.encoded == encoded and not index.verify()
        assert index.count("new = 1") == 3 and ids(index.search("word1", where="n = -1", k=5)) != []
        index.compact()
        assert not index.verify() and len(index.search("word1 word2 word3", k=60)) == len(before)


def test_updates_that_cannot_be(index):
    index.add(["x"])
    for metadata in ({"a": float("nan")}, {1: 2}, [], "x", None, {"a": object()}):
        with pytest.raises(DocumentError, match="update: "):
            index.update("a", metadata)
    with pytest.raises(DocumentError, match="ids: expected"):
        index.update(3, {})


def test_an_update_does_not_hide_damage(fast_path):
    import sqlite3

    with Index(fast_path / "n", model=MODEL) as index:
        index.add([{"id": "a", "text": "x"}])
    with sqlite3.connect(fast_path / "n" / "catalog.db") as database:
        database.execute("UPDATE documents SET text = 'y'")
    database.close()
    with Index(fast_path / "n", model=MODEL) as index, pytest.raises(CorruptError, match="'a' is damaged"):
        index.update("a", {"n": 1})


def test_texts_with_a_nul_are_compared_whole(index):
    tags = {"a": "p\0q", "b": "p", "c": ["p\0z", "k"], "e\0f": "\\u0000"}
    index.add({"id": name, "text": "x", "tag": tag} for name, tag in tags.items())
    for keys in ([], ["tag"]):
        index.set_keys(keys)
        for where, expected in [
            ({"tag": "p"}, ["b"]), ({"tag": "p\0q"}, ["a"]), ({"tag": {"$in": ["p\0z", 1]}}, ["c"]),
            ({"tag": {"$contains": "\0"}}, ["a"]), ({"tag": {"$prefix": "p\0"}}, ["a", "c"]),
            ({"tag": "\\u0000"}, ["e\0f"]), ({"id": "e"}, []), ({"id": "e\0f"}, ["e\0f"]),
        ]:  # fmt: skip
            assert [document.id for document in index.documents(where)] == expected, where
        assert index.facets("tag") == {"k": 1, "p": 1, "p\0q": 1, "p\0z": 1, "\\u0000": 1}
        assert index.verify() == []


def test_facets_count_true_as_1(tmp_path):
    values = ["a", True, "b", 1, False, 0, "a", None, 2.0, 2, "A"]
    with Index(tmp_path / "i", model=MODEL) as index:
        index.add([{"text": f"t{n}", "metadata": {"v": value}} for n, value in enumerate(values)])
        facets = list(index.facets("v").items())
        assert facets == [(0, 2), (1, 2), (2, 2), ("a", 2), ("A", 1), ("b", 1), (None, 1)]
        assert not any(isinstance(value, bool) for value, _ in facets)
        for limit in range(1, 8):
            assert list(index.facets("v", limit=limit).items()) == facets[:limit]


def test_facets(index):
    index.add([
        {"id": "a", "text": "x", "tag": ["red", "blue", "red"], "n": 1, "in": {"tag": "deep"}},
        {"id": "b", "text": "x", "tag": "red", "n": 1.0, "in.tag": "flat"},
        {"id": "c", "text": "x", "tag": None, "n": True, "in": {"tag": ["deep"]}},
        {"id": "d", "text": "x", "tag": {"x": 1}},
    ])  # fmt: skip
    assert index.facets("tag") == {"red": 2, "blue": 1, None: 1}
    assert list(index.facets("tag", limit=1)) == ["red"]
    assert index.facets("tag", where="n = 1") == {"red": 2, "blue": 1}
    assert index.facets("in.tag") == {"deep": 2, "flat": 1}
    assert index.facets("id", where="tag = 'red'") == {"a": 1, "b": 1}
    assert index.facets("nothing") == {}
    for field, limit in ((3, None), ("", None), ("tag", 0), ("tag", True)):
        with pytest.raises(QueryError):
            index.facets(field, limit=limit)


def test_min_score(index):
    index.add(random_documents(6, 50))
    hits = index.search("word1 word2", k=50)
    threshold = hits[10].score
    assert ids(index.search("word1 word2", k=50, min_score=threshold)) == [
        hit.id for hit in hits if hit.score >= threshold
    ]
    for much in (1e9, 1e300, 10**400, float("inf")):
        assert index.search("word1", min_score=much) == []
        assert len(index.search("word1", min_score=-much)) == len(index.search("word1"))
    for wrong in (float("nan"), "1", True):
        with pytest.raises(QueryError, match="min_score: expected a number"):
            index.search("word1", min_score=wrong)


@pytest.mark.parametrize("fde", [None, Muvera(4, 2, 4)])
def test_so_many_of_a_source(fde):
    documents = random_documents(7, 400)
    for n, document in enumerate(documents):
        document["source"] = f"s{n % 7}"
        document["tags"] = [f"t{n % 2}", f"u{n % 3}"]
    del documents[0]["source"]
    with Index(model=MODEL, fde=fde) as index:
        index.add(documents)
        everything = index.search("word1 word2", k=400, mode="maxsim")
        for per, most, of in ((2, 2, "source"), ({"source": 1}, 1, "source"), ({"tags": 3}, 3, "tags")):
            expected, counts = [], {}
            for hit in everything:
                values = hit.metadata.get(of, [])
                values = values if isinstance(values, list) else [values]
                if all(counts.get(value, 0) < most for value in values):
                    expected.append(hit.id)
                    for value in values:
                        counts[value] = counts.get(value, 0) + 1
            for mode in ("maxsim", "auto") if fde is None else ("maxsim", "auto", "rerank"):
                hits = index.search("word1 word2", k=12, per=per, mode=mode)
                assert len(hits) == min(12, len(expected))
                assert mode == "rerank" or ids(hits) == expected[:12]


def test_a_source_may_be_a_number_in_either_form():
    with Index(model=MODEL) as index:
        values = {"a": 2020, "b": 2020.0, "c": [7.0], "d": [7, 8], "e": True, "f": 1, "g": "1", "h": 2020.5}
        index.add([{"id": name, "text": "word1", "of": value} for name, value in values.items()])
        assert ids(index.search("word1", per={"of": 1})) == ["a", "c", "e", "f", "g", "h"]


@pytest.mark.parametrize("per", [0, -1, True, "2", 1.5, {}, {"a": 1, "b": 1}, {"a": 0}, {3: 1}, {"": 1}])
def test_quotas_that_cannot_be(index, per):
    with pytest.raises(QueryError, match="per: "):
        index.search("x", per=per)


def test_documents_with_keys_of_any_kind(index):
    odd = {"": 1, 'q"': 2, "a.b": 3, "$x": 4, "id2": 5}
    index.add([Document("a", "x", odd), Document("b", "x", {"a": {"b": 3}})])
    assert index.count("a.b = 3") == 2 and index.count('`q"` = 2') == 1 and index.count("`a.b` = 3") == 1
    assert index.count("`$x` = 4") == 1


def test_selections_are_remembered_for_one_commit_only(index):
    index.add(random_documents(8, 30))
    for n in range(20):
        assert len(index.search("word1", k=30, where=f"n < {n}")) == n
    assert len(index._snapshots.take().selections) == 8


def test_declared_keys_change_no_answer(index):
    documents = random_documents(9, 60)
    for document in documents[::3]:
        document |= {"deep": {"x": document["n"] % 2}, "tag": ["a", "b"]}
    index.add(documents[:30])
    index.set_keys(["n", "odd", "deep.x", "tag", "id"])
    assert index.keys() == ["n", "odd", "deep.x", "tag"]
    index.add(documents[30:])
    index.delete(["d5", "d31"])
    index.update(["d7", "d40"], {"n": 2})
    assert not index.verify()
    before = answers(index)
    index.set_keys(["other"])
    index.set_keys([])
    assert index.keys() == [] and answers(index) == before


def answers(index):
    filters = ["n < 3", "n in (5, 7)", "odd = true", "deep.x = 1", "n != 4", "tag contains 'a'"]
    return [
        (index.count(where), ids(index.search("word1", where=where)), index.facets("tag", where=where))
        for where in filters
    ]


@pytest.mark.parametrize("names", ["year", 3, [""], [3], None])
def test_keys_that_cannot_be_declared(index, names):
    with pytest.raises(QueryError, match="keys: expected"):
        index.set_keys(names)


def test_declared_values_are_checked_and_mended(fast_path):
    import sqlite3

    with Index(fast_path / "n", model=MODEL) as index:
        index.add(random_documents(10, 9))
        index.set_keys(["n"])
    with sqlite3.connect(fast_path / "n" / "catalog.db") as database:
        database.execute("UPDATE fields SET value = 77 WHERE value = 3")
    database.close()
    with Index(fast_path / "n", model=MODEL) as index:
        (problem,) = index.verify()
        assert problem.message == "the values of the key 'n' are not the documents'"
        assert index.repair().lost == [] and index.count("n = 3") == 1


def test_a_member_of_an_enum_is_its_value(fast_path):
    class Language(str, Enum):  # noqa: UP042 - whose str() is not its value
        EN = "en"

    with Index(model=FakeModel()) as index:
        index.add([{"id": Language.EN, "text": Language.EN, "lang": Language.EN}])
        assert index.get("en").text == "en" and index.get("en").metadata == {"lang": "en"}
        for where in ({"lang": Language.EN}, {"lang": {"$in": [Language.EN]}}):
            assert index.count(where) == 1 and index.search("en", where=where)[0].id == "en"
        assert index.get(Language.EN) is not None and index.delete(Language.EN) == 1


def test_a_name_with_half_a_surrogate_pair_is_refused(index):
    for call in (
        lambda: index.count({"\ud800": 1}),
        lambda: index.facets("\ud800"),
        lambda: index.set_keys(["a.\ud800"]),
    ):
        with pytest.raises(QueryError, match="a lone surrogate"):
            call()
