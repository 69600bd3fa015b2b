import random
import shutil
import threading
from datetime import date, datetime, time
from decimal import Decimal

import numpy as np
import pytest

from femtosearch.codes import quantise
from femtosearch.errors import (
    CorruptError,
    DocumentError,
    LockedError,
    ModelMismatchError,
    QueryError,
    StoreError,
    UnknownQueryWarning,
)
from femtosearch.index import commit as commit_module
from femtosearch.index import hits as hits_module
from femtosearch.index.index import Index
from femtosearch.index.segments import FolderDirectory
from femtosearch.index.stats import describe
from femtosearch.model import model as model_module
from femtosearch.types import Document, Hit

from ..fakes import FakeModel, fast_path
from ..tiny import write_tiny_model

__all__ = ["fast_path"]

MODEL = FakeModel()
WORDS = [f"word{n}" for n in range(40)]


@pytest.fixture(params=["folder", "memory"])
def index(request, fast_path):
    with Index(fast_path / "notes" if request.param == "folder" else None, model=MODEL) as index:
        yield index


def brute_force(texts: dict[str, str], query: str, k: int) -> list[tuple[str, float]]:
    """Ids and scores by plain numpy over the coded rows of all texts."""
    rows = quantise(MODEL.encode_queries([query])[0]).rows()
    scores = {}
    for document_id, text in texts.items():
        passages = MODEL.encode_passages([text])
        for n in range(len(passages)):
            score = float((rows @ quantise(passages.rows[n]).rows().T).max(axis=1).sum())
            scores[document_id] = max(score, scores.get(document_id, -np.inf))
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:k]


def assert_finds(hits: list[Hit], expected: list[tuple[str, float]]) -> None:
    """The same scores in the same order; where scores are all but equal, the ids may change places."""
    assert len(hits) == len(expected)
    np.testing.assert_allclose([hit.score for hit in hits], [score for _, score in expected], atol=1e-4)
    for hit, (document_id, score) in zip(hits, expected, strict=True):
        if hit.id != document_id:
            assert (
                min(abs(score - s) for other, s in expected if other != document_id) < 1e-4 or hit is hits[-1]
            )


def test_add_get_search_delete(index):
    ids = index.add(
        ["the red fox", {"id": "b", "text": "a blue whale", "year": 2020}, Document("c", "green", {"x": [1]})]
    )
    assert ids[1:] == ["b", "c"] and len(ids[0]) == 16
    assert len(index) == 3 and "b" in index and "z" not in index and 3 not in index
    assert index.get("b") == Document("b", "a blue whale", {"year": 2020})
    assert index.get("z") is None and index.get("") is None and index.get("\ud800") is None
    hits = index.search("blue whale", k=2)
    assert hits[0].id == "b" and hits[0].metadata == {"year": 2020} and hits[0].passage == (0, 12)
    assert hits[0].score == pytest.approx(2, abs=0.02)
    assert index.search("green")[0].id == "c"
    assert index.delete(["b", "b", "nobody"]) == 1
    assert index.delete("c") == 1
    assert [hit.id for hit in index.search("blue whale")] == [ids[0]]


def test_an_empty_index(index):
    assert index.search("anything") == [] and index.search(["a", "b"]) == [[], []] and index.search([]) == []
    assert len(index) == 0 and index.add([]) == [] and index.delete([]) == 0
    index.compact()
    assert index.stats().passages == 0


def test_many_queries_are_as_one_each(index):
    index.add({"id": f"{n}", "text": " ".join(WORDS[n : n + 9])} for n in range(30))
    queries = ["word3 word4", "word29", "word12 word0"]
    assert index.search(queries, k=4) == [index.search(query, k=4) for query in queries]


def test_the_best_passage_counts(index):
    text = " ".join(WORDS)
    index.add([{"id": "long", "text": text}, {"id": "short", "text": "word1 word2"}])
    hit = next(hit for hit in index.search("word20 word21") if hit.id == "long")
    assert text[hit.passage[0] : hit.passage[1]].split() == WORDS[16:24]
    assert index.stats().passages == 6 and len(index.search("word20")) == 2


def test_an_upsert_replaces(index):
    index.add([{"id": "a", "text": "old"}, {"id": "b", "text": "other"}])
    assert index.add([{"id": "a", "text": "new", "v": 2}]) == ["a"]
    assert len(index) == 2 and index.get("a") == Document("a", "new", {"v": 2})
    assert [hit.text for hit in index.search("old new other", k=9)].count("old") == 0
    assert index.stats().dead_passages == 1


@pytest.mark.parametrize("batch", [1, 2, 256])
def test_of_equal_ids_in_one_call_the_last_wins(index, batch):
    ids = index.add([{"id": "a", "text": f"text{n}"} for n in range(5)], batch=batch)
    assert ids == ["a"] * 5 and len(index) == 1
    assert [hit.text for hit in index.search("text0")] == ["text4"]


def test_equal_scores_go_by_id(index):
    ids = [f"{n:02}" for n in range(20)]
    random.Random(7).shuffle(ids)
    index.add([{"id": i, "text": "same words"} for i in ids])
    for k in (1, 7, 20, 99):
        assert [hit.id for hit in index.search("same words", k=k)] == sorted(ids)[:k]


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n\t",
        "...!?",
        "\0",
        "nul \0 byte",
        "emoji 🦊 and 漢字",
        f"{'w' * 99} " * 10_000 + "word",
        "e\u0301",
        "\ufeff bom",
    ],
    ids=["empty", "space", "punctuation", "nul", "nul-and-words", "emoji", "megabyte", "combining", "bom"],
)
def test_odd_texts(index, text):
    index.add([{"id": "odd\0🦊", "text": text}, {"id": "b", "text": "plain"}])
    assert index.get("odd\0🦊") == Document("odd\0🦊", text, {})
    assert len(index) == 2
    found = {hit.id for hit in index.search("word emoji nul bom e plain")}
    assert found == ({"odd\0🦊", "b"} if len(MODEL.encode_passages([text])) else {"b"})


def deep(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (3, "document 1: expected a string"),
        (b"bytes", "found bytes"),
        (None, "found None"),
        ({"id": 7, "text": "x"}, "document 1: the id must be a string, found int"),
        ({"id": None, "text": "x"}, "found None"),
        ({"id": "", "text": "x"}, "empty"),
        ({"id": "q"}, "(id 'q'): it has no \"text\""),
        ({"id": "q", "text": None}, "(id 'q'): the text must be a string, found None"),
        ({"id": "q", "text": b"x"}, "found bytes"),
        ({"id": "q", "text": "a\ud800"}, "lone surrogate at character 1"),
        ("\udfff", "lone surrogate"),
        ({"id": "\ud800", "text": "x"}, "lone surrogate"),
        ({"id": "q", "text": "x", "n": float("nan")}, "metadata['n']: nan"),
        ({"id": "q", "text": "x", "n": {"m": [1, float("inf")]}}, "inf"),
        ({"id": "q", "text": "x", "n": {1, 2}}, "set is not JSON"),
        ({"id": "q", "text": "x", "n": {"m": {3: 4}}}, "the key 3 is not a string"),
        ({"id": "q", "text": "x", 5: 4}, "the key 5 is not a string"),
        ({"id": "q", "text": "x", "n": deep(200)}, "deeper than"),
        ({"id": "q", "text": "x", "n": deep(100_000)}, "deeper than"),
        ({"id": "q", "text": "x", "n": np.float32("inf")}, "inf is not JSON"),
        ({"id": "q", "text": "x", "n": np.ones(3)}, "ndarray is not JSON"),
        ({"id": "q", "text": "x", "n": "\ud800"}, "lone surrogate"),
        (Document("q", "x", {"n": object()}), "object is not JSON"),
        (Document("q", "x", [1]), "must be a mapping"),  # type: ignore[arg-type]
        (Document(3, "x"), "found int"),  # type: ignore[arg-type]
    ],
)
def test_documents_that_cannot_be_stored(index, document, says):
    index.add([{"id": "a", "text": "before"}])
    with pytest.raises(DocumentError) as caught:
        index.add(["fine", document, "never read"], batch=1)
    assert says in str(caught.value)
    assert len(index) == 1 and [hit.id for hit in index.search("fine before")] == ["a"]
    assert index.add(["again"]) and len(index) == 2


def test_dates_and_numbers_of_other_kinds_are_stored_as_json_has_them(index):
    given = {"day": date(2020, 1, 2), "at": datetime(2020, 1, 2, 3, 4), "then": time(5, 6)}
    given |= {"price": Decimal("1.5"), "half": np.float32(0.5), "three": np.int64(3), "is": np.bool_(True)}
    index.add(
        [{"id": "a", "text": "x", **given, "deep": [{"day": date(2021, 1, 1)}]}, {"id": "b", "text": "y"}]
    )
    stored = {"day": "2020-01-02", "at": "2020-01-02T03:04:00", "then": "05:06:00", "price": 1.5, "half": 0.5}
    assert index.get("a").metadata == {**stored, "three": 3, "is": True, "deep": [{"day": "2021-01-01"}]}
    for where in ({"day": {"$gte": date(2020, 1, 1)}}, "day < 2020-02-01 and price > 1", {"three": 3}):
        assert index.count(where) == 1
    for where in [{"three": np.int64(3)}, {"price": {"$in": [Decimal("1.5")]}}, {"is": np.bool_(True)}]:
        assert index.count(where) == 1
    assert index.count({"then": {"$lt": time(5, 7)}, "half": {"$gte": np.float32(0.5)}}) == 1
    index.update("b", {"day": date(2019, 1, 1)})
    assert index.facets("day") == {"2019-01-01": 1, "2020-01-02": 1}


def test_metadata_comes_back(index):
    metadata = {
        "a": None,
        "b": [1, 2.5, "x\0"],
        "c": {"d": True, "é": 10**30},
        "metadata": {},
        "": "",
        "key": 1,
    }
    index.add([{"id": "m", "text": "x", **metadata}])
    assert index.get("m") == Document("m", "x", metadata)
    assert index.search("x")[0].metadata == metadata


@pytest.mark.parametrize("documents", ["text", {"text": "x"}, Document("a", "x"), None, 3, b"x"])
def test_one_document_is_no_iterable(index, documents):
    with pytest.raises(DocumentError, match="list"):
        index.add(documents)


@pytest.mark.parametrize("batch", [0, -1, 2.5, True, "3"])
def test_batches_that_cannot_be(index, batch):
    with pytest.raises(DocumentError, match="batch"):
        index.add(["x"], batch=batch)


@pytest.mark.parametrize("ids", [3, None, [3], ["a", None], [""]])
def test_ids_that_cannot_be_deleted(index, ids):
    index.add([{"id": "a", "text": "x"}])
    with pytest.raises(DocumentError):
        index.delete(ids)
    assert "a" in index


@pytest.mark.parametrize("key", [3, None, b"a", [3], ["a", None]])
def test_ids_that_cannot_be_got(index, key):
    with pytest.raises(DocumentError):
        index.get(key)


@pytest.mark.parametrize("k", [0, -1, 2.0, "3", None, True, 1.5, float("nan")])
def test_k_that_cannot_be(index, k):
    with pytest.raises(QueryError, match="k: expected"):
        index.search("x", k=k)


@pytest.mark.parametrize("query", ["", "  \n", None, 3, b"x", ["a", ""], ["a", None], {"a"}, "\ud800"])
def test_queries_that_cannot_be(index, query):
    index.add(["x"])
    with pytest.raises(QueryError, match="query"):
        index.search(query)


def test_odd_queries(index):
    index.add(["some text"])
    with pytest.warns(UnknownQueryWarning, match=r"query '\.\.\.': the model 'fake' knows no word of it"):
        assert index.search("...") == []  # the fake model finds no word there
    assert len(index.search("some", k=10**30)) == 1 and len(index.search("some", k=np.int64(5))) == 1
    assert len(index.search("nul \0 " + "long " * 10_000)) == 1


@pytest.mark.parametrize("mode", ["lemur", "", None, "MAXSIM", []])
def test_modes_that_are_unknown(index, mode):
    with pytest.raises(QueryError, match="auto, maxsim"):
        index.search("x", mode=mode)


def test_modes_that_are_known(index):
    index.add(["x y", "y z"])
    assert index.search("x", mode="maxsim") == index.search("x", mode="auto")


def test_scores_that_are_no_numbers_are_no_hits(index):
    class Broken(FakeModel):
        def encode_queries(self, texts):
            rows = super().encode_queries(texts)
            rows.rows[:] *= np.float32(3e38)
            return rows

    with Index(index.folder, model=Broken()) as broken:
        broken.add(["x", "y"])
        assert all(np.isfinite(hit.score) for hit in broken.search("x y z w " * 50))


def test_a_closed_index(fast_path):
    index = Index(fast_path / "notes", model=MODEL)
    index.close()
    index.close()
    for use in (
        lambda: index.add(["x"]),
        lambda: index.search("x"),
        lambda: len(index),
        index.compact,
        index.stats,
    ):
        with pytest.raises(StoreError, match="closed"):
            use()
    assert "closed" in repr(index)


def test_reopening(fast_path):
    with Index(fast_path / "a" / "notes", model=MODEL) as index:
        index.add([{"id": f"{n}", "text": WORDS[n]} for n in range(9)])
        index.delete(["3"])
        before = index.search("word1 word3", k=20), index.stats()
    with Index(str(fast_path / "a" / "notes"), model=MODEL) as index:
        after = index.search("word1 word3", k=20), index.stats()
        assert after[0] == before[0] and len(index) == 8
        assert (after[1].passages, after[1].dead_passages) == (8, 1)


def test_folders_that_are_no_index(fast_path):
    (fast_path / "file").write_text("x")
    with pytest.raises(StoreError, match="expected a folder"):
        Index(fast_path / "file", model=MODEL)
    with pytest.raises(StoreError):
        Index(fast_path / "file" / "below", model=MODEL)
    folder = fast_path / "photos"
    folder.mkdir()
    (folder / "cat.jpg").write_text("meow")
    with pytest.raises(StoreError, match=r"cat\.jpg"):
        Index(folder, model=MODEL)
    assert [path.name for path in folder.iterdir()] == ["cat.jpg"]
    (fast_path / "empty").mkdir()
    with Index(fast_path / "empty", model=MODEL) as index:
        index.add(["x"])
    with pytest.raises(StoreError, match="no index here"):
        describe(fast_path / "nothing")
    assert not (fast_path / "nothing").exists()


@pytest.mark.parametrize("other", [FakeModel(dims=7), FakeModel(name="mock")])
def test_another_model(fast_path, other):
    Index(fast_path / "notes", model=MODEL).close()
    with pytest.raises(ModelMismatchError, match=f"'fake'.*{other.name}.*its own model"):
        Index(fast_path / "notes", model=other)
    stats = describe(fast_path / "notes")
    assert (stats.model, stats.dims, stats.fingerprint) == ("fake", 6, MODEL.fingerprint)


def test_stats(fast_path):
    with Index(fast_path / "notes", model=MODEL) as index:
        index.add([{"id": "a", "text": " ".join(WORDS)}, {"id": "b", "text": "x"}, ""])
        index.delete("b")
        stats = index.stats()
    assert (stats.documents, stats.passages, stats.rows, stats.dead_passages) == (2, 5, 40, 1)
    assert stats.segments == 1 and stats.bytes > 5000 and stats.format_version == 4
    again = describe(fast_path / "notes")
    assert (again.documents, again.rows, again.dead_passages) == (2, 40, 1)


def test_progress_and_streaming(index):
    seen, taken = [], []

    def documents():
        for n in range(10):
            taken.append(n)
            yield f"text {n}"

    index.add(documents(), batch=4, progress=lambda done: seen.append((done, len(taken))))
    assert [done for done, _ in seen] == [4, 8, 10]
    if index.folder:
        assert [read for _, read in seen] == [5, 9, 10]


def test_documents_may_come_from_the_index_itself(index):
    index.add([{"id": "a", "text": "one"}])
    index.add(f"{hit.text} {word}" for word in ("two", "three") for hit in index.search("one", k=1))
    assert len(index) == 3 and "a" in index


def test_writing_while_writing_is_refused(index):
    with pytest.raises(LockedError, match="already"):
        index.add(["x"], progress=lambda _: index.delete("y"))
    assert len(index) == 0 and index.add(["x"])


def test_an_error_of_the_iterable_is_passed_on(index):
    def documents():
        yield "one"
        yield "two"
        raise FileNotFoundError("mine")

    with pytest.raises(FileNotFoundError, match="mine"):
        index.add(documents(), batch=1)
    assert len(index) == 0 and index.search("one") == []


def test_small_segments_are_joined(index):
    for n in range(100):
        index.add([{"id": f"{n}", "text": WORDS[n % 40]}])
    index.delete([f"{n}" for n in range(0, 100, 2)])
    assert index.stats().segments < 16
    assert {hit.id for hit in index.search("word1", k=100)} == {f"{n}" for n in range(1, 100, 2)}
    index.compact()
    stats = index.stats()
    assert (stats.segments, stats.dead_passages, stats.passages) == (1, 0, 50)


def test_large_adds_make_several_segments_in_one_commit(index, monkeypatch):
    monkeypatch.setattr(commit_module, "SEGMENT_BYTES", 2000)
    index.add([{"id": f"{n}", "text": " ".join(WORDS)} for n in range(20)], batch=2)
    assert index.stats().segments > 5
    before = index.search("word3 word5", k=20)
    index.delete([f"{n}" for n in range(10)])
    index.compact()
    assert [hit for hit in before if int(hit.id) >= 10] == index.search("word3 word5", k=20)


def test_compaction_keeps_the_scores_bit_for_bit(index):
    index.add({"id": f"{n}", "text": " ".join(WORDS[n : n + 15])} for n in range(25))
    index.add({"id": f"{n}", "text": " ".join(WORDS[n : n + 3])} for n in range(0, 25, 3))
    index.delete([f"{n}" for n in range(0, 25, 5)])
    before = index.search(WORDS, k=25)
    index.compact()
    assert index.search(WORDS, k=25) == before
    index.compact()
    assert index.search(WORDS, k=25) == before and index.stats().dead_passages == 0


@pytest.mark.parametrize("seed", range(4))
def test_random_histories_against_a_dict(fast_path, seed):
    rng = random.Random(seed)
    folder = fast_path / "notes" if seed % 2 else None
    index = Index(folder, model=MODEL)
    texts: dict[str, str] = {}
    for _ in range(40):
        action = rng.choice(["add", "add", "delete", "compact", "reopen"])
        if action == "add":
            new = {
                f"{rng.randrange(30)}": " ".join(rng.choices(WORDS, k=rng.randrange(20)))
                for _ in range(rng.randrange(6))
            }
            index.add([{"id": i, "text": t} for i, t in new.items()], batch=rng.choice([1, 3, 99]))
            texts |= new
        elif action == "delete":
            gone = {f"{rng.randrange(30)}" for _ in range(4)}
            assert index.delete(gone) == len(gone & texts.keys())
            texts = {i: t for i, t in texts.items() if i not in gone}
        elif action == "compact":
            index.compact()
        elif folder:
            index.close()
            index = Index(folder, model=MODEL)
        assert len(index) == len(texts)
        query, k = " ".join(rng.choices(WORDS, k=3)), rng.choice([1, 5, 50])
        assert_finds(index.search(query, k=k), brute_force(texts, query, k))
    for i, text in texts.items():
        assert index.get(i) == Document(i, text, {})
    index.close()


def test_threads_search_while_one_writes(index):
    index.add([{"id": "stays", "text": "anchor"}])
    done = threading.Event()
    errors: list[BaseException] = []

    def read():
        try:
            while not done.is_set():
                assert index.search("anchor", k=1)[0].id == "stays"
                pairs = [hit.text for hit in index.search("even odd", k=50) if hit.text != "anchor"]
                assert len(pairs) % 2 == 0  # both of a pair are there or none
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for n in range(40):
        index.add([{"id": f"e{n % 10}", "text": "even"}, {"id": f"o{n % 10}", "text": "odd"}])
        if n % 10 == 9:
            index.compact()
            index.delete([f"e{n % 7}", f"o{n % 7}"])
    done.set()
    for thread in threads:
        thread.join()
    assert not errors


def test_threads_write_one_after_the_other(index):
    errors: list[BaseException] = []

    def add(name: str) -> None:
        try:
            for n in range(10):
                index.add([{"id": f"{name}{n}", "text": WORDS[n]}])
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=add, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and len(index) == 30 and len(index.search("word1", k=99)) == 30


def test_a_reader_sees_another_index_object(fast_path):
    with Index(fast_path / "n", model=MODEL) as writer, Index(fast_path / "n", model=MODEL) as reader:
        assert reader.search("x") == []
        writer.add([{"id": "a", "text": "x"}])
        assert [hit.id for hit in reader.search("x")] == ["a"]
        writer.add([{"id": "a", "text": "y"}])
        assert reader.search("x")[0].text == "y"
        writer.compact()
        assert reader.search("x")[0].text == "y" and len(reader) == 1


def test_a_document_that_goes_during_a_search(fast_path, monkeypatch):
    """The hits are fetched after the scan: what is gone by then makes the search start again."""
    with Index(fast_path / "n", model=MODEL) as index, Index(fast_path / "n", model=MODEL) as other:
        index.add([{"id": i, "text": "x"} for i in "abc"])
        real, calls = hits_module.best, []

        def best(scores, k):
            if not calls:
                other.delete("a")
                other.compact()
            calls.append(k)
            return real(scores, k)

        monkeypatch.setattr(hits_module, "best", best)
        assert [hit.id for hit in index.search("x", k=2)] == ["b", "c"] and len(calls) == 2


def flipped(folder, number: int) -> None:
    """Damage the codes of a segment, which only `Segment.verify` reads in full."""
    path = folder / "segments" / f"{number}.seg"
    data = bytearray(path.read_bytes())
    data[256] ^= 1
    path.write_bytes(data)


def test_damage_is_not_copied(fast_path):
    with Index(fast_path / "n", model=MODEL) as index:
        index.add([{"id": "a", "text": "x"}, {"id": "b", "text": "y"}])
        index.delete("a")
    flipped(fast_path / "n", 1)
    with Index(fast_path / "n", model=MODEL) as index:
        with pytest.raises(CorruptError, match="checksum"):
            index.compact()
        for n in range(20):
            index.add([{"id": f"{n}", "text": "z"}])
        assert len(index) == 21 and len(index.search("z", k=99)) == 21


def test_a_search_does_not_open_what_it_has_open(fast_path, monkeypatch):
    with Index(fast_path / "n", model=MODEL) as index:
        opened = []
        real = FolderDirectory.open
        monkeypatch.setattr(
            FolderDirectory, "open", lambda shelf, number: opened.append(number) or real(shelf, number)
        )
        for text in ("x", "y", "z"):
            index.add([text])
            index.search("x")
        index.search("x")
        assert opened == [1, 2, 3]


def test_the_same_text_has_the_same_id():
    index = Index(model=MODEL)
    ids = index.add(["x", {"text": "x"}, "y", {"text": "x", "n": 1}, {"text": "x", "n": 2}])
    assert ids[0] == ids[1] and len(set(ids)) == 4 == len(index)
    assert index.add(["y", "x"]) == [ids[2], ids[0]] and len(index) == 4


@pytest.mark.parametrize(
    "texts", [["word1", "word1"], ["word2", "word1", "word1"], ["word1", "word2", "word1"]]
)
@pytest.mark.parametrize("batch", [1, 2, 10])
def test_a_document_that_comes_twice_in_one_add_is_found(index, texts, batch):
    ids = index.add([{"id": "a", "text": text} for text in texts] + ["word3", "word3"], batch=batch)
    assert ids == ["a"] * len(texts) + [ids[-1]] * 2
    assert len(index) == 2 and index.stats().passages == 2
    assert index.search("word1", k=1)[0].text == "word1" and not index.verify()
    assert index.search("word3", k=1)[0].text == "word3"


def test_what_did_not_change_is_not_encoded_again(index, monkeypatch):
    index.add([{"id": "a", "text": "x", "n": 1}, {"id": "b", "text": "y"}])
    before = index.stats()
    assert index.add([{"id": "b", "text": "y"}, {"id": "a", "text": "x", "n": 1}]) == ["b", "a"]
    assert index.stats() == before
    index.add([{"id": "a", "text": "x", "n": 1}, {"id": "a", "text": "z"}])
    assert index.get("a").text == "z" and index.stats().dead_passages == 1


def test_a_mapping_means_what_a_line_of_json_does(index):
    index.add([{"id": "t", "title": "Quantum teapot", "text": "It boils.", "metadata": {"k": 1}}])
    index.add([{"id": "o", "text": "a cup"}])
    document = index.get("t")
    assert document.text == "Quantum teapot It boils."
    assert document.metadata == {"title": "Quantum teapot", "k": 1}
    assert index.search("quantum teapot", k=1)[0].id == "t"
    index.add([{"id": "t", "text": document.text, **document.metadata}])  # and again it is the same
    assert index.get("t") == document


def test_ligatures_and_full_width_forms_are_letters(index):
    text = "the of\ufb01ce work\ufb02ow \uff21\uff22 end"
    index.add([{"id": "f", "text": text}, {"id": "o", "text": "a b c"}])
    for query in ("office", "of\ufb01ce", "workflow", "AB", "\uff21\uff22"):
        assert index.search(query, k=1, hybrid=0)[0].id == "f"
    hit = index.search("office workflow", k=1)[0]
    assert hit.text[slice(*hit.passage)] == hit.text == text


def test_an_index_that_is_mostly_dead_is_compacted_by_itself(index):
    for turn in range(5):
        index.add([{"id": f"{n}", "text": f"word{turn} of {n}"} for n in range(10)])
        assert index.stats().dead_passages <= 10
    assert len(index) == 10 and index.search("word4", k=1)[0].text.startswith("word4")


def test_an_index_is_opened_with_the_built_in_model_it_was_made_with(tmp_path, monkeypatch):
    with Index(tmp_path / "index") as index:
        index.add(["a red cat", "the moon"])
        made = index.model
    monkeypatch.setattr(model_module, "BUILT_INS", tmp_path / "models")
    monkeypatch.setattr(model_module, "DEFAULT", "later")
    shutil.copytree(made.source, tmp_path / "models" / made.name)
    write_tiny_model(tmp_path / "models" / "later")
    with Index(tmp_path / "index") as index:
        assert index.model.name == made.name
        assert [hit.text for hit in index.search("moon", k=1)] == ["the moon"]
    with Index(tmp_path / "other") as index:
        assert index.model.name == "later"


def test_lists_that_share_lists_end(index, monkeypatch):
    monkeypatch.setattr("femtosearch.index.documents.MOST_VALUES", 10_000)
    shared = []
    for _ in range(40):
        shared = [shared, shared]
    with pytest.raises(DocumentError, match="values: make it smaller"):
        index.add([{"id": "a", "text": "x", "deep": shared}])
    assert len(index) == 0


def test_documents_that_are_added_while_others_are_read_do_not_come(index, monkeypatch):
    monkeypatch.setattr("femtosearch.index.contents._PAGE", 8)
    index.add([{"id": f"d{n}", "text": f"word{n % 9}", "n": n} for n in range(20)])
    names = []
    for document in index.documents("n >= 1"):
        names.append(document.id)
        assert len(names) < 20
        index.add([{"id": f"part of {document.id}", "text": "a part", "n": 1000}])
        if document.id == "d2":
            index.update(["d1", "d12", "d19"], {"n": 1001})
            index.delete("d13")
    assert names == [f"d{n}" for n in range(1, 19) if n not in (12, 13)] + ["d12", "d19"]
    assert len(index) == 20 - 1 + 18


@pytest.mark.parametrize("change", ["update", "add"])
def test_documents_that_are_changed_while_they_are_read_come_once(index, change):
    index.add([{"id": f"d{n}", "text": f"word{n % 9}", "n": 0} for n in range(600)])
    names = []
    for document in index.documents():
        names.append(document.id)
        assert len(names) <= 600
        if change == "update":
            index.update(document.id, {"n": document.metadata["n"] + 1})
        elif document.metadata["n"] == 0:
            index.add([{"id": document.id, "text": document.text + " more", "n": 1}])
    assert names == [f"d{n}" for n in range(600)]
    assert {document.metadata["n"] for document in index} == {1}
    for number, document in enumerate(index.documents()):
        if number == 0:
            index.update(["d300", "d599"], {"n": 2})
        names.remove(document.id)
    assert not names


def test_what_no_document_can_be_called_is_not_there(index):
    index.add([{"id": "a", "text": "word1"}])
    assert [name in index for name in ("a", "b", "", "\ud800", 5, None)] == [True] + [False] * 5
