"""What is remembered of phrases, beside what FTS5 says of them."""

import gc
import random
import sqlite3
import weakref
from itertools import pairwise

import numpy as np
import pytest

from femtosearch.errors import StoreError
from femtosearch.index import postings as postings_module
from femtosearch.index import word_table as word_table_module
from femtosearch.index.index import Index
from femtosearch.index.postings import PostingsCache, TableState, Totals
from femtosearch.index.word_table import WordTable

from ..fakes import FakeModel, fast_path

__all__ = ["fast_path"]

MODEL = FakeModel()
WORDS = [f"{chr(97 + n)}zz" for n in range(12)]
EVERY = [f'"{word}"' for word in WORDS]
PAIRS = [f'"{a} {b}"' for a, b in pairwise(WORDS)]


@pytest.fixture(params=["folder", "memory"])
def index(request, fast_path):
    with Index(fast_path / "notes" if request.param == "folder" else None, model=MODEL) as index:
        yield index


def text_of(rng):
    return " ".join(rng.choices(WORDS, weights=range(1, 13), k=rng.choice([0, 1, 3, 40, 300])))


def change(index, rng):
    """Something that happens to an index."""
    names = [f"d{rng.randrange(60)}" for _ in range(rng.randint(1, 8))]
    kind = rng.randrange(6)
    if kind < 3:
        index.add({"id": name, "text": text_of(rng), "title": rng.choice(WORDS)} for name in set(names))
    elif kind == 3:
        index.delete([name for name in set(names) if index.get(name)])
    elif kind == 4 and index.get(names[0]):
        index.update(names[0], {"title": rng.choice(WORDS)})
    else:
        index.compact()


def fts5(reader, match, keys, depth):
    """The best documents, by FTS5 itself."""
    query = "SELECT rowid, -bm25(words) FROM words WHERE words MATCH ?"
    rows = [row for row in reader.execute(query, (match,)).fetchall() if row[0] in keys]
    least = sorted((score for _, score in rows), reverse=True)[depth - 1] if len(rows) > depth else 0
    return sorted(row for row in rows if row[1] >= least)


def rows_of(scored):
    return list(zip(scored.keys.tolist(), scored.scores.tolist(), strict=True))


def ask(index, question):
    """What a question gives of the table of words as it is now."""
    snapshot = index._snapshots.take()

    def of_table(reader):
        return question(reader, WordTable(reader, snapshot.words), snapshot.keys)

    return index._store.catalog.read_at(snapshot.state, of_table)


def check_all(index, rng):
    """A few phrases, some of which were asked for before, beside FTS5: the same documents, the same bits."""
    phrases, pairs, depth = rng.sample(EVERY, 4), rng.sample(PAIRS, 2), rng.choice([1, 5, 300])

    def check(reader, table, keys):
        alive = set(keys.tolist())
        assert rows_of(table.with_any(phrases, keys, depth)) == fts5(
            reader, " OR ".join(phrases), alive, depth
        )
        assert rows_of(table.with_any(pairs, keys, depth)) == fts5(reader, " OR ".join(pairs), alive, depth)
        groups = [(phrases[0],), (phrases[1], pairs[0])]
        match = f"{phrases[0]} AND ({phrases[1]} OR {pairs[0]})"
        assert rows_of(table.with_every(groups, keys, depth)) == fts5(reader, match, alive, depth)
        some = keys[::3]
        assert rows_of(table.scores(phrases[2], some)) == fts5(reader, phrases[2], set(some.tolist()), 300)
        return True

    assert ask(index, check)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("most", [1 << 22, 300, 0])
def test_what_is_remembered_is_what_fts5_says_after_every_change(index, seed, most, monkeypatch):
    monkeypatch.setattr(postings_module, "MOST_CACHED", most)
    rng = random.Random(seed)
    for _ in range(25):
        change(index, rng)
        check_all(index, rng)
    assert not index.verify()


def test_fts5_ranks_where_there_are_too_many_to_be_read(index, monkeypatch):
    rng = random.Random(7)
    index.add({"id": f"d{n}", "text": text_of(rng)} for n in range(200))
    monkeypatch.setattr(word_table_module, "MOST_READ", 3)
    for _ in range(8):
        check_all(index, rng)
    assert not index._snapshots.take().words._cache._entries


def test_what_was_read_later_is_not_told_of_earlier(index):
    """Two threads search, one of them in a state that is gone for the other."""
    index.add([{"id": "a", "text": "azz"}, {"id": "b", "text": "azz bzz"}])
    database = sqlite3.connect(":memory:")
    index._store.catalog.read(lambda reader: reader.backup(database))
    cache = PostingsCache()
    former = TableState(cache, index._snapshots.take().keys)
    index.delete("a")
    index.add([{"id": "c", "text": "azz azz"}])
    later = TableState(cache, index._snapshots.take().keys)
    now = index._store.catalog.read(lambda reader: later.postings(reader, '"azz"'))
    assert now.term_frequencies.tolist() == [1, 2]
    then = former.postings(database, '"azz"')
    assert then.keys.tolist() == former.keys.tolist() and then.term_frequencies.tolist() == [1, 1]
    again = index._store.catalog.read(lambda reader: later.postings(reader, '"azz"'))
    assert again is now


def test_a_table_that_was_made_anew_is_read_anew(index):
    index.add([{"id": "a", "text": "azz"}, {"id": "b", "text": "azz"}])
    snapshot = index._snapshots.take()
    entry = index._store.catalog.read(lambda reader: snapshot.words.postings(reader, '"azz"'))
    assert len(entry) == 2
    words = snapshot.words._cache
    number, half = snapshot.words.number, entry.only(np.array([True, False]))
    false = postings_module._Entry(number, 2, half, 0, entry)
    words._keep('"azz"', false)  # as of a damaged table
    index.add([{"id": "c", "text": "azz"}])
    assert len(index.search("azz", hybrid=1)) == 3


def test_another_index_in_the_same_place_has_words_of_its_own(fast_path):
    """A reader that may not write sees a folder that is put in the place of its own."""
    with Index(fast_path / "other", model=MODEL) as other:
        other.add([{"id": "x", "text": "bzz"}, {"id": "y", "text": "azz"}])
    with Index(fast_path / "notes", model=MODEL) as index:
        index.add([{"id": "x", "text": "azz"}, {"id": "y", "text": "bzz"}])
        assert [hit.id for hit in index.search("azz", hybrid=1)] == ["x"]
        index._store.catalog._writable = False
        assert [hit.id for hit in index.search("azz", hybrid=1)] == ["x"]
        (fast_path / "notes").rename(fast_path / "gone")
        (fast_path / "other").rename(fast_path / "notes")
        assert [hit.id for hit in index.search("azz", hybrid=1)] == ["y"]


def test_what_is_not_asked_for_any_more_is_forgotten(monkeypatch):
    monkeypatch.setattr(postings_module, "MOST_CACHED", 200)
    index = Index(model=MODEL)
    index.add([{"id": str(n), "text": " ".join(WORDS)} for n in range(30)])
    for word in [*WORDS, *WORDS[:2], *WORDS[::-1]]:
        index.search(word, hybrid=1)
        cache = index._snapshots.take().words._cache
        assert sum(map(postings_module._size, cache._entries.values())) <= cache._size <= 200
        assert f'"{word}"' in cache._entries


def test_no_state_is_kept_by_what_was_read_in_it():
    """Which would be the keys of all documents for each commit after which a word was asked for."""
    index = Index(model=MODEL)
    states = []
    for n, word in enumerate(WORDS):
        index.add([{"id": str(n), "text": f"{word} azz"}])
        index.search(word, hybrid=1)
        states.append(weakref.ref(index._snapshots.take().words))
    gc.collect()
    assert [state() is None for state in states] == [True] * 11 + [False]


DAMAGES = {
    "a length is gone": "UPDATE words_docsize SET sz = x'' WHERE id = 2",
    "a length is no bytes": "UPDATE words_docsize SET sz = 'text' WHERE id = 2",
    "a length without an end": "UPDATE words_docsize SET sz = x'81818181' WHERE id = 2",
    "a length too long": "UPDATE words_docsize SET sz = x'0001000100' WHERE id = 2",
    "no averages": "DELETE FROM words_data WHERE id = 1",
    "averages of nothing": "UPDATE words_data SET block = x'' WHERE id = 1",
    "averages too large": "UPDATE words_data SET block = x'ffffffffffffffffff01' WHERE id = 1",
    "lengths that cannot be": "UPDATE words_docsize SET sz = x'00ffffffff7f00'",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_table_says_so_or_answers(damage, fast_path):
    folder = fast_path / "notes"
    with Index(folder, model=MODEL) as index:
        index.add([{"id": str(n), "text": " ".join(WORDS[: 1 + n % 9])} for n in range(12)])
    connection = sqlite3.connect(folder / "catalog.db")
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute(DAMAGES[damage])
    connection.commit()
    connection.close()
    with Index(folder, model=MODEL) as index:
        try:
            hits = index.search("azz dzz", hybrid=1, k=20)
        except StoreError as error:
            assert "words" in str(error) or "malformed" in str(error) or "check" in str(error)
        else:
            assert len(hits) <= 12


def test_the_totals_of_a_table_are_fts5s():
    index = Index(model=MODEL)
    index.add([{"id": "a", "text": "azz bzz"}, {"id": "b", "text": "azz"}])
    totals = index._store.catalog.read(Totals.read)
    assert totals == Totals(2, 5)
