"""`femtosearch train weights`: a word that says nothing weighs less, and the folder keeps what is learned."""

import json

import numpy as np
import pytest

from femtosearch.cli.arguments import main
from femtosearch.errors import RecipeError
from femtosearch.model.checkpoint.query_weights import QUERY_WEIGHTS
from femtosearch.model.model import Model
from femtosearch.model.weighting import Weighting
from femtosearch.train import weights as fitting
from femtosearch.types import Rows

from ..tiny import write_tiny_model

TOPICS = [f"word{n}" for n in range(1, 6)] + ["red", "moon", "dog"]
NOISE = ["the", "a", "fast", "ran"]
SETTINGS = fitting.Settings(hidden=4, negatives=7, short=0.1, steps=150, batch=64, rate=2e-2)


def pairs(seed, count):
    """Queries of two topics and two words of noise, each answered by a text of its topics and other noise."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        topics, asked, told = (list(rng.choice(words, 2)) for words in (TOPICS, NOISE, NOISE))
        made.append((" ".join(topics[:1] + asked + topics[1:]), " ".join(told + topics)))
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_model(tmp_path_factory.mktemp("tiny"))


class WordModel:
    """A row of its own for each word, without context."""

    dims = len(TOPICS + NOISE)

    def encode_queries(self, texts):
        numbers = [[(TOPICS + NOISE).index(word) for word in text.split()] for text in texts]
        starts = np.cumsum([0, *map(len, numbers)])
        return Rows(np.eye(self.dims, dtype=np.float32)[np.concatenate(numbers)], starts)

    encode_documents = encode_queries


def test_words_that_answer_weigh_more_than_words_that_do_not():
    said = []
    weights = fitting.fit(WordModel(), [pairs(1, 800)], SETTINGS, lambda what, *_: said.append(what))
    assert set(said) == {"encode", "weights"}
    counts = Weighting(weights).of(WordModel().encode_queries([" ".join(TOPICS + NOISE)]))
    assert counts[: len(TOPICS)].min() > 2 * counts[len(TOPICS) :].max()


def test_the_command_writes_into_the_folder(folder, tmp_path, capsys):
    file = tmp_path / "pairs.jsonl"
    file.write_text("\n".join(json.dumps({"query": q, "positive": p}) for q, p in pairs(2, 800)))
    assert main(["train", "weights", str(folder), "--pairs", str(file), "--steps", "3"]) == 0
    assert capsys.readouterr().out.strip() == str(folder / QUERY_WEIGHTS)
    assert Model.load(folder).weighs
    assert main(["train", "weights", str(folder), "--pairs", str(file), "--steps", "3"]) == 0  # and again
    assert main(["train", "weights", "femto", "--pairs", str(file)]) == 1
    assert "--out" in capsys.readouterr().err


def test_too_few_pairs_are_told(folder):
    with pytest.raises(RecipeError, match="--pairs"):
        fitting.fit(Model.load(folder).unweighted(), [pairs(3, 20)], SETTINGS, lambda *_: None)
