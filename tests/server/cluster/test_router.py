"""Copies of shards that fail, are slow, or are not there."""

import threading
import time
from concurrent.futures import Future

import pytest

from femtosearch.errors import CorruptError, QueryError, StoreError
from femtosearch.server.cluster.engine import LostError
from femtosearch.server.cluster.router import Patience, Router


class Copy:
    """A copy of a shard that answers, raises, or is silent until it is told to answer."""

    def __init__(self, answer):
        self.answer, self.asked, self.closed = answer, 0, False

    def ask(self, method, *arguments):
        self.asked += 1
        future = Future()
        if isinstance(self.answer, list):
            step = self.answer.pop(0) if len(self.answer) > 1 else self.answer[0]
        else:
            step = self.answer
        if isinstance(step, Exception):
            future.set_exception(step)
        elif step is not None:
            future.set_result((step, method, arguments))
        return future

    def close(self):
        self.closed = True


def router_of(*shards, timeout=5.0, hedge=None):
    copies = [[Copy(answer) for answer in shard] for shard in shards]
    return Router(copies, [f"shard {n}" for n in range(len(shards))], Patience(timeout, hedge)), copies


def test_every_shard_is_asked_once():
    router, copies = router_of(["a"], ["b"])
    answers = router.ask("count", {0: (1,), 1: (2,)})
    assert answers.by_shard == {0: ("a", "count", (1,)), 1: ("b", "count", (2,))}
    assert answers.missing == {}
    assert [copy.asked for [copy] in copies] == [1, 1]


def test_a_lost_copy_is_asked_again_only_after_the_others():
    router, copies = router_of([LostError("gone"), "b"])
    for _ in range(4):
        assert router.ask("count", {0: ()}).by_shard[0][0] == "b"
    assert copies[0][0].asked == 1
    assert copies[0][1].asked == 4


@pytest.mark.parametrize("error", [LostError("gone"), StoreError("its disk is damaged")])
def test_a_copy_that_comes_back_answers(error):
    router, _ = router_of([[error, error, "back"]])
    assert router.ask("count", {0: ()}).by_shard[0][0] == "back"


def test_a_shard_without_a_copy_is_missing_and_why_is_said():
    router, _ = router_of(["a"], [LostError("gone"), LostError("gone, too")], timeout=0.05)
    answers = router.ask("count", {0: (), 1: ()})
    assert answers.by_shard.keys() == {0}
    error = router.missing(answers.missing)
    assert error.shards == (1,)
    assert "1 of 2 shards did not answer (shard 1: gone" in str(error)


def test_a_shard_that_is_damaged_everywhere_is_not_waited_for():
    router, copies = router_of([CorruptError("other bytes"), CorruptError("other bytes, too")], timeout=60)
    assert router.ask("count", {0: ()}).missing[0].startswith("other bytes")
    assert [copy.asked for copy in copies[0]] == [1, 1]


def test_a_question_that_is_wrong_is_wrong_everywhere():
    router, copies = router_of([QueryError("no such field"), "b"], ["c"])
    with pytest.raises(QueryError, match="no such field"):
        router.ask("count", {0: (), 1: ()})
    assert copies[0][1].asked == 0


def test_a_slow_copy_is_overtaken():
    router, copies = router_of([None, "b"], hedge=0.01)
    assert router.ask("count", {0: ()}).by_shard[0][0] == "b"
    assert router.counts["hedged"] == 1
    assert sum(copy.asked for copy in copies[0]) == 2


def test_few_questions_are_asked_twice():
    router, copies = router_of([None, None], hedge=0.0, timeout=0.01)
    router.counts.update(asked=100, hedged=100)
    router.ask("count", {0: ()})
    assert sum(copy.asked for copy in copies[0]) == 1


def test_what_is_slow_is_learnt():
    router, _ = router_of(["a"])
    assert router.hedge("count") == 1.0
    for seconds in range(100):
        router.answered("count", seconds / 1000)
    assert router.hedge("count") == 0.095
    assert router.hedge("search") == 1.0


def test_a_late_answer_is_taken():
    router, copies = router_of([None])
    late = Future()
    copies[0][0].ask = lambda *_: late
    threading.Timer(0.02, late.set_result, ["late"]).start()
    before = time.monotonic()
    assert router.ask("count", {0: ()}).by_shard == {0: "late"}
    assert time.monotonic() - before < 4


def test_shards_have_longer_to_be_opened():
    """What is silent is waited for, what fails is asked again only as long as a question may take."""
    router, copies = router_of([None], [LostError("gone")], ["c"], timeout=0.3)
    late = Future()
    copies[0][0].ask = lambda *_: late
    threading.Timer(0.8, lambda: late.set_result("opened")).start()
    began = time.monotonic()
    answers = router.ask("totals", {0: (), 1: (), 2: ()}, opening=True)
    assert answers.by_shard[0] == "opened" and answers.missing == {1: "gone"}
    assert 0.7 < time.monotonic() - began < 5
    assert copies[1][0].asked <= 4
    router, _ = router_of([None], timeout=0.05)
    assert router.ask("totals", {0: ()}).missing == {0: "no answer in time"}


def test_all_copies_are_let_go_of():
    router, copies = router_of(["a", "b"], ["c"])
    router.close()
    assert all(copy.closed for shard in copies for copy in shard)
