"""The context for a question: within its tokens, nothing twice, each passage cited."""

from dataclasses import replace

import pytest

from femtosearch.errors import QueryError
from femtosearch.index.context import make_context
from femtosearch.index.index import Index
from femtosearch.types import Hit

from ..fakes import FakeModel


def hit(name, text, passage=None, **metadata):
    return Hit(name, 1.0, text, metadata, (0, len(text)) if passage is None else passage)


def test_each_passage_has_its_number_and_place():
    text = "A heading\n\nthe first words of a text\n\nmore"
    context = make_context([hit("b", text, (11, 36), path="notes/b.md"), hit("a", "other words")], 100)
    assert str(context) == "[1] notes/b.md:3\nthe first words of a text\n\n[2] a\nother words"
    first, second = context.citations
    assert text[first.start : first.end] == first.text and (second.number, second.id) == (2, "a")
    assert context.tokens == -(-len(context.text) // 4)


def test_a_passage_grows_to_its_paragraph_but_not_much():
    text = "before\n\n  one two three four five six  \n\nafter"
    (citation,) = make_context([hit("a", text, (14, 30))], 100).citations
    assert citation.text == "one two three four five six"
    long = "one two three. " * 50
    (citation,) = make_context([hit("a", long, (15, 29))], 1000).citations
    assert citation.text == "one two three."


def test_what_was_said_is_not_said_again():
    words = "a cat sat on a mat and then it slept for all of the day"
    hits = [hit("a", words), hit("b", words.upper() + "!"), hit("c", words + " long"), hit("d", "a cat")]
    assert [citation.id for citation in make_context(hits, 1000).citations] == ["a", "d"]


@pytest.mark.parametrize("most", [1, 5, 17, 40, 200])
def test_it_keeps_to_its_tokens_and_takes_what_still_fits(most):
    hits = [hit(str(n), f"é{n} " * size) for n, size in enumerate((40, 3, 90, 1))]
    context = make_context(hits, most)
    assert len(context.text.encode()) <= 4 * most and context.tokens <= most
    assert [citation.number for citation in context.citations] == list(range(1, len(context.citations) + 1))
    assert len(context.citations) == {1: 0, 5: 1, 17: 2, 40: 2, 200: 4}[most]


def test_documents_without_words_and_no_hits():
    assert str(make_context([hit("a", "", (0, 0)), Hit("b", 1.0, "x")], 10)) == ""


@pytest.mark.parametrize("most", [0, -1, 1.5, "5", True, None, 10**9])
def test_tokens_that_make_no_sense_are_told(most):
    with pytest.raises(QueryError, match="max_tokens: expected a whole number"):
        make_context([], most)


def test_an_index_gives_one():
    with Index(model=FakeModel()) as index:
        index.add(
            [{"id": "cat", "text": "a cat slept", "year": 1}, {"id": "dog", "text": "a dog ran", "year": 2}]
        )
        assert index.context("cat").citations[0].id == "cat"
        assert str(index.context("cat", where="year = 2")) == "[1] dog\na dog ran"
        assert len(index.context("a", k=1).citations) == 1


def test_passages_of_one_document_come_together_as_they_follow_in_it():
    text = "first about cats\n\nsecond about dogs\n\nthird about hens"
    best = replace(hit("a", text, (37, 53), path="a.md"), maxsim=3.0)
    other = replace(hit("b", "another text"), maxsim=2.0)
    scored = {"a": [(2.5, 0, 16), (1.0, 18, 35)], "b": []}
    context = make_context([best, other], 100, lambda hit: scored[hit.id])
    assert str(context) == (
        "[1] a.md:1\nfirst about cats\n\n[2] a.md:3\nsecond about dogs\n\n[3] a.md:5\nthird about hens\n\n"
        "[4] b\nanother text"
    )
    context = make_context([best, other], 17, lambda hit: scored[hit.id])
    assert [(citation.id, citation.start) for citation in context.citations] == [
        ("a", 0),
        ("a", 37),
        ("b", 0),
    ][:2]


def test_passages_that_overlap_are_given_once():
    words = [f"word{n}" for n in range(60)]
    text = "\n".join(words)
    at = [text.index(f"word{n}") for n in (20, 30, 40, 50)] + [len(text)]
    best = replace(hit("a", text, (at[0], at[2] - 1), path="a.md"), maxsim=3.0, lines=(21, 40))
    context = make_context([best], 200, lambda _: [(2.0, 0, at[1]), (1.0, at[1], at[4])])
    assert [citation.place for citation in context.citations] == ["a.md:1", "a.md:21", "a.md:41"]
    assert "\n".join(citation.text for citation in context.citations) == text
    lone = make_context([best], 200, lambda _: [(2.0, at[0], at[2] - 1)])
    assert [citation.start for citation in lone.citations] == [at[0]]


def test_what_does_not_fit_keeps_nothing_out():
    words = "a cat sat on a mat and then it slept for all of the day"
    hits = [hit("long", f"{words} {words.upper()} {words}"), hit("short", words)]
    (citation,) = make_context(hits, 20).citations
    assert citation.id == "short"


@pytest.mark.parametrize(
    ("most", "text"), [(2, None), (3, "one"), (4, "one two"), (5, "one two three"), (6, "one two three é")]
)
def test_of_passages_that_are_all_too_long_the_best_one_begins(most, text):
    hits = [hit("a", "one two three é " + "four " * 90), hit("b", "other words " * 90)]
    context = make_context(hits, most)
    assert [citation.text for citation in context.citations] == ([] if text is None else [text])
    assert context.tokens <= most and str(context) == ("" if text is None else f"[1] a\n{text}")
    assert all(hits[0].text[cited.start : cited.end] == cited.text for cited in context.citations)


@pytest.mark.parametrize(("most", "text"), [(2, None), (3, "猫在"), (5, "猫在 垫子"), (7, "猫在 垫子上睡觉")])
def test_a_text_without_blanks_between_words_begins_too(most, text):
    context = make_context([hit("a", "猫在 " + "垫子上睡觉。猫在" * 90)], most)
    assert [citation.text for citation in context.citations] == ([] if text is None else [text])
    assert context.tokens <= most


def test_an_index_gives_more_than_one_passage_of_a_long_document():
    fill = " ".join(f"something else number {n} is told here at length." for n in range(60))
    ways = "To reset the router hold its button.", "A factory reset of the router erases it."
    text = f"{ways[0]}\n\n{fill}\n\n{ways[1]}\n\n{fill}"
    with Index(model="femto") as index:
        index.add([{"id": "manual", "text": text}, {"id": "note", "text": "The cat slept on the router."}])
        context = index.context("how do I reset the router", max_tokens=2500)
    manual = [citation for citation in context.citations if citation.id == "manual"]
    assert len(manual) > 1 and manual == sorted(manual, key=lambda citation: citation.start)
    told = " ".join(citation.text for citation in manual)
    assert "hold its button" in told and "factory reset" in told and context.tokens <= 2500
