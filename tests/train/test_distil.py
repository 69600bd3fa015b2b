"""Distil from each kind of teacher, with each kind of hard negatives."""

import shutil
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from femtosearch.errors import MissingExtraError, RecipeError
from femtosearch.train import command
from femtosearch.train.distil import kl_divergence
from femtosearch.train.loop import Run
from femtosearch.train.recipe import DistilStage, ScoredSource, TeacherSource
from femtosearch.train.training import Training

from ..tiny import write_tiny_model
from .toys import CPU, TWINS, losses


@pytest.fixture
def alone(recipe):
    """Distil without a token stage, short."""
    stage = DistilStage(steps=40, near=6, random=4, learning_rate=1e-2, token_weight=0.0, teacher_scale=1.0)
    return replace(recipe, tokens=None, distil=stage)


def learns(recipe, data, folder):
    command.train(recipe, data, folder, quiet=True)
    found = losses(folder, "distil", "kl")
    return found[-1] < found[0]


class Judge:
    """A cross-encoder that counts the query's letters whose twins are in the passage."""

    def __init__(self, source):
        if source == "none":
            raise OSError("no such model")

    def predict(self, pairs, activation_fn, show_progress_bar):
        assert isinstance(activation_fn, torch.nn.Identity)
        back = {twin: letter for letter, twin in TWINS.items()}
        return np.array([sum(back.get(word, "-") in text for word in query.split()) for query, text in pairs])


def with_judge(recipe, source="judge", **changes):
    teacher = TeacherSource(kind="cross-encoder", source=source)
    return replace(recipe, distil=replace(recipe.distil, teacher=teacher, batch=8, **changes))


@pytest.mark.parametrize("negatives", ["teacher", "model", "bm25"])
def test_from_a_cross_encoder(alone, data, tmp_path, monkeypatch, negatives):
    library = SimpleNamespace(CrossEncoder=Judge)
    monkeypatch.setitem(sys.modules, "sentence_transformers", library)
    assert learns(with_judge(alone, negatives=negatives, steps=25), data, tmp_path)


def test_a_cross_encoder_that_is_not_there(alone, data, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtraError, match=r"needs sentence_transformers; .*femtosearch\[teachers\]"):
        command.train(with_judge(alone), data, tmp_path, quiet=True)
    monkeypatch.setitem(sys.modules, "sentence_transformers", SimpleNamespace(CrossEncoder=Judge))
    with pytest.raises(RecipeError, match="teacher 'none': no cross-encoder that can be loaded"):
        command.train(with_judge(alone, "none"), data, tmp_path / "other", quiet=True)


@pytest.mark.parametrize("source", ["cross-encoder", "hub:someone/scores", "scored", "hub:someone/model"])
def test_what_is_missing_is_told_before_anything_is_read(alone, data, tmp_path, monkeypatch, source):
    for module in ("sentence_transformers", "datasets", "pyarrow", "pyarrow.parquet", "huggingface_hub"):
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr(Training, "_read", lambda _: pytest.fail("the data were read"))
    data = shutil.copytree(data, tmp_path / "data")
    (data / "scored").mkdir()
    for name in ("queries", "documents", "train"):
        (data / "scored" / f"{name}.parquet").write_bytes(b"PAR1")
    scored = replace(alone, data=replace(alone.data, scores=ScoredSource(source)))
    recipe = {
        "cross-encoder": with_judge(alone),
        "hub:someone/model": replace(alone, teacher=replace(alone.teacher, source=source)),
    }.get(source, scored)
    with pytest.raises(MissingExtraError, match=r"which needs (sentence|datasets|pyarrow|hugging)"):
        command.train(recipe, data, tmp_path / "run", quiet=True)


@pytest.mark.parametrize("negatives", ["model", "bm25"])
def test_from_tokens_with_other_negatives(alone, data, tmp_path, negatives):
    stage = replace(alone.distil, negatives=negatives, mine_every=15, mine_from=50, mine_by="mean")
    assert learns(replace(alone, distil=stage), data, tmp_path)


def test_from_pooled_vectors_of_another_tokenizer(alone, data, teacher, tmp_path):
    """The student's tokenizer has words that its teacher's has not: texts are tokenised for each."""
    folder = write_tiny_model(tmp_path / "student", seed=3)
    path = folder / "tokenizer.json"
    path.write_text(path.read_text().replace('"moon"', '"loon"'))
    pooled = TeacherSource(kind="pooled", source=str(teacher), length=20)
    model = replace(alone.model, tokenizer=str(folder))
    stage = replace(alone.distil, teacher_scale=20.0, steps=60)
    recipe = replace(alone, teacher=pooled, model=model, distil=stage)
    assert learns(recipe, data, tmp_path / "run")
    assert (tmp_path / "run" / "passages.rows").stat().st_size == 0


def test_a_text_that_looks_like_a_prefix_is_a_text_to_the_teacher(alone, data, tmp_path):
    """The student's tokenizer knows "[Q] " and "[D] " as tokens, its teacher's does not."""
    folder = tmp_path / "data"
    shutil.copytree(data, folder)
    (folder / "text.txt").write_text("the [Q] red [D] moon\n")
    teacher = write_tiny_model(tmp_path / "teacher", code_width=None, prefixes=())
    pooled = TeacherSource(kind="pooled", source=str(teacher), length=24)
    stage = replace(alone.distil, teacher_scale=20.0, steps=2)
    command.train(replace(alone, teacher=pooled, distil=stage), folder, tmp_path / "run", quiet=True)


def test_two_teachers_one_for_tokens_and_one_for_scores(short, data, teacher, tmp_path):
    other = write_tiny_model(tmp_path / "other", seed=9, code_width=None)
    pooled = TeacherSource(kind="pooled", source=str(other))
    recipe = replace(short, distil=replace(short.distil, teacher=pooled))
    for _ in range(2):  # the second time from the checkpoints
        command.train(recipe, data, tmp_path / "run", quiet=True)
    assert losses(tmp_path / "run", "distil", "token")
    write_tiny_model(other, seed=10, code_width=None)
    with pytest.raises(RecipeError, match="begun with another distil_teacher"):
        command.train(recipe, data, tmp_path / "run", quiet=True)


def test_token_vectors_need_the_teachers_tokenizer(recipe, data, tmp_path):
    folder = write_tiny_model(tmp_path / "student")
    path = folder / "tokenizer.json"
    path.write_text(
        path.read_text().replace('"lowercase":true', '"lowercase":false').replace('"moon"', '"loon"')
    )
    other = replace(recipe, model=replace(recipe.model, tokenizer=str(folder)))
    with pytest.raises(
        RecipeError, match=r"tokens: the student's tokenizer differs from the teacher's in its"
    ):
        command.train(other, data, tmp_path / "run", quiet=True)


def test_a_pool_draws_a_query_to_each_passage(alone, data, tmp_path):
    training = Training(alone, data, Run(tmp_path, quiet=True), CPU)
    distillers = []
    training._train = lambda name, steps, step: distillers.append(step.__self__)
    training.distil()
    queries, passages = distillers[0].draw(3)
    assert len(queries) == len(passages) <= 2 * 6 + 4
    assert np.array_equal(training.corpus.answers[queries], passages)
    assert not np.isin(queries, training.corpus.held_out).any()


def test_min_max_forgets_the_size_of_scores():
    scores = torch.tensor([[3.0, 1.0, 2.0]])
    wanted = torch.tensor([[30.0, 10.0, 20.0]])
    plain, scaled = DistilStage(teacher_scale=1.0), DistilStage(teacher_scale=1.0, normalise="min-max")
    assert kl_divergence(scores, wanted, plain) > 0.1
    assert kl_divergence(scores, wanted, scaled) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("normalise", ["none", "min-max"])
def test_candidates_that_are_not_there_do_not_count(normalise):
    stage = DistilStage(teacher_scale=1.0, normalise=normalise)
    scores, wanted = torch.tensor([[3.0, 1.0, 2.0]]), torch.tensor([[2.0, 1.0, 0.0]])
    more = [torch.cat([part, torch.tensor([[99.0]])], 1).requires_grad_() for part in (scores, wanted)]
    there = torch.tensor([[True, True, True, False]])
    found = kl_divergence(*more, stage, there)
    assert float(found.detach()) == pytest.approx(float(kl_divergence(scores, wanted, stage)), abs=1e-6)
    found.backward()
    assert torch.isfinite(more[0].grad).all() and float(more[0].grad[0, 3]) == 0
