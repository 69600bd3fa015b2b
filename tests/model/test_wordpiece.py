"""The native WordPiece gives what the library `tokenizers` gives: ids, offsets and words."""

import base64
import json
import random
import sys
import unicodedata
from functools import cache

import pytest

from femtosearch.errors import CheckpointError, FemtosearchError, MissingExtraError
from femtosearch.model.checkpoint.tokenizer import read_tokenizer
from femtosearch.model.library_tokenizer import LibraryTokenizer
from femtosearch.model.model import BUILT_INS, DEFAULT
from femtosearch.model.tokenizer import text_encoder
from femtosearch.model.wordpiece import WordPiece

tokenizers = pytest.importorskip("tokenizers")
from ..tiny import write_tokenizer  # noqa: E402  # which needs the library

PATH = BUILT_INS / DEFAULT / "tokenizer.json"
BERT = {
    "type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None,
    "lowercase": True,
}  # fmt: skip
TEXTS = [
    "The Cat sat.", "", " ", "\t\r\n", "A\r\nB", "naïve CAFÉ", "\0 NUL", "[SEP] and [MASK]", "[Q] THE",
    "[q] the", "Σίσυφος", "İstanbul", "猫は座った", "x" * 100, "x" * 101, "é" * 100, "é" * 101,
    "don't — “stop”…",
    "5±2 \u00d7 3°", "\x7f\x1f", "[D] ", "e\u0301", "unbelievably #hash ##ing", "한국어 가각힣",
    "\ufb01nancial \uff11\uff12", "[Q] [Q] [Q]",
    "[[SEP]]", "a[SEP", "\ufeffbom", "zero\u200bwidth", "\u0344", "a\u0301\x01\u0327b", "e\u0345\u0301\u302f",
    "🏴󠁧󠁢󠁥󠁮󠁧󠁿 flag",
    "\ufb01\u0301 \uff76\uff9e", "\u1100\u1161\u11a8 \uffa1\uffc2\uffa2", "\u00bd \u2460 km\u00b2 \ufdfa",
    "\u01c4\u030c\u0323", "e\u0323\u0301\u0302", "\u0041\u030a\x01\u0301", "\uff3bSEP\uff3d", "\u2126\u00e5",
    "\u1e9b\u0323", "ǆ ǅ Ǆ", "\u2028line\u2029", "tab\tand\u00a0nbsp", "\u0600\u06dd", "\U0001d15e", "ẞ ß",
]  # fmt: skip
SETTINGS = {  # of BertNormalizer: text that any of them changes is in TEXTS
    "as BERT": {},
    "cased": {"lowercase": False},
    "cased, without accents": {"lowercase": False, "strip_accents": True},
    "accents kept": {"strip_accents": False},
    "not cleaned": {"clean_text": False},
    "Chinese not apart": {"handle_chinese_chars": False},
    "nothing": {
        "clean_text": False, "handle_chinese_chars": False, "strip_accents": False, "lowercase": False,
    },
}  # fmt: skip


@pytest.fixture(scope="module", params=["as BERT", "after NFKC"])
def path(request, tmp_path_factory):
    place = tmp_path_factory.mktemp("tokenizers") / "tokenizer.json"
    return with_settings(place, after_nfkc=request.param == "after NFKC")


@pytest.fixture(scope="module")
def library(path):
    tokenizer = tokenizers.Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


@pytest.fixture(scope="module")
def native(path):
    encoder = text_encoder(path)
    assert isinstance(encoder, WordPiece)
    return encoder


def assert_same(native, library, texts):
    encodings = native.encode(texts)
    for n, (text, expected) in enumerate(zip(texts, library.encode_batch(texts), strict=True)):
        own = encodings[n]
        assert own.ids.tolist() == expected.ids, ascii(text)
        assert list(zip(own.begins.tolist(), own.ends.tolist(), strict=True)) == expected.offsets, ascii(text)
        assert [None if word < 0 else word for word in own.words.tolist()] == expected.word_ids, ascii(text)
    ids, starts = native.ids(texts)
    assert (ids == encodings.ids).all() and (starts == encodings.starts).all()


@cache
def pools():
    """Letters, marks, everything that changes, and added tokens."""
    everything = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    return [
        [c for c in everything if unicodedata.combining(c)],
        [c for c in everything if unicodedata.decomposition(c) or c.lower() != c],
        [c for c in everything if unicodedata.normalize("NFKD", c) != unicodedata.normalize("NFD", c)],
        list("\u1100\u1112\u1161\u1175\u11a7\u11a8\u11c2\u11c3\uac00\uac01\uffa1\uffc2eoA\u0301\u0302\u0323\u0327\u030a"),
        everything, everything[:0x3000], list("abcXYZÉÀçİ\u0131ß\u017fKÅ"), list("中文日本한국어ㄱᄀ가각힣"),
        list(" \t\n.,[]#-_'\"\x00\x01\u200b\u00a0\ufeff\ufffd"),
        ["[SEP]", "[CLS]", "[Q] ", "[MASK]", "[UN", "##", "the", "ing", "unbelievable"],
    ]  # fmt: skip


def mixtures(count, seed):
    """Texts that are drawn from the pools."""
    rng = random.Random(seed)
    return [
        "".join(rng.choice(rng.choice(pools())) for _ in range(rng.randrange(1, 24))) for _ in range(count)
    ]


def with_settings(path, *, after_nfkc=False, **settings):
    """The built-in tokenizer with another normaliser."""
    content = json.loads(PATH.read_text())
    steps = [{"type": "NFKC"}] * after_nfkc + [BERT | settings]
    content["normalizer"] = {"type": "Sequence", "normalizers": steps} if after_nfkc else steps[0]
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("after_nfkc", [False, True])
@pytest.mark.parametrize("name", SETTINGS)
def test_texts_are_tokenised_as_the_library_does(tmp_path, name, after_nfkc):
    path = with_settings(tmp_path / "tokenizer.json", after_nfkc=after_nfkc, **SETTINGS[name])
    assert isinstance(text_encoder(path), WordPiece)
    assert_same(text_encoder(path), tokenizers.Tokenizer.from_file(str(path)), TEXTS + mixtures(300, name))


@pytest.mark.slow
def test_every_character_is_tokenised_as_the_library_does(native, library):
    characters = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    for begin in range(0, len(characters), 50_000):
        assert_same(native, library, [f"a{c}B {c}" for c in characters[begin : begin + 50_000]])


FOLDED = {  # a text -> what NFKC makes of it, and where in it the second word is
    "the \ufb01nancial o\ufb03ce": ("the financial office", (4, 12)),
    "ab \uff11\uff12\uff13": ("ab 123", (3, 6)),
    "half \u00bd": ("half 1\u20442", (5, 6)),
    "caf\u00e9 cafe\u0301": ("caf\u00e9 caf\u00e9", (5, 9)),
    "a \u1112\u1161\u11ab": ("a \ud55c", (2, 3)),
    "x \uff21\uff22": ("x AB", (2, 4)),
    "non\u00a0breaking": ("non breaking", (4, 12)),
}


@pytest.mark.parametrize("text", FOLDED)
def test_typeset_forms_are_what_they_stand_for_and_spans_are_of_the_text(tmp_path, text):
    encoder = text_encoder(with_settings(tmp_path / "tokenizer.json", after_nfkc=True))
    plain, (begin, end) = FOLDED[text]
    encoding, expected = encoder.encode([text]), encoder.encode([plain])
    assert encoding.ids.tolist() == expected.ids.tolist()
    of_word = encoding.words == 1
    assert (encoding.begins[of_word].min(), encoding.ends[of_word].max()) == (begin, end)


def test_a_text_of_marks_alone_is_soon_done(native, library):
    text = "e" + "\u0301\u0323\u0327" * 3000 + " \u1100" + "\u1161" * 3000
    assert_same(native, library, [text, text[1:]])


@pytest.mark.slow
def test_twenty_thousand_mixtures(native, library):
    assert_same(native, library, mixtures(20_000, 1))


def test_threads_and_batches_change_nothing(native):
    alone = [native.encode([text]).ids.tolist() for text in TEXTS]
    for threads in (0, 1, 2, 5):
        together = native.encode(TEXTS * 3, threads)
        assert [together[n].ids.tolist() for n in range(len(TEXTS) * 3)] == alone * 3


def test_tokens_have_the_librarys_ids(native, library):
    for token in ("the", "##ing", "[CLS]", "[Q] ", "nothing of the kind"):
        assert native.id_of(token) == library.token_to_id(token)
    assert native.highest_id == library.get_vocab_size() - 1
    assert set(native.added) == {token.content for token in library.get_added_tokens_decoder().values()}


def test_a_token_is_kept_whole_from_then_on(tmp_path):
    path = tmp_path / "tokenizer.json"
    write_tokenizer(path)
    encoder = text_encoder(path)
    whole = encoder.id_of("##ing")
    assert encoder.ids(["a ##ing"])[0].tolist() != [2, encoder.id_of("a"), whole, 3]
    encoder.keep_whole("the")  # is whole as it is
    assert "the" not in encoder.added
    encoder.keep_whole("##ing")
    assert encoder.ids(["a ##ing"])[0].tolist() == [2, encoder.id_of("a"), whole, 3]
    encoder.save(str(tmp_path / "saved.json"))
    for again in (
        text_encoder(tmp_path / "saved.json"),
        LibraryTokenizer(read_tokenizer(tmp_path / "saved.json")),
    ):
        assert again.ids(["a ##ing the"])[0].tolist() == encoder.ids(["a ##ing the"])[0].tolist()


@pytest.mark.parametrize("text", [3, None, b"bytes", "a\ud800"])
@pytest.mark.parametrize("kind", [WordPiece, LibraryTokenizer])
def test_what_is_no_text_is_named_among_many(native, kind, text):
    encoder = native if kind is WordPiece else LibraryTokenizer(read_tokenizer(PATH))
    with pytest.raises(FemtosearchError, match="text 40: "):
        encoder.encode(["fine"] * 40 + [text])


OTHERS = {  # what makes a tokenizer one of another kind
    "another pre-tokenizer": {"pre_tokenizer": {"type": "Whitespace"}},
    "two normalisers": {
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "Lowercase"}]}
    },
    "NFKC last": {"normalizer": {"type": "Sequence", "normalizers": [BERT, {"type": "NFKC"}]}},
    "NFC": {"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, BERT]}},
    "NFKC alone": {"normalizer": {"type": "NFKC"}},
    "another post-processor": {
        "post_processor": {"type": "ByteLevel", "trim_offsets": True, "add_prefix_space": True}
    },
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_tokenizer_of_another_kind_is_the_librarys(tmp_path, name):
    path = write_without(tmp_path / "tokenizer.json", **OTHERS[name])
    assert isinstance(text_encoder(path), LibraryTokenizer)


@pytest.mark.parametrize("flag", ["single_word", "lstrip", "rstrip", "normalized"])
def test_added_tokens_that_are_looked_for_in_another_way_are_the_librarys(tmp_path, flag):
    path = tmp_path / "tokenizer.json"
    write_tokenizer(path)
    content = json.loads(path.read_text())
    content["added_tokens"][0][flag] = True
    path.write_text(json.dumps(content))
    assert isinstance(text_encoder(path), LibraryTokenizer)


def test_bert_processing_puts_ids_round_a_text(tmp_path):
    path = write_without(
        tmp_path / "tokenizer.json",
        post_processor={"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
    )
    assert_same(text_encoder(path), tokenizers.Tokenizer.from_file(str(path)), ["the cat", ""])


def test_without_the_library_another_kind_names_the_extra(tmp_path, monkeypatch):
    path = write_without(tmp_path / "tokenizer.json", pre_tokenizer={"type": "Whitespace"})
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    assert isinstance(text_encoder(PATH), WordPiece)
    with pytest.raises(MissingExtraError, match=r"pip install 'femtosearch\[tokenizers\]'"):
        text_encoder(path)


def write_without(path, **settings):
    """A tokenizer with other components, some of which fail in the library, by an error or a panic."""
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
    encoder = text_encoder(path)
    assert encoder.ids(["a"])[0].tolist() == [0]
    for texts in (["\u732b"], ["\u732b"] * 40):
        with pytest.raises(
            CheckpointError, match=r"tokenizer\.json: the tokenizer fails on a text: .*unk_id"
        ):
            encoder.ids(texts)


def test_a_panic_of_the_library_on_a_text_is_ours(tmp_path):
    table = base64.b64encode(b"\x04\0\0\0" + b"\xff\xff\xff\x7f" + b"a\0").decode()
    path = write_without(
        tmp_path / "tokenizer.json", normalizer={"type": "Precompiled", "precompiled_charsmap": table}
    )
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: "):
        text_encoder(path).ids(["a text"])


def test_an_interrupt_stays_an_interrupt(monkeypatch):
    class Interrupted:
        def encode(self, *_):
            raise KeyboardInterrupt

    encoder = LibraryTokenizer(read_tokenizer(PATH))
    monkeypatch.setattr(encoder, "_tokenizer", Interrupted())
    with pytest.raises(KeyboardInterrupt):
        encoder.ids(["a text"])


def test_what_is_no_tokenizer_is_named(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(CheckpointError, match="not a tokenizer that can be read"):
        text_encoder(tmp_path / "tokenizer.json")
