"""`femtosearch train RECIPE.toml`: a recipe and a data folder -> a model folder."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from femtosearch.train.corpus import Corpus, Texts, read_corpus
from femtosearch.train.distil import Distiller
from femtosearch.train.held_out import held_out_ndcg
from femtosearch.train.loop import Run
from femtosearch.train.recipe import Recipe, read_recipe
from femtosearch.train.student import Student
from femtosearch.train.teacher import Teacher, Vectors
from femtosearch.train.tokens import TokenTargets, mean_vectors, token_loss, token_plan

PROJECTION_SAMPLE = 4000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `femtosearch train`."""
    parser.add_argument("recipe", type=Path, help="a TOML recipe; recipes/ has examples")
    parser.add_argument(
        "--data", type=Path, default=Path("data"), help="folder that the recipe's files are in"
    )
    parser.add_argument("--out", type=Path, default=None, help="folder of the run (default: runs/RECIPE)")


def run(arguments: argparse.Namespace) -> int:
    """Train, and print where the model is."""
    out = arguments.out or Path("runs") / arguments.recipe.stem
    train(read_recipe(arguments.recipe), arguments.data, out, quiet=arguments.quiet)
    print(out / "model")
    return 0


def train(recipe: Recipe, data: Path, out: Path, *, quiet: bool = False) -> Student:
    """Run every stage of a recipe; a run that was cut off goes on from its last checkpoint."""
    torch.manual_seed(recipe.seed)
    began = time.monotonic()
    run = Run(out, quiet=quiet)
    teacher = Teacher(recipe.teacher.source, recipe.teacher.batch_tokens)
    tokenizer = Tokenizer.from_file(str(teacher.checkpoint.tokenizer))
    corpus = read_corpus(recipe.data, data, tokenizer, recipe.teacher.length, recipe.seed)
    run.log(stage="corpus", **corpus.report, tokens=len(corpus.queries.ids) + len(corpus.passages.ids))
    queries, passages, prior = _teacher_vectors(run, recipe, teacher, corpus)
    del teacher
    student = Student(recipe.model, tokenizer)
    student.start_table(mean_vectors([(corpus.queries, queries), (corpus.passages, passages)], prior))
    query_targets = TokenTargets(student, corpus.queries, queries, queries=True)
    passage_targets = TokenTargets(student, corpus.passages, passages, queries=False)
    targets = [query_targets, passage_targets]

    def evaluate() -> float:
        return held_out_ndcg(student, corpus, recipe.seed)

    stage = recipe.tokens
    plan = token_plan(targets, stage.batch_tokens, stage.epochs, recipe.seed)
    rates = (stage.learning_rate, stage.table_rate)
    run.train("tokens", student, len(plan), rates, lambda step: token_loss(targets, plan, step), evaluate)
    student.save(out / "tokens")
    distiller = Distiller(corpus, query_targets, passage_targets, recipe.distil, recipe.seed)
    rates = (recipe.distil.learning_rate, recipe.distil.table_rate)
    run.train("distil", student, recipe.distil.steps, rates, distiller.losses, evaluate)
    student.save(out / "model")
    run.log(stage="done", seconds=round(time.monotonic() - began))
    return student


def _teacher_vectors(
    run: Run, recipe: Recipe, teacher: Teacher, corpus: Corpus
) -> tuple[Vectors, Vectors, torch.Tensor]:
    """Cached vectors of the queries and of the passages, and each vocabulary piece's vector alone, [V,
    dims].
    """
    path = run.folder / "projection.npy"
    if path.exists():
        projection = torch.from_numpy(np.load(path, allow_pickle=False))
    else:
        projection = teacher.projection(corpus.passages, recipe.teacher.dims, PROJECTION_SAMPLE, recipe.seed)
        np.save(path, projection.numpy())
    last = [time.monotonic()]

    def progress(done: int, total: int) -> None:
        if time.monotonic() - last[0] > 20 or done == total:
            last[0] = time.monotonic()
            run.log(stage="teacher", tokens=done, of=total)

    queries = teacher.cache(corpus.queries, projection, run.folder / "queries", progress)
    passages = teacher.cache(corpus.passages, projection, run.folder / "passages", progress)
    return queries, passages, _pieces_alone(teacher, projection[:, : recipe.model.dims])


def _pieces_alone(teacher: Teacher, projection: torch.Tensor) -> torch.Tensor:
    """The teacher's vector of each vocabulary piece between [CLS] and [SEP], projected, [V, dims]."""
    size = teacher.checkpoint.config.vocab_size
    tokenizer = Tokenizer.from_file(str(teacher.checkpoint.tokenizer))
    ids = np.stack([np.full(size, tokenizer.token_to_id(word)) for word in ("[CLS]", "[CLS]", "[SEP]")], 1)
    ids[:, 1] = np.arange(size)
    texts = Texts(ids.astype(np.uint16).ravel(), np.arange(0, 3 * size + 1, 3))
    alone = torch.empty(size, projection.shape[1])
    for numbers, vectors, _ in teacher.encode(texts):
        alone[torch.from_numpy(numbers)] = (vectors[1::3] @ projection).cpu()
    return alone
