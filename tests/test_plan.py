"""Which mode a query gets, and what cannot be asked."""

import numpy as np
import pytest

from femtosearch import _core, plan
from femtosearch.errors import QueryError
from femtosearch.plan import MODES, Request, check, choose, seconds


def request(mode, candidates=100):
    return Request(["x"], 10, mode, candidates)


def test_a_request_is_what_was_asked():
    assert check(["a", "b"], np.int64(3), "fde", 7) == Request(["a", "b"], 3, "fde", 7)


@pytest.mark.parametrize("candidates", [0, -1, 1.0, "9", None, True])
def test_candidates_that_cannot_be(candidates):
    with pytest.raises(QueryError, match="candidates: expected a whole number of 1 or more"):
        check(["a"], 10, "rerank", candidates)


@pytest.mark.parametrize("mode", ["lemur", "", None, 3, ["fde"]])
def test_modes_that_cannot_be(mode):
    with pytest.raises(QueryError, match="mode: expected one of auto, maxsim, rerank, fde, found"):
        check(["a"], 10, mode, 100)


@pytest.mark.parametrize("mode", ["rerank", "fde"])
def test_a_mode_that_needs_an_fde(mode):
    with pytest.raises(QueryError, match=f"'{mode}' needs an FDE and this index has none: use mode='maxsim'"):
        choose(request(mode), 32, 50, 10, 10, False)
    assert choose(request(mode, 9), 32, 50, 10, 10, True) == mode


def test_a_mode_that_is_named_is_used():
    for mode in MODES[1:]:
        for rows in (0, 10**9):
            assert choose(request(mode), 32, 50, rows, 1000, True) == mode


def test_re_ranking_everything_is_maxsim():
    assert choose(request("rerank", 100), 32, 50, 10**9, 100, True) == "maxsim"
    assert choose(request("auto", 100), 32, 50, 10**9, 100, True) == "maxsim"


def test_auto_is_maxsim_while_that_is_fast(kernel):
    rows = next(10**n for n in range(20) if seconds(32, 50, 10**n) > plan.PATIENCE)
    assert choose(request("auto"), 32, 50, rows // 10, 10**6, True) == "maxsim"
    assert choose(request("auto"), 32, 50, rows, 10**6, True) == "rerank"
    assert choose(request("auto"), 32, 50, rows, 10**6, False) == "maxsim"


def test_the_prediction_is_of_the_work(kernel, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1}, raising=False)
    two = seconds(32, 50, 10**6)
    assert two == pytest.approx(2 * seconds(16, 50, 10**6)) == pytest.approx(2 * seconds(32, 50, 5 * 10**5))
    assert seconds(1, 50, 10**6) == seconds(4, 50, 10**6)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0}, raising=False)
    assert seconds(32, 50, 10**6) == pytest.approx(2 * two)
    assert two == pytest.approx(32 * 13 * 10**6 * plan._STEP[_core.kernel()] / 2)
