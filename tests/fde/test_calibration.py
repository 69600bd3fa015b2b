"""Calibration: what is measured, what is promised elsewhere, and what a file may not say."""

import json
from dataclasses import replace

import numpy as np
import pytest

from femtosearch.codes import maxsim_codes, quantise
from femtosearch.errors import FdeError, ShapeError
from femtosearch.fde import Calibration, Muvera, calibrate, calibrated, inner_products, restore_fde, store_fde
from femtosearch.fde.calibration import PASSAGES, RECALLS, Sample, fit, prefixes_of
from femtosearch.types import Rows

TABLE = Calibration((64, 16), (0.5, 0.9), (1000, 4000), (((5, 10), (10, 40)), ((7, 7), (99, 100))), 2000)
FDE = Muvera(4, 3, None)


def unit_rows(seed, texts, length, dims=8):
    rows = np.random.default_rng(seed).standard_normal((texts * length, dims)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return Rows(rows, length * np.arange(texts + 1))


def test_a_power_law_between_and_beyond_what_was_measured():
    assert [TABLE.count(64, 0.9, n) for n in (1000, 2000, 4000, 16_000)] == [10, 20, 40, 160]
    assert [TABLE.count(64, 0.5, n) for n in (1000, 4000, 16_000, 64_000)] == [5, 10, 20, 40]
    assert TABLE.count(64, 0.9, 1) == 1 and TABLE.count(64, 0.9, 7) == 7 and TABLE.count(64, 0.9, 500) == 10
    assert TABLE.count(16, 0.5, 10**6) == 7


def test_between_recalls_the_next_higher_one_and_beyond_them_everything():
    assert TABLE.count(64, 0.6, 1000) == TABLE.count(64, 0.9, 1000) == 10
    assert TABLE.count(64, 0.1, 1000) == 5
    assert TABLE.count(64, 0.91, 1234) == TABLE.count(64, 1.0, 1234) == 1234


def test_what_is_said_comes_back():
    assert Calibration.restore(json.loads(json.dumps(TABLE.spec()))) == TABLE


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"later": 1}, "expected prefixes, recalls, passages, candidates and measured"),
        ({"prefixes": []}, "prefixes: expected falling numbers above 0"),
        ({"prefixes": [16, 64]}, "prefixes: expected falling"),
        ({"prefixes": [64, 0]}, "prefixes: expected falling"),
        ({"prefixes": [64, "16"]}, "prefixes: expected falling"),
        ({"recalls": [0.5, 1.0]}, "recalls: expected rising"),
        ({"recalls": [0.9, 0.5]}, "recalls: expected rising"),
        ({"recalls": [float("nan"), 0.5]}, "recalls: expected rising"),
        ({"passages": [1000.0, 4000]}, "passages: expected rising"),
        ({"passages": 1000}, "passages: expected rising"),
        ({"passages": list(range(1, 99))}, "passages: expected rising"),
        ({"candidates": [[[5, 10], [10, 40]]]}, "candidates: expected 2 tables"),
        ({"candidates": [[[5, 10]], [[7, 7], [9, 9]]]}, "candidates: expected 2 rows of 2 whole numbers"),
        ({"candidates": [[[5], [10, 40]], [[7, 7], [9, 9]]]}, "candidates: expected 2 rows of 2"),
        ({"candidates": [[[5, 0], [10, 40]], [[7, 7], [9, 9]]]}, "candidates: expected 2 rows of 2"),
        ({"candidates": [[[5, True], [10, 40]], [[7, 7], [9, 9]]]}, "candidates: expected 2 rows of 2"),
        ({"candidates": [[[5, 1 << 50], [10, 40]], [[7, 7], [9, 9]]]}, "candidates: expected 2 rows of 2"),
        ({"measured": -1}, "measured: expected"),
    ],
)
def test_what_a_file_may_not_say(changed, message):
    with pytest.raises(FdeError, match=f"calibration: {message}"):
        Calibration.restore(TABLE.spec() | changed)


@pytest.mark.parametrize("spec", [None, 3, "x", [], {}])
def test_what_is_no_calibration(spec):
    with pytest.raises(FdeError, match="calibration: expected prefixes"):
        Calibration.restore(spec)


def test_an_fde_is_stored_with_its_calibration():
    fde = calibrated(FDE, TABLE)
    found = restore_fde(store_fde(fde, 8), "here")
    assert found.calibration == TABLE and found == fde == FDE and found.spec() == FDE.spec()
    assert restore_fde(store_fde(calibrated(found, None), 8), "here").calibration is None
    with pytest.raises(FdeError, match="here: calibration: recalls"):
        restore_fde(store_fde(calibrated(fde, replace(TABLE, recalls=(2.0, 3.0))), 8), "here")


def test_prefixes_are_halves():
    assert prefixes_of(10_240) == (10_240, 5_120, 2_560, 1_280, 640, 320)
    assert prefixes_of(100) == (100,)


def test_a_sample_finds_the_depth_that_there_is():
    """Products that put each of the best ten at a known rank."""
    count, rng = 400, np.random.default_rng(1)
    sample = Sample(count, (64, 32))
    for _ in range(30):
        exact = rng.permutation(count).astype(np.float32)
        order = np.argsort(-exact)
        good, bad = np.empty(count, np.float32), np.empty(count, np.float32)
        good[order] = -np.arange(count)
        bad[np.roll(order, 50)] = -np.arange(count)  # the best ten at ranks 51 to 60
        bad[order[:10]] = -(np.arange(10) + 50.5)
        sample.add(exact, [good, bad])
    depths = sample.depths()
    assert sample.sizes == [count] and depths.shape == (2, len(RECALLS), 1)
    good, bad = depths[:, RECALLS.index(0.8), 0]
    assert good == 8 and 50 < bad <= 60 and depths[0, -1, 0] == 10


def test_of_equal_products_the_last_counts():
    sample = Sample(100, (64,))
    for seed in range(20):
        sample.add(np.random.default_rng(seed).standard_normal(100).astype(np.float32), [np.zeros(100, "f4")])
    assert fit([sample]).count(64, 0.8, 100) == 100


def test_what_suffices_for_the_worst_of_few_collections():
    samples = []
    for shift in (0, 30):
        sample = Sample(200, (64,))
        for seed in range(20):
            exact = np.random.default_rng(seed).permutation(200).astype(np.float32)
            sample.add(exact, [np.where(exact >= 190, exact - 10 - shift, exact)])
        samples.append(sample)
    one, both = fit(samples[:1]), fit(samples)
    assert both == fit(samples[1:]) != one
    assert both.count(64, 0.9, 200) > one.count(64, 0.9, 200)


@pytest.mark.slow
def test_the_counts_give_the_recall_on_passages_that_were_not_measured():
    queries, documents = unit_rows(1, 60, 4), unit_rows(2, 3000, 6)
    found = calibrate(FDE, [(queries, documents)])
    assert found.measured == 3000 and found.recalls == RECALLS and found.prefixes == prefixes_of(FDE.size(8))
    others, texts = unit_rows(3, 60, 4), unit_rows(4, 2000, 6)
    codes = quantise(texts.rows)
    vectors = quantise(FDE.documents(Rows(codes.rows(), texts.starts)))
    for recall in (0.8, 0.95, 0.99):
        count = found.count(FDE.size(8), recall, 2000)
        assert 10 < count < 2000
        shares = []
        for query, vector in zip(others, FDE.queries(others), strict=True):
            best = np.argsort(-maxsim_codes(query, codes, texts.starts))[:10]
            near = np.argsort(-inner_products(vector, vectors))[:count]
            shares.append(len(np.intersect1d(best, near)) / 10)
        assert np.mean(shares) >= recall - 0.01


def test_shorter_prefixes_need_more():
    found = calibrate(Muvera(16, 3, None), [(unit_rows(1, 30, 4), unit_rows(2, 1500, 6))])
    assert found.prefixes == (1024, 512, 256, 128, 64)
    assert found.count(64, 0.95, 1500) > found.count(1024, 0.95, 1500)
    counts = np.array(found.candidates)
    assert (np.diff(counts, axis=1) >= 0).all() and (np.diff(counts, axis=2) >= 0).all()
    assert (counts <= np.array(PASSAGES)).all()


@pytest.mark.parametrize(
    ("queries", "documents", "message"),
    [
        (
            unit_rows(1, 19, 4),
            unit_rows(2, 50, 6),
            "expected 20 queries or more with words in them, found 19",
        ),
        (unit_rows(1, 30, 0), unit_rows(2, 50, 6), "expected 20 queries or more with words in them, found 0"),
        (unit_rows(1, 30, 4), unit_rows(2, 19, 6), "expected 20 passages or more, found 19"),
    ],
)
def test_too_little_to_measure(queries, documents, message):
    with pytest.raises(FdeError, match=f"calibration: {message}"):
        calibrate(FDE, [(queries, documents)])


def test_no_collections_and_rows_that_do_not_belong_together():
    with pytest.raises(FdeError, match="expected one collection or more, found none"):
        calibrate(FDE, [])
    with pytest.raises(ShapeError, match="queries: expected rows of 8 dims"):
        calibrate(FDE, [(unit_rows(1, 30, 4, 6), unit_rows(2, 50, 6))])
