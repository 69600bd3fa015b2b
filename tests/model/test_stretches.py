"""Long texts are cut into stretches where a reader would cut them; together they are the text."""

import pytest

from femtosearch.model import stretches as module
from femtosearch.model.stretches import batches, stretches


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(module, "LONGEST", 20)
    monkeypatch.setattr(module, "BATCH", 50)


@pytest.mark.parametrize(
    "text, cut",
    [
        ("a b c d e f\n\ng h. i j k l", "a b c d e f\n\n"),
        ("a b c d e f\ng h. i j k l m", "a b c d e f\n"),
        ("a b c d e f. g h i j k l m", "a b c d e f. "),
        ("a b c\u3002d e f\u3002g h i j k l", "a b c\u3002d e f\u3002"),
        ("abcdefghijkl mnopqrstuvwxyz", "abcdefghijkl "),
        ("abcdefghijklmnopqrstuvwxyz", "abcdefghijklmnopqrst"),
        ("a b. cdefghijklmnopqrstuvwxyz", "a b. cdefghijklmnopq"),  # the first half is never cut
    ],
)
def test_where_a_text_is_cut(text, cut):
    pieces = list(stretches(3, text))
    assert pieces[0] == (3, 0, cut)
    assert "".join(piece.text for piece in pieces) == text
    assert all(text[piece.offset :].startswith(piece.text) for piece in pieces)
    assert all(len(piece.text) <= 20 for piece in pieces)


@pytest.mark.parametrize("text", ["", "a", "a" * 20, " " * 20])
def test_a_text_that_is_short_enough_is_one_stretch(text):
    assert list(stretches(0, text)) == [(0, 0, text)]


def test_batches_hold_a_bounded_number_of_characters():
    texts = ["", "word " * 30, "x" * 20, "y" * 20, "z"]
    found = list(batches(texts))
    assert all(sum(len(stretch.text) for stretch in batch) <= 50 for batch in found)
    stretched = [stretch for batch in found for stretch in batch]
    assert [stretch.owner for stretch in stretched] == sorted(stretch.owner for stretch in stretched)
    for number, text in enumerate(texts):
        assert "".join(stretch.text for stretch in stretched if stretch.owner == number) == text
    assert list(batches([])) == []
