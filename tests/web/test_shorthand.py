"""Rows in shorthand: what they stand for is near, and how small that makes a site."""

import numpy as np
import pytest

from femtosearch.web.bundle import Bundle
from femtosearch.web.shorthand import Shorthand
from femtosearch.web.site import DATA


def rows_near(centres, dims, count=5000, spread=0.05, seed=0):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(centres, dims))[rng.integers(centres, size=count)]
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True) + rng.normal(0, spread, (count, dims))
    return rows.astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("dims", [64, 50, 7])
def test_shorthand_is_near(dims):
    rows = rows_near(300, dims)
    short = Shorthand.of(rows)
    assert short.codes.shape == (5000, -(-dims // 8)) and short.codes.dtype == np.uint8
    assert short.chosen.dtype == np.uint16 and short.centres.dtype == np.float16
    again = short.rows()
    assert again.shape == rows.shape and again.dtype == np.float32
    errors = np.linalg.norm(again - rows, axis=1) / np.linalg.norm(rows, axis=1)
    assert errors.mean() < 0.2
    if dims == 7:
        same = Shorthand.of(rows)
        assert np.array_equal(short.codes, same.codes) and np.array_equal(short.centres, same.centres)


def test_a_bundles_parts_lie_at_whole_lines():
    bundle = Bundle()
    assert [bundle.put(b"a"), bundle.put(np.arange(3, dtype=">i4")), bundle.put_json({"\u00e4": 1})] == [
        0,
        1,
        2,
    ]
    content = bundle.content({"title": "\u00e4"})
    assert content == bundle.content({"title": "\u00e4"})  # which no clock is in


@pytest.mark.slow
def test_a_site_is_small(docs_index, docs_site, whole_site):
    size, whole = (sum(path.stat().st_size for path in site.iterdir()) for site in (docs_site, whole_site))
    passages = docs_index.stats().passages
    assert passages > 250
    assert size < 1_500_000 + 1600 * passages
    assert size < whole - 1000 * passages
    assert (docs_site / DATA).stat().st_size > size - 60_000
