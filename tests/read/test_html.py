"""Of HTML all is read that a browser shows, and a place is the line on which its words are."""

import pytest

from .make_files import place

SHOWN = {
    "no end of the head": ("<html><head><title>t</title><meta name=x><p>first<p>second", "first\nsecond"),
    "words after the head": ("<head><title>t</title>\nwords at once", "words at once"),
    "a drawing that never ends": ("<p>before<svg><path d=x><g><p>after", "before\nafter"),
    "boxes side by side": (
        "<center>a</center>b<button>c</button><button>d</button>e<menu>f</menu>",
        "a\nb\nc\nd\ne\nf",
    ),
    "a formula that never ends": ("<math><mi>x<div>after</div>", "after"),
}


@pytest.mark.parametrize("name", SHOWN)
def test_what_a_browser_shows_is_read(entry, name):
    markup, text = SHOWN[name]
    assert entry("a.html", markup).text.removeprefix("t\n\n") == text


def test_what_belongs_to_a_head_or_drawing_is_left_out(entry):
    markup = "<head><link><style>p{}</style><script>x</script></head><svg><text>label</text></svg>end"
    assert entry("a.html", markup).text == "end"


def test_the_line_of_words_in_a_long_run_of_text(entry):
    page = entry(
        "a.html", "<pre>\none\ntwo\n\nfour</pre>\n<p>\nseven\neight <b>nine\nten</b>\n<h2>H\nI</h2>\nend"
    )
    lines = {"seven": 7, "eight": 8, "nine": 8, "ten": 9, "H": 10, "I": 11, "end": 12}
    assert {word: place(page, word)["line"] for word in lines} == lines
    assert page.text.startswith("\none\ntwo\n\nfour\nseven eight nine ten\nH I\nend")
    assert place(page, "four") == {"lines": 1} and "lines" not in place(page, "seven")


def test_a_heading_ends_where_the_next_begins(entry):
    page = entry("a.html", "<h1>Top</h1><h2>Left open<h3>Below</h3>text")
    assert place(page, "text")["heading"] == ["Top", "Left open", "Below"]
