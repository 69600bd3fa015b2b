"""How far MaxSim goes down a list of candidates."""

import math

import numpy as np
import pytest

from femtosearch.fde import Calibration, Muvera
from femtosearch.index import cost
from femtosearch.index import ranking as search_module
from femtosearch.index import rescoring as rescoring_module
from femtosearch.index.index import Index
from femtosearch.index.rescoring import FIRST, _above, _kth_best, scored_far_enough, widening_of
from femtosearch.index.snapshot import Snapshot

from ..fakes import FakeModel


def candidates(noise, count=20_000, seed=0):
    """Products, and the MaxSim that they predict with so much noise."""
    draw = np.random.default_rng(seed)
    products = draw.normal(size=count).astype(np.float32)
    return products, (3 * products + noise * draw.normal(size=count) + 5).astype(np.float32)


def rescore(products, maxsim, owners=None, *, most_missed=0.1, k=10, widening=1.25):
    asked = []

    def score(chosen):
        asked.append(int(chosen.sum()))
        return maxsim[chosen]

    owners = np.arange(len(products)) if owners is None else owners
    scored, scores = scored_far_enough(
        products, owners, score, most_missed=most_missed, k=k, widening=widening
    )
    assert scores.tolist() == maxsim[scored].tolist() and sum(asked) == scored.sum()
    return scored


@pytest.mark.parametrize("noise", [0.0, 0.1, 0.5, 1.0, 2.0])
def test_the_best_are_found_and_the_less_is_scored_the_better_the_products_are(noise):
    missed, counts = [], []
    for seed in range(20):
        products, maxsim = candidates(noise, seed=seed)
        scored = rescore(products, maxsim)
        best = np.argsort(-maxsim)[:10]
        missed.append(10 - scored[best].sum())
        counts.append(scored.sum())
        assert products[scored].min() > products[~scored].max(initial=-np.inf)
    assert np.mean(missed) <= 0.1
    assert np.mean(counts) < {0.0: 513, 0.1: 513, 0.5: 1100, 1.0: 3000, 2.0: 12_000}[noise]


def test_the_less_may_be_missed_the_more_is_scored():
    products, maxsim = candidates(1.0)
    counts = [rescore(products, maxsim, most_missed=missed).sum() for missed in (5, 0.1, 1e-4, 0)]
    assert counts == sorted(counts) and counts[0] < counts[2] < counts[3] == 20_000


def test_products_that_say_nothing_end_nothing():
    draw = np.random.default_rng(3)
    assert rescore(draw.normal(size=5000).astype("f4"), draw.normal(size=5000).astype("f4")).all()
    assert rescore(np.zeros(3000, np.float32), np.arange(3000, dtype=np.float32)).all()
    assert rescore(np.arange(3000, dtype=np.float32), np.full(3000, -np.inf, np.float32)).all()
    opposed = np.arange(3000, dtype=np.float32)
    assert rescore(opposed, -opposed).all()


@pytest.mark.parametrize("count", [0, 1, 9, FIRST, FIRST + 1])
def test_few_candidates(count):
    products, maxsim = candidates(1.0, count)
    assert rescore(products, maxsim).sum() == count or count > FIRST


def test_equal_products_are_scored_together():
    products = np.repeat(np.arange(40, dtype=np.float32), 100)
    scored = rescore(products, products * 2)
    assert scored.sum() == 600 and set(products[scored]) == {34, 35, 36, 37, 38, 39}


def test_a_document_counts_once():
    """The ten best passages may be of one document; then others are still to come."""
    products = -np.arange(8000, dtype=np.float32)
    noise = np.random.default_rng(4).normal(size=8000).astype(np.float32)
    maxsim = products / 100 + noise * 2
    alone = rescore(products, maxsim)
    owners = np.maximum(np.arange(8000) - 2000, 0)  # the first 2,000 are one document's
    assert alone.sum() < 2048 < rescore(products, maxsim, owners).sum()


def test_the_kth_best_document():
    scores, owners = np.array([5, 9, 1, 7, 3], np.float32), np.array([1, 1, 2, 3, 2])
    assert [_kth_best(scores, owners, k) for k in (1, 2, 3, 4)] == [9, 7, 3, -np.inf]
    assert _kth_best(scores[:0], owners[:0], 1) == -np.inf


def test_the_share_of_a_normal_distribution():
    z = np.array([-40, -3, -0.5, 0, 0.1, 1, 2, 5, 40])
    expected = [math.erfc(number / math.sqrt(2)) / 2 for number in z]
    assert np.abs(_above(z) - expected).max() < 1e-7


def test_the_fewer_numbers_the_longer_the_tails():
    assert widening_of(2048, None) == widening_of(2048, 2048) == 1.25
    assert 1.25 < widening_of(2048, 1024) < widening_of(2048, 256) < 2


CAREFUL = Calibration((5120,), (0.99,), (1000, 4000), (((300, 1200),),), 4000)  # three of ten are candidates


@pytest.fixture(scope="module")
def large():
    """4,000 documents of up to four passages, some of them deleted again, and an FDE that is good at them."""
    rng = np.random.default_rng(5)
    words = [f"word{n}" for n in range(60)]
    with Index(model=FakeModel(16), fde=Muvera(40, 3, 16, calibration=CAREFUL)) as index:
        index.add(
            {"id": f"{n:04}", "text": " ".join(rng.choice(words, rng.integers(1, 32))), "n": n}
            for n in range(4000)
        )
        index.delete(where={"n": {"$gte": 3900}})
        yield index, [" ".join(rng.choice(words, rng.integers(3, 8))) for _ in range(40)]


@pytest.mark.parametrize("how", [{}, {"hybrid": 0.4}, {"where": "n < 2000"}, {"k": 20}, {"per": {"n": 1}}])
def test_a_search_that_ends_early_finds_what_all_candidates_would(large, how, monkeypatch):
    index, queries = large
    counts, original = [], search_module.scored_far_enough

    def counted(products, owners, score, **options):
        scored, scores = original(products, owners, score, **options)
        counts.append((int(scored.sum()), len(products)))
        return scored, scores

    monkeypatch.setattr(search_module, "scored_far_enough", counted)
    monkeypatch.setattr(rescoring_module, "FIRST", 64)
    assert np.mean([share_found(index, query, how) for query in queries]) > 0.95
    assert counts and any(scored < candidates for scored, candidates in counts)


def share_found(index, query, how):
    """How many of the exact hits are found with an FDE; of equal ones others may be."""
    exact = {hit.id: hit.score for hit in index.search(query, mode="maxsim", length_penalty=0, **how)}
    hits = index.search(query, mode="rerank", recall=0.99, length_penalty=0, **how)
    assert len(hits) == len(exact)
    if how.get("hybrid"):
        return sum(hit.id in exact for hit in hits) / len(exact)
    assert all(hit.score == exact[hit.id] for hit in hits if hit.id in exact)
    return sum(hit.score >= min(exact.values()) for hit in hits) / len(exact)


SPLIT = Calibration((5120, 128), (0.99,), (1000, 4000), (((300, 1200),), ((800, 2800),)), 4000)
LONG = " ".join(f"word{n}" for n in range(60)) * 9


@pytest.mark.parametrize("how", [{}, {"hybrid": 0.4}, {"where": "n < 2000"}, {"k": 12}, {"per": {"n": 1}}])
def test_the_first_numbers_choose_of_what_all_numbers_are_read(large, how, monkeypatch):
    index, queries = large
    index.set_fde(Muvera(40, 3, 16, calibration=SPLIT))
    monkeypatch.setattr(cost, "_REST", 0.0)
    monkeypatch.setattr(cost, "_BYTE", 1e-6)
    counts, coarse, original = [], [], Snapshot.candidates

    def recorded(self, vector, count, alive, steps):
        counts.append(count)
        coarse.append(steps)
        return original(self, vector, count, alive, steps)

    monkeypatch.setattr(Snapshot, "candidates", recorded)
    assert np.mean([share_found(index, query, how) for query in [*queries, LONG]]) > 0.95
    assert len(coarse) >= len(queries) and max(coarse) > 1000
    counts.clear()
    index.search(LONG, mode="rerank", recall=0.99, **how)
    pieces = len(counts)  # whose candidates are all scored
    assert pieces == 1 or sum(counts) <= 1.2 * SPLIT.candidates[0][0][1] + pieces
    index.set_fde(Muvera(40, 3, 16, calibration=CAREFUL))
