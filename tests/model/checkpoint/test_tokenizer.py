"""tokenizer.json is refused where its components could grow a text without bound, and where it is damaged."""

import base64
import json
import os

import pytest
from tokenizers import Tokenizer

from femtosearch.errors import CheckpointError
from femtosearch.model.checkpoint.tokenizer import TOKENIZER_LIMIT, read_tokenizer
from femtosearch.model.model import BUILT_INS, built_in

from ...tiny import write_tokenizer

GROW = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 1000}
SPACES = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "\u2581"}
METASPACE = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}


def sequence(key, *components):
    return {"type": "Sequence", key: list(components)}


def charsmap(*replacements, trie=b"\0\0\0\0"):
    entries = b"".join(text.encode() + b"\0" for text in replacements)
    return base64.b64encode(len(trie).to_bytes(4, "little") + trie + entries).decode()


@pytest.fixture
def path(tmp_path):
    write_tokenizer(tmp_path / "tokenizer.json")
    return tmp_path / "tokenizer.json"


def change(path, **settings):
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    return path


def change_model(path, **settings):
    return change(path, model=json.loads(path.read_text())["model"] | settings)


@pytest.mark.parametrize("name", built_in())
def test_the_built_in_tokenizers_are_read(name):
    file = read_tokenizer(BUILT_INS / name / "tokenizer.json")
    assert file.lowers_case and file.has_token("[Q] ") and not file.has_token("no such token")
    assert [step["type"] for step in file.normalizers] == ["NFKC", "BertNormalizer"]
    assert [step["type"] for step in file.splitters] == ["BertPreTokenizer"]


@pytest.mark.parametrize(
    ("key", "component"),
    [
        ("normalizer", None),
        ("normalizer", sequence("normalizers", {"type": "NFKC"}, {"type": "Lowercase"})),
        # As ALBERT's and XLM-RoBERTa's tokenizers have them.
        ("normalizer", {"type": "Replace", "pattern": {"String": "``"}, "content": '"'}),
        ("normalizer", sequence("normalizers", {"type": "Prepend", "prepend": "\u2581"}, SPACES)),
        ("pre_tokenizer", sequence("pretokenizers", {"type": "WhitespaceSplit"}, METASPACE)),
        (
            "pre_tokenizer",
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        ),
    ],
)
def test_what_a_real_tokenizer_has_is_let_in(path, key, component):
    change(path, **{key: component})
    assert Tokenizer.from_str(read_tokenizer(path).text).encode("the cat").ids


@pytest.mark.parametrize(
    ("key", "component", "message"),
    [
        ("normalizer", GROW, "normalizer Replace can make a text 1,000 times longer"),
        ("normalizer", sequence("normalizers", *[GROW] * 4), "normalizer Replace"),
        ("normalizer", sequence("normalizers", sequence("normalizers", GROW)), "normalizer Replace"),
        (
            "normalizer",
            sequence("normalizers", *[{**GROW, "content": "aaaa"}] * 4),
            "normalizer Replace can make a text 4 times longer, .* makes 256 times; expected at most 128",
        ),
        ("normalizer", {**GROW, "pattern": {"Regex": "x*"}}, "normalizer Replace"),
        ("normalizer", {**GROW, "pattern": {"String": ""}}, "a pattern that is not empty"),
        ("normalizer", {**GROW, "pattern": "a"}, "a pattern that is not empty"),
        ("normalizer", {**GROW, "content": 5}, "Replace: expected content to be a string, found 5"),
        ("normalizer", {"type": "Prepend", "prepend": "a" * 200}, "normalizer Prepend"),
        ("normalizer", sequence("normalizers", *[{"type": "ByteLevel"}] * 9), "normalizer ByteLevel"),
        ("normalizer", sequence("normalizers", *[{"type": "NFC"}] * 40), "at most 32 components"),
        ("normalizer", {"type": "Precompiled", "precompiled_charsmap": charsmap("b" * 500)}, "Precompiled"),
        ("normalizer", {"type": "Precompiled", "precompiled_charsmap": "AAAA"}, "table is truncated"),
        ("normalizer", {"type": "Precompiled", "precompiled_charsmap": "!"}, "table is damaged"),
        (
            "normalizer",
            {"type": "Precompiled", "precompiled_charsmap": 1},
            "precompiled_charsmap to be a str",
        ),
        ("normalizer", {"type": "Later"}, "normalizer 'Later' is not known; known: BertNormalizer"),
        ("normalizer", {key: GROW[key] for key in ("pattern", "content")}, "an object with a type"),
        ("normalizer", 5, "an object with a type, found 5"),
        ("normalizer", sequence("normalizers", 5), "an object with a type, found 5"),
        ("normalizer", {"type": "Sequence", "normalizers": 5}, "a list of normalizers, found 5"),
        ("pre_tokenizer", {"type": "Later"}, "pre_tokenizer 'Later' is not known"),
        ("pre_tokenizer", sequence("pretokenizers", *[METASPACE] * 9), "pre_tokenizer Metaspace can make"),
        ("post_processor", {"type": "Later"}, "post_processor 'Later' is not known"),
        (
            "post_processor",
            {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}}] * 3},
            "expected the text once in single, found 3",
        ),
        ("added_tokens", 5, "added_tokens: expected a list"),
        ("added_tokens", [5], "added_tokens: expected objects with a content"),
        ("added_tokens", [{"id": 1, "content": "x"}] * 70_000, "a list of at most 65,536"),
        ("model", [1], r"model: expected an object, found \[1\]"),
        ("model", None, "model: expected an object, found None"),
    ],
)
def test_what_could_grow_or_is_damaged_is_refused_by_name(path, key, component, message):
    with pytest.raises(CheckpointError, match=rf"tokenizer\.json: .*{message}"):
        read_tokenizer(change(path, **{key: component}))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"unk_token": "[NONE]"}, r"its unk_token '\[NONE\]' is not in its vocabulary"),
        ({"max_input_chars_per_word": 10**9}, "max_input_chars_per_word up to 1,000"),
        ({"continuing_subword_prefix": "#" * 10_000}, "continuing_subword_prefix: expected at most 16"),
        ({"dropout": 0.5}, "the same text has other tokens each time"),
    ],
)
def test_a_model_that_is_slow_or_random_or_lacks_its_unknown_token_is_refused(path, settings, message):
    with pytest.raises(CheckpointError, match=message):
        read_tokenizer(change_model(path, **settings))


def test_a_table_of_characters_with_short_entries_is_let_in(path):
    table = {"type": "Precompiled", "precompiled_charsmap": charsmap("a", "fi", "b" * 18)}
    assert read_tokenizer(change(path, normalizer=table)).normalizers == [table]


@pytest.mark.parametrize("content", ["[]", "5", '"text"', "null", "{}"])
def test_what_is_no_tokenizer_is_refused(path, content):
    path.write_text(content)
    with pytest.raises(CheckpointError, match="not a tokenizer that can be read"):
        read_tokenizer(path)


def test_a_large_file_and_a_pipe_are_refused_at_once(path):
    os.truncate(path, TOKENIZER_LIMIT + 1)
    with pytest.raises(CheckpointError, match="expected at most 67,108,864 bytes"):
        read_tokenizer(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(CheckpointError, match="expected a regular file, found a pipe"):
        read_tokenizer(path)
