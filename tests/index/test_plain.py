"""Words in plain letters: typesetting, accents and invisible characters hide no word from a search."""

import json
import sqlite3
import time
from contextlib import closing

import pytest

from femtosearch.index.index import Index
from femtosearch.index.keywords import keywords_in
from femtosearch.index.plain import plain_text, words_beside
from femtosearch.index.words import columns

from ..fakes import FakeModel, fast_path

__all__ = ["fast_path"]

MODEL = FakeModel()
ALIKE = [
    ("financial office", "\ufb01nancial of\ufb01ce"),
    ("invoice ABC123", "\uff49\uff4e\uff56\uff4f\uff49\uff43\uff45 \uff21\uff22\uff23\uff11\uff12\uff13"),
    ("financial", "fi\u00adnan\u00adcial"),
    ("financial", "fin\u200ban\u2060cial\ufeff"),
    ("report", "\u202bre\u200eport\u202c"),
    ("information", "infor-\nmation"),
    ("information", "infor\u2010\r\n  mation"),
    ("cafe creme", "cafe\u0301 cr\u00e8me"),
    ("lodz", "\u0141\u00f3d\u017a"),
    ("strasse", "STRA\u1e9eE"),
    ("oeuvre aesir", "\u0152uvre \u00c6sir"),
    ("istanbul", "\u0130stanbul"),
    ("x2 1 fish", "x\u00b2 \u2460 fish"),
    ("hello", "\U0001d421\U0001d41e\U0001d425\U0001d425\U0001d428"),
    ("femto", "femto\u2122"),
    ("\u03c3\u03c0\u03b9\u03c4\u03b9", "\u03a3\u03a0\u038a\u03a4\u0399"),
    ("\u0438\u0434\u0435\u0442", "\u0438\u0434\u0451\u0442"),
    ("\u0643\u062a\u0627\u0628", "\u0643\u0650\u062a\u064e\u0627\u0628\u064c"),
    ("\u05e9\u05dc\u05d5\u05dd", "\u05e9\u05b8\u05c1\u05dc\u05d5\u05b9\u05dd"),
    ("\u0645\u06cc\u062e\u0648\u0627\u0647\u0645", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"),
    ("\ub0a0\uc528", "\u1102\u1161\u11af\u110a\u1175"),
    ("\u30ab\u30bf\u30ab\u30ca", "\uff76\uff80\uff76\uff85"),
]
OTHERS = ["azz bzz", "the bank of the river", "\u304b\u304f", "\u043c\u0438\u0440"]


def found(index, query):
    return [hit.id for hit in index.search(query, hybrid=1)]


@pytest.mark.parametrize("place", ["folder", "memory"])
@pytest.mark.parametrize(("one", "other"), [*ALIKE, *((other, one) for one, other in ALIKE)])
def test_words_are_found_however_they_are_written(fast_path, place, one, other):
    with Index(fast_path / "n" if place == "folder" else None, model=MODEL) as index:
        index.add([{"id": "right", "text": f"{other} and more"}, *OTHERS])
        assert found(index, one)[:1] == ["right"] and found(index, other)[:1] == ["right"]
        if "\n" not in one:  # of a broken word both readings are looked up, one beside the other
            assert index.search(f'"{one}"', hybrid=1)[0].score > 1
        index.add([{"id": "right", "text": "something else"}])
        assert found(index, one)[:1] != ["right"]
        assert not index.verify()


def test_letters_that_differ_stay_apart():
    assert plain_text("\u304b\u304c") == "\u304b\u304c"  # ka and ga
    assert plain_text("\u0915\u0941 \u0915") == "\u0915\u0941 \u0915"  # a vowel of Devanagari
    assert plain_text("3\u20444 - \u4e0a") == "3\u20444 - \u4e0a"
    assert plain_text("plain\tASCII\x00\n") == "plain\tASCII\x00\n"


@pytest.mark.parametrize(
    "text", ["x" * 200_000, "a\u200b" * 100_000, "\u200b" * 200_000, "-  " * 70_000, "\u0301" * 200_000]
)
def test_odd_texts_take_no_longer_than_others(text):
    """One of these took a minute, and a server gave up on it."""
    for end in ("", "\u200b", " ab-\ncd"):
        before = time.process_time()
        assert columns("a", text + end, "{}") and keywords_in(text + end, in_plain=True)
        assert time.process_time() - before < 5


def test_what_a_blank_of_no_width_parts_is_one_word_and_several(fast_path):
    with Index(model=MODEL) as index:
        index.add([{"id": "a", "text": "annual\u200breport\u200b2020"}, *OTHERS])
        for query in ("annualreport2020", "annual", "report", "2020", "annual\u200breport"):
            assert found(index, query) == ["a"], query
    assert words_beside("\u0e15\u200b\u0e25 a\u200b b") == []


def test_pictures_and_signs_are_found_as_words(fast_path):
    with Index(fast_path / "n", model=MODEL) as index:
        index.add(
            [
                {"id": "cake", "text": "\U0001f382 on Monday"},
                {"id": "sun", "text": "\u2600\ufe0f on Monday"},
                {"id": "c#", "text": "written in C#, and in C"},
                {"id": "c++", "text": "written in C++17, and in C"},
                {"id": "c", "text": "written in C, and i++ in it; page.html#c"},
            ]
        )
        assert not index.verify()
        assert found(index, "\U0001f382") == ["cake"] and found(index, "\u2600") == ["sun"]
        assert found(index, "C++")[0] == "c++" and found(index, "c#")[0] == "c#"
        assert found(index, "csharp") == ["c#"] and found(index, "cplusplus") == ["c++"]
        (hit,) = index.search("\U0001f382 party", hybrid=1, explain=True)
        assert hit.explanation.words.keys() == {"\U0001f382"}
        assert found(index, "\U0001f389") == []
        index.delete("cake")
        assert found(index, "\U0001f382") == [] and not index.verify()


def test_a_picture_that_no_document_has_changes_nothing(fast_path):
    with Index(model=MODEL) as index:
        index.add([{"id": "a", "text": "azz bzz czz"}, {"id": "b", "text": "azz dzz ezz fzz"}, *OTHERS])
        plain, decorated = (index.search(query) for query in ("azz czz", "azz czz \U0001f389"))
        assert [(hit.id, hit.bm25) for hit in plain] == [(hit.id, hit.bm25) for hit in decorated]
        with_words, also = (index.search(query, hybrid=1) for query in ("azz czz", "azz czz \U0001f389"))
        assert [hit.score for hit in with_words] == [hit.score for hit in also]


@pytest.mark.parametrize("marks", ["\u201c\u201d", "\u201e\u201c", "\u00ab\u00bb", "\uff02\uff02", '""'])
@pytest.mark.parametrize("in_plain", [True, False])
def test_quotes_of_all_kinds_quote(marks, in_plain):
    first, last = marks
    phrases = keywords_in(f"manual {first}red pump{last}", in_plain=in_plain).phrases
    assert phrases == (('"red pump"',),) or (marks == "\uff02\uff02" and not in_plain)


def without_plain_words(folder):
    """The index as an older femtosearch made it."""
    with closing(sqlite3.connect(folder / "catalog.db")) as database, database:
        (features,) = database.execute("SELECT value FROM meta WHERE name = 'features'").fetchone()
        features = [name for name in json.loads(features) if name != "plain"]
        database.execute("UPDATE meta SET value = ? WHERE name = 'features'", (json.dumps(features),))
        database.execute("INSERT INTO words (words) VALUES ('delete-all')")
        for key, *document in database.execute("SELECT key, id, text, metadata FROM documents").fetchall():
            insert = "INSERT INTO words (rowid, names, text, parts) VALUES (?, ?, ?, ?)"
            database.execute(insert, (key, *columns(*document, in_plain=False)))


def test_an_older_table_of_words_stays_as_it_is_until_it_is_made_anew(fast_path):
    folder = fast_path / "n"
    texts = [{"id": name, "text": f"of\ufb01ce caf\u00e9 re\u00adport {name}"} for name in "abc"]
    with Index(folder, model=MODEL) as index:
        index.add([*texts, *OTHERS])
    without_plain_words(folder)
    with Index(folder, model=MODEL) as index, Index(folder, model=MODEL) as beside:
        assert not index.verify() and index.stats().words and not index.stats().plain_words
        index.delete("c")
        index.add([{"id": "d", "text": "of\ufb01ce"}])
        assert not index.verify()
        assert found(index, "of\ufb01ce") == ["d", "a", "b"] and found(beside, "office") == []
        index.set_words()
        assert index.stats().plain_words
        assert sorted(found(beside, "office")) == sorted(found(index, "office")) == ["a", "b", "d"]
        assert sorted(found(beside, "report")) == ["a", "b"] and not index.verify()
        index.set_words(False)
        index.add([{"id": "e", "text": "of\ufb01ce"}])
        index.set_words()
        assert sorted(found(beside, "office")) == ["a", "b", "d", "e"] and not index.verify()
