from dataclasses import fields, replace

import pytest

from femtosearch.errors import CheckpointError
from femtosearch.model.checkpoint import read_checkpoint
from femtosearch.model.model import Model
from femtosearch.types import Conventions

from ...tiny import write_tiny_model
from .layouts import NATIVE_MODULES, dump, edit, load, write_modules, write_native, write_stanford

SETTINGS = "config_sentence_transformers.json"
PUNCTUATION = Conventions().skiplist


@pytest.fixture
def folder(tmp_path):
    return write_tiny_model(tmp_path / "tiny")


@pytest.fixture
def native(tmp_path):
    return write_native(tmp_path / "native")


@pytest.fixture
def stanford(tmp_path):
    return write_stanford(tmp_path / "stanford")


def conventions(folder, preset=None):
    return read_checkpoint(folder, preset).conventions


def origin(folder, name, preset=None):
    return read_checkpoint(folder, preset).origins[name]


def test_every_convention_says_where_it_comes_from(folder, native, stanford):
    for each in (folder, native, stanford):
        for preset in (None, "pylate", "sentence-transformers", "txtai"):
            origins = read_checkpoint(each, preset).origins
            assert list(origins) == [field.name for field in fields(Conventions)]
            assert all(origins.values())


def test_pylates_own_settings(folder):
    edit(folder / SETTINGS, skiplist_words=["the"], do_query_expansion=None, attend_to_expansion_tokens=True)
    assert conventions(folder) == Conventions(
        query_length=12, document_length=24, skiplist=("the",), attend_to_expansion=True
    )
    assert origin(folder, "skiplist") == "config_sentence_transformers.json: skiplist_words"
    assert origin(folder, "expand_queries") == "default of PyLate"


def test_a_prefix_that_nobody_says_is_none_where_the_tokenizer_has_no_such_token(tmp_path):
    folder = write_tiny_model(tmp_path / "tiny", prefixes=())
    (folder / SETTINGS).unlink()
    assert (conventions(folder).query_prefix, conventions(folder).document_prefix) == ("", "")
    assert origin(folder, "query_prefix") == "tokenizer.json: no token '[Q] '"
    assert Model.load(folder).encode_queries(["the cat"]).starts.tolist() == [0, 32]


def test_a_default_length_is_cut_to_the_positions(folder):
    dump(folder / SETTINGS, {})
    assert conventions(folder).document_length == 48
    assert origin(folder, "document_length") == "config.json: max_position_embeddings"


def test_a_native_saves_settings(native):
    assert conventions(native) == Conventions(
        query_length=12,
        document_length=24,
        skiplist=(",", "."),
        prefix_as="text",
        skip_unknown=False,
        unit_pools=True,
    )
    assert origin(native, "query_length") == "sentence_bert_config.json: query_expansion.length"
    assert origin(native, "query_prefix") == "config_sentence_transformers.json: prompts.query"
    assert origin(native, "skiplist") == "2_MultiVectorMask/config.json: skiplist_words"


def test_a_native_save_that_says_little(native):
    dump(native / "sentence_bert_config.json", {})
    edit(native / SETTINGS, prompts={})
    dump(native / "2_MultiVectorMask" / "config.json", {})
    edit(native / "tokenizer_config.json", model_max_length=40)
    found = conventions(native)
    assert (found.query_prefix, found.expand_queries, found.skiplist) == ("", False, ())
    assert found.query_length == found.document_length == 40
    assert origin(native, "document_length") == "tokenizer_config.json: model_max_length"


def test_native_expansion_to_a_least_length_only(native):
    expansion = {"strategy": "min", "length": 8, "attend": True, "token": "[PAD]"}
    edit(native / "sentence_bert_config.json", query_expansion=expansion, query_length=16)
    found = conventions(native)
    assert (found.query_length, found.expansion_length, found.expansion_token) == (16, 8, "[PAD]")
    assert found.attend_to_expansion
    model = Model.load(native)
    assert [len(rows) for rows in model.encode_queries(["cat", "cat " * 9, "cat " * 40])] == [8, 12, 16]


def test_a_native_skiplist_may_hold_for_queries_too(native):
    edit(
        native / "2_MultiVectorMask" / "config.json",
        skiplist_words=["the"],
        skiplist_tasks=["query", "document"],
    )
    assert conventions(native).skip_in_queries
    edit(native / "sentence_bert_config.json", query_expansion=None)
    model = Model.load(native)
    assert [len(rows) for rows in model.encode_queries(["cat", "the cat"])] == [4, 4]


def test_native_pooling_and_scoring(native):
    pooling = "sentence_transformers.multi_vector_encoder.modules.token_pooling.HierarchicalTokenPooling"
    write_modules(native, [*NATIVE_MODULES.items(), ("4_HierarchicalTokenPooling", pooling)])
    settings = native / "4_HierarchicalTokenPooling" / "config.json"
    dump(
        settings,
        {"pool_factor": 2, "num_protected_tokens": 3, "normalize_embeddings": True, "tasks": ["document"]},
    )
    edit(native / SETTINGS, similarity_fn_name="meanmaxsim")
    found = conventions(native)
    assert (found.pool_factor, found.protected_tokens, found.unit_pools, found.scoring) == (
        2,
        3,
        True,
        "mean",
    )
    dump(settings, {"pool_factor": 2})
    assert not conventions(native).unit_pools
    dump(settings, {"pool_factor": 2, "tasks": ["query", "document"]})
    with pytest.raises(CheckpointError, match=r"pooling of .* is not known; known: document"):
        read_checkpoint(native)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        (
            "sentence_bert_config.json",
            {"query_expansion": {"strategy": "max", "length": 8}},
            "fixed or min; found",
        ),
        ("sentence_bert_config.json", {"query_expansion": {"strategy": "fixed"}}, "needs a length"),
        ("sentence_bert_config.json", {"query_expansion": [1]}, "expected query_expansion to be an object"),
        ("sentence_bert_config.json", {"document_length": "long"}, "expected document_length to be int"),
        (
            "sentence_bert_config.json",
            {"query_expansion": {"strategy": "min", "length": 49}},
            "at most query_length",
        ),
        ("2_MultiVectorMask/config.json", {"keep_only_token_ids": [3]}, "keep_only_token_ids is for images"),
        ("2_MultiVectorMask/config.json", {"skiplist_tasks": ["query"]}, "expected a skiplist for documents"),
        ("2_MultiVectorMask/config.json", {"skiplist_words": "the"}, "expected skiplist_words to be list"),
        (SETTINGS, {"prompts": {"query": 3}}, "expected query to be str, found 3"),
        (SETTINGS, {"prompts": "query"}, "expected prompts to be an object"),
    ],
)
def test_native_settings_that_make_no_sense_are_refused(native, name, changes, message):
    edit(native / name, **changes)
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(native)


def test_expansion_without_a_mask_is_refused(native):
    modules = [module for module in NATIVE_MODULES.items() if module[0] != "2_MultiVectorMask"]
    write_modules(native, modules)
    with pytest.raises(CheckpointError, match="query_expansion needs a MultiVectorMask"):
        read_checkpoint(native)


def test_stanfords_settings(stanford):
    expected = Conventions("[unused0]", "[unused1]", query_length=12, document_length=24)
    assert conventions(stanford) == expected
    edit(stanford / "artifact.metadata", attend_to_mask_tokens=True, mask_punctuation=False)
    assert conventions(stanford) == replace(expected, attend_to_expansion=True, skiplist=())
    assert origin(stanford, "skiplist") == "artifact.metadata: mask_punctuation"
    assert conventions(stanford, "pylate").skiplist == PUNCTUATION  # which PyLate drops in any case
    assert conventions(stanford, "sentence-transformers").query_prefix == "[unused0] "


def test_a_stanford_model_without_settings_has_its_authors(stanford):
    (stanford / "artifact.metadata").unlink()
    found = conventions(stanford)
    assert (found.query_prefix, found.document_prefix, found.query_length) == ("[unused0]", "[unused1]", 32)


def test_pylates_folder_as_sentence_transformers_reads_it(folder):
    edit(folder / SETTINGS, prompts={"query": "find: ", "document": "[D] "})
    found = conventions(folder, "sentence-transformers")
    assert (found.query_prefix, found.document_prefix, found.prefix_as) == ("[Q] find: ", "[D] ", "marker")
    assert (found.skip_unknown, found.skiplist, found.expand_queries) == (False, PUNCTUATION, True)


@pytest.mark.parametrize("write", [write_tiny_model, write_native, write_stanford])
def test_txtai_has_neither_expansion_nor_skiplist(tmp_path, write):
    folder = write(tmp_path / "model")
    edit(folder / "tokenizer_config.json", model_max_length=40)
    found = conventions(folder, "txtai")
    assert (found.expand_queries, found.skiplist, found.prefix_as, found.scoring) == (
        False,
        (),
        "text",
        "mean",
    )
    native = write is write_native  # whose prompts and lengths txtai does not read
    assert (
        found.query_prefix == {write_tiny_model: "[Q] ", write_native: "", write_stanford: "[unused0]"}[write]
    )
    assert (found.query_length, found.document_length) == ((40, 40) if native else (12, 24))


def test_a_mask_of_another_name_is_found(folder):
    dump(folder / "tokenizer_config.json", {"mask_token": {"content": "[PAD]", "lstrip": True}})
    assert conventions(folder).expansion_token == "[PAD]"
    assert origin(folder, "expansion_token") == "tokenizer_config.json: mask_token"


OTHERS = Conventions(
    query_length=13, document_length=20, prefix_as="marker", expansion_length=9, expansion_token="[PAD]",
    skip_unknown=False, skip_in_queries=True, pool_factor=1.5, protected_tokens=2, unit_pools=True,
    scoring="mean", query_skiplist=("the", "[UNK]"), query_pieces=7,
)  # fmt: skip


def test_conventions_can_be_given_and_are_saved(folder, tmp_path):
    model = Model.load(folder, conventions=OTHERS)
    assert model.conventions == OTHERS
    assert read_checkpoint(folder, OTHERS).origins["pool_factor"] == "given"
    model.save(tmp_path / "copy")
    copy = Model.load(tmp_path / "copy")
    assert copy.conventions == OTHERS
    assert copy.fingerprint == model.fingerprint
    assert origin(tmp_path / "copy", "scoring") == "config_sentence_transformers.json: femtosearch.scoring"
    edit(tmp_path / "copy" / SETTINGS, femtosearch={"colour": 1})
    with pytest.raises(CheckpointError, match=r"femtosearch\.colour is not known; a newer femtosearch"):
        read_checkpoint(tmp_path / "copy")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"query_length": 3}, "should be at least 4"),
        ({"expansion_length": 13}, "expansion_length should be at most query_length, 12"),
        ({"prefix_as": "word"}, "prefix_as should be token, marker or text, found 'word'"),
        ({"scoring": "max"}, "scoring should be sum or mean, found 'max'"),
        ({"pool_factor": float("nan")}, "pool_factor should be a number from 1 up"),
        ({"query_pieces": 0}, "query_pieces should be at least 1, found 0"),
        ({"protected_tokens": -1}, "protected_tokens should be at least 0"),
        ({"query_length": "12"}, "query_length should be a whole number, found '12'"),
        ({"document_length": True}, "document_length should be a whole number, found True"),
        ({"expansion_length": 4.0}, "expansion_length should be a whole number, found 4.0"),
        ({"expand_queries": "no"}, "expand_queries should be true or false, found 'no'"),
        ({"query_prefix": 3}, "query_prefix should be a text, found 3"),
        ({"skiplist": "abc"}, "skiplist should be a list of texts, found 'abc'"),
        ({"skiplist": ("a", 3)}, r"skiplist should be a list of texts, found \('a', 3\)"),
    ],
)
def test_conventions_that_make_no_sense_are_refused(folder, changes, message):
    with pytest.raises(CheckpointError, match=message):
        Model.load(folder, conventions=replace(conventions(folder), **changes))


def test_an_unknown_preset_is_named(folder):
    with pytest.raises(
        CheckpointError, match="'colbert' are not known; known: pylate, sentence-transformers, txtai"
    ):
        Model.load(folder, conventions="colbert")


def test_lower_case_that_the_tokenizer_does_not_make_is_refused(folder):
    edit(folder / "sentence_bert_config.json", do_lower_case=True)
    assert conventions(folder).query_length == 12
    settings = load(folder / "tokenizer.json")
    settings["normalizer"]["lowercase"] = False
    dump(folder / "tokenizer.json", settings)
    with pytest.raises(CheckpointError, match=r"do_lower_case asks for lower case, tokenizer\.json does not"):
        read_checkpoint(folder)
