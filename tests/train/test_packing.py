"""The product-quantised token table: clusters, the module that learns, and the packed model folder."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from femtosearch.errors import RecipeError
from femtosearch.model.checkpoint import HASH_TABLE
from femtosearch.model.model import Model
from femtosearch.tensors import read_tensors
from femtosearch.train import command
from femtosearch.train.packing import PackedEmbedding, cluster
from femtosearch.train.recipe import ContrastStage, ModelShape


def test_clusters_are_found_where_the_points_are():
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    points = centres.repeat_interleave(100, 0) + torch.randn(
        300, 2, generator=torch.Generator().manual_seed(0)
    )
    codes, centroids = cluster(points, torch.ones(300), torch.Generator().manual_seed(1))
    assert len(centroids) == 256
    assert ((points - centroids[codes]) ** 2).sum(1).mean() < 0.02  # of a variance of 2
    assert (torch.cdist(points, centroids).argmin(1) == codes).all()


def test_few_points_are_kept_exactly():
    points = torch.arange(10.0).view(5, 2)
    codes, centroids = cluster(points, torch.ones(5), torch.Generator().manual_seed(0))
    torch.testing.assert_close(centroids[codes], points)


def test_heavy_points_are_nearer_to_their_centroid():
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(2000, 4, generator=generator)
    weights = torch.ones(2000)
    weights[:1000] = 1000.0
    codes, centroids = cluster(points, weights, generator)
    error = ((points - centroids[codes]) ** 2).sum(1)
    assert error[:1000].mean() < 0.7 * error[1000:].mean()


def test_the_packed_table_looks_up_and_learns():
    table = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
    packed = PackedEmbedding.of(table, 3, torch.ones(40), 0)
    assert packed.codes.shape == (40, 3)
    assert packed.books.shape == (3, 40, 2)  # fewer than 256 rows: every one has a centroid
    torch.testing.assert_close(packed.weight, table)
    ids = torch.tensor([[3, 3], [0, 39]])
    torch.testing.assert_close(packed(ids), table[ids])
    packed(ids).sum().backward()
    assert packed.books.grad.sum() == 4 * 6
    assert np.count_nonzero(packed.books.grad.abs().sum((0, 2)).numpy()) <= 9


def test_a_packed_student_is_small_and_gives_the_rows_it_gave_in_training(short, data, tmp_path):
    packed = replace(short, model=replace(short.model, table_bytes=2))
    student = command.train(packed, data, tmp_path, quiet=True)
    tensors = read_tensors(tmp_path / "model" / "model.safetensors")
    assert tensors[f"{HASH_TABLE}.codes"].shape == (student.bert.config.vocab_size, 2)
    assert HASH_TABLE in read_tensors(tmp_path / "tokens" / "model.safetensors")
    model = Model.load(tmp_path / "model")
    ids = np.array(student.tokenizer.encode("a red cat sat").ids, dtype=np.uint16)
    with torch.no_grad():
        batch = student.batch([ids], queries=True)
        expected = student.rows(batch)[batch.kept]
    np.testing.assert_allclose(model.encode_queries(["a red cat sat"]).rows, expected, atol=0.03)  # int8


def test_a_packed_run_that_was_cut_off_goes_on(short, data, tmp_path):
    packed = replace(short, model=replace(short.model, table_bytes=2))
    whole = command.train(packed, data, tmp_path, quiet=True)
    (tmp_path / "distil.pt").unlink()
    again = command.train(packed, data, tmp_path, quiet=True)
    torch.testing.assert_close(whole.table, again.table)


def test_bytes_that_do_not_divide_the_table(short, data, tmp_path):
    packed = replace(short, model=replace(short.model, table_bytes=3))
    with pytest.raises(RecipeError, match="table_bytes 3 should divide 4"):
        command.train(packed, data, tmp_path, quiet=True)


def test_a_start_folders_table_is_packed_if_the_bytes_divide_it(short, data, tmp_path):
    start = tmp_path / "start" / "model"
    command.train(short, data, start.parent, quiet=True)
    more = replace(
        short, start=str(start), model=ModelShape(dims=8, table_bytes=2), tokens=None, distil=None,
        contrast=ContrastStage(steps=2, batch=4),
    )  # fmt: skip
    command.train(more, data, tmp_path / "run", quiet=True)
    tensors = read_tensors(tmp_path / "run" / "model" / "model.safetensors")
    assert tensors[f"{HASH_TABLE}.codes"].shape[1] == 2
    with pytest.raises(RecipeError, match="table_bytes 3 should divide 4, the start folder's width"):
        command.train(
            replace(more, model=ModelShape(dims=8, table_bytes=3)), data, tmp_path / "x", quiet=True
        )
