"""Why a hit is a hit: tokens, words and ranks."""

import numpy as np
import pytest

from femtosearch.fde import Muvera
from femtosearch.index.index import Index
from femtosearch.model.model import Model

from ..fakes import FakeModel

TEXTS = [
    {"id": "cat", "text": "A kitten slept on the sofa. " * 3 + "The getUserName function.", "n": 1},
    {"id": "money", "text": "Stock markets fell, and the user lost money.", "n": 2},
    {"id": "moon", "text": "漢字 🦊 the moon é", "n": 3},
]


@pytest.fixture(scope="module")
def model():
    return Model.load()


@pytest.fixture
def index(model):
    with Index(model=model, fde=Muvera(4, 2, 4)) as index:
        index.add(TEXTS)
        yield index


def test_tokens_add_up_to_maxsim(index, model):
    for query in ("small cats sleeping", "user name, please!", "moon é 漢"):
        for hit in index.search(query, explain=True):
            tokens = hit.explanation.tokens
            assert len(tokens) == len(model.encode_queries([query]).rows)
            total = sum(match.weight * match.similarity for match in tokens)
            assert total == pytest.approx(hit.maxsim, abs=0.1)
            for match in tokens:
                assert match.token == "" or match.token in query
                assert match.span is None or hit.text[slice(*match.span)] == match.match != ""


def test_tokens_of_typeset_and_broken_words_add_up_too(model):
    text = (
        "the \ufb01nan\xadcial\u200b of\ufb01ce of infor-\n  mation, retri\xad\neval e\u0301tude x\xb2 "
        "\x1b[31mquota\x1b[0m"
    )
    with Index(model=model) as index:
        index.add([text, *(document["text"] for document in TEXTS)])
        for query in ("financial office", "information", "infor-\nmation retri\xad\neval", "\uff4f\ufb03ce"):
            hit = index.search(query, k=1, explain=True)[0]
            assert hit.text == text
            tokens = hit.explanation.tokens
            assert sum(each.weight * each.similarity for each in tokens) == pytest.approx(hit.maxsim, abs=0.1)
            for each in tokens:
                assert each.token == "" or each.token in query
                assert each.span is None or text[slice(*each.span)] == each.match != ""
        hit = index.search("information", k=1, explain=True, spots=True)[0]
        assert "infor-\n  mation" in [each.match for each in hit.explanation.tokens]
        assert text[slice(*hit.span)] == "infor-\n  mation"
        hit = index.search("quota", k=1, explain=True, spots=True)[0]
        assert "quota" in [each.match for each in hit.explanation.tokens] and hit.explanation.words["quota"]
        assert text[slice(*hit.span)] == "quota"


def test_a_match_is_the_most_similar_token(index):
    (hit,) = index.search("cats", k=1, explain=True)
    (match,) = [match for match in hit.explanation.tokens if match.token == "cats"]
    assert match.match == "kitten" and hit.text[slice(*match.span)] == "kitten"


def test_words_and_pairs_of_them_add_up_to_bm25(index):
    index.add(f"number {n} of some more texts" for n in range(20))
    for query in ("user money", "lost money on stock markets", "the user's getUserName function"):
        for hit in index.search(query, explain=True):
            assert sum(hit.explanation.words.values()) == pytest.approx(hit.bm25, rel=1e-9)
    (hit,) = index.search("the user lost money", k=1, explain=True)
    words = hit.explanation.words
    assert {"user", "money", "user lost", "lost money"} <= set(words)
    assert words["lost money"] == pytest.approx(words["lost"] / 5, rel=1e-9)
    assert index.search("user", hybrid=0, explain=True)[0].explanation.words == {}


def test_parts_add_up_to_the_score(index):
    index.add({"id": f"long {n}", "text": f"Cats sleep in room {n}. " * 400} for n in range(6))
    queries = ("cats", 'where "kitten slept" on a sofa', "zqx user", "moon", "sofa " * 200)
    asked = [{"hybrid": weight} for weight in (None, 0, 0.6, 1)] + [{"length_penalty": 0.8}]
    asked += [{"mode": "rerank", "candidates": 20}, {"mode": "fde"}, {"mode": "maxsim", "length_penalty": 0}]
    names = set()
    for options in asked:
        for hit in (hit for query in queries for hit in index.search(query, explain=True, **options)):
            parts = hit.explanation.parts
            assert sum(parts.values()) == pytest.approx(hit.score, abs=1e-5)
            assert all(parts.values()) and ("words" in parts) == bool(hit.bm25)
            assert parts.get("length", 0) <= 0 and parts.get("quotes", 1) == 1
            names |= set(parts)
    assert names == {"maxsim", "words", "quotes", "length"}


def test_ranks(index):
    hits = index.search("the user", explain=True)
    assert sorted(hit.explanation.ranks["exact"] for hit in hits) == [1, 2, 3]
    assert {hit.id for hit in hits if "words" in hit.explanation.ranks} == {"cat", "money"}
    (hit,) = index.search("moon", k=1, mode="rerank", candidates=2, explain=True, hybrid=0)
    assert hit.explanation.ranks == {"fde": 1}
    for hit in index.search("moon", mode="rerank", candidates=1, explain=True, where="n = 2"):
        assert hit.id == "money" and hit.explanation.ranks["exact" if hit.bm25 is None else "fde"] == 1
    hits = index.search("user", hybrid=1, explain=True)
    assert [hit.explanation.ranks["words"] for hit in hits] == [1, 2]


def test_several_queries_and_none(index):
    answers = index.search(["cats", "money"], k=1, explain=True)
    assert [hits[0].explanation.ranks["exact"] for hits in answers] == [1, 1]
    assert index.search("cats", k=1)[0].explanation is None and index.search([], explain=True) == []


def test_a_model_that_shows_no_tokens():
    with Index(model=FakeModel()) as index:
        index.add(["x y", "z"])
        assert index.search("x", explain=True)[0].explanation.tokens == []


def test_spans_of_prefixed_and_expanded_texts(model):
    rows, spans = model.token_rows("the small cat", query=True)
    assert len(rows) == len(spans) and spans.tolist()[2:5] == [[0, 3], [4, 9], [10, 13]]
    np.testing.assert_array_equal(rows, model.encode_queries(["the small cat"]).rows)
    rows, spans = model.token_rows("a cat, a dog. " * 200)
    np.testing.assert_array_equal(rows, model.encode_documents(["a cat, a dog. " * 200]).rows)
    assert len(rows) == len(spans) and (spans[:, 0] <= spans[:, 1]).all()
