"""Recipes: what is read, what is refused, and that those that we ship can run."""

import re
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

from femtosearch.errors import MissingExtraError, RecipeError
from femtosearch.train import command
from femtosearch.train.checks import check
from femtosearch.train.recipe import (
    ContrastStage,
    DistilStage,
    ModelShape,
    PretrainStage,
    Recipe,
    ScoredSource,
    TeacherSource,
    TokensStage,
    read_recipe,
)
from femtosearch.train.sources import extra, locate

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))


@pytest.mark.parametrize("gpu", [False, True])
@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_shipped_recipe_is_read_and_whole(path, gpu):
    check(read_recipe(path, gpu=gpu))


@pytest.mark.parametrize("name", ["femto", "megabyte", "pico", "nano", "micro"])
def test_a_gpu_takes_more_of_the_same(name):
    path = next(path for path in RECIPES if path.stem == name)
    plain, more = read_recipe(path), read_recipe(path, gpu=True)
    assert (more.model, more.teacher, more.tokens) == (plain.model, plain.teacher, plain.tokens)
    for few, many in ((plain.data.pairs, more.data.pairs), (plain.data.texts, more.data.texts)):
        assert [source.file for source in few] == [source.file for source in many]
        assert not any(source.take for source in many)
    assert more.distil.steps > plain.distil.steps


def test_the_guides_recipe_is_read_and_whole(tmp_path):
    guide = (RECIPES[0].parents[1] / "docs" / "training.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```toml\n(.*?)```", guide, re.DOTALL)
    assert blocks
    for block in blocks:
        path = tmp_path / "guide.toml"
        path.write_text(textwrap.dedent(block))
        check(read_recipe(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "x = 1",
            "unknown key 'x'; known: model, teacher, data, pretrain, project, tokens, distil, "
            "contrast, start, seed",
        ),
        ("[model]\nwidth = 1", "model: unknown key 'width'"),
        ("[model]\ndims = 'many'", "dims: expected int, found 'many'"),
        ("[model]\ndims = -1", "at least 0 and below 2^63, found -1"),
        ("seed = 9999999999999999999999", "below 2^63, found 9999999999999999999999"),
        ("[tokens]\nlearning_rate = inf", "below 2^63, found inf"),
        ("[tokens]\nlearning_rate = nan", "at least 0 and below 2^63, found nan"),
        ("[data]\npairs = 'file'", "pairs: expected a list"),
        ("[data]\npairs = [{take = 3}]", "missing key 'file'"),
        (
            "[teacher]\nkind = 'oracle'",
            "expected one of tokens, pooled, cross-encoder, scores; found 'oracle'",
        ),
        ("[distil]\nnormalise = 'z'", "expected one of none, min-max; found 'z'"),
        ("[distil.teacher]\nname = 'z'", "distil: teacher: unknown key 'name'"),
        (
            "start = 'folder'\n[model]\nhidden_size = 50",
            "the start folder gives 'hidden_size'; remove that key",
        ),
        ("model = 3", "expected a table, found 3"),
        ("[gpu.tokens]\nepoch = 2", "gpu: tokens: unknown key 'epoch'"),
        ("gpu = 3", "gpu: expected a table, found 3"),
        ("[model", "not valid TOML"),
    ],
)
def test_a_wrong_recipe_says_where(tmp_path, text, message):
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(RecipeError) as error:
        read_recipe(path)
    assert message in str(error.value)


def test_a_recipe_is_like_another(tmp_path):
    (tmp_path / "one.toml").write_text("seed = 3\n[model]\ndims = 4\nlayers = 3\n[tokens]\nepochs = 2")
    (tmp_path / "two.toml").write_text("like = 'one.toml'\n[model]\ndims = 5\n[distil]\nsteps = 7")
    found = read_recipe(tmp_path / "two.toml")
    assert (found.seed, found.model.dims, found.model.layers) == (3, 5, 3)
    assert (found.tokens.epochs, found.distil.steps) == (2.0, 7)
    (tmp_path / "two.toml").write_text("like = 'three.toml'")
    with pytest.raises(RecipeError, match=r"three\.toml: cannot be read"):
        read_recipe(tmp_path / "two.toml")


def test_what_counts_on_a_gpu_alone(tmp_path):
    (tmp_path / "one.toml").write_text("[tokens]\nepochs = 2\nbatch_tokens = 64\n[gpu.tokens]\nepochs = 9")
    (tmp_path / "two.toml").write_text("like = 'one.toml'\n[tokens]\nepochs = 3\n[gpu.model]\ndims = 7")
    for name, plain in (("one", 2.0), ("two", 3.0)):
        assert read_recipe(tmp_path / f"{name}.toml").tokens.epochs == plain
    found = read_recipe(tmp_path / "two.toml", gpu=True)
    assert (found.tokens.epochs, found.tokens.batch_tokens, found.model.dims) == (9.0, 64, 7)
    (tmp_path / "one.toml").write_text("start = 'folder'\n[gpu.model]\nhidden_size = 50")
    with pytest.raises(RecipeError, match="the start folder gives 'hidden_size'"):
        read_recipe(tmp_path / "one.toml", gpu=True)


SCORED = TeacherSource(kind="scores")
CROSS = TeacherSource(kind="cross-encoder", source="x")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokens": None, "distil": None}, "no stage; add at least one of the tables [pretrain], [project]"),
        ({"teacher": SCORED}, "no tokenizer; set model.tokenizer, start, or a teacher's source"),
        ({"teacher": CROSS, "start": "x"}, '[tokens] needs a [teacher] with kind = "tokens"'),
        ({"model": ModelShape(dims=400)}, "dims 400 are more than teacher.dims 10"),
        ({"model": ModelShape(hidden_size=51)}, "hidden_size 51 is no multiple of 2 heads"),
        ({"model": ModelShape(query_length=2)}, "query_length should be between 4 and positions 512"),
        ({"model": ModelShape(layers=0)}, "model: layers should be at least 1"),
        ({"pretrain": PretrainStage(), "start": "x"}, "start brings weights and tokenizer; remove"),
        ({"pretrain": PretrainStage(masked=1.0)}, "masked should be between 0 and 1"),
        ({"distil": DistilStage(teacher=SCORED)}, 'kind is "scores", but there is no data.scores'),
        ({"distil": DistilStage(teacher=CROSS)}, "set token_weight = 0"),
        ({"distil": DistilStage(teacher=TeacherSource(source="x"))}, "belongs into [teacher]"),
        ({"distil": DistilStage(steps=0)}, "distil: steps should be at least 1"),
        ({"contrast": ContrastStage(temperature=0.0)}, "temperature should be above 0"),
        ({"tokens": TokensStage(warm_up=1.0)}, "tokens: warm_up is a share of the steps"),
        (
            {"tokens": None, "distil": None, "teacher": CROSS, "start": "x",
             "contrast": ContrastStage(negatives="teacher")},
            'negatives = "teacher" needs a tokens or pooled teacher; try "model" or "bm25"',
        ),
    ],
)  # fmt: skip
def test_stages_that_could_not_run_are_refused(recipe, changes, message):
    with pytest.raises(RecipeError) as error:
        check(replace(recipe, **changes))
    assert message in str(error.value)


def test_data_that_a_stage_needs(recipe):
    texts = replace(recipe.data, pairs=())
    with pytest.raises(RecipeError, match=r"\[distil\] needs data.pairs"):
        check(replace(recipe, data=texts))
    with pytest.raises(RecipeError, match="names no pairs, texts or scores"):
        check(replace(recipe, data=replace(texts, texts=())))
    check(replace(recipe, data=texts, distil=None))
    with pytest.raises(RecipeError, match="keywords is a share of the pairs, at most 1"):
        check(replace(recipe, data=replace(recipe.data, keywords=2.0)))
    with pytest.raises(RecipeError, match="ways should be at least 2"):
        check(replace(recipe, data=replace(recipe.data, scores=ScoredSource("x", ways=1))))


def test_a_missing_recipe_or_teacher_is_named(recipe, tmp_path):
    with pytest.raises(RecipeError, match=r"none\.toml: cannot be read"):
        read_recipe(tmp_path / "none.toml")
    with pytest.raises(RecipeError, match="no package 'no_such_package'; pip install no-such-package"):
        teacher = replace(recipe.teacher, source="package:no_such_package/x")
        command.train(replace(recipe, teacher=teacher), tmp_path, tmp_path / "run", quiet=True)
    with pytest.raises(RecipeError, match="no stage"):
        command.train(Recipe(), tmp_path, tmp_path / "other", quiet=True)


def test_what_is_not_installed_is_named():
    with pytest.raises(MissingExtraError, match=r"needs no_such; .* pip install 'femtosearch\[teachers\]'"):
        extra("no_such", "a thing")


def test_a_package_gives_its_folder():
    assert locate("package:femtosearch/train").name == "train"
    assert locate("somewhere/else") == Path("somewhere/else")


def test_a_built_in_model_has_a_name_but_a_folder_of_that_name_goes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert (locate("femto") / "config.json").is_file()
    (tmp_path / "femto").mkdir()
    assert locate("femto") == Path("femto")


@pytest.mark.parametrize("name", ["no_such.part/model", "/model", ".relative/model", "tomllib.no_such"])
def test_a_package_that_is_none_is_named(name):
    with pytest.raises(RecipeError, match="no package"):
        locate(f"package:{name}")
