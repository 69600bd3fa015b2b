"""What a recipe's stages need of one another, checked before anything is read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from femtosearch.errors import RecipeError
from femtosearch.train.recipe import STAGES, Recipe
from femtosearch.train.sources import CROSS_ENCODER, check_table, extra

AT_LEAST_ONE = {
    "model": ("hidden_size", "layers", "heads", "intermediate_size", "positions", "dims"),
    "teacher": ("dims", "length", "batch_tokens"),
    "pretrain": ("batch_tokens",),
    "tokens": ("batch_tokens",),
    "project": ("steps", "mine_every"),
    "distil": ("steps", "batch", "mine_every"),
    "contrast": ("steps", "batch", "mine_every", "chunk_tokens"),
}


def check(recipe: Recipe) -> None:
    """Raises RecipeError with the first thing that keeps a stage from running, and what to do about it."""
    for complaint in _complaints(recipe):
        raise RecipeError(f"recipe: {complaint}")


def check_extras(recipe: Recipe, data: Path) -> None:
    """Import what will be needed hours later. Raises MissingExtraError with what is missing, and for what."""
    teachers = [recipe.teacher, *([recipe.distil_teacher] if recipe.distil else [])]
    if any(teacher.kind == "cross-encoder" for teacher in teachers):
        extra("sentence_transformers", CROSS_ENCODER)
    scores = recipe.data.scores
    if scores is not None:
        for name in ("queries", "documents", scores.table):
            check_table(scores.source, name, data)
    models = [recipe.start, recipe.model.tokenizer, *(teacher.source for teacher in teachers)]
    for source in models:
        if source.startswith("hub:"):
            extra("huggingface_hub", f"{source!r} is on the Hub")


def _complaints(recipe: Recipe) -> Iterator[str]:
    if not any(getattr(recipe, stage) for stage in STAGES):
        yield f"no stage; add at least one of the tables [{'], ['.join(STAGES)}]"
    yield from _numbers(recipe)
    yield from _model(recipe)
    yield from _teachers(recipe)
    yield from _data(recipe)


def _numbers(recipe: Recipe) -> Iterator[str]:
    for name, keys in AT_LEAST_ONE.items():
        table = getattr(recipe, name)
        for key in keys if table else ():
            if getattr(table, key) < 1:
                yield f"{name}: {key} should be at least 1, found {getattr(table, key)}"
    if recipe.contrast and recipe.contrast.temperature <= 0:
        yield "contrast: temperature should be above 0"
    if recipe.pretrain and not 0 < recipe.pretrain.masked < 1:
        yield f"pretrain: masked should be between 0 and 1, found {recipe.pretrain.masked}"
    if recipe.data.keywords > 1:
        yield f"data: keywords is a share of the pairs, at most 1; found {recipe.data.keywords}"
    for name in STAGES:
        stage = getattr(recipe, name)
        if stage and stage.warm_up >= 1:
            yield f"{name}: warm_up is a share of the steps, below 1; found {stage.warm_up}"


def _model(recipe: Recipe) -> Iterator[str]:
    model = recipe.model
    if not recipe.start and model.hidden_size % model.heads:
        yield f"model: hidden_size {model.hidden_size} is no multiple of {model.heads} heads"
    for key in ("query_length", "document_length"):
        if 0 < getattr(model, key) < 4 or getattr(model, key) > model.positions:
            yield f"model: {key} should be between 4 and positions {model.positions}"
    if not recipe.start and model.table_bytes and (model.code_width or model.hidden_size) % model.table_bytes:
        yield f"model: table_bytes {model.table_bytes} should divide {model.code_width or model.hidden_size}"
    if recipe.start and (recipe.pretrain or model.tokenizer):
        yield "start brings weights and tokenizer; remove [pretrain] and model.tokenizer, or start"
    teaches = recipe.teacher.source and recipe.teacher.kind in ("tokens", "pooled")
    if not (recipe.start or model.tokenizer or teaches):
        yield "no tokenizer; set model.tokenizer, start, or a teacher's source"


def _teachers(recipe: Recipe) -> Iterator[str]:
    token_teacher = recipe.teacher.kind == "tokens" and bool(recipe.teacher.source)
    for name in ("project", "tokens"):
        if getattr(recipe, name) and not token_teacher:
            yield f'[{name}] needs a [teacher] with kind = "tokens" and a source'
    if (
        (recipe.project or recipe.tokens or recipe.distil)
        and token_teacher
        and recipe.model.dims > recipe.teacher.dims
    ):
        yield f"model: dims {recipe.model.dims} are more than teacher.dims {recipe.teacher.dims}"
    if recipe.distil:
        teacher = recipe.distil_teacher
        if teacher.kind == "scores" and not recipe.data.scores:
            yield 'the teacher\'s kind is "scores", but there is no data.scores'
        if teacher.kind != "scores" and not teacher.source:
            yield "[distil] needs a teacher with a source"
        if recipe.distil.teacher and teacher.kind == "tokens":
            yield 'distil: a teacher of the kind "tokens" belongs into [teacher]'
        pool = teacher.kind in ("tokens", "pooled")
        if recipe.distil.token_weight and not (token_teacher and pool):
            yield (
                f"distil: token_weight {recipe.distil.token_weight} needs a token teacher and its scores, or "
                "a pooled one's; set token_weight = 0"
            )
    if "teacher" in recipe.negatives and not any(
        teacher.source and teacher.kind in ("tokens", "pooled")
        for teacher in (recipe.teacher, recipe.distil_teacher)
    ):
        yield 'negatives = "teacher" needs a tokens or pooled teacher; try "model" or "bm25"'


def _data(recipe: Recipe) -> Iterator[str]:
    data = recipe.data
    if not (data.pairs or data.texts or data.scores):
        yield "[data] names no pairs, texts or scores"
    if recipe.contrast and not (data.pairs or data.scores):
        yield "[contrast] needs data.pairs"
    drawn = {"project": recipe.project, "distil": recipe.distil_teacher.kind != "scores" and recipe.distil}
    for name, stage in drawn.items():
        if stage and not (data.pairs or data.scores):
            yield f"[{name}] needs data.pairs"
    if "data" in recipe.negatives and not data.pairs:
        yield 'negatives = "data" needs data.pairs with "negatives"'
    if data.scores and data.scores.ways < 2:
        yield "data.scores: ways should be at least 2"
