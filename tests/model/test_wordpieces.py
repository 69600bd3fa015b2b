"""The shorter way for plain text gives what the library's whole tokenizer gives."""

import base64
import json
import re

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordPiece

from femtosearch.errors import CheckpointError, FemtosearchError
from femtosearch.model.model import BUILT_INS, DEFAULT
from femtosearch.model.wordpieces import PLAIN, WORTHWHILE, WordPieces

from ..tiny import write_tokenizer

PATH = BUILT_INS / DEFAULT / "tokenizer.json"
TEXTS = [
    "The Cat sat.", "", " ", "\t\r\n", "A\r\nB", "naïve CAFÉ", "\0 NUL", "[SEP] and [MASK]", "[Q] THE",
    "[q] the", "Σίσυφος", "İstanbul", "猫は座った", "x" * 500, "don't — “stop”…", "5±2 \u00d7 3°",
    "\x7f\x1f", "[D] ", "e\u0301",
]  # fmt: skip


@pytest.fixture(scope="module")
def library():
    return Tokenizer.from_file(str(PATH))


@pytest.fixture(scope="module")
def pieces():
    return WordPieces(PATH)


def same(ours, theirs):
    return (ours.ids, ours.offsets, ours.word_ids) == (theirs.ids, theirs.offsets, theirs.word_ids)


def test_few_and_many_texts_give_the_librarys_encodings(pieces, library):
    expected = library.encode_batch(TEXTS)
    assert all(map(same, pieces.encode(TEXTS[:WORTHWHILE]), expected))
    many = pieces.encode(TEXTS * WORTHWHILE)
    assert all(map(same, many, expected * WORTHWHILE))


def test_every_plain_character_is_tokenised_as_the_library_does(pieces, library):
    plain = [chr(code) for code in range(0x3000) if re.match(f"[{PLAIN}]", chr(code))]
    assert len(plain) > 100
    texts = [
        f"{text}{character}B {character} Word{character}S" for character in plain for text in ("a", "A b ")
    ]
    assert all(map(same, pieces.encode(texts), library.encode_batch(texts)))


def test_ids_alone_are_the_same(pieces, library):
    many = TEXTS * WORTHWHILE
    assert pieces.ids(many) == [encoding.ids for encoding in library.encode_batch(many)]


def test_the_shorter_way_is_taken(monkeypatch):
    pieces = WordPieces(PATH)
    broken = Tokenizer(WordPiece({"[UNK]": 7}, unk_token="[UNK]"))
    monkeypatch.setitem(pieces.__dict__, "_without_normalizer", broken)
    ids = pieces.ids(["Plain", "naïve", "[SEP]"] * WORTHWHILE)
    assert [7 in found for found in ids] == [True, False, False] * WORTHWHILE


@pytest.mark.parametrize("text", [3, None, "a\ud800"])
def test_what_is_no_text_is_named_among_many(pieces, text):
    with pytest.raises(FemtosearchError, match=f"text {WORTHWHILE}: "):
        pieces.encode(["fine"] * WORTHWHILE + [text])


def write_without(path, **settings):
    """A tokenizer whose library fails: by an error, or by a panic of Rust's, which is no Exception."""
    write_tokenizer(path)
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | settings))
    return path


def test_an_error_of_the_library_on_a_text_is_ours(tmp_path):
    path = write_without(tmp_path / "tokenizer.json", normalizer=None)
    content = json.loads(path.read_text())
    del content["model"]["unk_token"]
    content["model"] |= {"type": "Unigram", "unk_id": None, "vocab": [["a", 0.0], ["[CLS]", 0.0], ["b", 0.0]]}
    path.write_text(json.dumps(content | {"added_tokens": [], "post_processor": None}))
    pieces = WordPieces(path)
    assert pieces.ids(["a"])
    for texts in (["\u732b"], ["\u732b"] * WORTHWHILE):
        with pytest.raises(
            CheckpointError, match=r"tokenizer\.json: the tokenizer fails on a text: .*unk_id"
        ):
            pieces.ids(texts)


def test_a_panic_of_the_library_on_a_text_is_ours(tmp_path):
    table = base64.b64encode(b"\x04\0\0\0" + b"\xff\xff\xff\x7f" + b"a\0").decode()
    path = write_without(
        tmp_path / "tokenizer.json", normalizer={"type": "Precompiled", "precompiled_charsmap": table}
    )
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: "):
        WordPieces(path).ids(["a text"])


def test_an_interrupt_stays_an_interrupt(monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    pieces = WordPieces(PATH)
    monkeypatch.setattr(pieces, "_encode_many", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pieces.ids(["a text"] * WORTHWHILE)


def test_what_is_no_tokenizer_is_named(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(CheckpointError, match="not a tokenizer that can be read"):
        WordPieces(tmp_path / "tokenizer.json")
