"""An index with an FDE: its modes, its passages' vectors, and what does not belong together."""

from dataclasses import replace

import numpy as np
import pytest

from femtosearch.codes import quantise
from femtosearch.errors import CorruptError, FdeError, FdeMismatchError, QueryError, StoreError
from femtosearch.fde import Muvera, calibrated, calibration, inner_products
from femtosearch.fde.calibration import fit
from femtosearch.index import commit as commit_module
from femtosearch.index import cost, plan
from femtosearch.index import segment as segment_module
from femtosearch.index.index import Index
from femtosearch.index.own_queries import own_queries, stretch
from femtosearch.index.segment import Segment
from femtosearch.index.segment_header import file_bytes
from femtosearch.index.stats import describe
from femtosearch.types import Rows

from ..fakes import FakeModel, fast_path

__all__ = ["fast_path"]

MODEL = FakeModel()
FDE = Muvera(4, 2, 4)
WORDS = [f"word{n}" for n in range(40)]


@pytest.fixture(params=["folder", "memory"])
def index(request, fast_path):
    folder = fast_path / "notes" if request.param == "folder" else None
    with Index(folder, model=MODEL, fde=FDE) as index:
        yield index


def documents(seed, count):
    rng = np.random.default_rng(seed)
    return [{"id": f"{n}", "text": " ".join(rng.choice(WORDS, rng.integers(1, 30)))} for n in range(count)]


def stored(index):
    """The FDE codes of every living passage, by document: what `quantise` makes of them."""
    found = {}
    for view in index._snapshots.take().views.values():
        which = range(view.segment.passages) if view.which is None else view.which
        vectors = view.segment.fde.rows()
        for n in which:
            found.setdefault(int(view.segment.keys[n]), []).append(vectors[n].tobytes())
    return found


def by_fde(index, query, texts):
    """Ids and scores of the FDE alone, from the texts."""
    vector = index._snapshots.take().encoding.fde.queries(MODEL.encode_queries([query]))[0]
    scores = {}
    for document in texts:
        passages = MODEL.encode_passages([document["text"]])
        rows = Rows(quantise(passages.rows.rows).rows(), passages.rows.starts)
        products = inner_products(vector, quantise(replace(FDE).documents(rows)))
        scores[document["id"]] = float(products.max())
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))


def test_fde_ranks_by_the_inner_product_alone(index):
    texts = documents(1, 60)
    index.add(texts, batch=7)
    hits = index.search("word1 word2 word3", k=60, mode="fde")
    assert [(hit.id, hit.score) for hit in hits] == by_fde(index, "word1 word2 word3", texts)


def test_re_ranked_hits_have_the_scores_of_maxsim(index):
    index.add(documents(2, 80))
    exact = {hit.id: hit for hit in index.search("word5 word6", k=80, mode="maxsim")}
    for candidates in (1, 5, 40):
        hits = index.search("word5 word6", k=5, mode="rerank", candidates=candidates)
        assert len(hits) == 5  # there are always k candidates
        assert all(hit.score <= exact[hit.id].score for hit in hits)
    found = index.search("word5 word6", k=9, mode="rerank", candidates=40)
    assert sum(hit == exact[hit.id] for hit in found) >= 7  # unless its best passage is no candidate


@pytest.mark.parametrize("more", [0, 1, 10**9])
def test_re_ranking_all_passages_is_maxsim(index, more, monkeypatch):
    index.add(documents(3, 50))
    index.delete([f"{n}" for n in range(0, 50, 7)])
    passages = index.stats().passages
    whole = lambda request, *_: plan.Plan(request.mode, request.candidates or 0)  # noqa: E731 no short cut
    monkeypatch.setattr("femtosearch.index.search.choose", whole)
    for query in ("word1", "word1 word2 word3", "nothing here"):
        exact = index.search(query, k=99, mode="maxsim")
        assert index.search(query, k=99, mode="rerank", candidates=passages + more) == exact


def test_auto_re_ranks_where_maxsim_would_be_slow(index, monkeypatch):
    index.add(documents(4, 50))
    query = "word1 word2"
    assert index.search(query) == index.search(query, mode="maxsim")
    monkeypatch.setattr(cost, "PATIENCE", 0.0)
    assert index.search(query, candidates=9) == index.search(query, mode="rerank", candidates=9)
    index.set_fde(None)
    assert index.search(query) == index.search(query, mode="maxsim")


@pytest.mark.filterwarnings("ignore::femtosearch.UnknownQueryWarning")
def test_many_queries_are_as_one_each(index):
    index.add(documents(5, 40))
    queries = ["word3 word4", "...", "word12 word0"]
    for mode in ("rerank", "fde"):
        options = {"k": 4, "mode": mode, "candidates": 6}
        assert index.search(queries, **options) == [index.search(query, **options) for query in queries]


def test_the_deleted_and_the_replaced_are_no_candidates(index):
    index.add([{"id": f"{n}", "text": "word1 word2"} for n in range(50)])
    index.delete([f"{n}" for n in range(48)])
    index.add([{"id": "48", "text": "word9"}])
    for mode in ("rerank", "fde"):
        hits = index.search("word1 word2", k=2, mode=mode, candidates=2)
        assert [(hit.id, hit.text) for hit in hits] == [("49", "word1 word2"), ("48", "word9")]


def test_equal_products_go_by_id(index):
    index.add([{"id": f"{n:02}", "text": "same words"} for n in reversed(range(20))])
    for k in (1, 7, 20):
        hits = index.search("same words", k=k, mode="fde")
        assert [hit.id for hit in hits] == [f"{n:02}" for n in range(k)]


@pytest.mark.filterwarnings("ignore::femtosearch.UnknownQueryWarning")
def test_documents_without_words_and_queries_without_rows(index):
    index.add(["", "...", {"id": "a", "text": "word1"}])
    for mode in ("rerank", "fde"):
        assert [hit.id for hit in index.search("word1", mode=mode)] == ["a"]
        assert index.search("...", mode=mode) == []
    index.delete("a")
    assert index.search("word1", mode="fde") == index.search("word1", mode="rerank") == []


def test_compaction_keeps_the_codes(index):
    index.add(documents(6, 30))
    index.add(documents(7, 10))
    before = stored(index)
    index.compact()
    assert stored(index) == before and index.stats().dead_passages == 0 and index.stats().segments == 1


def test_small_segments_are_joined_with_their_codes(index):
    for n in range(20):
        index.add([{"id": f"{n}", "text": f"word{n} word1"}])
    assert index.stats().segments < 10
    assert len(index.search("word1", k=99, mode="fde")) == 20


@pytest.mark.parametrize("size", [2_000, 64 << 20])
def test_an_fde_that_comes_later_is_the_same(index, size, monkeypatch):
    monkeypatch.setattr(commit_module, "SEGMENT_BYTES", size)
    monkeypatch.setattr(segment_module, "BATCH", 16)
    index.add(documents(8, 40))
    index.delete(["3", "4"])
    before = stored(index)
    index.set_fde(None)
    assert index.stats().fde is None and index.stats().format_version == 4
    with pytest.raises(QueryError, match="needs an FDE"):
        index.search("word1", mode="fde")
    index.set_fde(FDE)
    assert stored(index) == before
    index.set_fde(Muvera(2, 2, 4))
    assert stored(index) != before and index.stats().fde["repetitions"] == 2
    index.add([{"id": "new", "text": "word1"}])
    assert "new" in {hit.id for hit in index.search("word1", k=99, mode="fde")}


QUERIES = [f"word{n} word{n + 7} word{n + 9}" for n in range(30)]


def test_a_calibration_is_measured_and_stored(index, monkeypatch):
    index.add(documents(11, 300))
    index.delete([f"{n}" for n in range(0, 300, 5)])
    passages = index.stats().passages
    with pytest.raises(QueryError, match=r"recall: the FDE of this index is not calibrated.*index.calibrate"):
        index.search("word1", recall=0.9)
    found = index.calibrate(QUERIES)
    assert found.measured == passages == index.stats().fde["calibrated"]
    assert index._snapshots.take().encoding.fde.calibration == found
    monkeypatch.setattr(cost, "PATIENCE", 0.0)
    for recall in (0.8, 0.95):
        number = found.count(64, recall, passages)
        assert 10 < number < passages
        exact = index.search(QUERIES, mode="maxsim")
        some = index.search(QUERIES, mode="rerank", recall=recall)
        assert some == index.search(QUERIES, mode="auto", recall=recall)
        shared = [
            len({hit.id for hit in a} & {hit.id for hit in b}) / 10 for a, b in zip(exact, some, strict=True)
        ]
        assert np.mean(shared) >= recall - 0.02
    assert index.search("word1") == index.search("word1", mode="rerank", recall=0.99)
    assert index.search("word1", recall=1.0) == index.search("word1", mode="maxsim")


def test_an_index_measures_itself_by_its_own_texts(index):
    index.add([*documents(21, 250), {"id": "unspaced", "text": "字" * 5000}, {"id": "blank", "text": " "}])
    asked = own_queries(index._store.catalog, index._snapshots.take())
    assert asked == own_queries(index._store.catalog, index._snapshots.take()) and len(set(asked)) > 150
    assert len(asked) == 200 and all(len(query.split()) <= 8 and len(query) <= 8 * 17 for query in asked)
    texts = [document.text for document in index]
    assert all(any(query in text for text in texts) for query in asked if "字" not in query)
    found = index.calibrate()
    assert found.measured == index.stats().passages == index.stats().fde["calibrated"]
    assert found == index.calibrate([query for query in asked if query])


def test_a_stretch_is_two_to_eight_words_that_stand_side_by_side():
    random, text = np.random.default_rng(3), " ".join(map(str, range(100)))
    stretches = [list(map(int, stretch(text, random).split())) for _ in range(500)]
    assert {len(words) for words in stretches} == set(range(2, 9))
    assert all(words == list(range(words[0], words[0] + len(words))) for words in stretches)
    assert {0, 99} < {word for words in stretches for word in words}
    assert stretch("", random) == "" and stretch("one", random) == "one"


def test_a_calibration_stays_with_its_fde(fast_path):
    with Index(fast_path / "i", model=MODEL, fde=FDE) as index:
        index.add(documents(12, 60))
        found = index.calibrate(QUERIES)
        index.add(documents(13, 10))
        index.compact()
    with Index(fast_path / "i", model=MODEL, fde=FDE) as index:  # the same FDE, calibrated or not
        assert index.stats().fde["calibrated"] == found.measured
        index.set_fde(Muvera(2, 2, 4))
        assert index.stats().fde["calibrated"] is None
    with Index(model=MODEL, fde=calibrated(FDE, found)) as index:
        assert index.stats().fde["calibrated"] == found.measured


def test_what_cannot_be_calibrated(index):
    index.add([f"word{n}" for n in range(19)])
    with pytest.raises(FdeError, match="expected 20 passages or more, found 19: add documents"):
        index.calibrate(QUERIES)
    with pytest.raises(FdeError, match="expected 20 passages or more, found 19: add documents"):
        index.calibrate()
    with pytest.raises(FdeError, match="expected an iterable of queries, found int"):
        index.calibrate(3)
    index.add(documents(14, 40))
    with pytest.raises(FdeError, match="expected 20 queries or more with words in them, found 19"):
        index.calibrate([*QUERIES[:19], "..."])
    for queries, message in (([""], "query: it is empty"), ([3], "query: expected a string")):
        with pytest.raises(QueryError, match=message):
            index.calibrate(queries)
    index.set_fde(None)
    with pytest.raises(FdeError, match="the index has no FDE to calibrate: give it one with set_fde"):
        index.calibrate(QUERIES)


def test_an_fde_that_changes_while_it_is_measured(fast_path, monkeypatch):
    with Index(fast_path / "i", model=MODEL, fde=FDE) as index, Index(fast_path / "i", model=MODEL) as other:
        index.add(documents(15, 60))
        monkeypatch.setattr(
            calibration, "fit", lambda samples: other.set_fde(Muvera(2, 2, 4)) or fit(samples)
        )
        with pytest.raises(StoreError, match="given another FDE while this one was measured: start again"):
            index.calibrate(QUERIES)
        assert index.stats().fde["repetitions"] == 2 and index.stats().fde["calibrated"] is None


def test_stats_say_which_fde_there_is(fast_path):
    with Index(fast_path / "i", model=MODEL, fde=FDE) as index:
        index.add(["word1"])
        assert index.stats().fde == {"kind": "muvera", "dims": 64, **FDE.spec(), "calibrated": None}
    assert describe(fast_path / "i").fde == {"kind": "muvera", "dims": 64, **FDE.spec(), "calibrated": None}
    with Index(model=MODEL) as index:
        assert index.stats().fde is None


def test_a_stored_fde_is_used_without_being_told(fast_path):
    with Index(fast_path / "i", model=MODEL, fde=FDE) as index:
        index.add(documents(9, 20))
        hits = index.search("word1", mode="fde")
    for more in ({}, {"fde": "auto"}, {"fde": FDE}, {"fde": Muvera(4, 2, 4)}):
        with Index(fast_path / "i", model=MODEL, **more) as index:
            assert index.search("word1", mode="fde") == hits
    with pytest.raises(
        FdeMismatchError, match=r"expected the FDE none, found muvera .*: open it without fde"
    ):
        Index(fast_path / "i", model=MODEL, fde=None)


class Bringing(FakeModel):
    """A model with an FDE of its own, which counts how often it is asked for it."""

    def __init__(self, fde):
        super().__init__()
        self.found, self.asked = fde, 0

    @property
    def fde(self):
        self.asked += 1
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


def test_a_new_index_has_the_models_own_fde(fast_path):
    model = Bringing(FDE)
    for folder in (fast_path / "i", None):
        with Index(folder, model=model) as index:
            assert index.stats().fde == {"kind": "muvera", "dims": 64, **FDE.spec(), "calibrated": None}
    with Index(fast_path / "none", model=model, fde=None) as index:
        assert index.stats().fde is None
    with Index(fast_path / "other", model=model, fde=Muvera(2, 2, 4)) as index:
        assert index.stats().fde["repetitions"] == 2
    with Index(fast_path / "nothing", model=Bringing(None)) as index:
        assert index.stats().fde is None


def test_an_index_that_is_there_keeps_what_it_has(fast_path):
    for name, fde in (("with", Muvera(2, 2, 4)), ("without", None)):
        with Index(fast_path / name, model=MODEL, fde=fde) as index:
            before = index.stats().fde
        model = Bringing(FDE)
        with Index(fast_path / name, model=model) as index:
            assert index.stats().fde == before and model.asked == 0
            index.set_fde("auto")
            assert (
                index.stats().fde == {"kind": "muvera", "dims": 64, **FDE.spec(), "calibrated": None}
                and model.asked == 1
            )


def test_a_models_damaged_fde_is_told_where_it_would_be_used(fast_path):
    model = Bringing(FdeError("m/fde.safetensors: damaged"))
    with pytest.raises(FdeError, match="damaged"):
        Index(fast_path / "i", model=model)
    assert not (fast_path / "i").exists()
    with Index(fast_path / "i", model=model, fde=None) as index:
        index.add(["word1"])
        with pytest.raises(FdeError, match="damaged"):
            index.set_fde("auto")
    with Index(fast_path / "i", model=model) as index:
        assert len(index.search("word1")) == 1


def test_a_model_that_brings_no_fde(index):
    with pytest.raises(FdeError, match="the model 'fake' has none: name another, such as 'muvera'"):
        index.set_fde("auto")


def test_another_process_changes_the_fde(fast_path):
    with Index(fast_path / "i", model=MODEL) as reader, Index(fast_path / "i", model=MODEL) as writer:
        writer.add(documents(10, 20))
        assert reader.stats().fde is None
        writer.set_fde(FDE)
        hits = reader.search("word1", mode="fde")
        assert len(hits) == 10
        reader.add([{"id": "a", "text": "word1"}])  # with the FDE that the writer chose
        assert writer.search("word1", k=1, mode="fde")[0].id == "a"
        writer.set_fde(None)
        with pytest.raises(QueryError, match="needs an FDE"):
            reader.search("word1", mode="fde")


@pytest.mark.parametrize("has", [None, Muvera(4, 2, 3)])
def test_an_index_with_another_fde_or_none(fast_path, has):
    with Index(fast_path / "i", model=MODEL, fde=has) as index:
        index.add(["word1"])
    found = "none" if has is None else "muvera {.*'projection': 3"
    with pytest.raises(FdeMismatchError, match=f"expected the FDE muvera .*'projection': 4.*, found {found}"):
        Index(fast_path / "i", model=MODEL, fde=FDE)


class Fitted(Muvera):
    """An FDE that was made for one model."""

    model = "f" * 64


def test_an_fde_of_another_model(index, fast_path):
    for call in (lambda: Index(fast_path / "i", model=MODEL, fde=Fitted()), lambda: index.set_fde(Fitted())):
        with pytest.raises(FdeMismatchError, match="made for the model of fingerprint ffffffffffff"):
            call()
    assert not (fast_path / "i").exists()


def test_an_fde_that_does_not_fit(fast_path):
    with pytest.raises(FdeError, match="projection: expected at most the rows' 6 dims, found 16"):
        Index(fast_path / "i", model=MODEL, fde="muvera")
    with pytest.raises(FdeError, match="fde: expected one of muvera, txtai, fastembed"):
        Index(fast_path / "i", model=MODEL, fde="lemur")
    assert not (fast_path / "i").exists()


def test_segments_of_another_fde_are_found(fast_path):
    for name, fde in (("i", FDE), ("other", Muvera(2, 2, 4))):
        with Index(fast_path / name, model=MODEL, fde=fde) as index:
            index.add(["word1"])
    (fast_path / "other" / "segments" / "1.seg").replace(fast_path / "i" / "segments" / "1.seg")
    with (
        Index(fast_path / "i", model=MODEL) as index,
        pytest.raises(CorruptError, match="the catalogue names"),
    ):
        index.search("word1")


def test_a_damaged_fde_is_named(fast_path):
    with Index(fast_path / "i", model=MODEL, fde=FDE) as index:
        index.add(["word1"])
        with index._store.hold_lock(), index._store.transaction() as transaction:
            transaction.set_fde(b"no FDE")
        assert len(index.search("word1")) == 1  # MaxSim needs none
        with pytest.raises(CorruptError, match=r"not a safetensors file.*restore a copy"):
            index.search("word1", mode="fde")
        assert ["not a safetensors file" in damage.message for damage in index.verify()] == [True]
    with pytest.raises(CorruptError, match="not a safetensors file"):
        Index(fast_path / "i", model=MODEL, fde=FDE)


@pytest.mark.parametrize("fde", [None, FDE, Muvera(2, 3, 4, final=13)])
def test_the_catalogue_tells_which_segments_have_fdes(fast_path, fde):
    with Index(fast_path / "i", model=MODEL, fde=fde) as index:
        for count in (1, 15, 16, 17, 40):
            index.add(documents(count, count))
        snapshot = index._snapshots.take()
        assert len(snapshot.views) > 1
        for number, view in snapshot.views.items():
            summary = snapshot.state.segments[number]
            assert summary.has_fdes(MODEL.dims, 8) == (view.segment.fde is not None) == (fde is not None)
            assert file_bytes(summary.passages, summary.rows, view.segment.widths) == summary.bytes


def test_a_write_opens_no_segment(index, monkeypatch):
    index.add(documents(1, 20))
    monkeypatch.setattr(Segment, "__init__", lambda *_: pytest.fail("a segment was opened"))
    if index.folder is not None:  # in memory a new segment is opened when it is sealed
        index.add([{"id": "a", "text": "word1"}])
    index.delete("1")


@pytest.mark.parametrize("where", ["memory", "folder"])
@pytest.mark.parametrize("before", [0, 5, 30])
def test_one_commit_may_cross_the_size_from_which_fdes_are_needed(fast_path, monkeypatch, where, before):
    monkeypatch.setattr(cost, "needs_fdes", lambda dims, rows: rows > 100)
    with Index(fast_path / "i" if where == "folder" else None, model=Bringing(FDE)) as index:
        for number in range(before):
            index.add([{"id": f"before {number}", "text": f"word{number % 7}"}])
        index.add(({"id": f"{number}", "text": f"word{number} word1"} for number in range(200)), batch=10)
        assert len(index) == 200 + before and index.verify() == []
        assert all(view.segment.fde is not None for view in index._snapshots.take().views.values())
        with Index(model=Bringing(FDE)) as other:  # where all have FDEs from the first on
            monkeypatch.setattr(cost, "needs_fdes", lambda dims, rows: True)
            other.add(index.documents())
            query = {"mode": "fde", "k": 20}
            assert index.search("word1 word150", **query) == other.search("word1 word150", **query)


def test_fdes_are_made_when_the_index_grows_large(fast_path, monkeypatch):
    with Index(fast_path / "i", model=Bringing(FDE)) as index:
        index.add(documents(1, 20))
        index.add([{"id": "a", "text": "word1"}])
        views = index._snapshots.take().views.values()
        assert [view.segment.fde for view in views] == [None, None]
        before = index.search("word1 word2", k=9, mode="fde")  # made in memory
        monkeypatch.setattr(cost, "PATIENCE", 0.0)
        assert index.search("word1", k=9) == index.search("word1", k=9, mode="maxsim")  # none are stored
        index.add([{"id": "b", "text": "..."}])
        assert all(view.segment.fde is not None for view in index._snapshots.take().views.values())
        assert index.search("word1 word2", k=9, mode="fde") == before and index.verify() == []
