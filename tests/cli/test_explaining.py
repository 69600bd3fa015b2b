"""Explanations on a terminal, in a pipe and as JSON."""

import io

import pytest

from femtosearch.cli.explaining import explanation_lines
from femtosearch.cli.show import hit_lines
from femtosearch.types import Explanation, Hit, TokenMatch


class Terminal(io.StringIO):
    def isatty(self):
        return True


TOKENS = [
    TokenMatch("", "", None, 0.9),
    TokenMatch("cats", "kitten\x1b[2J", (2, 8), 0.8),
    TokenMatch("small", "", None, 0.1),
]
HIT = Hit(
    "a", 0.5, "text", maxsim=1.8, bm25=0.25, explanation=Explanation(TOKENS, {"cats": 0.25}, {"exact": 1})
)


def test_in_a_pipe():
    assert list(explanation_lines(HIT, io.StringIO())) == [
        "     ranks: MaxSim of everything 1; MaxSim 1.80, BM25 0.25",
        "     tokens: cats→kitten\\x1b[2J 0.80  small→· 0.10",
        "     words: cats 0.25",
    ]


@pytest.mark.parametrize(
    ("maxsim", "bm25", "shown"),
    [(None, 0.25, "1; BM25 0.25"), (1.8, None, "1; MaxSim 1.80"), (None, None, "1")],
)
def test_what_a_hit_does_not_have_is_left_out(maxsim, bm25, shown):
    hit = Hit("a", 0.5, "text", maxsim=maxsim, bm25=bm25, explanation=Explanation([], {}, {"words": 1}))
    assert list(explanation_lines(hit, io.StringIO())) == [f"     ranks: BM25 {shown}"]


def test_colours_of_a_text_are_not_shown():
    hit = Hit("a", 0.5, "\x1b[31mERROR\x1b[0m infor-\nmation", span=(15, 28))
    assert next(hit_lines(1, hit, "other", io.StringIO())) == "  1    0.50  a  ERROR infor- mation"
    assert "\x1b[1minfor- mation\x1b[22m" in next(hit_lines(1, hit, "other", Terminal()))


def test_a_score_just_below_zero_is_no_minus_zero():
    assert next(hit_lines(1, Hit("a", -0.001, "text"), "query", io.StringIO())).startswith("  1    0.00  a")


def test_parts_of_a_score():
    parts = {"maxsim": 0.5, "words": 0.125, "quotes": 1.0, "length": -0.02}
    hit = Hit("a", 1.605, "text", explanation=Explanation([], {}, {}, parts))
    first, *_ = explanation_lines(hit, io.StringIO())
    assert first == ("     score: MaxSim +0.50  words +0.12  quotes +1.00  length -0.02")


def test_on_a_terminal(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    lines = list(explanation_lines(HIT, Terminal()))
    assert "\x1b[32mcats→kitten\\x1b[2J 0.80\x1b[0m" in lines[1] and "\x1b[2msmall→· 0.10\x1b[0m" in lines[1]


@pytest.mark.parametrize("hit", [Hit("a", 1.0, "x"), Hit("a", 1.0, "x", explanation=Explanation([], {}, {}))])
def test_little_to_say(hit):
    assert len(list(explanation_lines(hit, io.StringIO()))) <= 1
