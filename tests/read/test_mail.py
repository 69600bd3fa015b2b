"""Of a message all is read that a person would see: every part, messages in it, what only HTML says."""

import pytest

from femtosearch.read import read

ANN = b"From: ann@example.org\nSubject: Seen\n"


def multipart(kind, *parts):
    bodies = b"".join(b"--B\n" + part + b"\n" for part in parts)
    return b"Content-Type: multipart/" + kind + b"; boundary=B\n\n" + bodies + b"--B--\n"


TEXT, HTML = b"Content-Type: text/plain\n\n", b"Content-Type: text/html\n\n"
PICTURE = b"Content-Type: image/png\nContent-Disposition: inline; filename=x.png\n\nxx"
INNER = b"Subject: Inner words\n\nfrom the forwarded one\n"
WHOLE = {
    "two texts": (
        multipart(b"mixed", TEXT + b"first", PICTURE, TEXT + b"second"),
        ["first", "second", "[x.png]"],
    ),
    "an empty plain text": (multipart(b"alternative", TEXT, HTML + b"<p>only <b>here</b>"), ["only here"]),
    "forwarded": (
        multipart(b"mixed", TEXT + b"see", b"Content-Type: message/rfc822\n\n" + INNER),
        ["see", "Inner words", "from the forwarded one"],
    ),
    "a digest": (multipart(b"digest", b"\n" + INNER), ["Inner words", "from the forwarded one"]),
    "a boundary that is not there": (b"Content-Type: multipart/mixed\n\nthe body", ["the body"]),
    "another text": (b"Content-Type: text/calendar\n\nSUMMARY:Meeting\n", ["Meeting"]),
    "no stated encoding": (b"\nGr\xfc\xdfe aus M\xfcnchen, sch\xf6n\n", ["Gr\xfc\xdfe aus"]),
    "ASCII that is none": (b"Content-Type: text/plain; charset=us-ascii\n\ncaf\xc3\xa9\n", ["caf\xe9"]),
    "quotes of Windows": (
        b"Content-Type: text/plain; charset=iso-8859-1\n\n\x93so\x94\n",
        ["\u201cso\u201d"],
    ),
}


@pytest.mark.parametrize("name", WHOLE)
def test_all_of_a_message(entry, name):
    content, words = WHOLE[name]
    text = entry("a.eml", ANN + content).text
    assert [word for word in words if word not in text] == []


def test_what_is_said_twice_is_read_once(entry):
    both = multipart(b"alternative", TEXT + b"hello there", HTML + b"<p>hello there</p>")
    assert entry("a.eml", ANN + both).text.count("hello there") == 1


def test_a_message_with_a_byte_order_mark(entry):
    assert entry("a.eml", b"\xef\xbb\xbf" + ANN + b"\nhello\n").metadata["title"] == "Seen"


def test_a_sentence_that_begins_with_from_ends_no_message(tmp_path):
    first = b"From a Mon Jan 1 2020\n" + ANN + b"\nWell.\n\nFrom here on it is long.\nAnd longer.\n\n"
    (tmp_path / "a.mbox").write_bytes(first + b"From b Mon Jan 1 2020\nSubject: two\n\nlast\n")
    reading = read([tmp_path / "a.mbox"])
    documents = list(reading)
    assert [document.metadata["title"] for document in documents] == ["Seen", "two"]
    assert "From here on" in documents[0].text and "And longer." in documents[0].text
    assert reading.skipped == []


def test_lines_that_flow_are_joined(entry):
    kind = b"Content-Type: text/plain; charset=utf-8; format=flowed"
    body = b"A long \nparagraph.\n> said \n> before \nend\n  two blanks\nlast \n-- \nAnn\n"
    text = entry("a.eml", ANN + kind + b"\n\n" + body).text
    assert text.endswith("A long paragraph.\n> said before \nend\n two blanks\nlast \n-- \nAnn")
    parted = ANN + kind + b"; DelSp=yes\n\n\xe6\x97\xa5 \n\xe6\x9c\xac\n"
    assert "\u65e5\u672c" in entry("b.eml", parted).text
