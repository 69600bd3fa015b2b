import numpy as np
import pytest

from femtosearch.errors import CheckpointError
from femtosearch.model.checkpoint import read_checkpoint
from femtosearch.tensors import read_tensors, write_tensors

from ...tiny import write_tiny_model
from .layouts import dump, load

INDEX = "model.safetensors.index.json"
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


@pytest.fixture
def folder(tmp_path):
    folder = write_tiny_model(tmp_path / "tiny")
    tensors = read_tensors(folder / "model.safetensors")
    wanted = {name: SHARDS[number % 2] for number, name in enumerate(tensors)}
    for shard in SHARDS:
        write_tensors(folder / shard, {name: tensors[name] for name in tensors if wanted[name] == shard})
    dump(folder / INDEX, {"metadata": {"total_size": 1}, "weight_map": wanted})
    return folder


def change(folder, **changes):
    index = load(folder / INDEX)
    index["weight_map"].update(changes)
    dump(folder / INDEX, index)


def test_shards_are_one_model(folder):
    whole = read_checkpoint(folder).weights
    (folder / "model.safetensors").unlink()
    parts = read_checkpoint(folder).weights
    assert whole.keys() == parts.keys()
    assert all(np.array_equal(whole[name], parts[name]) for name in whole)


def refused(folder, message):
    (folder / "model.safetensors").unlink(missing_ok=True)
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(folder)


def test_a_missing_shard_is_named(folder):
    (folder / SHARDS[1]).unlink()
    refused(folder, r"names 'model-00002-of-00002\.safetensors', which is missing")


def test_a_shard_that_lacks_a_tensor_is_refused(folder):
    change(folder, extra=SHARDS[0])
    refused(
        folder,
        r"says that 'model-00001-of-00002\.safetensors' holds \d+ tensors, it holds \d+; they differ in 'ex",
    )


def test_a_tensor_in_two_shards_is_refused(folder):
    first = read_tensors(folder / SHARDS[0])
    name = next(iter(first))
    write_tensors(folder / SHARDS[1], read_tensors(folder / SHARDS[1]) | {name: first[name]})
    refused(folder, f"they differ in '{name}'")


@pytest.mark.parametrize(
    "name",
    [
        "../model.safetensors",
        "/etc/passwd",
        "sub/model.safetensors",
        "pytorch_model.bin",
        3,
        "a\\b.safetensors",
    ],
)
def test_a_shard_outside_the_folder_or_of_another_kind_is_refused(folder, name):
    change(folder, extra=name)
    refused(folder, "expected the names of safetensors files beside it")


@pytest.mark.parametrize("wanted", [None, {}, [], "all"])
def test_an_index_without_a_map_is_refused(folder, wanted):
    dump(folder / INDEX, {"weight_map": wanted})
    refused(folder, "expected a weight_map of tensors and their files")


def test_an_index_that_places_a_tensor_twice_is_refused(folder):
    text = (
        (folder / INDEX)
        .read_text()
        .replace('"weight_map": {', f'"weight_map": {{"a": "{SHARDS[0]}", "a": "b", ')
    )
    (folder / INDEX).write_text(text)
    refused(folder, "the key 'a' is there twice")
