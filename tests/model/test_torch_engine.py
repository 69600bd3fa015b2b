"""The torch engine: other architectures as transformers computes them, ours as the native engine does."""

import json
import sys

import numpy as np
import pytest

import femtosearch as fs
from femtosearch.errors import CheckpointError, FemtosearchError, MissingExtraError
from femtosearch.model.checkpoint import read_checkpoint
from femtosearch.model.model import Model
from femtosearch.tensors import read_tensors, write_tensors
from femtosearch.types import Conventions

from ..tiny import write_tiny_model, write_tokenizer
from .checkpoint.test_read import edit
from .test_model import AWKWARD

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

SPECIAL = {"pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3}
ARCHITECTURES = {
    "modernbert": {
        "hidden_size": 12, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 16,
        "max_position_embeddings": 48, "global_attn_every_n_layers": 2, "local_attention": 8, **SPECIAL,
    },
    "distilbert": {"dim": 12, "n_layers": 2, "n_heads": 3, "hidden_dim": 20, "max_position_embeddings": 48},
    "roberta": {
        "hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
        "max_position_embeddings": 49, "pad_token_id": 0, "type_vocab_size": 1,
    },
}  # fmt: skip


def write_other(folder, kind):
    """A folder as PyLate lays it out, with a random backbone that transformers made. Returns the backbone."""
    folder.mkdir()
    vocabulary = write_tokenizer(folder / "tokenizer.json")
    config = transformers.AutoConfig.for_model(kind, vocab_size=vocabulary, **ARCHITECTURES[kind])
    torch.manual_seed(0)
    model = transformers.AutoModel.from_config(config).eval()
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.normal_(float(tensor.ndim == 1), 0.3)
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    tensors = {
        name: tensor.numpy() for name, tensor in model.state_dict().items() if tensor.is_floating_point()
    }
    write_tensors(folder / "model.safetensors", tensors)
    write_dense(folder / "1_Dense", (10, 12), "torch.nn.modules.linear.Identity")
    write_dense(folder / "2_Dense", (6, 10), "torch.nn.modules.activation.Tanh")
    kinds = [("", "sentence_transformers.models.Transformer")]
    kinds += [(f"{n}_Dense", "pylate.models.Dense.Dense") for n in (1, 2)]
    modules = [{"idx": n, "name": str(n), "path": path, "type": kind} for n, (path, kind) in enumerate(kinds)]
    (folder / "modules.json").write_text(json.dumps(modules))
    settings = {"query_length": 12, "document_length": 24}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(settings))
    return model


def write_dense(folder, shape, activation):
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(shape[0])
    tensors = {"linear.weight": rng.normal(0, 0.3, shape), "linear.bias": rng.normal(0, 0.3, shape[0])}
    write_tensors(folder / "model.safetensors", tensors)
    settings = {"in_features": shape[1], "out_features": shape[0], "activation_function": activation}
    (folder / "config.json").write_text(json.dumps(settings))


def rows_alone(backbone, folder, ids, attended):
    """Rows of one text by the backbone itself, without padding."""
    mask = torch.tensor([[1] * attended + [0] * (len(ids) - attended)])
    with torch.no_grad():
        x = backbone(torch.tensor([ids.tolist()]), attention_mask=mask)[0][0].numpy()
    for name, activation in (("1_Dense", np.asarray), ("2_Dense", np.tanh)):
        tensors = read_tensors(folder / name / "model.safetensors")
        x = activation(x @ tensors["linear.weight"].T + tensors["linear.bias"])
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_another_architecture_gives_the_rows_that_transformers_gives(tmp_path, kind):
    backbone = write_other(tmp_path / "model", kind)
    model = Model.load(tmp_path / "model", engine="torch")
    assert model.dims == 6
    assert model.config.architecture == kind
    for encode, tokenise in (
        (model.encode_queries, model._tokenizer.queries),
        (model.encode_documents, model._tokenizer.documents),
    ):
        tokens = tokenise(AWKWARD)
        for n, rows in enumerate(encode(AWKWARD)):
            text = slice(tokens.starts[n], tokens.starts[n + 1])
            alone = rows_alone(backbone, tmp_path / "model", tokens.ids[text], int(tokens.attended[n]))
            np.testing.assert_allclose(rows, alone[tokens.keep[text]], atol=1e-5)


@pytest.mark.parametrize("code_width", [3, None], ids=["bert_hash", "bert"])
@pytest.mark.parametrize("attend", [False, True])
def test_the_native_architectures_give_the_native_rows(tmp_path, code_width, attend):
    conventions = Conventions(
        query_length=12, document_length=24, attend_to_expansion=attend,
        query_skiplist=("[UNK]", ".") if attend else (),
    )  # fmt: skip
    folder = write_tiny_model(tmp_path / "tiny", code_width=code_width, conventions=conventions)
    native, other = Model.load(folder), Model.load(folder, engine="torch")
    assert other.fingerprint == native.fingerprint
    for name in ("encode_queries", "encode_documents"):
        ours, theirs = getattr(native, name)(AWKWARD), getattr(other, name)(AWKWARD)
        assert np.array_equal(ours.starts, theirs.starts)
        np.testing.assert_allclose(theirs.rows, ours.rows, atol=1e-5)


def test_a_residual_is_added(tmp_path):
    folder = write_tiny_model(tmp_path / "tiny", dims=12)
    edit(folder / "1_Dense" / "config.json", use_residual=True)
    ours, theirs = (Model.load(folder, engine=name).encode_documents(AWKWARD) for name in ("native", "torch"))
    np.testing.assert_allclose(theirs.rows, ours.rows, atol=1e-5)


def test_batches_threads_and_empty_texts(tmp_path, monkeypatch):
    model = Model.load(write_tiny_model(tmp_path / "tiny"), engine="torch")
    whole = model.encode_documents(AWKWARD)
    monkeypatch.setattr("femtosearch.model.torch_engine.BATCH_TOKENS", 30)
    before = torch.get_num_threads()
    again = model.encode_documents(AWKWARD, threads=1)
    assert torch.get_num_threads() == before
    np.testing.assert_allclose(again.rows, whole.rows, atol=1e-6)
    nothing = np.zeros(2, np.int64), np.zeros(1, np.int32)
    ids, keep = np.zeros(0, np.int32), np.zeros(0, bool)
    assert model._encoder.encode(ids, *nothing, keep).shape == (0, 10)
    assert model.encode_documents([]).rows.shape == (0, 10)


def test_an_index_takes_it_like_any_other(tmp_path):
    write_other(tmp_path / "model", "distilbert")
    model = Model.load(tmp_path / "model", engine="torch")
    with fs.Index(tmp_path / "notes", model=model) as index:
        index.add(["the cat sat on a mat " * 20, "red moon at night"])
        hits = index.search("the cat sat", k=2)
    assert len(hits) == 2
    assert hits[0].score >= hits[1].score


def test_a_saved_copy_gives_the_same_rows(tmp_path):
    write_other(tmp_path / "model", "modernbert")
    edit(tmp_path / "model" / "config.json", auto_map={"AutoModel": "code.Model"}, torch_dtype="bfloat16")
    model = Model.load(tmp_path / "model", engine="torch")
    model.save(tmp_path / "copy")
    copy = Model.load(tmp_path / "copy", engine="torch")
    assert copy.fingerprint == model.fingerprint
    assert np.array_equal(copy.encode_documents(AWKWARD).rows, model.encode_documents(AWKWARD).rows)
    said = json.loads((tmp_path / "copy" / "config.json").read_text())
    assert "auto_map" not in said
    assert "torch_dtype" not in said


def test_no_code_of_the_folder_is_run(tmp_path):
    write_other(tmp_path / "model", "distilbert")
    ran = tmp_path / "ran"
    (tmp_path / "model" / "code.py").write_text(f"open({str(ran)!r}, 'w').close()")
    classes = {"AutoConfig": "code.Config", "AutoModel": "code.Model"}
    edit(tmp_path / "model" / "config.json", auto_map=classes, _attn_implementation="code/kernels")
    assert len(Model.load(tmp_path / "model", engine="torch").encode_queries(["the cat"])) == 1
    edit(tmp_path / "model" / "config.json", model_type="ours")
    with pytest.raises(CheckpointError, match=r"transformers [\d.]+ cannot load it: .*ours"):
        Model.load(tmp_path / "model", engine="torch")
    assert not ran.exists()


def test_the_native_engine_says_who_can(tmp_path):
    write_other(tmp_path / "model", "distilbert")
    with pytest.raises(CheckpointError, match=r"'distilbert' is not known .*; load it with engine='torch'"):
        Model.load(tmp_path / "model")
    folder = write_tiny_model(tmp_path / "tiny", code_width=None)
    edit(folder / "1_Dense" / "config.json", activation_function="torch.nn.modules.activation.Tanh")
    with pytest.raises(CheckpointError, match=r"Tanh is not known .*; load it with engine='torch'"):
        Model.load(folder)
    assert Model.load(folder, engine="torch").dims == 10
    edit(folder / "1_Dense" / "config.json", activation_function="torch.nn.modules.linear.Identity")
    edit(folder / "config.json", hidden_act="relu")
    with pytest.raises(
        CheckpointError, match=r"hidden_act 'relu' is not known .*; load it with engine='torch'"
    ):
        Model.load(folder)
    assert Model.load(folder, engine="torch").dims == 10
    with pytest.raises(CheckpointError, match=r"hidden_act 'relu' .* an ONNX graph has the native"):
        Model.load(folder, engine="torch").save_onnx(tmp_path / "a.onnx")


def test_missing_tensors_are_named(tmp_path):
    write_other(tmp_path / "model", "distilbert")
    path = tmp_path / "model" / "model.safetensors"
    tensors = read_tensors(path)
    del tensors["transformer.layer.1.ffn.lin1.weight"]
    write_tensors(path, tensors)
    with pytest.raises(
        CheckpointError, match=r"expected a tensor 'transformer\.layer\.1\.ffn\.lin1\.weight'"
    ):
        Model.load(tmp_path / "model", engine="torch")


def test_tensors_of_another_shape_are_refused(tmp_path):
    write_other(tmp_path / "model", "distilbert")
    edit(tmp_path / "model" / "config.json", hidden_dim=24)
    with pytest.raises(CheckpointError, match="cannot load it"):
        Model.load(tmp_path / "model", engine="torch")


def test_roberta_counts_positions_from_its_padding(tmp_path):
    write_other(tmp_path / "model", "roberta")
    assert read_checkpoint(tmp_path / "model").config.positions == 48


@pytest.mark.parametrize("missing", ["torch", "transformers"])
def test_a_missing_extra_is_named(tmp_path, monkeypatch, missing):
    folder = write_tiny_model(tmp_path / "tiny")
    monkeypatch.delitem(sys.modules, "femtosearch.model.torch_engine", raising=False)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtraError, match=rf"needs {missing}, .* pip install 'femtosearch\[torch\]'"):
        Model.load(folder, engine="torch")


def test_an_engine_that_is_none_is_refused(tmp_path):
    with pytest.raises(FemtosearchError, match="expected engine 'native' or 'torch', found 'jax'"):
        Model.load(write_tiny_model(tmp_path / "tiny"), engine="jax")
