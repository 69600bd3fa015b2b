"""BM25: what its two users found before they shared it, to the last bit of a score."""

import math
import sqlite3
from contextlib import closing

import pytest

from femtosearch.index.lexical import ENGLISH, PLAIN, Analyzer, LexicalIndex

TEXTS = [
    "a cat sat on the mat", "a cat sat on the mat", "Running dogs run to the moon", "cats sat, the cat sat",
    "The café cats were sitting on mats, mats and mats", "e-mail foo_bar x_1", "to be or not to be",
]  # fmt: skip


@pytest.fixture
def database():
    with closing(sqlite3.connect(":memory:")) as database:
        yield database


@pytest.fixture
def english(database):
    lexical = LexicalIndex(database, ENGLISH)
    lexical.add(enumerate(TEXTS))
    return lexical


@pytest.fixture
def plain(database):
    database.execute("CREATE TABLE passages (number integer primary key, text text not null)")
    database.executemany("INSERT INTO passages VALUES (?, ?)", enumerate(TEXTS))
    lexical = LexicalIndex(database, PLAIN, content="passages")
    lexical.rebuild()
    return lexical


@pytest.mark.parametrize(
    ("query", "hits"),
    [
        ("cat mat", [
            (4, 0.35291043750715123), (0, 0.2583616552420531), (1, 0.2583616552420531),
            (3, 1.4666666666666667e-06),
        ]),
        ("cats on a mat mat", [  # a word that is there twice counts twice, a stop word not at all
            (4, 0.7058200601994876), (0, 0.516722282446723), (1, 0.516722282446723),
            (3, 1.4666666666666667e-06),
        ]),
        ("to be or not", [(6, 6.174483196529388), (2, 0.810563641495979)]),  # nothing but stop words
        ("Cafe", [(4, 1.1947931671650147)]),
        ("RUNNING", [(2, 2.054739841621363)]),
        ("foo_bar", [(5, 1.5074493230586636)]),
        ("' \" OR NEAR(", []),
        ("___", []),
        (" ", []),
    ],
)  # fmt: skip
def test_english_scores_are_pinned(english, query, hits):
    assert english.search(query, 5) == hits
    assert english.search(query, 1) == hits[:1]


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("cat mat", [0, 1, 3]),
        ("cats on a mat mat", [3, 0, 1, 4]),  # a stop word is not looked up, for most texts have one
        ("to be or not", [6, 2]),
        ("RUNNING", [2]),
        ("foo_bar", [5]),
        ("' \" OR NEAR(", []),
        ("_ cat", [3, 0, 1]),
        ("the the", [3, 0, 1, 2, 4]),
        ("...", []),
    ],
)
def test_plain_rankings_are_pinned(plain, query, numbers):
    assert [number for number, _ in plain.search(query, 5)] == numbers


def test_a_score_is_bm25s(plain):
    """Of a word that one text of seven has: idf, and saturation by the text's length in words."""
    lengths = [6, 6, 6, 5, 10, 6, 6]
    average = sum(lengths) / len(lengths)
    inverse = math.log((7 - 1 + 0.5) / (1 + 0.5))
    expected = inverse * 2.2 / (1 + 1.2 * (1 - 0.75 + 0.75 * 6 / average))
    assert plain.search("moon", 1) == [(2, pytest.approx(expected))]


def test_a_querys_words_are_limited():
    analyzer = Analyzer(repeats=False, limit=2)
    assert analyzer.words("Red red MOON cat") == ["red", "moon"]
    assert len(PLAIN.words(" ".join(f"w{n}" for n in range(99)))) == 64


def test_two_letters_of_one_capital_are_one_word():
    assert PLAIN.words("\u0130stanbul") == ["i\u0307stanbul"]  # the capital's dot does not part it


def test_the_texts_are_not_stored(database, english):
    assert database.execute("SELECT text FROM terms").fetchall() == [(None,)] * len(TEXTS)


def test_rebuild_takes_what_the_table_has_now(database, plain):
    database.execute("INSERT INTO passages VALUES (7, 'a heron')")
    assert plain.search("heron", 5) == []
    plain.rebuild()
    assert [number for number, _ in plain.search("heron", 5)] == [7]
