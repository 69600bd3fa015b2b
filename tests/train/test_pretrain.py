"""Pretrain: what is masked, which table the head has, and that it learns; plain berts, and start folders."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from femtosearch.errors import RecipeError
from femtosearch.model.model import Model
from femtosearch.train import command
from femtosearch.train.loop import Run
from femtosearch.train.pretrain import Pretraining
from femtosearch.train.recipe import ContrastStage, Data, ModelShape, PretrainStage, Source, TeacherSource
from femtosearch.train.training import Training
from femtosearch.types import Conventions

from ..tiny import write_tiny_model
from .toys import CPU, losses


@pytest.fixture
def alone(recipe, teacher, tmp_path):
    """Pretrain from texts alone, with the teacher's tokenizer but without a teacher."""
    stage = PretrainStage(epochs=8.0, batch_tokens=256, learning_rate=1e-2)
    model = replace(recipe.model, tokenizer=str(teacher))
    (tmp_path / "text.txt").write_text("the cat sat on the mat\nthe red moon ran fast\n" * 40)
    (tmp_path / "more.txt").write_text("\n".join(f"the cat sat {n} on the mat" for n in range(90)))
    texts = Data(texts=(Source("text.txt"), Source("more.txt")))
    return replace(
        recipe, model=model, teacher=TeacherSource(), data=texts, tokens=None, distil=None, pretrain=stage
    )


def pretraining(recipe, folder):
    training = Training(recipe, folder, Run(folder / "run", quiet=True), CPU)
    return Pretraining(training.pupil.student, training.corpus, recipe.pretrain, recipe.seed)


@pytest.mark.parametrize("code_width", [0, 4])
def test_it_learns_words(alone, tmp_path, code_width):
    recipe = replace(alone, model=replace(alone.model, code_width=code_width))
    command.train(recipe, tmp_path, tmp_path / "run", quiet=True)
    found = losses(tmp_path / "run", "pretrain")
    assert found[-1] < 0.8 * found[0]
    assert Model.load(tmp_path / "run" / "model").dims == 8


@pytest.mark.parametrize("code_width", [0, 4])
def test_the_head_is_tied_for_a_plain_bert_only(alone, tmp_path, code_width):
    model = pretraining(replace(alone, model=replace(alone.model, code_width=code_width)), tmp_path)
    assert (model.head.decoder.weight is model.table) == (not code_width)


def test_what_is_masked(alone, tmp_path):
    model = pretraining(replace(alone, pretrain=replace(alone.pretrain, masked=0.5)), tmp_path)
    ids = torch.full((200, 12), 7)
    attended = torch.ones(200, 12, dtype=torch.bool)
    attended[:, 10:] = False
    guessed, shown = model.masked(ids, attended, 0)
    assert not guessed[:, [0, 9, 10, 11]].any()
    assert 0.45 < guessed[:, 1:9].float().mean() < 0.55
    assert torch.equal(shown[~guessed], ids[~guessed])
    masks = (shown == model.student.mask_id)[guessed].float().mean()
    assert 0.75 < masks < 0.85
    assert 0.05 < (shown == 7)[guessed].float().mean() < 0.15
    assert torch.equal(shown, model.masked(ids, attended, 0)[1])
    assert not torch.equal(shown, model.masked(ids, attended, 1)[1])


def test_a_text_of_nothing_still_has_something_to_guess(alone, tmp_path):
    model = pretraining(alone, tmp_path)
    guessed, _ = model.masked(torch.tensor([[2, 3]]), torch.ones(1, 2, dtype=torch.bool), 0)
    assert guessed.any()


def test_a_pretrained_folder_is_started_from(alone, recipe, data, tmp_path):
    first = command.train(alone, tmp_path, tmp_path / "run", quiet=True)
    start = tmp_path / "run" / "model"
    stage = ContrastStage(steps=1, batch=8, hard=0, learning_rate=0.0)
    second = replace(
        recipe, start=str(start), model=ModelShape(dims=8), tokens=None, distil=None, contrast=stage
    )
    student = command.train(second, data, tmp_path / "second", quiet=True)
    for one, other in zip(first.parameters(), student.parameters(), strict=True):
        torch.testing.assert_close(one, other)
    assert student.conventions == first.conventions
    assert student.tokenizer.get_vocab() == first.tokenizer.get_vocab()


def test_a_model_is_trained_further_on_other_pairs(short, data, tmp_path):
    first = command.train(short, data, tmp_path / "first", quiet=True)
    start = str(tmp_path / "first" / "model")
    again = replace(short, start=start, model=ModelShape(dims=8), seed=6)
    student = command.train(again, data, tmp_path / "again", quiet=True)
    assert student.conventions == first.conventions
    assert losses(tmp_path / "again", "tokens")[0] < losses(tmp_path / "first", "tokens")[0]


def test_a_start_folder_that_does_not_fit_is_named(recipe, data, tmp_path):
    start = str(write_tiny_model(tmp_path / "start", dims=6))
    with pytest.raises(RecipeError, match="has rows of 6 dims, the recipe 8; set model"):
        command.train(replace(recipe, start=start), data, tmp_path / "run", quiet=True)


@pytest.mark.parametrize("changes", [{"expand_queries": True}, {"skiplist": False}, {"special_rows": False}])
def test_a_start_folders_conventions_hold(recipe, data, tmp_path, changes):
    said = Conventions(query_length=12, document_length=24, expand_queries=False)
    start = str(write_tiny_model(tmp_path / "start", dims=8, conventions=said))
    with pytest.raises(RecipeError, match="brings its own conventions; remove"):
        model = ModelShape(dims=8, **changes)
        command.train(replace(recipe, start=start, model=model), data, tmp_path / "run", quiet=True)


@pytest.mark.parametrize("hidden_size", [8, 12])
def test_a_plain_bert_learns_from_tokens(short, data, tmp_path, hidden_size):
    model = replace(short.model, code_width=0, hidden_size=hidden_size)
    command.train(replace(short, model=model), data, tmp_path, quiet=True)
    found = losses(tmp_path, "distil")
    assert np.isfinite(found).all()
    assert Model.load(tmp_path / "model").dims == 8


def test_expanded_queries_are_the_engines(short, data, tmp_path):
    model = replace(short.model, expand_queries=True)
    student = command.train(replace(short, model=model), data, tmp_path, quiet=True)
    ids = np.array(student.tokenizer.encode("the cat").ids)
    with torch.no_grad():
        rows = student.rows(student.batch([ids], queries=True))[0]
    assert len(rows) == 12
    found = Model.load(tmp_path / "model").encode_queries(["the cat"])
    np.testing.assert_allclose(found.rows, rows, atol=1e-5)


def test_parts_that_can_be_left_out(short, data, tmp_path):
    model = replace(short.model, skiplist=False, start_table=False)
    student = command.train(replace(short, model=model), data, tmp_path, quiet=True)
    ids = np.array(student.tokenizer.encode("the cat.").ids)
    assert student.batch([ids], queries=False).kept.all()
    assert len(Model.load(tmp_path / "model").encode_documents(["the cat."]).rows) == len(ids) + 1


def test_rows_of_special_tokens_can_be_left_out(short, data, tmp_path):
    model = replace(short.model, special_rows=False)
    student = command.train(replace(short, model=model), data, tmp_path, quiet=True)
    ids = np.array(student.tokenizer.encode("the cat.").ids)
    assert student.batch([ids], queries=False).kept.tolist() == [[False, True, True, True, False, False]]
    assert len(Model.load(tmp_path / "model").encode_documents(["the cat."]).rows) == 3


def test_pretraining_needs_a_mask(alone, tmp_path):
    folder = write_tiny_model(tmp_path / "tokenizer")
    path = folder / "tokenizer.json"
    path.write_text(path.read_text().replace("[MASK]", "[HIDE]"))
    recipe = replace(alone, model=replace(alone.model, tokenizer=str(folder)))
    with pytest.raises(RecipeError, match=r"\[pretrain\] needs a tokenizer with \[MASK\]"):
        command.train(recipe, tmp_path, tmp_path / "run", quiet=True)
