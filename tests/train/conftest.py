"""A toy teacher, toy data and a toy recipe: a run takes seconds."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from femtosearch.model.checkpoint import WORD_TABLE
from femtosearch.tensors import read_tensors, write_tensors
from femtosearch.train.recipe import Data, DistilStage, ModelShape, Recipe, Source, TeacherSource, TokensStage

from ..tiny import write_tiny_model
from .toys import TWINS


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def teacher(tmp_path_factory):
    """A BERT to which the two letters of a pair of TWINS mean the same: what only its students can know."""
    folder = write_tiny_model(tmp_path_factory.mktemp("teacher"), code_width=None, layer_spread=0.05)
    vocabulary = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab()
    tensors = read_tensors(folder / "model.safetensors")
    table = tensors[WORD_TABLE].copy()
    for letter, twin in TWINS.items():
        table[vocabulary[twin]] = table[vocabulary[letter]]
    write_tensors(folder / "model.safetensors", tensors | {WORD_TABLE: table})
    return folder


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """200 made-up pairs: a query is the twins of six of its passage's seven letters."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    lines = []
    for _ in range(200):
        letters = rng.permutation(list(TWINS))[:7]
        asked = [TWINS[letter] for letter in rng.permutation(letters)[:6]]
        pair = {"query": " ".join(asked), "positive": " ".join(letters) + "."}
        lines.append(json.dumps(pair))
    (folder / "pairs.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "text.txt").write_text("the red moon\n\na fast dog ran\n")
    return folder


@pytest.fixture(scope="session")
def shape():
    return ModelShape(
        code_width=4, hidden_size=16, intermediate_size=32, positions=48, dims=8,
        query_length=12, document_length=24,
    )  # fmt: skip


@pytest.fixture(scope="session")
def recipe(teacher, shape):
    """Tokens, then distil."""
    return Recipe(
        model=shape,
        teacher=TeacherSource(source=str(teacher), dims=10, length=24),
        data=Data(pairs=(Source("pairs.jsonl"),), texts=(Source("text.txt"),), hold_out=20, keywords=0.0),
        tokens=TokensStage(learning_rate=1e-2, epochs=10.0, batch_tokens=256),
        distil=DistilStage(steps=60, near=8, random=4),
        seed=5,
    )


@pytest.fixture(scope="session")
def short(recipe):
    """The same, with stages of a moment."""
    return replace(
        recipe,
        tokens=replace(recipe.tokens, epochs=1.0),
        distil=replace(recipe.distil, steps=6, near=4, random=2),
    )
