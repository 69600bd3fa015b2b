"""A model's card holds what the model, its card.toml and an evaluation say, and nothing else."""

import json
from pathlib import Path

import pytest

from femtosearch import evaluate
from femtosearch.errors import ReadError
from femtosearch.evaluation.card import FACTS, card, main, read_facts
from femtosearch.model.model import BUILT_INS, Model, built_in

from ..tiny import write_tiny_model

SAID = 'title = "Tiny"\nweaknesses = "It knows ten words."\ndata = [["made up", "CC0"]]\n'


@pytest.fixture
def folder(tmp_path):
    place = write_tiny_model(tmp_path / "small")
    (place / FACTS).write_text(SAID)
    return place


def test_a_card_says_what_was_measured(folder, beir):
    model = Model.load(folder)
    found = evaluate(beir, model, modes=["exact", "maxsim"])
    text = card(model, read_facts(folder), found)
    mean = found.means["exact"]["ndcg@10"].mean
    assert "# Tiny" in text and "| made up | CC0 |" in text and "It knows ten words." in text
    assert f"| toy (3 queries, 4 documents) | {mean:.3f}".replace("| 0.", "| .") in text
    assert model.fingerprint in text and f"{model.parameters:,}" in text
    assert found.machine["processor"] in text and "| MAP@100 |" in text


def test_it_is_written_into_the_models_folder(folder, beir, tmp_path, capsys):
    model = Model.load(folder)
    path = tmp_path / "found.json"
    path.write_text(json.dumps(evaluate(beir, model, modes=["exact"]).json()))
    assert main([str(folder), str(path)]) == 0
    assert Path(capsys.readouterr().out.strip()) == folder / "README.md"
    assert "## Scores" in (folder / "README.md").read_text()


def test_an_evaluation_of_another_model_is_refused(folder, beir, tmp_path, capsys):
    other = Model.load(write_tiny_model(tmp_path / "other", seed=5))
    path = tmp_path / "found.json"
    path.write_text(json.dumps(evaluate(beir, other, modes=["exact"]).json()))
    assert main([str(folder), str(path)]) == 1
    assert "expected an evaluation of small" in capsys.readouterr().err
    assert not (folder / "README.md").exists()


def test_without_facts_and_evaluation_it_is_short(tmp_path):
    place = write_tiny_model(tmp_path / "bare")
    text = card(Model.load(place), read_facts(place), None)
    assert "# bare" in text and "##" not in text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("title = ", "expected TOML"),
        ("name = 'x'", "found 'name'"),
        ("title = 3", "title: expected a text, found 3"),
        ("data = [['a']]", "data: expected a list of pairs of texts"),
    ],
)
def test_wrong_facts_are_said(folder, content, said):
    (folder / FACTS).write_text(content)
    with pytest.raises(ReadError, match=said):
        read_facts(folder)


@pytest.mark.parametrize("name", built_in())
def test_the_built_in_models_cards_are_of_these_weights(name):
    text = (BUILT_INS / name / "README.md").read_text(encoding="utf-8")
    assert Model.load(name).fingerprint in text and "## Scores" in text and read_facts(BUILT_INS / name)
