"""Whole runs: a toy student learns, a run that was cut off goes on, what goes wrong is said."""

import errno
import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from femtosearch.errors import RecipeError
from femtosearch.evaluation.card import card, read_facts
from femtosearch.model.model import Model
from femtosearch.train import cache, command, loop, training
from femtosearch.train.corpus import read_corpus
from femtosearch.train.facts import write_facts
from femtosearch.train.held_out import held_out_ndcg
from femtosearch.train.loop import Run
from femtosearch.train.recipe import ContrastStage, Data, PretrainStage, Source
from femtosearch.train.student import Pupil, Student

from .toys import CPU, entries, losses


@pytest.fixture(scope="module")
def trained(recipe, data, tmp_path_factory):
    """(student, the run's folder) of a whole run."""
    folder = tmp_path_factory.mktemp("run")
    return command.train(recipe, data, folder, quiet=True), folder


def test_a_toy_model_learns(trained, recipe, data):
    student, folder = trained
    assert losses(folder, "tokens")[-1] < 0.5 * losses(folder, "tokens")[0]
    tokenizer = Tokenizer.from_file(str(folder / "model" / "tokenizer.json"))
    corpus = read_corpus(recipe.data, data, tokenizer, recipe.seed)
    untrained = held_out_ndcg(Pupil(Student(recipe.model, tokenizer), corpus), 0)
    assert held_out_ndcg(Pupil(student, corpus), 0) > untrained + 0.2


def test_distillation_lowers_the_divergence(trained):
    found = losses(trained[1], "distil", "kl")
    assert found[-1] < found[0]


def test_a_saved_student_gives_the_rows_it_gave_in_training(trained):
    student, folder = trained
    model = Model.load(folder / "model")
    assert model.dims == 8
    assert not list(folder.glob("*.partial"))
    tokenizer = Tokenizer.from_file(str(folder / "model" / "tokenizer.json"))
    for text in ("a red cat sat", "moon"):
        ids = np.array(tokenizer.encode(text).ids, dtype=np.uint16)
        for queries, encode in ((True, model.encode_queries), (False, model.encode_documents)):
            with torch.no_grad():
                batch = student.batch([ids], queries=queries)
                expected = student.rows(batch)[batch.kept]
            np.testing.assert_allclose(encode([text]).rows, expected, atol=1e-5)


@pytest.mark.parametrize("queries", [True, False])
def test_a_texts_rows_are_the_same_in_a_batch_of_all_lengths(trained, queries):
    student = trained[0]
    lengths = [3, 22, 4, 9, 3, 5, 15, 3, 7]
    texts = [np.arange(10, 10 + length).astype(np.uint16) for length in lengths]
    batch = student.batch(texts, queries=queries)
    with torch.no_grad():
        together = student.rows(batch)
        for text, rows, kept in zip(texts, together, batch.kept, strict=True):
            alone = student.batch([text], queries=queries)
            expected = student.rows(alone)[alone.kept]
            np.testing.assert_allclose(rows[kept], expected, atol=1e-6)


class Cut(Exception):
    pass


@pytest.mark.parametrize("stage", ["pretrain", "tokens", "distil", "contrast"])
def test_a_run_that_was_cut_off_goes_on_to_the_same_end(stage, short, data, tmp_path, monkeypatch):
    """Each stage, cut off between two checkpoints and between two minings."""
    stages = {"pretrain": None, "tokens": None, "distil": None, "contrast": None}
    settings = {
        "pretrain": PretrainStage(batch_tokens=256, epochs=2.0),
        "tokens": replace(short.tokens, batch_tokens=512),
        "distil": replace(short.distil, steps=12, negatives="model", mine_every=5),
        "contrast": ContrastStage(steps=12, batch=16, negatives="model", mine_every=5),
    }
    recipe = replace(short, **stages | {stage: settings[stage]})
    monkeypatch.setattr(loop, "SAVE_EVERY", 4)
    whole = command.train(recipe, data, tmp_path / "whole", quiet=True)
    original = loop.State.step

    def cut(self, losses, step):
        if step == 7:
            raise Cut
        return original(self, losses, step)

    with monkeypatch.context() as patch, pytest.raises(Cut):
        patch.setattr(loop.State, "step", cut)
        command.train(recipe, data, tmp_path / "cut", quiet=True)
    resumed = command.train(recipe, data, tmp_path / "cut", quiet=True)
    ends = [losses(tmp_path / name, stage)[-1] for name in ("whole", "cut")]
    assert ends[0] == pytest.approx(ends[1], abs=1e-3)
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


def test_a_run_that_is_whole_is_not_trained_again(trained, recipe, data, monkeypatch):
    monkeypatch.setattr(loop.State, "step", lambda *_: pytest.fail("a step"))
    student = command.train(recipe, data, trained[1], quiet=True)
    assert torch.equal(student.table, trained[0].table)


def test_a_loss_that_is_not_finite_stops_the_run(short, data, tmp_path):
    wild = replace(short, tokens=replace(short.tokens, learning_rate=1e36))
    with pytest.raises(RecipeError, match=r"tokens: the .* is not finite at step \d+; nothing was saved yet"):
        command.train(wild, data, tmp_path / "run", quiet=True)


def test_the_last_good_state_is_kept(short, data, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SAVE_EVERY", 2)
    original = loop.State.step

    def spoilt(self, losses, step):
        if step == 5:
            return original(self, lambda n: {"loss": losses(n)["loss"] * float("nan")}, step)
        return original(self, losses, step)

    with monkeypatch.context() as patch:
        patch.setattr(loop.State, "step", spoilt)
        with pytest.raises(
            RecipeError, match=r"not finite at step 5; .*tokens\.pt holds the last good state"
        ):
            command.train(replace(short, distil=None), data, tmp_path, quiet=True)
    saved = torch.load(tmp_path / "tokens.pt", weights_only=True)
    assert saved["step"] == 4
    assert all(torch.isfinite(weight).all() for weight in saved["student"].values())


def test_a_gradient_that_is_not_finite_stops_the_run_too(short, data, tmp_path, monkeypatch):
    monkeypatch.setattr(
        training, "token_loss", lambda targets, *_: {"loss": (targets[0].student.table.sum() * 0).sqrt()}
    )
    with pytest.raises(RecipeError, match="the gradient is not finite at step 0"):
        command.train(short, data, tmp_path, quiet=True)


def test_a_folder_of_another_recipe_is_refused(trained, short, data, recipe, tmp_path):
    with pytest.raises(RecipeError, match="begun with another recipe; give another --out, or remove"):
        command.train(short, data, trained[1], quiet=True)
    other = tmp_path / "data"
    other.mkdir()
    (other / "pairs.jsonl").write_text((data / "pairs.jsonl").read_text().replace("a", "b"))
    (other / "text.txt").write_text("the moon\n")
    with pytest.raises(RecipeError, match="begun with another data"):
        command.train(recipe, other, trained[1], quiet=True)


def test_a_recipe_may_change_before_the_first_checkpoint(short, data, tmp_path):
    wrong = replace(short, data=replace(short.data, texts=(Source("none.txt"),)))
    with pytest.raises(RecipeError, match=r"none\.txt"):
        command.train(wrong, data, tmp_path, quiet=True)
    command.train(short, data, tmp_path, quiet=True)


@pytest.mark.parametrize("claims", [None, b"{", b"[]", b"\xff", b"3"])
def test_checkpoints_of_nobody_knows_what_are_refused(short, data, tmp_path, claims):
    (tmp_path / "tokens.pt").write_bytes(b"")
    if claims is not None:
        (tmp_path / loop.CLAIMS).write_bytes(claims)
    with pytest.raises(RecipeError, match="begun with another recipe"):
        command.train(short, data, tmp_path, quiet=True)


def test_a_damaged_checkpoint_is_named(short, data, tmp_path):
    command.train(replace(short, distil=None), data, tmp_path, quiet=True)
    (tmp_path / "tokens.pt").write_bytes(b"nonsense")
    with pytest.raises(RecipeError, match=r"tokens\.pt: no checkpoint of this stage, or a damaged one"):
        command.train(replace(short, distil=None), data, tmp_path, quiet=True)


def test_a_full_disk_leaves_no_half_cache(short, data, tmp_path, monkeypatch):
    only = replace(short, distil=None)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("femtosearch.train.teacher._write_at", full)
        with pytest.raises(
            RecipeError, match=r"queries\.\w+: the disk is full; free some space, then run again"
        ):
            command.train(only, data, tmp_path, quiet=True)
    assert not list(tmp_path.glob("queries.*"))
    command.train(only, data, tmp_path, quiet=True)
    assert (tmp_path / "model").is_dir()


def test_a_full_disk_keeps_the_last_checkpoint(short, data, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SAVE_EVERY", 2)
    only = replace(short, distil=None)
    original, saved = loop.State.save, []

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    def save(self, step):
        if saved:
            monkeypatch.setattr(os, "fsync", full)
        saved.append(step)
        original(self, step)

    with monkeypatch.context() as patch:
        patch.setattr(loop.State, "save", save)
        with pytest.raises(RecipeError, match=r"tokens\.pt: the disk is full"):
            command.train(only, data, tmp_path, quiet=True)
    assert torch.load(tmp_path / "tokens.pt", weights_only=True)["step"] == saved[0] == 2
    assert not list(tmp_path.glob("*.tmp"))


def test_a_cache_that_was_cut_off_is_made_again(short, data, tmp_path, monkeypatch):
    only = replace(short, distil=None)
    original, calls = training.Teacher._fill, []

    def cut(self, *arguments):
        calls.append(1)
        original(self, *arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training.Teacher, "_fill", cut)
        command.train(only, data, tmp_path, quiet=True)
    assert not cache.is_finished(tmp_path / "passages.rows", "")
    before = len(calls)
    with monkeypatch.context() as patch:
        patch.setattr(training.Teacher, "_fill", cut)
        command.train(only, data, tmp_path, quiet=True)
    assert len(calls) == before + 1  # the passages again, the queries not


def test_a_cache_is_never_used_for_other_data(short, data, tmp_path, monkeypatch):
    texts = replace(short, distil=None)
    command.train(texts, data, tmp_path, quiet=True)
    (tmp_path / "made-from.json").unlink()
    for path in tmp_path.glob("*.pt"):
        path.unlink()
    calls = []
    original = training.Teacher._fill
    monkeypatch.setattr(training.Teacher, "_fill", lambda *a: (calls.append(1), original(*a)))
    command.train(replace(texts, tokens=replace(short.tokens, epochs=0.5)), data, tmp_path, quiet=True)
    assert not calls  # the same texts in the same order
    (tmp_path / "made-from.json").unlink()
    for path in tmp_path.glob("*.pt"):
        path.unlink()
    one = Data(pairs=(Source("pairs.jsonl", 50),), hold_out=5, keywords=0.0)
    command.train(replace(texts, data=one), data, tmp_path, quiet=True)
    assert len(calls) == 2


def test_the_log_tells_the_stages(trained):
    assert {entry["stage"] for entry in entries(trained[1])} >= {
        "corpus",
        "teacher",
        "tokens",
        "distil",
        "done",
    }
    assert 0 <= losses(trained[1], "distil", "held_out_ndcg")[-1] <= 1


def test_lines_of_the_log_are_printed_unless_quiet(tmp_path, capsys):
    Run(tmp_path).log(stage="a", loss=0.123456)
    Run(tmp_path, quiet=True).log(stage="b")
    assert capsys.readouterr().out == "stage a  loss 0.1235\n"


def test_runs_may_share_the_teachers_vectors(short, data, tmp_path, monkeypatch):
    alone = command.train(short, data, tmp_path / "alone", quiet=True)
    command.train(replace(short, distil=None), data, tmp_path / "one", cache=tmp_path / "cache", quiet=True)
    monkeypatch.setattr(training.Teacher, "_fill", lambda *_: pytest.fail("the teacher read again"))
    other = command.train(short, data, tmp_path / "other", cache=tmp_path / "cache", quiet=True)
    assert not list((tmp_path / "other").glob("passages.*"))
    torch.testing.assert_close(other.table, alone.table)


def test_a_run_says_what_its_models_card_needs(trained, recipe):
    folder = trained[1]
    write_facts(folder / "model", recipe, 'femtosearch train "toy".toml', folder, CPU)
    facts = read_facts(folder / "model")
    assert 'femtosearch train "toy".toml' in facts["training"] and "seed 5" in facts["training"]
    assert facts["held_out"] and facts["data"][0][0].startswith("pairs.jsonl")
    text = card(Model.load(folder / "model"), facts, None)
    assert facts["teacher"] in text and "| source | licence |" in text


def test_a_log_that_a_power_cut_broke_keeps_no_card_back(recipe, tmp_path):
    whole = '{"stage": "tokens", "held_out_ndcg": 0.5}\n'
    (tmp_path / "log.jsonl").write_bytes(
        whole.encode() + b'{"stage": "tok\xe2{"stage": "done"}\n\x00\x00\n[1]\n'
    )
    write_facts(tmp_path, recipe, "femtosearch train", tmp_path, CPU)
    assert read_facts(tmp_path)["held_out"] == [["after stage `tokens`", "0.500"]]
