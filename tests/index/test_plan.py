"""Which plan a query gets, and what cannot be asked."""

import numpy as np
import pytest

from femtosearch import _core
from femtosearch.errors import QueryError
from femtosearch.fde import Calibration, Muvera
from femtosearch.index import cost
from femtosearch.index.cost import maxsim_seconds
from femtosearch.index.plan import Extent, Plan, choose
from femtosearch.index.request import MODES, Request, check_request

MANY = 10**9
TABLE = Calibration(
    prefixes=(1024, 256),
    recalls=(0.9, 0.99),
    passages=(1000, 100_000),
    candidates=(((20, 60), (50, 500)), ((60, 300), (200, 3000))),
    measured=20_000,
)


def request(mode, candidates=None, recall=None, k=10):
    return Request(["x"], k, mode, candidates, recall)


def extent(rows, passages, fde=True, stored=True):
    return Extent(50, rows, passages, fde, stored)


def fde(calibration=None):
    return lambda: Muvera(2, 2, 4, calibration=calibration)


def never():
    raise AssertionError("this plan does not depend on the FDE, which would have to be loaded for it")


def test_a_request_is_what_was_asked():
    assert check_request(["a", "b"], np.int64(3), "fde", 7, None) == Request(["a", "b"], 3, "fde", 7)
    assert check_request(["a"], 3, "auto", None, 1) == Request(["a"], 3, "auto", None, 1.0)


@pytest.mark.parametrize("candidates", [0, -1, 1.0, "9", True])
def test_candidates_that_cannot_be(candidates):
    with pytest.raises(QueryError, match="candidates: expected a whole number of 1 or more"):
        check_request(["a"], 10, "rerank", candidates, None)


@pytest.mark.parametrize("recall", [0, -0.5, 1.01, float("nan"), "0.9", True])
def test_recalls_that_cannot_be(recall):
    with pytest.raises(QueryError, match="recall: expected a number above 0 and at most 1, found"):
        check_request(["a"], 10, "rerank", None, recall)


def test_candidates_and_recall_together():
    with pytest.raises(QueryError, match="expected candidates or recall, found both"):
        check_request(["a"], 10, "rerank", 100, 0.9)


@pytest.mark.parametrize("mode", ["lemur", "", None, 3, ["fde"]])
def test_modes_that_cannot_be(mode):
    with pytest.raises(QueryError, match="mode: expected one of auto, maxsim, rerank, fde, found"):
        check_request(["a"], 10, mode, 100, None)


@pytest.mark.parametrize("mode", ["rerank", "fde"])
def test_a_mode_that_needs_an_fde(mode):
    with pytest.raises(QueryError, match=f"'{mode}' needs an FDE and this index has none: use mode='maxsim'"):
        choose(request(mode), 32, extent(10, 10, fde=False), never)
    assert choose(request(mode, 9), 32, extent(10, 1000), fde()).mode == mode


def test_a_mode_that_is_named_is_used():
    for mode in MODES[1:]:
        for rows in (0, MANY):
            assert choose(request(mode), 32, extent(rows, 1000), fde()).mode == mode


def test_re_ranking_everything_is_maxsim():
    for mode in ("rerank", "auto"):
        assert choose(request(mode, 100), 32, extent(MANY, 100), fde()) == Plan("maxsim")


def test_auto_is_maxsim_while_that_is_fast(kernel):
    rows = next(10**n for n in range(20) if maxsim_seconds(32, 50, 10**n) > cost.PATIENCE)
    assert choose(request("auto"), 32, extent(rows // 10, 10**6), never) == Plan("maxsim")
    assert choose(request("auto"), 32, extent(rows, 10**6), fde()) == Plan("rerank", 100)
    assert choose(request("auto"), 32, extent(rows, 10**6, fde=False), never) == Plan("maxsim")
    assert choose(request("auto"), 32, extent(rows, 10**6, stored=False), never) == Plan("maxsim")


def test_the_prediction_is_of_the_work(kernel, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1}, raising=False)
    two = maxsim_seconds(32, 50, 10**6)
    assert (
        two
        == pytest.approx(2 * maxsim_seconds(16, 50, 10**6))
        == pytest.approx(2 * maxsim_seconds(32, 50, 5 * 10**5))
    )
    assert maxsim_seconds(1, 50, 10**6) == maxsim_seconds(4, 50, 10**6)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0}, raising=False)
    assert maxsim_seconds(32, 50, 10**6) == pytest.approx(2 * two)
    assert two == pytest.approx(32 * 13 * 10**6 * cost._STEP[_core.kernel()] / 2)


def counted(asked, passages=100_000, table=TABLE, rows=MANY):
    return choose(asked, 32, extent(rows, passages), fde(table))


def test_a_recall_gives_the_calibrated_number():
    assert counted(request("rerank", recall=0.99)) == Plan("rerank", 500, 1024)
    assert counted(request("rerank", recall=0.5)) == counted(request("rerank", recall=0.9))
    assert counted(request("rerank", recall=0.9)) == Plan("rerank", 60, 1024)
    assert counted(request("rerank", recall=0.9), passages=1000).candidates == 20
    for asked in (request("auto"), request("rerank")):  # what is asked without being told
        assert counted(asked) == Plan("rerank", 500, 1024)
    assert counted(request("rerank", candidates=7)) == Plan("rerank", 10)  # k, and all numbers


def test_a_recall_that_nothing_is_known_to_give_is_maxsim():
    assert counted(request("rerank", recall=0.999)) == counted(request("auto", recall=1.0)) == Plan("maxsim")


def test_more_hits_need_more_candidates():
    assert counted(request("rerank", recall=0.99, k=5)).candidates == 500
    assert counted(request("rerank", recall=0.99, k=25)).candidates == 1250
    assert counted(request("rerank", recall=0.9, k=25), passages=1000).candidates == 50


def test_fewer_numbers_are_scanned_where_that_is_faster():
    """A short scan of many passages is worth more candidates, while their rows are few."""
    many = 10**7
    short, long = (counted(request("rerank", recall=0.9), many, rows=many * rows) for rows in (1, 10**6))
    assert (short.prefix, long.prefix) == (256, 1024)
    assert short.candidates == TABLE.count(256, 0.9, many) > long.candidates == TABLE.count(1024, 0.9, many)


def test_of_split_fdes_all_numbers_are_read_of_few():
    many = 10**7
    counts = (((20, 90),), ((40, 9000),), ((60, 99_000),))
    table = Calibration((1024, 512, 128), (0.9,), (1000, many), counts, 20_000)

    def plan_of(k, split, table=table):
        asked = request("rerank", recall=0.9, k=k)
        return choose(asked, 32, Extent(50, 30 * many, many, True, True, many, split), fde(table))

    whole, split, twice = plan_of(10, False), plan_of(10, True), plan_of(20, True)
    assert whole.coarse == 0 and whole.most_missed == split.most_missed > 0
    assert (split.coarse, split.prefix, split.candidates) == (99_000, 1024, 4 * 90)
    assert (twice.coarse, twice.candidates) == (2 * split.coarse, 2 * split.candidates)
    short = Calibration((128, 64), (0.9,), (1000,), (((20,),), ((40,),)), 2000)  # which is one piece
    assert plan_of(10, True, short).coarse == 0


@pytest.mark.parametrize("mode", ["auto", "rerank"])
@pytest.mark.parametrize("rows", [10, MANY])
def test_a_recall_without_a_calibration(mode, rows):
    message = r"not calibrated: measure it with index.calibrate\(\) .*, or say how many candidates"
    with pytest.raises(QueryError, match=message):
        counted(request(mode, recall=0.9), table=None, rows=rows)
    for other in ("maxsim", "fde"):
        assert counted(request(other, recall=0.9), table=None).mode == other
    assert choose(request("auto", recall=0.9), 32, extent(MANY, 10**6, fde=False), None) == Plan("maxsim")
