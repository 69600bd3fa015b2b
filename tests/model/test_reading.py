"""A model folder that is given the built-in models' ways: what it says, and that the others still read it."""

import json

import pytest

from femtosearch.fde import Muvera, restore_fde, store_fde
from femtosearch.model.checkpoint import read_checkpoint
from femtosearch.model.checkpoint.modules import SETTINGS
from femtosearch.model.model import FDE, Model
from femtosearch.model.reading import PIECES, prepare, unheard, with_nfkc
from femtosearch.types import Conventions

from ..tiny import write_tiny_model

LENGTHS = {"query_length": 12, "document_length": 24, "expand_queries": False}


@pytest.fixture
def folder(tmp_path):
    return write_tiny_model(tmp_path / "tiny", conventions=Conventions(**LENGTHS, skiplist=("[CLS]", ",")))


def test_a_folder_is_changed_once(folder):
    before = Model.load(folder)
    assert prepare(folder) and not prepare(folder)
    model = Model.load(folder)
    assert model.fingerprint != before.fingerprint
    conventions = model.conventions
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    assert conventions.skiplist[:2] == ("[CLS]", ",") and conventions.skiplist[-1] == "[UNK]"
    assert conventions.query_skiplist == unheard(vocabulary)
    assert conventions.query_pieces == PIECES
    assert model.encode_queries(["the cat"]).rows.tolist() == before.encode_queries(["the cat"]).rows.tolist()


def test_the_fde_and_the_card_follow(folder):
    before = read_checkpoint(folder)
    model = Model.load(folder)
    fde = Muvera(2, 2, 4)
    (folder / FDE).write_bytes(store_fde(fde, model.dims))
    (folder / "README.md").write_text(f"fingerprint `{model.fingerprint}`")
    prepare(folder)
    again = Model.load(folder)
    assert (folder / "README.md").read_text() == f"fingerprint `{again.fingerprint}`"
    assert restore_fde((folder / FDE).read_bytes(), "").model is None  # it is any model's
    assert before.conventions != again.conventions


def test_typeset_forms_and_unknown_words(folder):
    prepare(folder)
    model = Model.load(folder)
    plain = model.encode_queries(["fast cat 12"]).rows.tolist()
    for text in ("\uff46\uff41\uff53\uff54 cat \u2460\uff12", "\u732b fast, cat 12!?", "... fast cat 12"):
        assert model.encode_queries([text]).rows.tolist() == plain
    assert len(model.encode_queries(["\u732b \u72ac ?!"]).rows) == 0
    assert len(model.encode_documents(["the \u732b cat!"]).rows) == 4  # [D], the, cat, [SEP]


def test_nfkc_goes_before_what_there_is():
    bert = {"type": "BertNormalizer"}
    nfkc = {"type": "NFKC"}
    expected = {"normalizer": {"type": "Sequence", "normalizers": [nfkc, bert]}}
    assert with_nfkc({"normalizer": bert}) == expected == with_nfkc(expected)
    assert with_nfkc({"normalizer": None})["normalizer"]["normalizers"] == [nfkc]


def test_punctuation_of_every_script_is_unheard():
    assert set(unheard(["\u3002", "\u2014", "##.", "ab", "a", "$"])) == {
        *Conventions().skiplist,
        "\u3002",
        "\u2014",
        "[UNK]",
    }


def test_transformers_reads_the_tokenizer_alike(folder):
    transformers = pytest.importorskip("transformers")
    prepare(folder)
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    ours = Model.load(folder)._tokenizer._texts
    for text in ("\uff46ast c\u0061\u0301t", "1\u00bd \ufb01", "\u1112\u1161\u11ab"):
        assert theirs(text)["input_ids"] == ours.ids([text])[0].tolist()
    assert json.loads((folder / SETTINGS).read_text())["skiplist_words"][-1] == "[UNK]"
