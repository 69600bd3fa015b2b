import json
import shlex
import subprocess
import sys

import numpy as np
import pytest

from femtosearch.errors import CheckpointError
from femtosearch.model.checkpoint import read_checkpoint
from femtosearch.tensors import read_tensors, write_tensors
from femtosearch.types import Conventions

from ...tiny import write_tiny_model


@pytest.fixture
def folder(tmp_path):
    return write_tiny_model(tmp_path / "tiny")


def edit(path, **changes):
    settings = json.loads(path.read_text())
    settings.update(changes)
    path.write_text(json.dumps(settings))


def rewrite(path, change):
    tensors = read_tensors(path)
    change(tensors)
    write_tensors(path, tensors)


def test_what_is_written_is_read(folder):
    checkpoint = read_checkpoint(folder)
    assert checkpoint.config.code_width == 3
    assert checkpoint.config.hidden_size == 12
    assert checkpoint.conventions == Conventions(query_length=12, document_length=24)
    assert checkpoint.dense[0][0].shape == (10, 12)
    assert checkpoint.dense[0][1] is None


def test_a_plain_bert_is_read(tmp_path):
    assert read_checkpoint(write_tiny_model(tmp_path / "bert", code_width=None)).config.code_width is None


def test_conventions_that_are_not_stated_are_pylates(folder):
    (folder / "config_sentence_transformers.json").write_text("{}")
    assert Conventions().document_length == 180  # cut to the positions that the model has
    assert read_checkpoint(folder).conventions == Conventions(document_length=48)
    assert Conventions().skiplist == tuple("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


def test_the_older_names_of_layer_norm_and_a_bert_prefix_are_understood(folder):
    path, before = folder / "model.safetensors", read_checkpoint(folder).weights
    old = {}
    for name, tensor in read_tensors(path).items():
        name = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        old["bert." + name] = tensor
    write_tensors(path, old)
    after = read_checkpoint(folder).weights
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    "missing",
    [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "1_Dense/config.json",
        "1_Dense/model.safetensors",
    ],
)
def test_a_missing_file_is_named(folder, missing):
    (folder / missing).unlink()
    with pytest.raises(CheckpointError, match=missing.rsplit("/", 1)[-1].replace(".", r"\.")):
        read_checkpoint(folder)


def test_no_folder_and_a_file_are_told_apart(tmp_path, folder):
    with pytest.raises(CheckpointError, match="found nothing"):
        read_checkpoint(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="found a file"):
        read_checkpoint(folder / "config.json")


def test_a_pickle_is_refused_with_what_to_do(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"found pytorch_model\.bin, a pickle, which can run code"):
        read_checkpoint(folder)


def test_the_command_for_a_pickle_makes_safetensors_of_it(folder):
    torch = pytest.importorskip("torch")
    before = read_checkpoint(folder)
    tensors = {name: torch.tensor(array.copy()) for name, array in before.weights.items()}
    torch.save(tensors | {"embeddings.position_ids": torch.arange(48)}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError) as refusal:
        read_checkpoint(folder)
    command = shlex.split(str(refusal.value).partition("installed: ")[2])
    subprocess.run([sys.executable, *command[1:]], check=True)
    after = read_checkpoint(folder)
    assert all(np.array_equal(after.weights[name], before.weights[name]) for name in before.weights)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(folder, value):
    def spoil(tensors):
        tensors["embeddings.LayerNorm.bias"] = np.full(12, value, "f4")

    rewrite(folder / "model.safetensors", spoil)
    with pytest.raises(CheckpointError, match=r"'embeddings\.LayerNorm\.bias' holds NaN or infinity"):
        read_checkpoint(folder)


def test_a_wrong_shape_is_refused(folder):
    def spoil(tensors):
        tensors["encoder.layer.1.intermediate.dense.weight"] = np.zeros((20, 13), "f4")

    rewrite(folder / "model.safetensors", spoil)
    with pytest.raises(
        CheckpointError, match=r"should have shape \[20, 12\] by config\.json, found \[20, 13\]"
    ):
        read_checkpoint(folder)


def test_a_missing_tensor_is_named(folder):
    rewrite(
        folder / "model.safetensors", lambda tensors: tensors.pop("embeddings.position_embeddings.weight")
    )
    with pytest.raises(
        CheckpointError, match="expected a tensor 'embeddings\\.position_embeddings\\.weight', found none"
    ):
        read_checkpoint(folder)


def test_a_dense_that_does_not_fit_is_refused(folder):
    write_tensors(folder / "1_Dense" / "model.safetensors", {"linear.weight": np.zeros((10, 13), "f4")})
    with pytest.raises(CheckpointError, match="Dense 1 takes 13 dims, what comes before gives 12"):
        read_checkpoint(folder)


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        ("config.json", {"model_type": None}, "expected a model_type, found None"),
        ("config.json", {"model_type": "gpt2", "num_hidden_layers": 10**9}, "num_hidden_layers to be from 1"),
        ("config.json", {"model_type": "gpt2", "vocab_size": None}, "vocab_size to be from 1 to .* 'none'"),
        ("config.json", {"num_hidden_layers": 0}, "positive integer num_hidden_layers, found 0"),
        ("config.json", {"num_hidden_layers": 10**9}, "positive integer num_hidden_layers, found 1000000000"),
        ("config.json", {"hidden_size": "12"}, "positive integer hidden_size, found '12'"),
        ("config.json", {"hidden_size": 12, "num_attention_heads": 5}, "no multiple of 5 heads"),
        ("config.json", {"layer_norm_eps": "small"}, "expected type_vocab_size to be 1 or more"),
        ("config.json", {"num_hidden_layers": 3}, "expected a tensor 'encoder.layer.2"),
        ("1_Dense/config.json", {"activation_function": "os.system"}, "activation 'os.system' is not known"),
        (
            "config_sentence_transformers.json",
            {"query_length": "long"},
            "query_length to be int, found 'long'",
        ),
        ("config_sentence_transformers.json", {"query_length": 2}, "at least 4"),
        ("config_sentence_transformers.json", {"skiplist_words": [1]}, "skiplist_words to be list"),
    ],
)
def test_settings_that_make_no_sense_are_refused(folder, file, changes, message):
    edit(folder / file, **changes)
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(folder)


@pytest.mark.parametrize("path", ["../elsewhere", "/etc", "a/../../b", 3, "nul\0"])
def test_a_module_outside_the_folder_is_refused(folder, path):
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["path"] = path
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(CheckpointError, match="should stay inside the model folder"):
        read_checkpoint(folder)


@pytest.mark.parametrize(
    ("text", "message"), [("[", "not valid JSON"), ("{}", "list of modules"), ("[]", "found none")]
)
def test_modules_that_are_none_are_refused(folder, text, message):
    (folder / "modules.json").write_text(text)
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(folder)


def test_a_truncated_file_is_refused(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(CheckpointError, match="truncated or damaged"):
        read_checkpoint(folder)
