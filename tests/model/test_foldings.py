"""What typesetting did to words does not keep them from being found."""

import random

import numpy as np
import pytest

from femtosearch.index.index import Index
from femtosearch.index.rerank import rerank
from femtosearch.model.foldings import folded, folded_with_places
from femtosearch.model.model import Model


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("infor-\nmation", "infor-\nmation information "),
        ("infor-  \r\n mation, retri-\neval", "infor-  \r\n mation information , retri-\neval retrieval "),
        ("infor\xad\nmation", "information"),
        ("infor\u2010\nmation", "infor\u2010\nmation information "),
        ("\x1b[1;31mERROR\x1b[0m: quota", "ERROR: quota"),
        ("N\bNA\bAM\bME\bE _\bx\n\by", "NAME x\n\by"),
        ("\x1b]8;;https://a.org\x07link\x1b]8;;\x1b\\ \x1b[2K", "link "),
        ("of\ufb01-\ncial \uff21", "offi-\ncial official  A"),
        ("a -\nb", None), ("one--\ntwo", None), ("x-\ny", None), ("3-\n4", None), ("well-known", None),
        ("", None), ("- a list\n- of things\n", None), ("soft\xadhyphen", None), ("end-\n", None),
    ],
)  # fmt: skip
def test_words_that_a_lines_end_broke(text, expected):
    replaced = folded_with_places(text)
    assert (None if replaced is None else replaced[0]) == expected
    assert folded(text) == (text if expected is None else expected)


def test_each_place_is_one_of_the_text():
    """Letters that stay are where they were; what was added is at a place between them."""
    rng = random.Random(0)
    for _ in range(300):
        pieces = ["ab", "cde", "-\n", "-", "\n", " ", "\ufb03", "\xad\n", "\uff21", "é"]
        text = "".join(rng.choices(pieces, k=rng.randrange(12)))
        replaced, places = folded_with_places(text) or (text, np.arange(len(text) + 1))
        assert len(places) == len(replaced) + 1 and places[-1] == len(text)
        assert (np.diff(places) >= 0).all()
        assert "".join(dict.fromkeys(replaced)).isascii() or "é" in text


BROKEN = "infor-\nmation retri-\neval evalu-\nation"


def test_broken_words_are_found_by_whole_ones():
    model = Model.load("femto")
    texts = [BROKEN, "a text about horses and their riders", BROKEN.replace("-", "\xad")]
    hits = rerank(model, "information retrieval evaluation", texts)
    assert [hit.id for hit in hits] == ["2", "0", "1"] and hits[1].score > 2 * hits[2].score
    with Index(model=model) as index:
        index.add([{"id": str(n), "text": text} for n, text in enumerate(texts)])
        answers = index.search("information retrieval evaluation", hybrid=0)
        assert [hit.id for hit in answers] == ["2", "0", "1"]
        assert answers[1].text == BROKEN and answers[1].passage == (
            0,
            len(BROKEN),
        )  # what is stored is as it was
