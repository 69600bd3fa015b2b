import json

import numpy as np
import pytest

from femtosearch.errors import CheckpointError, FemtosearchError
from femtosearch.model.checkpoint import read_checkpoint
from femtosearch.model.tokenizer import Tokenizer
from femtosearch.types import Conventions, Coverage

from ..tiny import write_tiny_model

CLS, SEP, MASK, UNK = 2, 3, 4, 1


def make(folder, **conventions):
    given = Conventions(**{"query_length": 12, "document_length": 24, **conventions})
    checkpoint = read_checkpoint(write_tiny_model(folder, conventions=given))
    return Tokenizer(checkpoint.tokenizer, checkpoint.conventions, checkpoint.config)


@pytest.fixture
def tokenizer(tmp_path):
    return make(tmp_path / "tiny")


def texts_of(tokens):
    return [tokens.ids[a:b].tolist() for a, b in zip(tokens.starts, tokens.starts[1:], strict=False)]


def words_id(tokenizer, word):
    return tokenizer._texts.id_of(word)


def test_a_query_is_prefixed_and_padded_with_unattended_masks(tokenizer):
    tokens = tokenizer.queries(["the cat", ""])
    q = words_id(tokenizer, "[Q] ")
    the, cat = words_id(tokenizer, "the"), words_id(tokenizer, "cat")
    assert texts_of(tokens) == [[CLS, q, the, cat, SEP, *[MASK] * 7], [CLS, q, SEP, *[MASK] * 9]]
    assert tokens.attended.tolist() == [5, 3]
    assert tokens.keep.all()


def test_attention_to_the_expansion_is_a_convention(tmp_path):
    assert make(tmp_path / "a", attend_to_expansion=True).queries(["the cat"]).attended.tolist() == [12]


def test_without_expansion_a_query_has_its_own_tokens_only(tmp_path):
    tokens = make(tmp_path / "a", expand_queries=False).queries(["the cat", ""])
    assert np.diff(tokens.starts).tolist() == tokens.attended.tolist() == [5, 3]


def test_a_long_query_keeps_its_first_words_and_sep(tokenizer):
    tokens = tokenizer.queries(["cat " * 40])
    cat = words_id(tokenizer, "cat")
    assert texts_of(tokens) == [[CLS, words_id(tokenizer, "[Q] "), *[cat] * 9, SEP]]


def test_a_document_drops_punctuation_but_not_from_its_tokens(tokenizer):
    tokens = tokenizer.documents(["the cat, sat."])
    assert np.diff(tokens.starts).tolist() == [8]
    assert tokens.keep.tolist() == [True, True, True, True, False, True, False, True]
    assert tokens.attended.tolist() == [8]


def test_a_skip_word_that_is_no_token_stands_for_unk(tmp_path):
    tokenizer = make(tmp_path / "a", skiplist=("€",))
    assert tokenizer.documents(["the 猫"]).keep.tolist() == [True, True, True, False, True]


def test_a_model_without_prefixes_inserts_none(tmp_path):
    tokenizer = make(tmp_path / "a", query_prefix="", document_prefix="")
    the = words_id(tokenizer, "the")
    assert texts_of(tokenizer.documents(["the"])) == [[CLS, the, SEP]]
    assert len(tokenizer.documents(["cat " * 40]).ids) == 24
    assert len(tokenizer.passages(["cat " * 22])[0]) == 1
    assert len(tokenizer.passages(["cat " * 23])[0]) == 2


def test_no_texts_are_no_tokens(tokenizer):
    for tokens in (tokenizer.queries([]), tokenizer.documents([]), tokenizer.passages([])[0]):
        assert len(tokens) == 0
        assert tokens.starts.tolist() == [0]


def test_a_prefix_that_the_tokenizer_does_not_know_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="prefix 'query: ' is not a token"):
        make(tmp_path / "a", query_prefix="query: ")


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(tokenizer, tmp_path):
    checkpoint = read_checkpoint(write_tiny_model(tmp_path / "b"))
    small = type(checkpoint.config)(**{**_fields(checkpoint.config), "vocab_size": 50})
    with pytest.raises(CheckpointError, match=r"highest id is \d+, the model has 50 tokens"):
        Tokenizer(checkpoint.tokenizer, checkpoint.conventions, small)


def _fields(config):
    return {name: getattr(config, name) for name in config.__slots__}


def test_special_tokens_beyond_the_model_are_refused(tmp_path):
    folder = write_tiny_model(tmp_path / "tiny")
    settings = json.loads((folder / "tokenizer.json").read_text())
    settings["post_processor"]["special_tokens"]["[SEP]"]["ids"] = [3_000_000_000]
    (folder / "tokenizer.json").write_text(json.dumps(settings))
    checkpoint = read_checkpoint(folder)
    with pytest.raises(CheckpointError, match="puts id 3000000000 round a text, the model has 114 tok"):
        Tokenizer(checkpoint.tokenizer, checkpoint.conventions, checkpoint.config)


def test_more_length_than_positions_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="document_length is 49, the model has only 48 positions"):
        make(tmp_path / "a", document_length=49)


def test_a_tokenizer_that_is_none_is_refused(tokenizer, tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    checkpoint = read_checkpoint(write_tiny_model(tmp_path / "b"))
    with pytest.raises(CheckpointError, match="not a tokenizer that can be read"):
        Tokenizer(tmp_path / "tokenizer.json", checkpoint.conventions, checkpoint.config)


@pytest.mark.parametrize(
    ("text", "message"),
    [(3, "text 1: expected a str, found int"), ("a\ud800", "text 1: character 1 is half")],
)
def test_what_is_no_text_is_named(tokenizer, text, message):
    for take in (tokenizer.queries, tokenizer.documents, tokenizer.passages):
        with pytest.raises(FemtosearchError, match=message):
            take(["fine", text])


def test_short_texts_are_their_own_passages(tokenizer):
    texts = ["the cat", "the dog ran!"]
    tokens, owner, spans = tokenizer.passages(texts)[:3]
    assert owner.tolist() == [0, 1]
    assert spans.tolist() == [[0, 7], [0, 12]]
    assert tokens.ids.tolist() == tokenizer.documents(texts).ids.tolist()


@pytest.mark.parametrize("empty", ["", " \n\t", "...!?", "\0", ", , ,"])
def test_a_text_without_a_word_has_no_passage(tokenizer, empty):
    tokens, owner, spans = tokenizer.passages(["cat", empty, "dog"])[:3]
    assert owner.tolist() == [0, 2]
    assert len(tokens) == len(spans) == 2
    assert len(tokenizer.passages([empty])[0]) == 0


def test_a_word_is_a_passage_even_where_special_tokens_are_dropped(tmp_path):
    tokenizer = make(tmp_path / "a", skiplist=("[CLS]", "[SEP]", "."))
    tokens, owner, _ = tokenizer.passages(["cat", "", "...", "a cat"])[:3]
    assert owner.tolist() == [0, 3]
    assert tokens.keep.sum() == 2 + 3


def test_a_long_text_is_cut_where_sentences_end(tokenizer):
    sentence = "the cat sat on a mat near it. "
    text = sentence * 10
    tokens, owner, spans = tokenizer.passages(["dog", text, "moon"])[:3]
    assert owner.tolist() == [0, *[1] * (len(owner) - 2), 2]
    pieces = [text[a:b] for a, b in spans[1:-1]]
    assert all(piece.endswith("it.") and piece.startswith("the") for piece in pieces)
    assert " ".join(pieces) == text.strip()
    assert (np.diff(tokens.starts) <= 24).all()


AWKWARD = [
    "moon dog searching cats; red mat! ", "naïve café e\u0301 ", "猫は座った。", "a.b.c-d/e(f) ", "😀 the 😀",
    "the\u200bcat\u202e dog ", "[SEP] x [MASK]", "...", "[D] the ", "a\r\nb\0c ", "dogsdogsdogs" * 9 + " ",
]  # fmt: skip


@pytest.mark.parametrize("text", AWKWARD)
def test_a_passage_has_the_tokens_of_its_own_text(tokenizer, text):
    long = text * 60 + " cat"
    tokens, _, spans = tokenizer.passages([long])[:3]
    alone = tokenizer.documents([long[a:b] for a, b in spans])
    assert len(tokens) == len(spans) > 0
    assert tokens.ids.tolist() == alone.ids.tolist()
    assert tokens.starts.tolist() == alone.starts.tolist()


def test_a_tokenizer_that_does_not_split_on_words_sees_each_passage_alone(tmp_path):
    folder = write_tiny_model(tmp_path / "tiny", conventions=Conventions(query_length=12, document_length=24))
    settings = json.loads((folder / "tokenizer.json").read_text())
    settings["pre_tokenizer"] = {"type": "WhitespaceSplit"}
    (folder / "tokenizer.json").write_text(json.dumps(settings))
    checkpoint = read_checkpoint(folder)
    tokenizer = Tokenizer(checkpoint.tokenizer, checkpoint.conventions, checkpoint.config)
    text = "the cat sat on a mat " * 20
    tokens, _, spans = tokenizer.passages([text])[:3]
    assert tokens.ids.tolist() == tokenizer.documents([text[a:b] for a, b in spans]).ids.tolist()


@pytest.mark.parametrize(
    "text", ["x" * 1_000_000, "猫" * 5000, "😀 " * 500, "cat " * 2000, "..." * 1000 + " cat"]
)
def test_awkward_long_texts_are_cut_into_pieces_that_fit(tokenizer, text):
    tokens, _, spans = tokenizer.passages([text])[:3]
    assert (np.diff(tokens.starts) <= 24).all()
    assert (spans[:, 0] < spans[:, 1]).all()
    assert (spans[1:, 0] >= spans[:-1, 1]).all()
    assert spans.max() <= len(text)


@pytest.mark.parametrize("prefix", ["the cat: ", "[Q] ", "[q]", "dog", "x [", "##"])
@pytest.mark.parametrize("how", ["text", "marker"])
def test_a_prefix_that_is_text_is_tokenised_with_the_text(tmp_path, prefix, how):
    plain = make(tmp_path / "a", query_prefix="", document_prefix="")
    tokenizer = make(tmp_path / "b", query_prefix=prefix, document_prefix=prefix, prefix_as=how)
    texts = ["s ran", "MASK] x", "moon", "", " cat", "e\u0301", *AWKWARD]
    for ours, theirs in ((tokenizer.queries, plain.queries), (tokenizer.documents, plain.documents)):
        assert texts_of(ours(texts)) == texts_of(theirs([prefix + text for text in texts]))
    long = ["the cat sat on a mat near it. " * 10]
    tokens, _, spans = tokenizer.passages(long)[:3]
    assert len(tokens) > 1
    assert texts_of(tokens) == texts_of(tokenizer.documents([long[0][a:b] for a, b in spans]))


def test_a_marker_stays_whole_and_as_text_it_does_not(tmp_path):
    pieces = {"document_prefix": "", "query_prefix": "##ing cat"}
    marker = make(tmp_path / "a", prefix_as="marker", **pieces)
    text = make(tmp_path / "b", prefix_as="text", **pieces)
    ing, cat = words_id(marker, "##ing"), words_id(marker, "cat")
    assert texts_of(marker.queries([""]))[0][:4] == [CLS, ing, cat, SEP]
    assert ing not in texts_of(text.queries([""]))[0]


def test_queries_may_drop_the_skiplist_too(tmp_path):
    tokens = make(tmp_path / "a", skip_in_queries=True).queries(["a, b"])
    assert tokens.keep.tolist() == [True, True, True, False, True, True, *[True] * 6]


def test_queries_are_without_the_tokens_of_their_own_skiplist(tmp_path):
    tokenizer = make(tmp_path / "a", skiplist=(), query_skiplist=(",", "[UNK]", "no token"))
    tokens, plain = tokenizer.queries([", a, \u732b b ,,"]), tokenizer.queries(["a b"])
    assert tokens.ids.tolist() == plain.ids.tolist() and tokens.keep.all()
    assert tokens.attended.tolist() == [5]
    assert tokenizer.documents(["a, \u732b b"]).keep.all()
    assert tokenizer.spans(", a, \u732b b ,,", query=True)[2:4].tolist() == [[2, 3], [7, 8]]


def test_both_skiplists_hold_in_queries(tmp_path):
    tokenizer = make(tmp_path / "a", skiplist=("cat",), skip_in_queries=True, query_skiplist=("dog",))
    assert tokenizer.queries(["the cat dog"]).keep.tolist() == [True, True, True, False, *[True] * 8]
    assert tokenizer.documents(["the cat dog"]).keep.tolist() == [True, True, True, False, True, True]


@pytest.mark.parametrize("expanded", [False, True])
@pytest.mark.parametrize("query", ["", " ", ",", "\u732b", "\u732b, \u72ac,", "," * 100])
def test_a_query_of_skipped_words_alone_has_no_rows(tmp_path, expanded, query):
    tokenizer = make(tmp_path / "a", expand_queries=expanded, query_skiplist=(",", "[UNK]"))
    tokens = tokenizer.queries(["the", query, "cat,"])
    assert tokens.owner.tolist() == [0, 2] and tokens.keep.all()
    assert np.diff(tokens.starts).tolist() == ([12, 12] if expanded else [4, 4])
    assert len(tokenizer.spans(query, query=True)) == 0


@pytest.mark.parametrize("expanded", [False, True])
def test_a_long_query_is_in_pieces_that_end_where_sentences_do(tmp_path, expanded):
    tokenizer = make(tmp_path / "a", expand_queries=expanded, query_pieces=3)
    text = "the cat sat on a mat. the dog ran fast. red moon night search the cat. the dog sat on a mat."
    tokens, spans = tokenizer.query_pieces(["the cat", text])
    assert tokens.owner.tolist() == [0, 1, 1, 1]
    parts = [text[begin:end] for begin, end in spans[1:].tolist()]
    assert parts[:2] == ["the cat sat on a mat.", "the dog ran fast."]
    assert texts_of(tokens)[1:] == texts_of(tokenizer.queries(parts))
    assert np.diff(tokens.starts).max() <= 12
    spans = tokenizer.spans(text, query=True)
    assert len(spans) == tokens.keep[tokens.starts[1] :].sum()
    shown = [text[begin:end] for begin, end in spans.tolist() if begin >= 0]
    assert " ".join(shown) == "the cat sat on a mat . the dog ran fast . red moon night search the cat ."


def test_what_of_a_query_is_known_and_used_is_told(tmp_path):
    tokenizer = make(tmp_path / "a", query_skiplist=(",", "[UNK]"), query_pieces=2)
    assert tokenizer.coverage("the, \u732b cat") == Coverage(3, 0, ("\u732b",))
    assert tokenizer.coverage("the cat " * 8) == Coverage(16, 0, (), 2)
    assert tokenizer.coverage("the cat " * 12) == Coverage(24, 8, (), 2)
    assert tokenizer.coverage(",,").share == 0.0
    plain = make(tmp_path / "b")
    assert plain.coverage("the, \u732b cat") == Coverage(4, 0, ("\u732b",))
    assert plain.coverage("cat " * 12) == Coverage(12, 3, ())


def test_a_prefix_that_runs_into_the_query_leaves_nothing_out(tmp_path):
    with pytest.raises(CheckpointError, match="need a query_prefix that is a token or ends in a blank"):
        make(tmp_path / "a", query_prefix="the", prefix_as="text", query_pieces=2)


def test_a_skip_word_that_is_no_token_may_stand_for_nothing(tmp_path):
    tokenizer = make(tmp_path / "a", skiplist=("\u20ac",), skip_unknown=False)
    assert tokenizer.documents(["the \u732b"]).keep.all()


def test_a_prefix_that_fills_the_length_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="is 10 tokens long, which leaves no room in 12"):
        make(tmp_path / "a", query_prefix="cat " * 10, prefix_as="text")


def test_a_tokenizer_that_puts_nothing_round_a_text_is_refused(tmp_path):
    folder = write_tiny_model(tmp_path / "tiny")
    settings = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(settings | {"post_processor": None}))
    checkpoint = read_checkpoint(folder)
    with pytest.raises(
        CheckpointError, match="such as \\[CLS\\] and \\[SEP\\]; it puts 0 round an empty text"
    ):
        Tokenizer(checkpoint.tokenizer, checkpoint.conventions, checkpoint.config)
