"""`femtosearch train weights MODEL --pairs FILE...`: fits the weights of the rows of a model's queries."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from femtosearch.errors import RecipeError
from femtosearch.model.checkpoint.query_weights import QUERY_WEIGHTS, query_weight_bytes
from femtosearch.model.model import Model
from femtosearch.progress import Progress
from femtosearch.train.exclusion import Exclusion
from femtosearch.train.fitting import add_model, add_settings, file_of, write
from femtosearch.train.sources import objects
from femtosearch.train.weights import Settings, fit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `femtosearch train weights`."""
    parser.add_argument("weights", choices=["weights"], help="fit the weights of the rows of queries")
    add_model(parser)
    parser.add_argument(
        "--pairs", nargs="+", type=Path, required=True, metavar="FILE",
        help="JSON lines with query and positive, each .gz or .xz if you like; each file is a collection",
    )  # fmt: skip
    defaults = Settings()
    add_settings(parser, QUERY_WEIGHTS, take="pairs", steps=defaults.steps, seed=defaults.seed)


def run(arguments: argparse.Namespace) -> int:
    """Fit, write the file whole, and print where it is."""
    place = file_of(arguments, QUERY_WEIGHTS)
    model = Model.load(arguments.model).unweighted()
    progress = Progress(quiet=arguments.quiet)
    settings = Settings(steps=arguments.steps, seed=arguments.seed)
    weights = fit(model, _collections(arguments), settings, progress.update)
    progress.clear()
    write(place, query_weight_bytes(weights))
    return 0


def _collections(arguments: argparse.Namespace) -> list[list[tuple[str, str]]]:
    """`take` pairs of each file, in any order, without what is excluded."""
    excluded = Exclusion(arguments.exclude)
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
