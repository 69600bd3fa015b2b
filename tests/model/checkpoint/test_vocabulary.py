"""A vocabulary that the core reads is the one that the JSON library reads, or is left to it."""

import json
import random

import numpy as np
import pytest

from femtosearch import _core
from femtosearch.errors import CheckpointError, ShapeError
from femtosearch.model.checkpoint.tokenizer import Vocabulary, read_tokenizer
from femtosearch.model.model import BUILT_INS, built_in

HIGHEST = (1 << 31) - 1
ODD = [
    '"',
    "\\",
    "/",
    "\b\f\n\r\t",
    "",
    " ",
    "{",
    "}",
    ",",
    ":",
    "a:b",
    '","',
    "é",
    "猫",
    "😀",
    "##s",
    "\x7f",
    "\u2028",
]


def tokenizer(vocabulary, before=""):
    model = f'{{{before}"type": "WordPiece", "unk_token": "u", "vocab": {vocabulary}}}'
    return f'{{"added_tokens": [], "model": {model}}}'.encode()


@pytest.fixture
def read(tmp_path):
    """read(content) is the vocabulary of a tokenizer.json."""

    def read(content):
        (tmp_path / "tokenizer.json").write_bytes(content)
        return read_tokenizer(tmp_path / "tokenizer.json").model["vocab"]

    return read


@pytest.mark.parametrize("name", built_in())
def test_of_the_built_in_models(name):
    path = BUILT_INS / name / "tokenizer.json"
    vocabulary, right = read_tokenizer(path).model["vocab"], json.loads(path.read_bytes())["model"]["vocab"]
    assert isinstance(vocabulary, Vocabulary) and list(vocabulary.items()) == list(right.items())
    assert len(vocabulary) == len(right) and "no such token" not in vocabulary


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("separators", [None, (",", ":"), ("  ,\r\n ", "\t:  ")])
def test_of_any_spaces_and_escapes(read, indent, separators):
    right = {"u": HIGHEST} | {token: number for number, token in enumerate(ODD)}
    content = json.dumps(right, ensure_ascii=False, indent=indent, separators=separators)
    vocabulary = read(tokenizer(content.replace("/", "\\/")))
    assert isinstance(vocabulary, Vocabulary) and dict(vocabulary) == right


def test_of_many_tokens(read):
    rng = random.Random(1)
    right = {"".join(rng.choices("abc\u00e9", k=rng.randint(1, 9))): n for n in range(20_000)} | {"u": 0}
    vocabulary = read(tokenizer(json.dumps(right, ensure_ascii=False)))
    assert dict(vocabulary) == right and vocabulary.get("abcabcabcabc") is None


@pytest.mark.parametrize(
    "vocabulary",
    [
        '{"u": 0, "a": 1.0}', '{"u": 0, "a": -1}', '{"u": 0, "a": 1e2}', '{"u": 0, "a": 2147483648}', "[]",
        '{"u": 0, "\\u0061": 1}', '{"u": 0, "a": [1]}', '{"u": 0, "a": "1"}', '{"u": 0, "a": {"b": 1}}',
        "null", '{"u": 0, "a": 99999999999999999999999999}', '{"u": 0, "a": true}',
    ],
)  # fmt: skip
def test_what_is_unusual_is_left_to_the_library(read, vocabulary):
    assert not isinstance(read(tokenizer(vocabulary)), Vocabulary)
    assert read(tokenizer(vocabulary)) == json.loads(vocabulary)


@pytest.mark.parametrize(
    ("vocabulary", "problem"),
    [
        ('{"u": 0, "a": 1, "a": 2}', "the key 'a' is there twice"),
        ('{"u": 0, "a": 01}', "not valid JSON"),
        ('{"u": 0,}', "not valid JSON"),
        ('{"u": 0', "not valid JSON"),
        ('{"u": 0 "a": 1}', "not valid JSON"),
        ('{"u": 0, "a\n": 1}', "not valid JSON"),
        ('{"u": 0, "\\x": 1}', "not valid JSON"),
        ('{"u": 0, "a": }', "not valid JSON"),
        ('{"a": 0}', "its unk_token 'u' is not in its vocabulary"),
    ],
)
def test_what_is_wrong_is_told_as_ever(read, vocabulary, problem):
    with pytest.raises(CheckpointError, match=problem):
        read(tokenizer(vocabulary))


def test_a_token_that_is_not_utf8_is_told(read):
    with pytest.raises(CheckpointError, match="not valid JSON"):
        read(tokenizer('{"u": 0, "X": 1}').replace(b"X", b"\xff"))


def test_another_vocabulary_than_the_models_is_none(read):
    twice = tokenizer('{"u": 0}', before='"inner": {"vocab": {"x": 1}}, ')
    assert read(twice) == {"u": 0} and not isinstance(read(twice), Vocabulary)
    named = tokenizer('{"u": 0, "read by femtosearch": 1}')
    assert read(named) == {"u": 0, "read by femtosearch": 1}
    with pytest.raises(CheckpointError, match="the key 'vocab' is there twice"):
        read(tokenizer('{"u": 0}, "vocab": {"u": 1}'))


def test_the_core_holds_each_token_once():
    vocabulary = _core.Vocabulary(["a", "b"], np.array([5, 7], np.int32))
    assert vocabulary.tokens() == ["a", "b"] and vocabulary.ids().tolist() == [5, 7] and len(vocabulary) == 2
    assert vocabulary.id_of("b") == 7 and vocabulary.id_of("") == -1
    with pytest.raises(ShapeError, match="'a' twice"):
        _core.Vocabulary(["a", "a"], np.array([5, 7], np.int32))


def test_nothing_is_read_beyond_a_text():
    assert _core.read_vocabulary(b' {"a": 5}', 0, 5)[1] == 9
    for text in (b"", b"{", b'{"', b'{"a', b'{"a\\', b'{"a"', b'{"a":', b'{"a":5', b'{"a":5,', b'{"a":6}'):
        assert _core.read_vocabulary(text, 0, 5) is None
    for at in (9, 10, 1 << 40):
        assert _core.read_vocabulary(b' {"a": 5}', at, 5) is None
