import pytest

from femtosearch.errors import CheckpointError
from femtosearch.model.checkpoint import read_checkpoint

from ...tiny import write_tiny_model
from .layouts import NATIVE_MODULES, dump, edit, load, write_modules, write_native, write_stanford

TRANSFORMER = ("", "sentence_transformers.models.Transformer")


@pytest.fixture
def folder(tmp_path):
    return write_tiny_model(tmp_path / "tiny")


def test_each_layout_is_recognised(folder, tmp_path):
    assert read_checkpoint(folder).layout == "PyLate"
    assert read_checkpoint(write_native(tmp_path / "native")).layout == "Sentence Transformers"
    assert read_checkpoint(write_stanford(tmp_path / "stanford")).layout == "Stanford ColBERT"
    (folder / "modules.json").unlink()
    assert read_checkpoint(folder).layout == "plain backbone"
    assert len(read_checkpoint(folder).layers) == 1


def test_a_folder_of_the_models_own_code_is_never_run(folder):
    (folder / "evil.py").write_text("raise SystemExit('this ran')")
    edit(folder / "config.json", auto_map={"AutoModel": "evil.Evil", "AutoConfig": "evil.Config"})
    edit(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Tokenizer", None]})
    assert read_checkpoint(folder).config.hidden_size == 12
    write_modules(folder, [TRANSFORMER, ("1_Dense", "evil.Dense")])
    with pytest.raises(
        CheckpointError, match=r"'evil\.Dense' is code of the model folder's own, which is never"
    ):
        read_checkpoint(folder)


@pytest.mark.parametrize(
    "path", ["/etc", "..", "1_Dense/../..", "C:\\models", "\\\\server\\share", None, "nul\0"]
)
def test_a_path_out_of_the_folder_is_refused(folder, path):
    modules = load(folder / "modules.json")
    modules[1]["path"] = path
    dump(folder / "modules.json", modules)
    with pytest.raises(CheckpointError, match="should stay inside the model folder"):
        read_checkpoint(folder)


@pytest.mark.parametrize("path", ["", ".", "./", "1_Dense/.", "1_Dense//"])
def test_two_modules_in_one_folder_are_refused(folder, path):
    dense = "pylate.models.Dense.Dense"
    write_modules(folder, [TRANSFORMER, ("1_Dense", dense), (path, dense)])
    with pytest.raises(CheckpointError, match="two modules have the path"):
        read_checkpoint(folder)


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ([("1_Dense", "pylate.models.Dense.Dense"), TRANSFORMER], "expected modules in the order"),
        ([TRANSFORMER, ("0", "sentence_transformers.models.Transformer")], "expected one module .* found 2"),
        ([("1_Dense", "pylate.models.Dense.Dense")], "expected one module of type Transformer, found none"),
        ([TRANSFORMER, ("1", "sentence_transformers.models.LSTM")], "module 'LSTM' is not known"),
        ([TRANSFORMER, ("1", None)], "module 'None' is code"),
    ],
)
def test_modules_that_are_no_late_interaction_model_are_refused(folder, modules, message):
    write_modules(folder, modules)
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(folder)


@pytest.mark.parametrize("kind", ["CrossEncoder", "SparseEncoder", 3])
def test_another_kind_of_model_is_refused(folder, kind):
    edit(folder / "config_sentence_transformers.json", model_type=kind)
    with pytest.raises(CheckpointError, match="gives no vector per token"):
        read_checkpoint(folder)


def test_a_native_save_has_to_normalise_its_rows(tmp_path):
    folder = write_native(tmp_path / "native")
    edit(folder / "3_Normalize" / "config.json", module_input_name="sentence_embedding")
    with pytest.raises(CheckpointError, match="expected a Normalize of token_embeddings, found none"):
        read_checkpoint(folder)
    write_modules(folder, list(NATIVE_MODULES.items())[:3])
    with pytest.raises(CheckpointError, match="expected a Normalize of token_embeddings, found none"):
        read_checkpoint(folder)


def test_a_native_dense_has_to_take_the_tokens(tmp_path):
    folder = write_native(tmp_path / "native")
    edit(folder / "1_Dense" / "config.json", module_input_name="sentence_embedding")
    with pytest.raises(CheckpointError, match="found 'sentence_embedding' to 'sentence_embedding'"):
        read_checkpoint(folder)


def test_stanfords_projection_has_to_be_there_and_of_the_size_that_is_said(tmp_path):
    folder = write_stanford(tmp_path / "stanford", dim=10)
    assert read_checkpoint(folder).dense[0][0].shape == (10, 12)
    assert "linear.weight" not in read_checkpoint(folder).weights
    edit(folder / "artifact.metadata", dim=128)
    with pytest.raises(CheckpointError, match=r"gives 10 dims, artifact\.metadata says dim 128"):
        read_checkpoint(folder)
