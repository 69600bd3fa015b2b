"""Scores, intervals and comparisons of rankings that an index, BM25 and exact MaxSim give."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

import femtosearch as fs
from femtosearch.errors import QueryError, ReadError
from femtosearch.evaluation import LOSS_MODES, Evaluation, compare, losses, plot, rankings, read_source
from femtosearch.evaluation.confidence import interval, randomisation
from femtosearch.evaluation.measures import MEASURES, measure
from femtosearch.evaluation.rankings import MODES, ScoredCollection, by_rows
from femtosearch.evaluation.report import counted, loss_table, table, write_runs
from femtosearch.evaluation.rules import RULES

from .collections import DOCUMENTS, QRELS, QUERIES, write_beir


def quiet(*_):
    pass


def test_measures_are_what_their_definitions_say():
    found = measure(
        {"q": ["x", "b", "a"], "none": []}, {"q": {"a": 2, "b": 1}, "none": {"a": 1}, "un": {"b": 1}}
    )
    gain = 1 / math.log2(3) + 2 / math.log2(4)
    assert found["q"]["ndcg@10"] == pytest.approx(gain / (2 + 1 / math.log2(3)))
    assert (found["q"]["mrr@10"], found["q"]["recall@1"], found["q"]["recall@100"]) == (0.5, 0, 1)
    assert found["q"]["precision@3"] == pytest.approx(2 / 3) and found["q"]["accuracy@1"] == 0
    assert found["q"]["map@100"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert found["none"] == found["un"] == dict.fromkeys(MEASURES, 0.0)


def test_equal_scores_keep_the_order_that_they_came_in():
    assert measure({"q": ["b", "a"]}, {"q": {"a": 1}})["q"]["mrr@10"] == 0.5


def test_every_mode_is_scored(beir, tiny):
    found = fs.evaluate(beir, tiny, modes=MODES)
    (one,) = found.sets
    assert set(one.modes) == set(found.means) == set(MODES)
    assert (one.documents, one.queries) == (4, 3)
    assert one.modes["bm25"].means["ndcg@10"].mean == pytest.approx(1)
    assert one.modes["rerank"].bytes == one.modes["maxsim"].bytes + one.modes["fde"].bytes
    assert one.modes["bm25"].bytes is None
    for mode in ("maxsim", "rerank", "fde", "bm25"):
        assert one.modes[mode].milliseconds > 0
    assert one.modes["exact"].milliseconds is None


def test_exact_is_maxsim_over_float_rows_with_ties_by_id(tiny):
    documents = [fs.Document(name, text) for name, text in [*DOCUMENTS.items(), ("d0", DOCUMENTS["d1"])]]
    subject = ScoredCollection("toy", documents, QUERIES, {}, RULES["beir"])
    scores = fs.maxsim(
        tiny.encode_queries([QUERIES["q1"]]), tiny.encode_documents([d.text for d in documents])
    )
    wanted = sorted(
        zip((d.id for d in documents), scores[0], strict=True), key=lambda pair: (-pair[1], pair[0])
    )
    for uncut in (False, True):  # no text is longer than a passage
        found = by_rows(subject, tiny, quiet, uncut=uncut).rankings["q1"]
        assert [name for name, _ in found] == [name for name, _ in wanted]
        np.testing.assert_allclose([score for _, score in found], [score for _, score in wanted], rtol=1e-6)


def test_chunks_of_documents_change_nothing(tiny, monkeypatch):
    documents = [fs.Document(f"{n:03}", "cat moon " * (n % 5 + 1)) for n in range(300)]
    subject = ScoredCollection("toy", documents, {"q": "cat", "blank": " "}, {}, RULES["beir"])
    one = by_rows(subject, tiny, quiet, uncut=False).rankings
    monkeypatch.setattr(rankings, "CHUNK", 7)
    assert by_rows(subject, tiny, quiet, uncut=False).rankings == one
    assert len(one["q"]) == 100 and one["blank"] == []


@pytest.mark.parametrize("rules", ["beir", "txtai"])
def test_a_query_does_not_find_its_own_document(tmp_path, tiny, rules):
    folder = write_beir(tmp_path / "own", queries={"d1": DOCUMENTS["d1"]}, qrels="d1\td4\t1\nd1\td2\t0\n")
    for mode in ("maxsim", "exact", "bm25"):
        rankings = [
            fs.evaluate(folder, tiny, modes=[mode], rules=name).sets[0].modes[mode].rankings["d1"]
            for name in ("sentence-transformers", rules)
        ]
        assert "d1" in dict(rankings[0])
        assert rankings[1] == [pair for pair in rankings[0] if pair[0] != "d1"]


@pytest.mark.parametrize(("rules", "mean"), [("beir", 2 / 3), ("txtai", 2 / 3)])
def test_a_query_with_nothing_relevant_counts_as_nothing(tmp_path, tiny, rules, mean):
    qrels = "q1\td1\t0\nq1\td4\t-1\nq2\td2\t3\nq3\td3\t1\n"
    found = fs.evaluate(write_beir(tmp_path / "toy", qrels=qrels), tiny, modes=["bm25"], rules=rules)
    assert found.sets[0].queries == 3
    assert found.means["bm25"]["ndcg@10"].mean == pytest.approx(mean)
    assert set(found.sets[0].modes["bm25"].queries["q1"].values()) == {0.0}


def test_a_set_with_nothing_relevant_is_an_error_of_its_own(beir, tmp_path, tiny):
    bare = write_beir(tmp_path / "bare", qrels="q1\td1\t0\nq2\td2\t-1\n")
    both, alone = (fs.evaluate(sources, tiny, modes=["bm25"]) for sources in ([bare, beir], [beir]))
    assert both.means == alone.means and [result.name for result in both.sets] == ["toy"]
    assert list(both.errors) == ["bare"]
    assert both.errors["bare"].startswith("bare: expected a query with a relevant document, found 2 queries")
    path = tmp_path / "both.json"
    path.write_text(json.dumps(both.json()))
    assert Evaluation.read(path).errors == both.errors
    with pytest.raises(ReadError, match="bare: expected a query with a relevant document"):
        fs.evaluate(bare, tiny, modes=["bm25"])


@pytest.mark.slow
def test_an_interval_holds_the_mean_and_shrinks_with_queries():
    rng = np.random.default_rng(3)
    wide, narrow = (interval([rng.random((count, 1))])[0] for count in (20, 2000))
    assert wide.low < wide.mean < wide.high
    assert narrow.high - narrow.low < (wide.high - wide.low) / 5
    assert narrow.high - narrow.low == pytest.approx(2 * 1.96 * math.sqrt(1 / 12 / 2000), rel=0.1)
    assert interval([np.ones((5, 2))])[0].low == 1


def test_randomisation_tells_a_difference_from_noise():
    rng = np.random.default_rng(4)
    first, noise = rng.random(200), rng.normal(0, 0.1, 200)
    assert randomisation(first, first + noise + 0.05) < 0.001
    assert randomisation(first, first + noise - noise.mean()) > 0.9
    signs = np.array([1.0, -1.0, 1.0, 1.0])  # of 16 sign flips, 10 are as far from 0 as the sum of 2
    assert randomisation(signs, np.zeros(4), draws=100_000) == pytest.approx(10 / 16, abs=0.01)


def test_a_second_evaluation_encodes_nothing(beir, tiny, cache, monkeypatch):
    first = fs.evaluate(beir, tiny, modes=["maxsim"])
    assert len(list((cache / "evaluate").iterdir())) == 1
    monkeypatch.setattr(type(tiny), "encode_passages", None)
    assert fs.evaluate(beir, tiny, modes=["maxsim"]).means == first.means


def test_a_kept_index_gets_the_words_of_today(beir, tiny, cache):
    first = fs.evaluate(beir, tiny, modes=["hybrid"])
    (place,) = (cache / "evaluate").iterdir()
    with fs.Index(place, model=tiny) as index:
        index.set_words(False)
    assert fs.evaluate(beir, tiny, modes=["hybrid"]).means == first.means
    with fs.Index(place, model=tiny) as index:
        assert index.stats().plain_words


def test_other_documents_are_another_index(tmp_path, tiny, cache):
    for name in ("a", "b"):
        fs.evaluate(write_beir(tmp_path / name, {**DOCUMENTS, "d9": name}), tiny, modes=["maxsim"])
    assert len(list((cache / "evaluate").iterdir())) == 2


def test_a_damaged_index_is_made_anew(beir, tiny, cache):
    first = fs.evaluate(beir, tiny, modes=["maxsim"])
    (place,) = (cache / "evaluate").iterdir()
    (place / "catalog.db").write_bytes(b"no database at all")
    assert fs.evaluate(beir, tiny, modes=["maxsim"]).means == first.means


def test_json_reads_back(beir, tiny, tmp_path):
    found = fs.evaluate(beir, tiny, modes=["maxsim", "exact"], limit=2)
    path = tmp_path / "found.json"
    path.write_text(json.dumps(found.json()))
    bare = tuple(
        replace(one, modes={mode: replace(result, rankings={}) for mode, result in one.modes.items()})
        for one in found.sets
    )
    assert Evaluation.read(path) == replace(found, sets=bare) and found.sets[0].queries == 2


@pytest.mark.parametrize("content", ["[]", "{}", '{"kind": "femtosearch evaluation", "sets": []}', "\x00"])
def test_a_file_of_something_else_is_said(tmp_path, content):
    path = tmp_path / "other.json"
    path.write_text(content)
    with pytest.raises(ReadError, match="expected what femtosearch evaluate --json prints"):
        Evaluation.read(path)
    with pytest.raises(ReadError, match="cannot be read"):
        Evaluation.read(tmp_path / "none.json")


def test_compare_goes_query_by_query(beir, tmp_path, tiny):
    found = fs.evaluate(beir, tiny, modes=["maxsim"])
    (same,) = compare(found, found)
    assert same.noise and same.p_value == 1 and same.first == same.second and same.queries == 3
    other = fs.evaluate(beir, tiny, modes=["bm25"])
    (apart,) = compare(found, other)
    assert apart.modes == ("maxsim", "bm25") and apart.second == other.means["bm25"]["ndcg@10"].mean
    with pytest.raises(QueryError, match="expected evaluations of the same collections, found toy and else"):
        compare(found, fs.evaluate(write_beir(tmp_path / "else"), tiny, modes=["maxsim"]))
    with pytest.raises(QueryError, match="measure: expected one of ndcg@10"):
        compare(found, found, "ndcg@11")
    with pytest.raises(QueryError, match="expected a mode that both have"):
        compare(found, fs.evaluate(beir, tiny, modes=["bm25", "exact"]))


def test_losses_go_from_float_rows_to_the_fde(beir, tiny):
    found = fs.evaluate(beir, tiny, modes=LOSS_MODES)
    rows = losses(found.sets[0])
    assert [row.step.mode for row in rows] == list(LOSS_MODES) and rows[0].change is None
    for row in rows[1:]:
        before = next(one for one in rows if one.step.mode == row.step.after)
        assert row.change == pytest.approx(row.value - before.value) and 0 < row.p_value <= 1
    assert "rerank: only the candidates" in loss_table(found)


def test_the_table_has_a_row_a_collection_and_mode(tmp_path, tiny):
    folders = [write_beir(tmp_path / name) for name in ("one", "two")]
    found = fs.evaluate(folders, tiny, modes=["bm25", "maxsim"])
    lines = table(found).splitlines()
    assert len(lines) == 1 + 4 + 2 and "1.0000 [1.000, 1.000]" in lines[1]
    assert lines[-1].startswith("mean") and len(table(found, every=True).splitlines()) == len(lines)
    assert counted(found) == [f"{name}: 4 documents without a title" for name in ("one", "two")]


def test_runs_are_in_trecs_format(beir, tiny, tmp_path):
    found = fs.evaluate(beir, tiny, modes=["bm25"])
    (path,) = write_runs(found, tmp_path / "run.trec")
    rows = [line.split() for line in path.read_text().splitlines()]
    assert path.name == "run.trec" and {row[1] for row in rows} == {"Q0"}
    assert [row[3] for row in rows if row[0] == "q1"] == ["1", "2"]
    two = fs.evaluate(beir, tiny, modes=["bm25", "exact"])
    names = [path.name for path in write_runs(two, tmp_path / "run.trec")]
    assert names == ["run.toy.bm25.trec", "run.toy.exact.trec"]


def test_a_plot_is_written_in_both_forms(beir, tiny, tmp_path):
    pytest.importorskip("matplotlib")
    found = fs.evaluate(beir, tiny, modes=["maxsim", "fde", "bm25"])
    png, svg = plot(found, tmp_path / "cost.png")
    assert png.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" and "<svg" in svg.read_text()
    with pytest.raises(QueryError, match="expected a mode that is searched, found none"):
        plot(replace(found, means={}), tmp_path / "none")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"modes": ["best"]}, "mode: expected one of maxsim"),
        ({"modes": []}, "modes: expected one or more of"),
        ({"rules": "mteb"}, "rules: expected one of beir, txtai"),
        ({"limit": 0}, "limit: expected a whole number of 1 or more, found 0"),
        ({"candidates": 0, "modes": ["rerank"]}, "candidates: expected a whole number"),
    ],
)
def test_wrong_arguments_are_said(beir, tiny, how, said):
    with pytest.raises(QueryError, match=said):
        fs.evaluate(beir, tiny, **how)


def test_two_collections_of_one_name_are_said(tmp_path, tiny):
    folders = [write_beir(tmp_path / part / "toy") for part in ("a", "b")]
    with pytest.raises(QueryError, match="found 'toy' twice"):
        fs.evaluate(folders, tiny)
    with pytest.raises(QueryError, match="expected one collection or more, found none"):
        fs.evaluate([], tiny)


def test_a_missing_relevant_document_counts_against_the_score(tmp_path, tiny):
    folder = write_beir(tmp_path / "toy", qrels=QRELS + "q2\tgone\t1\n")
    values = fs.evaluate(folder, tiny, modes=["bm25"]).sets[0].modes["bm25"].queries
    assert values["q2"]["recall@100"] == 0.5 and read_source(folder)[0].grades["q2"]["gone"] == 1
