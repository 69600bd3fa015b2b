"""Hard negatives: each miner finds what it says it finds."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from femtosearch.train.loop import Run
from femtosearch.train.maxsim import maxsim
from femtosearch.train.mining import LabelMiner, NoMiner, StudentMiner, TeacherMiner
from femtosearch.train.recipe import ContrastStage
from femtosearch.train.training import Training

from .toys import CPU


@pytest.fixture
def pupil(recipe, data, tmp_path):
    stage = ContrastStage()
    own = replace(recipe, tokens=None, distil=None, contrast=stage)
    return Training(own, data, Run(tmp_path / "run", quiet=True), CPU).pupil


def ranking(pupil, queries, by):
    """Every passage, best first, by brute force."""
    asked, texts = pupil.queries(queries), pupil.passages(np.arange(len(pupil.corpus.passages)))
    with torch.no_grad():
        rows = pupil.student.rows(asked), pupil.student.rows(texts)
    if by == "maxsim":
        return maxsim(rows[0], asked.kept, rows[1], texts.kept).argsort(descending=True).numpy()
    means = [torch.stack([row[k].mean(0) for row, k in zip(r, b.kept, strict=True)])
             for r, b in zip(rows, (asked, texts), strict=True)]  # fmt: skip
    means = [torch.nn.functional.normalize(mean, dim=-1) for mean in means]
    return (means[0] @ means[1].T).argsort(descending=True).numpy()


@pytest.mark.parametrize("by", ["maxsim", "mean"])
def test_the_student_finds_what_it_ranks_highest(pupil, tmp_path, by):
    stage = ContrastStage(mine_by=by, mine_from=0, mine_every=2)
    queries = {0: np.array([5, 3]), 1: np.array([9, 3])}
    miner = StudentMiner(pupil, stage, lambda step: queries[step % 2], tmp_path / "mined", 1, 4)
    for step in (0, 1):
        found = miner.nearest(queries[step], queries[step], 3, step)
        assert np.array_equal(found, ranking(pupil, queries[step], by)[:, :3])


def test_the_student_mines_anew_and_remembers(pupil, tmp_path):
    stage = ContrastStage(mine_from=30, mine_every=10)
    settings = (pupil, stage, lambda step: np.array([1, 2]), tmp_path / "mined", 1, 4)
    queries = np.array([2, 1])
    first = StudentMiner(*settings).nearest(queries, queries, 4, 3)
    assert [path.name for path in tmp_path.glob("mined*")] == ["mined.0.npy"]
    with torch.no_grad():
        pupil.student.table.normal_()
    assert np.array_equal(StudentMiner(*settings).nearest(queries, queries, 4, 7), first)
    assert not np.array_equal(StudentMiner(*settings).nearest(queries, queries, 4, 13), first)


def test_the_teacher_finds_the_nearest_answered_passages(tmp_path):
    pooled = np.eye(6, dtype=np.float16)
    pooled[4] = pooled[1] * 0.9
    miner = TeacherMiner(np.array([1, 3, 4]), pooled, tmp_path / "near")
    assert list(miner.nearest(np.array([0]), np.array([1]), 2, 0)[0]) == [1, 4]
    assert miner.nearest(np.array([0, 0]), np.array([1, 3]), 9, 0).shape == (2, 3)


def test_labels_and_none():
    queries = np.array([1, 0])
    assert LabelMiner([(4,), (7, 8, 9)]).nearest(queries, queries, 2, 0).tolist() == [[7, 8], [4, -1]]
    assert NoMiner().nearest(queries, queries, 2, 0).tolist() == [[-1, -1], [-1, -1]]
