"""Words beside meaning: what is looked up, how it is fused with MaxSim, and what it promises."""

import math
import random
import sqlite3
from contextlib import suppress

import numpy as np
import pytest

from femtosearch.errors import QueryError, StoreError
from femtosearch.fde import Muvera
from femtosearch.index import keywords as keywords_module
from femtosearch.index import postings as postings_module
from femtosearch.index.fusion import PENALTY, SPREADS, WEIGHT
from femtosearch.index.index import Index
from femtosearch.index.keywords import keywords_of
from femtosearch.index.words import columns, parts

from ..fakes import FakeModel, fast_path

__all__ = ["fast_path"]

MODEL = FakeModel()
WORDS = [f"{chr(97 + n)}zz" for n in range(26)]  # which no stemmer knows


@pytest.fixture(params=["folder", "memory"])
def index(request, fast_path):
    with Index(fast_path / "notes" if request.param == "folder" else None, model=MODEL) as index:
        yield index


def random_documents(seed, count):
    rng = random.Random(seed)
    return [
        {"id": f"d{n:03}", "text": " ".join(rng.choices(WORDS, k=rng.randint(1, 30))), "n": n}
        for n in range(count)
    ]


def ids(hits):
    return [hit.id for hit in hits]


def bm25(documents, words, k1=1.2, b=0.75):
    """BM25 as FTS5 has it, in plain Python, over the text, the id and the id's two parts."""
    tokens = {d["id"]: [d["id"], "d", d["id"][1:], *d["text"].split()] for d in documents}
    mean = sum(map(len, tokens.values())) / len(tokens)
    scores = dict.fromkeys(tokens, 0.0)
    for word in words:
        frequency = sum(word in text for text in tokens.values())
        rarity = max(1e-6, math.log((len(tokens) - frequency + 0.5) / (frequency + 0.5)))
        for name, text in tokens.items():
            count = text.count(word)
            scores[name] += rarity * count * (k1 + 1) / (count + k1 * (1 - b + b * len(text) / mean))
    return scores


def test_words_alone_are_bm25(index):
    documents = random_documents(0, 80)
    index.add(documents)
    expected = bm25(documents, ["azz", "bzz", "czz"])
    hits = index.search("azz", k=80, hybrid=1)
    assert {hit.id for hit in hits} == {d["id"] for d in documents if "azz" in d["text"]}
    for hit in index.search("azz xzz azz", k=80, hybrid=1):
        single = bm25(documents, ["azz", "xzz"])[hit.id]
        pair = hit.bm25 - single
        assert pair >= -1e-3 and (pair < 1e-3 or "azz xzz" in hit.text or "xzz azz" in hit.text)
    assert expected  # the reference looked at the same texts


def test_what_a_fused_score_is(index):
    """By hand, from both parts, the mean and spread of MaxSim over all passages, and each one's length."""
    documents = random_documents(1, 60)
    index.add(documents)
    query = "azz bzz"
    raw = {hit.id: hit for hit in index.search(query, k=60, hybrid=0, length_penalty=0)}
    passages = MODEL.encode_passages([d["text"] for d in documents])
    snapshot = index._snapshots.take()
    scores = snapshot.scores(MODEL.encode_queries([query]).rows).astype(np.float64)
    counts = np.bincount(passages.owner)
    words = {hit.id: hit for hit in index.search(query, k=60, hybrid=1)}
    best = max(bm25(documents, ["azz", "bzz"]).values())
    most = next(hit.bm25 / hit.score for hit in words.values() if hit.score < 1)
    shares = {name: hit.score / math.sqrt(2 * best / most) for name, hit in words.items()}
    for hit in index.search(query, k=60, hybrid=0.3, length_penalty=0.5):
        count = counts[int(hit.id[1:])]
        meaning = raw[hit.id].maxsim - 0.5 * scores.std() * math.sqrt(2 * math.log(count))
        expected = 0.7 * (meaning - scores.mean()) / (SPREADS * scores.std()) + 0.3 * shares.get(hit.id, 0)
        assert hit.score == pytest.approx(expected, abs=1e-5)
        assert hit.maxsim == raw[hit.id].score and hit.bm25 == (words[hit.id].bm25 if hit.id in words else 0)
    assert WEIGHT == 0.37 and PENALTY == 0.15
    assert [hit.score for hit in index.search(query)] == [
        hit.score for hit in index.search(query, hybrid=WEIGHT, length_penalty=PENALTY)
    ]


def test_without_words_the_score_is_maxsim_less_the_luck_of_the_long(index):
    index.add([{"id": "long", "text": "x y " * 200}, {"id": "short", "text": "x y"}])
    index.add([f"z{n} w" for n in range(100)])
    hits = index.search("x y", hybrid=0)
    assert ids(hits)[:2] == ["short", "long"] and hits[0].score == hits[0].maxsim and hits[0].bm25 is None
    plain = index.search("x y", mode="maxsim", length_penalty=0)
    assert ids(plain)[:2] == ["long", "short"] and plain[0].score == plain[1].score == plain[0].maxsim
    assert hits[1].score < hits[1].maxsim


def test_quotes_in_prose_ask_for_nothing():
    short, prose = 'a "red pump" ' + 17 * "x ", 'a "red pump" ' + 18 * "x "
    assert keywords_of(short).phrases == (('"red pump"',),) and keywords_of(prose).phrases == ()
    assert {'"red"', '"pump"'} <= set(keywords_of(prose).terms)


def test_what_stands_in_quotes_comes_first(index):
    index.add([
        {"id": "apart", "text": "7300 of px, px and px or 7300 pump pump"},
        {"id": "model", "text": "the manual of the PX-7300 says nothing, and goes on about other things"},
        {"id": "none", "text": "pump pump manual"},
    ])  # fmt: skip
    assert index.search('"PX-7300" pump manual')[0].id == "model"
    assert index.search('pump manual "px 7300"')[0].score > 1
    assert len(index.search('"no such words" pump')) == 3
    assert len(index.search('an open " quote "" pump')) == 3


def test_names_are_read_too(index):
    index.add([
        {"id": "runbooks/disk-full.md", "text": "find the largest folders", "title": "Out of space"},
        {"id": "b", "text": "other things", "path": "house/heatPump.md"},
    ])  # fmt: skip
    for query, name in (("disk", "runbooks/disk-full.md"), ("space", "runbooks/disk-full.md"), ("pump", "b")):
        assert ids(index.search(query, hybrid=1)) == [name]


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("call getUserName here", "user name"),
        ("call getUserName here", "get_user_name"),
        ("call get_user_name here", "getUserName"),
        ("call get_user_name here", "user"),
        ("class HTTPServer", "http server"),
        ("set IN_CLOSE_WRITE", "close_write"),
        ("the models running", "model runs"),
        ("un café noir", "CAFE"),
        ("東京都に住む", "京都"),
        ("東京都に住む", "東京"),
        ("version v2alpha", "alpha"),
    ],
)
def test_words_and_their_parts(index, text, query):
    index.add([{"id": "a", "text": text}, {"id": "b", "text": "nothing of the kind"}])
    assert ids(index.search(query, hybrid=1)) == ["a"]


def test_parts_of_identifiers_take_no_longer_than_their_text():
    assert list(parts("aB" * 100_000))[:4] == ["a", "Ba", "Ba", "Ba"]
    assert list(parts("a1" * 100_000)) and list(parts("x" * 1_000_000)) == []
    assert columns("a", "b", "[1") == ("a", "b", "") and columns("a", "b", "[]")[0] == "a"
    assert columns("a", "b", '{"title": 3, "path": "p"}')[0] == "a p"


def test_a_word_that_is_longer_than_an_identifier_is_looked_up_whole():
    """An explanation of a phrase of its 70,000 parts took a minute."""
    assert keywords_of("aB" * 32).terms == (f'"{"ab" * 32}"', f'"a{" ba" * 31} b"')
    assert keywords_of("aB" * 33).terms == (f'"{"ab" * 33}"',)


@pytest.mark.parametrize("query", ["\ufb01nancial office", "\uff26inancial of\ufb01ce"])
def test_typeset_words_of_a_query_are_those_of_plain_texts(index, query):
    index.add(
        [{"id": "plain", "text": "the financial office"}, {"id": "typeset", "text": "a \ufb01nancial thing"}]
    )
    assert index.search(query, k=1, hybrid=1)[0].id == "plain"
    assert "typeset" in [hit.id for hit in index.search("\ufb01nancial", k=9, hybrid=1)]


@pytest.mark.parametrize(
    ("typed", "plain"),
    [
        ("\uff48\uff4f\uff57 \uff41\uff52\uff45 errors", "how are errors"),
        ("of\ufb01ce errors", "office errors"),
        ("errors\u2122 office", "errors office"),
        ('"of\ufb01ce errors"', '"office errors"'),
        ("\uff02office errors\uff02", '"office errors"'),
    ],
)
def test_a_typeset_query_scores_as_the_plain_one(index, typed, plain):
    """A word counts once, in the form that documents have, and a stop word is one in every form."""
    texts = ["how errors are shown", "the office errors", "an office", "are you how", "other errors"]
    index.add([{"id": text, "text": text} for text in texts])
    answers = [
        [(hit.id, hit.score) for hit in index.search(query, k=9, hybrid=1)] for query in (typed, plain)
    ]
    assert answers[0] == answers[1] and len(answers[0]) > 1


def test_a_typeset_phrase_is_found_as_it_is_typed(index):
    index.add(
        [
            {"id": "plain", "text": "an office hour"},
            {"id": "typeset", "text": "an of\ufb01ce hour"},
            "an hour",
        ]
    )
    hits = index.search('"of\ufb01ce hour"', k=2, hybrid=1)
    assert {hit.id for hit in hits} == {"plain", "typeset"}


def test_what_a_query_looks_up():
    assert keywords_of("how do I open it").terms == ('"open"',)
    assert keywords_of("to be or not to be").terms == ('"to"', '"be"', '"or"', '"not"')
    assert keywords_of("boundary layer of the wing").pairs == ('"boundary layer"',)
    assert keywords_of('x" OR names:y NEAR(*) "a*b"').terms == ('"x"', '"names"', '"y"', '"near"', '"b"')
    assert keywords_of('"" "!" "a b"').phrases == (('"a b"',),)
    assert (
        keywords_of("?!").terms == ()
        and len(keywords_of("w " * 9 + " ".join(map(str, range(500)))).terms) == 64
    )


HOSTILE = [
    '"',
    "'",
    "a AND",
    "NOT",
    "a OR",
    "(",
    "*",
    "^a",
    "a:b",
    "NEAR(a b)",
    "{a}: b",
    "\0",
    "a\0b",
    "_",
    "é́",
]


@pytest.mark.filterwarnings("ignore::femtosearch.UnknownQueryWarning")
@pytest.mark.parametrize("query", HOSTILE)
def test_no_query_is_syntax(index, query):
    index.add([{"id": "a", "text": "a b"}, {"id": "b", "text": "c"}])
    for hybrid in (0.4, 1):
        index.search(query, hybrid=hybrid)


def test_hits_follow_every_change(index):
    index.add([{"id": "a", "text": "first"}, {"id": "b", "text": "second"}])
    index.add([{"id": "a", "text": "third"}])
    index.update("b", {"title": "named"})
    assert ids(index.search("first", hybrid=1)) == []
    assert ids(index.search("third", hybrid=1)) == ["a"]
    assert ids(index.search("named", hybrid=1)) == ids(index.search("second", hybrid=1)) == ["b"]
    index.delete("a")
    index.compact()
    assert ids(index.search("third", hybrid=1)) == [] and not index.verify()


def test_nothing_is_damaged_once_every_document_is_gone(index):
    assert not index.verify()
    index.add([{"id": "a", "text": "first"}, {"id": "b", "text": "second word"}])
    index.delete(["a", "b"])
    assert not index.verify() and index.search("first") == []
    index.compact()
    assert not index.verify()
    index.add([{"id": "c", "text": "first"}])
    assert not index.verify() and ids(index.search("first", hybrid=1)) == ["c"]


def test_filters_and_words_together(index):
    documents = random_documents(3, 300)
    index.add(documents)
    with Index(model=MODEL) as alone:
        alone.add(documents)
        everything = alone.search("azz qzz", k=300, hybrid=1)
        for where in ("n < 4", "n >= 150", "n > 1000"):
            passing = {document.id for document in index.documents(where)}
            expected = [hit.id for hit in everything if hit.id in passing]
            assert ids(index.search("azz qzz", k=300, hybrid=1, where=where)) == expected
            assert len(index.search("azz qzz", where=where)) == min(10, len(passing))


def test_few_that_pass_among_very_many_that_match(index):
    index.add([{"id": f"{n:04}", "text": "same word", "n": n} for n in range(1500)])
    hits = index.search("same", hybrid=1, where="n in (3, 1400)", k=5)
    assert ids(hits) == ["0003", "1400"]


@pytest.mark.parametrize("mode", ["maxsim", "rerank"])
def test_words_find_what_the_candidates_do_not(mode):
    with Index(model=MODEL, fde=Muvera(2, 2, 1)) as index:
        index.add(random_documents(4, 400))
        index.add([{"id": "code", "text": " ".join(WORDS[:20]) + " xq77"}])
        options = {"candidates": 5} if mode == "rerank" else {}
        assert "code" in ids(index.search("azz xq77", k=5, mode=mode, hybrid=0.5, **options))


def test_common_words_are_not_scored(index, monkeypatch):
    index.add([{"id": f"{n:03}", "text": "common word"} for n in range(100)])
    index.add([{"id": "rare", "text": "common sense"}])
    monkeypatch.setattr(keywords_module, "MOST_SCORED", 50)
    assert [hit.id for hit in index.search("common sense", k=200, hybrid=0.5) if hit.bm25] == ["rare"]
    assert len(index.search("common", k=200, hybrid=1)) == 101
    monkeypatch.setattr(postings_module, "MOST_FREQUENCIES", 1)
    assert [hit.id for hit in index.search("common sense word", k=200, hybrid=0.5) if hit.bm25] == ["rare"]


def test_passages_that_stand_for_all_score_as_they_do_where_they_lie(index):
    index.add([*random_documents(7, 90), {"id": "empty", "text": ""}])
    index.add(random_documents(8, 40))  # another segment, and dead passages in the first
    snapshot, queries = index._snapshots.take(), list(MODEL.encode_queries(["azz bzz", "qzz"]))
    for count in (1, 2, 13, 64, 500):
        places = np.unique(np.linspace(0, snapshot.passages - 1, count).astype(np.int64))
        expected = snapshot.piece_scores(queries, places)
        for _ in range(3):  # the second time their rows are copied
            assert snapshot.sample_scores(queries, count).tobytes() == expected.tobytes()
        assert (snapshot.sample_scores([], count) == -np.inf).all()


def test_what_was_counted_no_further_than_it_is_looked_up_is_counted_anew(index, monkeypatch):
    """`hybrid=1` looks up words that another search has left out as too common, and weighs them as ever."""
    index.add(random_documents(6, 300))
    expected = [(hit.id, hit.score) for hit in index.search("azz bzz", hybrid=1)]
    index.add([{"id": "other", "text": "zzz"}])  # a commit, after which nothing is counted
    index.delete("other")
    monkeypatch.setattr(keywords_module, "MOST_SCORED", 5)
    assert not any(hit.bm25 for hit in index.search("azz bzz", hybrid=0.5))
    assert [(hit.id, hit.score) for hit in index.search("azz bzz", hybrid=1)] == expected


def test_an_index_without_words(index):
    index.add([{"id": "a", "text": "x"}, {"id": "b", "text": "y z"}])
    index.set_words(False)
    assert index.search("y")[0].bm25 is None and index.search("y", hybrid=0)[0].id == "b"
    with pytest.raises(QueryError, match=r"no table of words: make it with set_words\(\)"):
        index.search("y", hybrid=0.4)
    index.add([{"id": "c", "text": "w"}])
    index.delete("a")
    index.set_words()
    index.set_words()
    assert ids(index.search("w", hybrid=1)) == ["c"] and ids(index.search("x", hybrid=1)) == []
    assert not index.verify()


@pytest.mark.parametrize("change", ["two words", "two documents", "two columns"])
def test_words_that_stand_elsewhere(fast_path, change):
    """The same words as often in the same documents, and yet no phrase is found as it should be."""
    texts = {1: "azz bzz czz", 2: "bzz azz czz"}
    with Index(fast_path / "n", model=MODEL) as index:
        index.add([{"id": f"d{key}", "text": text, "title": "azz"} for key, text in texts.items()])
        assert not index.verify()
    rows = {key: columns(f"d{key}", text, '{"title": "azz"}') for key, text in texts.items()}
    names, text, parts_of = rows[1]
    other = {
        "two words": {1: (names, "bzz azz czz", parts_of)},
        "two documents": {1: (names, texts[2], parts_of), 2: (rows[2][0], texts[1], rows[2][2])},
        "two columns": {1: (text.replace("azz", "d1"), names.replace("d1", "azz"), parts_of)},
    }[change]
    with sqlite3.connect(fast_path / "n" / "catalog.db") as database:
        for key, row in other.items():
            delete = "INSERT INTO words (words, rowid, names, text, parts) VALUES ('delete', ?, ?, ?, ?)"
            database.execute(delete, (key, *rows[key]))
            database.execute("INSERT INTO words (rowid, names, text, parts) VALUES (?, ?, ?, ?)", (key, *row))
    database.close()
    with Index(fast_path / "n", model=MODEL) as index:
        damage = index.verify()
        assert damage and all("table of words" in problem.message for problem in damage)
        assert index.repair() and not index.verify()


@pytest.mark.parametrize("hybrid", [0, 0.5, 1])
def test_many_copies_leave_room_for_others(hybrid):
    with Index(model=MODEL) as index:
        index.add([{"id": f"a{n:03}", "text": "word1"} for n in range(320)])
        index.add([{"id": f"b{n}", "text": "word1 word3" + n * " word4"} for n in range(2)])
        hits = index.search("word1", hybrid=hybrid, length_penalty=0, fold=True, k=3, explain=True)
        assert ids(hits) == ["a000", "b0", "b1"] and len(hits[0].copies) == 319
        assert all(hit.explanation.parts for hit in hits)


@pytest.mark.parametrize("query", ["word1", '"word1 word2"'])
def test_words_alone_find_documents_of_k_sources_behind_many_of_one(query):
    with Index(model=MODEL) as index:
        index.add([{"id": f"a{n}", "text": "word1 word2", "source": "a"} for n in range(320)])
        long = "word1 word2 " + "word3 word4 " * 9
        index.add([{"id": f"b{n}", "text": long, "source": f"b{n}"} for n in range(5)])
        assert ids(index.search(query, hybrid=1, per=1, k=4)) == ["a0", "b0", "b1", "b2"]
        assert ids(index.search(query, hybrid=1, per=1, k=9)) == ["a0", *(f"b{n}" for n in range(5))]


@pytest.mark.parametrize("value", [-0.1, 1.1, "0.4", True, float("nan")])
def test_weights_that_cannot_be(index, value):
    with pytest.raises(QueryError, match="hybrid: expected a number from 0"):
        index.search("x", hybrid=value)


def test_numbers_of_numpy_are_numbers(index):
    index.add(random_documents(6, 20))
    options = {"k": 5, "hybrid": 0.5, "min_score": -1.0, "length_penalty": 0.25, "per": 2, "candidates": 9}
    of_numpy = {name: np.float32(n) if isinstance(n, float) else np.int64(n) for name, n in options.items()}
    assert index.search("azz bzz", **of_numpy) == index.search("azz bzz", **options)
    assert index.page(np.int64(3), np.int32(4)) == index.page(3, 4)
    assert index.facets("id", limit=np.int64(3)) == index.facets("id", limit=3)
    assert index.context("azz", max_tokens=np.int64(40)) == index.context("azz", max_tokens=40)


def test_other_numbers_that_cannot_be(index):
    with pytest.raises(QueryError, match="length_penalty: expected a number"):
        index.search("x", length_penalty=-1)
    with pytest.raises(QueryError, match="not with mode='fde'"):
        index.search("x", hybrid=0.4, mode="fde")


def test_k_beyond_all(index):
    index.add(random_documents(5, 500))
    assert len(index.search("azz", k=10**30)) == 500
    assert len(index.search("azz", k=10**30, hybrid=1)) == sum(
        "azz" in d["text"] for d in random_documents(5, 500)
    )


def test_a_commit_between_the_snapshot_and_the_words(fast_path, monkeypatch):
    from femtosearch.index import search as search_module

    with Index(fast_path / "n", model=MODEL) as index, Index(fast_path / "n", model=MODEL) as other:
        index.add([{"id": name, "text": "x"} for name in "abc"])
        real, calls = search_module.find, []

        def find(*arguments, **options):
            if not calls:
                other.delete("a")
            calls.append(arguments)
            return real(*arguments, **options)

        monkeypatch.setattr(search_module, "find", find)
        assert ids(index.search("x", hybrid=1)) == ["b", "c"] and len(calls) == 2


@pytest.mark.parametrize(
    "block", ["zeroblob(length(block))", "randomblob(length(block))", "x'ff'", "NULL", "5"]
)
def test_a_damaged_table_of_words_is_an_error_of_ours(fast_path, block):
    with Index(fast_path / "n", model=MODEL) as index:
        index.add(random_documents(6, 50))
    with sqlite3.connect(fast_path / "n" / "catalog.db") as database:
        database.execute(f"UPDATE words_data SET block = {block}")
    database.close()
    with Index(fast_path / "n", model=MODEL) as index:
        with suppress(StoreError):
            assert len(index.search("azz", hybrid=1)) <= 10
        assert index.search("azz", hybrid=0) and index.verify()


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO words (rowid, text) VALUES (99, 'ghost')",
        "INSERT INTO words (words, rowid, names, text, parts) VALUES ('delete', 3, 'd002', 'azz', 'd 002')",
        "INSERT INTO words (words) VALUES ('delete-all')",
        "DELETE FROM words_docsize WHERE id = 4",
    ],
)
def test_words_that_are_not_those_of_the_documents(fast_path, statement):
    with Index(fast_path / "n", model=MODEL) as index:
        index.add(random_documents(6, 20))
        assert not index.verify()
    with sqlite3.connect(fast_path / "n" / "catalog.db") as database:
        database.execute(statement)
    database.close()
    with Index(fast_path / "n", model=MODEL) as index:
        damage = index.verify()
        assert damage and all("table of words" in problem.message for problem in damage)
        index.set_words()
        assert not index.verify()
