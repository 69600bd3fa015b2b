import errno
import json
import os

import numpy as np
import pytest
from tokenizers import Tokenizer

from femtosearch.errors import CheckpointError
from femtosearch.model.checkpoint import read_checkpoint
from femtosearch.model.checkpoint.write import CODE, folded, new_files
from femtosearch.model.model import Model
from femtosearch.tensors import read_tensors, write_tensors
from femtosearch.types import Conventions

from ...tiny import write_tiny_model


@pytest.fixture(scope="module", params=[3, None], ids=["bert_hash", "bert"])
def saved(request, tmp_path_factory):
    place = tmp_path_factory.mktemp("models")
    Model.load(write_tiny_model(place / "tiny", code_width=request.param)).save(place / "saved")
    return place / "saved"


def settings(folder, name):
    return json.loads((folder / name).read_text(encoding="utf-8"))


def test_a_bert_hash_brings_the_code_that_transformers_lacks_and_a_bert_none(saved):
    config = settings(saved, "config.json")
    if config["model_type"] == "bert":
        assert "auto_map" not in config
        assert not list(saved.glob("*.py"))
        return
    assert [path.name for path in saved.glob("*.py")] == [CODE.name]
    assert (saved / CODE.name).read_bytes() == CODE.read_bytes()
    for name in config["auto_map"].values():
        module, _, kind = name.partition(".")
        assert module == CODE.stem
        assert f"class {kind}(" in CODE.read_text(encoding="utf-8")


def test_what_the_peers_ask_of_a_folder_is_there(saved):
    assert [module["path"] for module in settings(saved, "modules.json")] == ["", "1_Dense"]
    assert settings(saved, "config_sentence_transformers.json")["model_type"] == "ColBERT"
    assert settings(saved, "tokenizer_config.json") == {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": 48,
        "unk_token": "[UNK]",
        "sep_token": "[SEP]",
        "pad_token": "[PAD]",
        "cls_token": "[CLS]",
        "mask_token": "[MASK]",
    }


def test_a_projection_without_bias_is_said(tmp_path):
    folder = write_tiny_model(tmp_path / "tiny")
    assert settings(folder, "config.json")["projections_bias"] is False
    tensors = read_tensors(folder / "model.safetensors")
    tensors["embeddings.word_embeddings.projections.bias"] = np.ones(12, "f4")
    write_tensors(folder / "model.safetensors", tensors)
    Model.load(folder).save(tmp_path / "saved")
    assert settings(tmp_path / "saved", "config.json")["projections_bias"] is True


def test_a_prefix_is_found_in_a_text_as_the_peers_put_it_there(tmp_path):
    conventions = Conventions("moon", "night", query_length=12, document_length=24)
    folder = write_tiny_model(tmp_path / "tiny", conventions=conventions)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    ids = tokenizer.encode("moonthe cat").ids
    assert ids[1] == tokenizer.token_to_id("moon")
    assert ids[2:-1] == tokenizer.encode("the cat").ids[1:-1]
    Model.load(folder).save(tmp_path / "saved")
    assert (tmp_path / "saved" / "tokenizer.json").read_bytes() == (folder / "tokenizer.json").read_bytes()


def test_the_model_card_is_kept(tmp_path):
    folder = write_tiny_model(tmp_path / "tiny")
    (folder / "README.md").write_text("# Tiny\n")
    Model.load(folder).save(tmp_path / "saved")
    assert (tmp_path / "saved" / "README.md").read_text() == "# Tiny\n"


@pytest.mark.parametrize("there", [True, False])
def test_what_goes_wrong_leaves_nothing(tmp_path, there):
    folder = tmp_path / "out"
    if there:
        folder.mkdir()
    for error, raised in (
        (OSError(errno.ENOSPC, "No space left on device"), CheckpointError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ):
        with pytest.raises(raised), new_files(folder) as partial:
            (partial / "a").write_text("half")
            raise error
        assert folder.exists() == there
        assert not there or not list(folder.iterdir())


def test_a_name_that_is_taken_is_kept_and_nothing_beside_it_made(tmp_path):
    (tmp_path / "b").write_text("mine")
    with (
        pytest.raises(CheckpointError, match="b: cannot be written: is there already"),
        new_files(tmp_path) as partial,
    ):
        for name in "abc":
            (partial / name).write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    assert (tmp_path / "b").read_text() == "mine"


def test_a_place_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=r"file/out: cannot be written: Not a directory"):
        Model.load(write_tiny_model(tmp_path / "tiny")).save(tmp_path / "file" / "out")
    assert sorted(os.listdir(tmp_path)) == ["file", "tiny"]


def test_a_written_checkpoint_is_read_again(saved):
    again = read_checkpoint(saved)
    assert again.conventions == Conventions(query_length=12, document_length=24)


def test_several_dense_modules_are_folded_into_one(tmp_path):
    folder = write_tiny_model(tmp_path / "tiny", dims=12)
    settings_of_one = settings(folder, "1_Dense/config.json") | {"use_residual": True}
    (folder / "1_Dense" / "config.json").write_text(json.dumps(settings_of_one))
    model = Model.load(folder)
    model.save(tmp_path / "folded", fold_dense=True)
    again = Model.load(tmp_path / "folded")
    assert settings(tmp_path / "folded", "1_Dense/config.json")["use_residual"] is False
    texts = ["the cat sat", "", "red moon"]
    np.testing.assert_allclose(
        again.encode_documents(texts).rows, model.encode_documents(texts).rows, atol=1e-6
    )
    settings_of_one |= {"activation_function": "torch.nn.modules.activation.Tanh"}
    (folder / "1_Dense" / "config.json").write_text(json.dumps(settings_of_one))
    with pytest.raises(CheckpointError, match=r"an activation \(Tanh\) cannot be folded"):
        folded(read_checkpoint(folder))


def test_what_other_libraries_make_otherwise_is_said(tmp_path):
    plain = Model.load(write_tiny_model(tmp_path / "plain"))
    assert plain.caveats == []
    conventions = Conventions(query_length=12, document_length=24, expansion_length=8)
    folder = write_tiny_model(tmp_path / "tiny", conventions=conventions)
    tensors = read_tensors(folder / "1_Dense" / "model.safetensors")
    write_tensors(folder / "1_Dense" / "model.safetensors", tensors | {"linear.bias": np.ones(10, "f4")})
    assert Model.load(folder).caveats == [
        "other libraries do not read these conventions of it: expansion_length",
        "txtai leaves out the bias and the activation of a Dense",
    ]
