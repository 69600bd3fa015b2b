"""The trainer on made-up data: a toy student learns a toy teacher in seconds."""

import gzip
import json
import lzma
from dataclasses import replace

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from femtosearch.checkpoint import WORD_TABLE
from femtosearch.errors import RecipeError
from femtosearch.model import Model
from femtosearch.tensors import read_tensors, write_tensors
from femtosearch.train import command, held_out
from femtosearch.train.corpus import read_corpus
from femtosearch.train.distil import maxsim
from femtosearch.train.recipe import Data, Recipe, Source, read_recipe
from femtosearch.train.student import Student

from .tiny import write_tiny_model

TWINS = dict(zip("abcdefghijklm", "nopqrstuvwxyz", strict=True))


@pytest.fixture(scope="module")
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


@pytest.fixture(scope="module")
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


@pytest.fixture(scope="module")
def recipe(teacher, tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "toy.toml"
    path.write_text(f"""
        seed = 5
        [model]
        code_width = 4
        hidden_size = 16
        intermediate_size = 32
        positions = 48
        dims = 8
        query_length = 12
        document_length = 24
        [teacher]
        source = "{teacher}"
        dims = 10
        length = 24
        [data]
        pairs = [{{ file = "pairs.jsonl" }}]
        texts = [{{ file = "text.txt" }}]
        hold_out = 20
        keywords = 0.0
        [tokens]
        epochs = 10.0
        batch_tokens = 256
        learning_rate = 1e-2
        [distil]
        steps = 60
        near = 8
        random = 4
    """)
    return read_recipe(path)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def trained(recipe, data, tmp_path_factory):
    """(student, the run's folder) of a whole run."""
    folder = tmp_path_factory.mktemp("run")
    return command.train(recipe, data, folder, quiet=True), folder


def entries(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_a_toy_model_learns(trained, recipe, data):
    student, folder = trained
    losses = [entry["loss"] for entry in entries(folder) if entry["stage"] == "tokens" and "loss" in entry]
    assert losses[-1] < 0.5 * losses[0]
    tokenizer = Tokenizer.from_file(str(folder / "model" / "tokenizer.json"))
    corpus = read_corpus(recipe.data, data, tokenizer, recipe.teacher.length, recipe.seed)
    untrained = held_out.held_out_ndcg(Student(recipe.model, tokenizer), corpus, 0)
    assert held_out.held_out_ndcg(student, corpus, 0) > untrained + 0.2


def test_distillation_lowers_the_divergence(trained):
    losses = [entry["kl"] for entry in entries(trained[1]) if "kl" in entry]
    assert losses[-1] < losses[0]


def test_a_saved_student_gives_the_rows_it_gave_in_training(trained):
    student, folder = trained
    model = Model.load(folder / "model")
    assert model.dims == 8
    tokenizer = Tokenizer.from_file(str(folder / "model" / "tokenizer.json"))
    for text in ("a red cat sat", "moon"):
        ids = np.array(tokenizer.encode(text).ids, dtype=np.uint16)
        for queries, encode in ((True, model.encode_queries), (False, model.encode_documents)):
            with torch.no_grad():
                expected = student(*student.batch([ids], queries=queries))[0]
            np.testing.assert_allclose(encode([text]).rows, expected, atol=1e-5)


class Cut(Exception):
    pass


def test_a_run_that_was_cut_off_goes_on_to_the_same_end(trained, recipe, data, tmp_path, monkeypatch):
    original = command.Distiller.losses

    def cut(self, step):
        if step == 25:
            raise Cut
        return original(self, step)

    with monkeypatch.context() as patch, pytest.raises(Cut):
        patch.setattr("femtosearch.train.loop.SAVE_EVERY", 7)
        patch.setattr(command.Distiller, "losses", cut)
        command.train(recipe, data, tmp_path, quiet=True)
    command.train(recipe, data, tmp_path, quiet=True)
    whole, resumed = ([e["loss"] for e in entries(at) if "loss" in e][-1] for at in (trained[1], tmp_path))
    assert resumed == pytest.approx(whole, abs=1e-3)


def test_a_loss_that_is_not_finite_stops_the_run(recipe, data, tmp_path):
    wild = replace(recipe, tokens=replace(recipe.tokens, learning_rate=1e38))
    with pytest.raises(RecipeError, match="the loss is not finite at step"):
        command.train(wild, data, tmp_path / "run", quiet=True)


def test_torchs_maxsim_is_the_engines():
    rng = np.random.default_rng(0)
    queries, passages = rng.normal(size=(3, 5, 4)), rng.normal(size=(2, 6, 4))
    query_mask, kept = rng.random((3, 5)) < 0.7, rng.random((2, 6)) < 0.7
    found = maxsim(*map(torch.from_numpy, (queries.astype("f4"), query_mask, passages.astype("f4"), kept)))
    for q in range(3):
        for p in range(2):
            expected = (queries[q][query_mask[q]] @ passages[p][kept[p]].T).max(1).sum()
            assert float(found[q, p]) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "unknown key 'x'; known: model, teacher, data, tokens, distil, seed"),
        ("[model]\nwidth = 1", "model: unknown key 'width'"),
        ("[model]\ndims = 'many'", "dims: expected int, found 'many'"),
        ("[model]\ndims = -1", "at least 0, found -1"),
        ("[data]\npairs = 'file'", "pairs: expected a list"),
        ("[data]\npairs = [{take = 3}]", "missing key 'file'"),
        ("model = 3", "expected a table, found 3"),
        ("[model", "not valid TOML"),
    ],
)
def test_a_wrong_recipe_says_where(tmp_path, text, message):
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(RecipeError) as error:
        read_recipe(path)
    assert message in str(error.value)


def test_a_missing_recipe_or_teacher_is_named(tmp_path):
    with pytest.raises(RecipeError, match=r"none\.toml: cannot be read"):
        read_recipe(tmp_path / "none.toml")
    with pytest.raises(RecipeError, match="no package 'no_such_package'; pip install no-such-package"):
        teacher = replace(Recipe().teacher, source="package:no_such_package/x")
        command.train(replace(Recipe(), teacher=teacher), tmp_path, tmp_path / "run", quiet=True)


def corpus_of(folder, teacher, seed=1, **data):
    tokenizer = Tokenizer.from_file(str(teacher / "tokenizer.json"))
    return read_corpus(Data(**data), folder, tokenizer, 24, seed)


def teacher_words(teacher, ids):
    return set(Tokenizer.from_file(str(teacher / "tokenizer.json")).decode(ids.tolist()).split())


def test_a_sample_is_seeded_and_pairs_stay_together(data, teacher):
    settings = {"pairs": (Source("pairs.jsonl", 50),), "keywords": 0.5}
    one, same, other = (corpus_of(data, teacher, seed, **settings) for seed in (1, 1, 2))
    assert np.array_equal(one.queries.ids, same.queries.ids)
    assert not np.array_equal(one.queries.ids, other.queries.ids)
    assert 50 < one.report["queries"] < 100
    for number, answer in enumerate(one.answers):
        asked, passage = (teacher_words(teacher, ids) for ids in (one.queries[number], one.passages[answer]))
        assert asked <= {TWINS[letter] for letter in passage - {"."}}


def test_compressed_files_are_read(data, teacher, tmp_path):
    text = (data / "pairs.jsonl").read_bytes()
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(text))
    (tmp_path / "b.jsonl.xz").write_bytes(lzma.compress(text))
    for name in ("a.jsonl.gz", "b.jsonl.xz"):
        assert corpus_of(tmp_path, teacher, pairs=(Source(name),)).report["passages"] > 150


def test_texts_of_an_evaluation_set_are_left_out(data, teacher, tmp_path):
    shared = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    lines = [{"query": "a", "positive": f"before {shared} after"}, {"query": "b", "positive": shared[:40]}]
    lines += [{"query": "the evaluation query", "positive": "red"}, {"query": "cat", "positive": "dog"}]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, lines)))
    evaluation = [{"_id": "1", "text": f"Some document: {shared.upper()}"}, {"text": "The evaluation query"}]
    (tmp_path / "corpus.jsonl").write_text("\n".join(map(json.dumps, evaluation)))
    corpus = corpus_of(
        tmp_path, teacher, pairs=(Source("pairs.jsonl"),), exclude=("corpus.jsonl",), keywords=0.0
    )
    assert corpus.report["passages excluded"] == 2
    assert corpus.report["queries"] == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "gave 0 pairs"),
        (b'{"query": "a"}\n', r"pairs\.jsonl:1: expected"),
        (b'{"query": "a", "positive": "b"}\nnonsense\n', r"pairs\.jsonl:2: expected"),
        (b"\xff\xfe", "not UTF-8"),
        (b'{"query": " ", "positive": "b"}\n', "gave 0 pairs"),
    ],
)
def test_data_that_cannot_be_used_is_named(teacher, tmp_path, content, message):
    (tmp_path / "pairs.jsonl").write_bytes(content)
    with pytest.raises(RecipeError, match=message):
        corpus_of(tmp_path, teacher, pairs=(Source("pairs.jsonl"),))


def test_a_missing_data_file_is_named(teacher, tmp_path):
    with pytest.raises(RecipeError, match="is the data folder right"):
        corpus_of(tmp_path, teacher, pairs=(Source("pairs.jsonl"),))
