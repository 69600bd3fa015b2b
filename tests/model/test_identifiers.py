"""Identifiers are found by their parts, and spans survive it."""

import numpy as np
import pytest

from femtosearch.model.identifiers import with_parts


@pytest.mark.parametrize(
    ("text", "heard"),
    [
        ("getUserName()", "getUserName get User Name ()"),
        ("class HTTPServer2:", "class HTTPServer2 HTTP Server 2 :"),
        ("plain words and CAPITALS", "plain words and CAPITALS"),
        ("snake_case_name", "snake_case_name"),
        ("aB aB", "aB aB"),
        ("oneTwo oneTwo", "oneTwo one Two  oneTwo"),
        ("", ""),
    ],
)
def test_parts_stand_beside_an_identifier(text, heard):
    assert with_parts(text)[0] == heard


def test_places_lead_back():
    text = "x = getUserName(key) + parseJSON(y)"
    heard, places = with_parts(text)
    assert len(places) == len(heard) + 1 and places[0] == 0 and places[-1] == len(text)
    assert (np.diff(places) >= 0).all()
    at = heard.index("key")
    assert text[places[at] : places[at + 3]] == "key"
