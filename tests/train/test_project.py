"""The teacher's directions that a student learns, and its pooled score beside MaxSim."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from femtosearch.errors import RecipeError
from femtosearch.train import command
from femtosearch.train.loop import Run
from femtosearch.train.project import Projecting
from femtosearch.train.recipe import ProjectStage
from femtosearch.train.scores import TokenScores
from femtosearch.train.training import Training

from .toys import CPU, entries


@pytest.fixture
def projected(short):
    """Three directions of the teacher's ten: too few, so that which ones counts."""
    stage = ProjectStage(steps=60, near=8, random=4, learning_rate=1e-2, teacher_scale=4.0)
    return replace(short, project=stage, distil=None, model=replace(short.model, dims=3))


def test_learned_directions_score_more_like_all_than_the_first_ones(projected, data, tmp_path):
    training = Training(projected, data, Run(tmp_path, quiet=True), CPU)
    learned = training.directions
    scores, draw = TokenScores(*training.targets), training._draw("project")

    def divergence(directions):
        projecting = Projecting(training.pupil, projected.project, draw, scores, directions)
        with torch.no_grad():
            return np.mean([projecting.losses(step)["loss"] for step in range(100, 110)])

    assert divergence(learned) < 0.8 * divergence(torch.eye(10, 3))
    logged = [entry["directions"] for entry in entries(tmp_path) if "directions" in entry]
    assert logged == ["all", "first"]


def test_a_student_learns_the_learned_directions(projected, data, tmp_path):
    training = Training(projected, data, Run(tmp_path, quiet=True), CPU)
    learned = training.directions
    assert not torch.equal(learned, torch.eye(10, 3))
    number, targets = np.array([0]), training.targets[1]
    batch = targets.inputs(number)
    wanted = targets.teacher_rows(number, batch.ids.shape[1]) @ learned
    assert targets.loss(torch.nn.functional.normalize(wanted, dim=-1), batch, number) < 1e-6


def test_the_pooled_score_is_added_for_each_row_of_the_query(short, data, tmp_path):
    training = Training(short, data, Run(tmp_path, quiet=True), CPU)
    queries, passages = np.array([0, 1]), np.array([2, 3, 4])
    batches = training.pupil.queries(queries), training.pupil.passages(passages)
    plain, both = (TokenScores(*training.targets, weight) for weight in (0.0, 0.5))
    found = both.scores(queries, passages, *batches) - plain.scores(queries, passages, *batches)
    vectors = [part.pooled.astype(np.float32) for part in training.vectors]
    rows = training.corpus.queries.lengths[queries, None]
    expected = 0.5 * rows * (vectors[0][queries] @ vectors[1][passages].T)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_projection_needs_a_token_teacher(projected, data, tmp_path):
    pooled = replace(projected, teacher=replace(projected.teacher, kind="pooled"), tokens=None)
    with pytest.raises(RecipeError, match=r"\[project\] needs a \[teacher\] with kind = \"tokens\""):
        command.train(pooled, data, tmp_path, quiet=True)
