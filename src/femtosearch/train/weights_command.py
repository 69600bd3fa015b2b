"""`femtosearch train weights MODEL --pairs FILE...`: fits the weights of the rows of a model's queries."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from femtosearch.disk import write_whole
from femtosearch.errors import RecipeError
from femtosearch.model.checkpoint.query_weights import QUERY_WEIGHTS, query_weight_bytes
from femtosearch.model.model import Model
from femtosearch.progress import Progress
from femtosearch.train.cache import disk_errors
from femtosearch.train.exclusion import Exclusion
from femtosearch.train.sources import objects
from femtosearch.train.weights import Settings, fit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `femtosearch train weights`."""
    parser.add_argument("weights", choices=["weights"], help="fit the weights of the rows of queries")
    parser.add_argument("model", help="a model folder, or a built-in model's name with --out")
    parser.add_argument(
        "--pairs", nargs="+", type=Path, required=True, metavar="FILE",
        help="JSON lines with query and positive, each .gz or .xz if you like; each file is a collection",
    )  # fmt: skip
    parser.add_argument(
        "--exclude", nargs="+", type=Path, default=[], metavar="FILE",
        help="JSON lines with a text: what shares a run of words with one is left out",
    )  # fmt: skip
    parser.add_argument("--take", type=int, default=4000, help="pairs of a file, at most (default: 4000)")
    parser.add_argument(
        "--out", type=Path, help=f"the file to write (default: {QUERY_WEIGHTS} in the model's folder)"
    )
    parser.add_argument("--steps", type=int, default=Settings().steps, help="of training")
    parser.add_argument("--seed", type=int, default=Settings().seed)


def run(arguments: argparse.Namespace) -> int:
    """Fit, write the file whole, and print where it is."""
    if arguments.out is None and not Path(arguments.model).is_dir():
        raise RecipeError(f"{arguments.model}: a built-in model; say where to write the weights with --out")
    model = Model.load(arguments.model).unweighted()
    out = arguments.out or Path(arguments.model) / QUERY_WEIGHTS
    progress = Progress(quiet=arguments.quiet)
    settings = Settings(steps=arguments.steps, seed=arguments.seed)
    weights = fit(model, _collections(arguments), settings, progress.update)
    progress.clear()
    with disk_errors(out):
        write_whole(out, query_weight_bytes(weights))
    print(out)
    return 0


def _collections(arguments: argparse.Namespace) -> list[list[tuple[str, str]]]:
    """`take` pairs of each file, in any order, without what is excluded."""
    excluded = Exclusion.of(arguments.exclude)
    collections = []
    for number, path in enumerate(arguments.pairs):
        rng = np.random.Generator(np.random.PCG64((arguments.seed, number)))
        pairs = excluded.draw(list(dict.fromkeys(_read(path))), arguments.take, rng)
        if not pairs:
            raise RecipeError(f"{path}: no pair in it")
        collections.append(pairs)
    return collections


def _read(path: Path) -> Iterator[tuple[str, str]]:
    for number, row in enumerate(objects(path), 1):
        query, positive = row.get("query"), row.get("positive")
        if not isinstance(query, str) or not isinstance(positive, str):
            raise RecipeError(f"{path}:{number}: expected query and positive, found {sorted(row)[:8]}")
        if query.strip() and positive.strip():
            yield query, positive
