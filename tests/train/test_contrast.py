"""Contrast: the cached gradient is the plain one, false negatives do not count, a student learns."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from femtosearch.errors import RecipeError
from femtosearch.train import command
from femtosearch.train.contrast import Contrast, cached_rows
from femtosearch.train.loop import Run
from femtosearch.train.maxsim import maxsim
from femtosearch.train.mining import LabelMiner
from femtosearch.train.recipe import ContrastStage, Data, Source
from femtosearch.train.training import Training

from .toys import CPU, losses, write_lines


@pytest.fixture
def alone(recipe):
    stage = ContrastStage(steps=60, batch=32, hard=0, learning_rate=1e-2, chunk_tokens=64)
    return replace(recipe, tokens=None, distil=None, contrast=stage)


def contrast_of(recipe, data, folder):
    training = Training(recipe, data, Run(folder, quiet=True), CPU)
    contrast = Contrast(training.pupil, recipe.contrast, recipe.seed)
    contrast.miner = training._miner("contrast", recipe.contrast, contrast.queries_of)
    return contrast


def test_the_cached_gradient_is_the_plain_one(alone, data, tmp_path):
    contrast = contrast_of(alone, data, tmp_path)
    student, draw = contrast.pupil.student, contrast.draw(0)
    cached = contrast.losses(0)["loss"]
    cached.backward()
    gradients = [parameter.grad.clone() for parameter in student.parameters() if parameter.grad is not None]
    student.zero_grad()
    asked, passages = contrast.pupil.queries(draw.queries), contrast.pupil.passages(draw.passages)
    scores = maxsim(student.rows(asked), asked.kept, student.rows(passages), passages.kept)
    scores = scores.masked_fill(~torch.from_numpy(draw.counted), -1e9)
    plain = F.cross_entropy(scores, torch.from_numpy(draw.labels))
    plain.backward()
    torch.testing.assert_close(cached, plain)
    expected = [parameter.grad for parameter in student.parameters() if parameter.grad is not None]
    assert len(gradients) == len(expected) > 10
    for one, other in zip(gradients, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_chunks_do_not_change_the_rows(alone, data, tmp_path):
    contrast = contrast_of(alone, data, tmp_path)
    batches = [contrast.pupil.passages(np.arange(n, n + 3)) for n in (0, 3)]
    whole = contrast.pupil.passages(np.arange(6))
    rows = cached_rows(contrast.pupil.student, batches)
    assert rows.requires_grad
    torch.testing.assert_close(rows, contrast.pupil.student.rows(whole)[whole.kept])


def test_false_negatives_do_not_count(teacher, recipe, tmp_path):
    write_lines(tmp_path / "pairs.jsonl", [
        {"query": "cat", "positive": "the cat sat", "negatives": ["a red cat", "the dog"]},
        {"query": "cat", "positive": "a red cat"},
        {"query": "the day", "positive": "the cat sat"},
        {"query": "moon", "positive": "the moon"},
    ])  # fmt: skip
    stage = ContrastStage(batch=4, hard=2, negatives="data")
    data = Data(pairs=(Source("pairs.jsonl"),), keywords=0.0, hold_out=0)
    own = replace(recipe, tokens=None, distil=None, contrast=stage, data=data)
    contrast = contrast_of(own, tmp_path, tmp_path / "run")
    assert isinstance(contrast.miner, LabelMiner)
    draw = contrast.draw(0)
    counted = {int(q): set(draw.passages[row]) for q, row in zip(draw.queries, draw.counted, strict=True)}
    sat, red, dog, moon = range(4)
    assert set(draw.passages) == {sat, red, dog, moon}
    assert counted == {0: {sat, dog, moon}, 1: {red, dog, moon}, 2: {sat, red, dog, moon}, 3: {0, 1, 2, 3}}
    assert [int(draw.passages[label]) for label in draw.labels] == [
        int(contrast.pupil.corpus.answers[query]) for query in draw.queries
    ]


@pytest.mark.parametrize("negatives", ["none", "bm25", "model"])
def test_a_student_learns_from_pairs_alone(alone, data, tmp_path, negatives):
    stage = replace(alone.contrast, hard=1, negatives=negatives, mine_every=30, batch=24, steps=50)
    command.train(replace(alone, contrast=stage), data, tmp_path, quiet=True)
    found = losses(tmp_path, "contrast")
    assert found[-1] < found[0]


def test_negatives_that_the_data_do_not_have_are_missed(alone, data, tmp_path):
    stage = replace(alone.contrast, negatives="data")
    with pytest.raises(RecipeError, match='negatives = "data", but no pair has "negatives"'):
        command.train(replace(alone, contrast=stage), data, tmp_path, quiet=True)
