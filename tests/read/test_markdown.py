"""Headings of Markdown, as CommonMark has them, and front matter, as YAML has it."""

import time

import pytest

from femtosearch.read.kinds.front_matter import front_matter
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


MATTER = {
    "a comma in quotes": ("tags: [a, \"b, c\", 'd, e']", {"tags": ["a", "b, c", "d, e"]}),
    "quoted keys": ("\"a key\": 1\n'another': 2", {"a key": 1, "another": 2}),
    "keys in a list": ("links:\n- name: x\n- y", {"links": ["name: x", "y"]}),
    "a value on two lines": (
        'title: "A title\n  of two lines"\nby: Ann\n  Bob',
        {"title": "A title of two lines", "by": "Ann Bob"},
    ),
    "a list on two lines": ("tags: [a,\n  b]", {"tags": ["a", "b"]}),
    "blocks": ("a: >-\n  one\n  two\nb: |+\n  one\n  two", {"a": "one two", "b": "one\ntwo"}),
    "escapes": ('title: "caf\\u00e9 \\"au\\" lait \\ud83d"', {"title": 'caf\xe9 "au" lait \ufffd'}),
    "no escape": (r'path: "C:\dir"', {"path": "C:\\dir"}),
    "a comment behind quotes": ("title: 'T' # draft", {"title": "T"}),
}


@pytest.mark.parametrize("name", MATTER)
def test_front_matter(name):
    lines, matter = MATTER[name]
    assert front_matter(f"---\n{lines}\n---\ntext") == (matter, len(lines) + 9)


def test_a_title_may_be_a_number(entry):
    assert entry("a.md", "---\ntitle: 1984\n---\n# Chapter\n").metadata["title"] == "1984"
    assert entry("b.md", "---\ntitle: true\n---\n# Chapter\n").metadata["title"] == "Chapter"
