"""Headings of Markdown, as CommonMark has them."""

import time

import pytest

from femtosearch.read.kinds.headings import blocks

HEADINGS = {
    "in raw HTML": ("<div>\n# no\n===\n\n# yes", ["yes"]),
    "in a tag of its own": ("<my-tag x='1'>\n# no\n\nYes\n---", ["Yes"]),
    "a tag that goes on with a paragraph": ("some\n<my-tag>\n===", ["some <my-tag>"]),
    "in an instruction": ("<?php\n# no\n\n# no\n?>\n# yes", ["yes"]),
    "in CDATA": ("<![CDATA[\n# no\n\n===\n]]>\n# yes", ["yes"]),
    "under a comment": ("<!-- c -->\nYes\n===", ["Yes"]),
    "under a doctype": ("<!DOCTYPE html>\n---\n# yes", ["yes"]),
    "code right in a list": ("- ```\n  # no\n  ```\n\n# yes", ["yes"]),
    "code in a list of a list": ("* 1. ~~~\n     # no\n     ~~~\n# yes", ["yes"]),
    "a line of code that ends as a fence": ("~~~\n# no ~~~\n# no\n~~~\n# yes", ["yes"]),
    "what goes on with a list": ("- item\nlazy\n---\n\nYes\n===", ["Yes"]),
    "what goes on with a quote": ("> quote\nlazy\n===\n\nYes\n===", ["Yes"]),
    "under a rule": ("* * *\nYes\n===", ["Yes"]),
    "under the address of a link": ("[a]: http://example.org 'b'\nYes\n===", ["Yes"]),
}


@pytest.mark.parametrize("name", HEADINGS)
def test_headings(name):
    text, headings = HEADINGS[name]
    assert [heading.text for heading in blocks(text)] == headings


@pytest.mark.parametrize(
    "line", ["<a" + " b" * 100_000, "<a" + " " * 200_000, "- " * 100_000, "[a" * 100_000]
)
def test_a_long_line_takes_no_time(line):
    start = time.process_time()
    list(blocks(line))
    assert time.process_time() - start < 1
