"""`femtosearch train`: from a recipe to a model folder, on the device that is there or was asked for."""

import pytest
import torch

from femtosearch.cli import main
from femtosearch.errors import RecipeError
from femtosearch.model.model import Model
from femtosearch.train import command, device

from .toys import CPU, entries

RECIPE = """
[model]
code_width = 4
hidden_size = 16
intermediate_size = 32
positions = 48
dims = 8
query_length = 12
document_length = 24

[teacher]
source = '{teacher}'
dims = 10
length = 24

[data]
pairs = [{{ file = "pairs.jsonl", take = 100 }}]

[tokens]
epochs = 1

[gpu.data]
pairs = [{{ file = "pairs.jsonl" }}]
"""


@pytest.fixture
def arguments(teacher, data, tmp_path):
    path = tmp_path / "toy.toml"
    path.write_text(RECIPE.format(teacher=teacher))
    return ["train", str(path), "--data", str(data), "--out", str(tmp_path / "run"), "--quiet"]


def passages(folder):
    return next(entry for entry in entries(folder) if entry["stage"] == "corpus")["passages"]


def test_a_recipes_file_becomes_a_model(arguments, tmp_path, capsys):
    assert main([*arguments, "--device", "cpu"]) == 0
    model = tmp_path / "run" / "model"
    assert capsys.readouterr().out == f"{model}\n"
    assert Model.load(model).dims == 8
    assert "card.toml" in {path.name for path in model.iterdir()}
    assert passages(tmp_path / "run") == 100


def test_with_a_gpu_the_recipe_says_more(arguments, tmp_path, monkeypatch):
    """Which recipe a GPU gets; there is none here to train on."""
    asked = {}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(
        command, "train", lambda recipe, *_, **options: asked.update(recipe=recipe, **options)
    )
    monkeypatch.setattr(command, "write_facts", lambda *_: None)
    assert main(arguments) == 0
    assert (asked["recipe"].data.pairs[0].take, asked["device"].type) == (0, "cuda")
    assert main([*arguments, "--device", "cpu"]) == 0
    assert (asked["recipe"].data.pairs[0].take, asked["device"]) == (100, CPU)


def test_a_gpu_that_is_not_there(arguments, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device.chosen() == CPU
    with pytest.raises(RecipeError, match="torch sees no GPU"):
        device.chosen("cuda")
    assert main([*arguments, "--device", "cuda"]) == 1
    assert "leave --device out" in capsys.readouterr().err
