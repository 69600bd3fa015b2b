import json
import os
import shutil

import pytest

from femtosearch.errors import CheckpointError
from femtosearch.model.checkpoint import read_checkpoint

from ...tiny import write_tiny_model


@pytest.fixture
def folder(tmp_path):
    return write_tiny_model(tmp_path / "tiny")


def link(path, target):
    path.unlink()
    path.symlink_to(target)


@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "1_Dense/model.safetensors", "tokenizer.json"]
)
def test_a_link_that_leaves_the_folder_is_refused(folder, tmp_path, name):
    shutil.copy(folder / name, tmp_path / "outside")
    link(folder / name, tmp_path / "outside")
    with pytest.raises(
        CheckpointError, match=r"symbolic link that leaves the model folder, to .*outside; copy"
    ):
        read_checkpoint(folder)


def test_a_module_folder_that_is_a_link_out_is_refused(folder, tmp_path):
    (folder / "1_Dense").rename(tmp_path / "elsewhere")
    (folder / "1_Dense").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match="leaves the model folder"):
        read_checkpoint(folder)


def test_a_link_within_the_folder_is_followed(folder):
    (folder / "config.json").rename(folder / "settings.json")
    (folder / "config.json").symlink_to("settings.json")
    assert read_checkpoint(folder).config.hidden_size == 12


def test_links_in_a_circle_are_refused(folder):
    link(folder / "config.json", "config.json")
    with pytest.raises(CheckpointError, match=r"config\.json: (a symbolic link that leads round|missing)"):
        read_checkpoint(folder)


def test_the_folder_itself_may_be_a_link(folder, tmp_path):
    (tmp_path / "name").symlink_to(folder)
    assert read_checkpoint(tmp_path / "name").config.hidden_size == 12


def test_the_hubs_cache_links_to_its_own_blobs_only(folder, tmp_path):
    repository = tmp_path / "models--someone--tiny"
    (repository / "blobs").mkdir(parents=True)
    snapshot = repository / "snapshots" / "0123"
    shutil.copytree(folder, snapshot)
    for number, path in enumerate(sorted(path for path in snapshot.rglob("*") if path.is_file())):
        path.rename(repository / "blobs" / str(number))
        path.symlink_to(repository / "blobs" / str(number))
    assert read_checkpoint(snapshot).config.hidden_size == 12
    link(snapshot / "config.json", folder / "config.json")
    with pytest.raises(CheckpointError, match="leaves the model folder"):
        read_checkpoint(snapshot)


@pytest.mark.parametrize(
    "name",
    ["config.json", "config_sentence_transformers.json", "1_Dense/config.json", "sentence_bert_config.json"],
)
def test_a_key_that_is_there_twice_is_refused(folder, name):
    text = (folder / name).read_text().rstrip().removesuffix("}")
    (folder / name).write_text(text + ', "twice": 1, "twice": 2}')
    with pytest.raises(CheckpointError, match="the key 'twice' is there twice"):
        read_checkpoint(folder)


FILES = [
    "config.json", "modules.json", "config_sentence_transformers.json", "sentence_bert_config.json",
    "tokenizer.json", "tokenizer_config.json", "model.safetensors", "1_Dense/config.json",
    "1_Dense/model.safetensors",
]  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_pipe_a_folder_and_a_huge_file_are_refused_at_once(folder, name):
    path = folder / name
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(CheckpointError, match=rf"{name}: expected a regular file, found a pipe"):
        read_checkpoint(folder)
    path.unlink()
    path.mkdir()
    with pytest.raises(CheckpointError, match=rf"{name}: .*expected a regular file, found a folder"):
        read_checkpoint(folder)
    path.rmdir()
    with path.open("wb") as file:
        file.truncate(100 << 30)
    with pytest.raises(CheckpointError, match=rf"{name}: expected at most .* bytes, found 107,374,182,400"):
        read_checkpoint(folder)


def test_a_name_that_is_too_long_is_an_error_of_ours(folder):
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["path"] = "x" * 300
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(CheckpointError, match="File name too long"):
        read_checkpoint(folder)
    with pytest.raises(CheckpointError, match="File name too long"):
        read_checkpoint(folder / ("x" * 300))


def test_many_modules_are_refused_at_once(folder):
    modules = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps(modules + modules[1:] * 30_000))
    with pytest.raises(CheckpointError, match="expected at most 64 modules, found 30,002"):
        read_checkpoint(folder)
