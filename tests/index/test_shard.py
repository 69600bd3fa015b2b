"""Sums and counts that do not depend on the order of documents, nor on the shards that they are in."""

import numpy as np
import pytest

from femtosearch.index.fusion import Moments
from femtosearch.index.index import Index
from femtosearch.index.postings import inverse_document_frequency
from femtosearch.index.queries import Query, encoded
from femtosearch.index.request import check_request
from femtosearch.index.shard import First, Question, Second, Shard, second_of
from femtosearch.index.word_table import WordStatistics

from ..fakes import FakeModel

DRAW = np.random.Generator(np.random.PCG64(1))
SCORES = (DRAW.standard_normal(3000) * 3 + 9).astype(np.float32)


def test_moments_are_those_of_numpy():
    moments = Moments.of(SCORES, len(SCORES))
    assert moments.mean == pytest.approx(SCORES.astype(np.float64).mean(), abs=1e-6)
    assert moments.spread == pytest.approx(SCORES.astype(np.float64).std(), rel=1e-6)


@pytest.mark.parametrize("cuts", [[], [1], [1000, 2000], [0, 0, 2999]])
def test_moments_are_the_same_bits_in_any_shards(cuts):
    shards = np.split(DRAW.permutation(SCORES), cuts)
    assert Moments.joined(Moments.of(shard, len(shard)) for shard in shards) == Moments.of(
        SCORES, len(SCORES)
    )


def test_a_sample_stands_for_its_passages():
    small, large = Moments.of(np.float32([1, 3]), 2), Moments.of(np.float32([5, 7]), 6)
    joined = Moments.joined([small, large, Moments(4)])
    assert (joined.passages, joined.count) == (8, 8)
    assert joined.mean == (1 + 3 + 3 * 5 + 3 * 7) / 8


def test_passages_without_rows_weigh_nothing():
    shards = [Moments.of(np.float32([1, -np.inf, -np.inf, -np.inf]), 4), Moments.of(np.float32([3]), 1)]
    assert Moments.joined(shards).mean == 2


@pytest.mark.parametrize("scores", [[], [-np.inf], [np.nan], [7.0], [1e30, -1e30], [3.0] * 5])
def test_odd_scores_have_moments(scores):
    moments = Moments.of(np.array(scores, np.float32), len(scores))
    assert np.isfinite([moments.mean, moments.spread]).all()
    if len(set(scores)) == 1:
        assert moments.spread == 0


def test_a_score_does_not_depend_on_the_order_of_adding():
    texts = [
        {"id": f"d{n}", "text": f"moon {['cat', 'dog', 'sun', 'sea'][n % 4]} w{n % 50}"} for n in range(900)
    ]
    indexes = [Index(model=FakeModel()), Index(model=FakeModel())]
    indexes[0].add(texts)
    indexes[1].add(texts[::-1])
    for query in ("moon", "moon cat", '"moon dog" w3', "sun sea"):
        assert indexes[0].search(query, k=40) == indexes[1].search(query, k=40)
        assert indexes[0].search(query, k=400, hybrid=1) == indexes[1].search(query, k=400, hybrid=1)


def question(k=10, documents=1000):
    statistics = WordStatistics(documents, documents, 10 * documents)
    rows = np.zeros((1, 6), np.float32)
    return Question("q", Query("a", (rows,), rows), check_request(["a"], k), statistics, documents)


def test_the_best_of_all_shards_are_cut_where_one_index_would():
    few = [First((Moments(),), ([3.0, 2.0], [], [])), First((Moments(),), ([5.0], [1.0], []))]
    assert second_of(question(), few).least == (-np.inf, -np.inf, -np.inf)
    many = [
        First((Moments(),), ([9.0] * 200 + [4.0] * 3, [], [])),
        First((Moments(),), ([8.0] * 99 + [4.0], [], [])),
    ]
    assert second_of(question(), many).least[0] == 4.0
    assert second_of(question(k=400), many).least[0] == -np.inf


def test_nobody_answered():
    assert second_of(question(), []) == Second((Moments(),), (-np.inf,) * 3)


def test_fts5s_weight():
    assert inverse_document_frequency(100, 1) == pytest.approx(np.log(99.5 / 1.5))
    assert inverse_document_frequency(100, 80) == 1e-6


def test_a_shard_that_was_not_asked_first_answers_alike():
    index = Index(model=FakeModel())
    index.add([{"id": f"d{n}", "text": f"moon w{n % 7} " * (1 + n % 9)} for n in range(60)])
    [query] = encoded(index.model, ["moon w3"])
    shard, other = Shard(index), Shard(index)
    totals = shard.totals()
    phrases = ('"moon"', '"w3"', '"moon w3"', '"w 3"')
    counts = dict(zip(phrases, shard.counts(phrases), strict=True))
    statistics = WordStatistics(totals.documents, totals.rows, totals.tokens, counts)
    asked = Question("one", query, check_request(["moon w3"]), statistics, totals.passages)
    second = second_of(asked, [shard.begin(asked)])
    assert shard.finish(asked, second) == other.finish(asked, second) == index.search("moon w3")
    assert shard.finish(asked, second) == index.search("moon w3")
