"""`femtosearch train fde MODEL --queries FILE... --documents FILE...`: fits the model's FDE."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from femtosearch.cli.values import whole
from femtosearch.errors import RecipeError
from femtosearch.fde import Lemur, store_fde
from femtosearch.model.model import FDE, Model
from femtosearch.progress import Progress
from femtosearch.train.exclusion import Exclusion
from femtosearch.train.fde import Collection, Settings, fit, recalibrated
from femtosearch.train.fitting import add_model, add_settings, file_of, write
from femtosearch.train.sources import lines, objects

QUERY, DOCUMENT = ("query", "text"), ("positive", "document", "text")  # fields of JSON lines


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `femtosearch train fde`."""
    defaults = Settings()
    parser.add_argument("fde", choices=["fde"], help="fit a learned FDE to a model")
    add_model(parser)
    files = "text files with one a line, or .jsonl; each may be .gz or .xz"
    parser.add_argument("--queries", nargs="+", type=Path, required=True, metavar="FILE", help=f"{files}")
    parser.add_argument(
        "--documents", nargs="+", type=Path, required=True, metavar="FILE",
        help="as many files: the n-th of both are one collection",
    )  # fmt: skip
    parser.add_argument(
        "--size", type=whole(1), default=defaults.size, help="numbers of the FDE: 64, 128, 256, ..."
    )
    parser.add_argument(
        "--code-bits", type=int, choices=(8, 4, 2), default=defaults.code_bits, help="of each number"
    )
    parser.add_argument(
        "--anchors", type=whole(1), default=defaults.anchors, help="query rows it is fitted at"
    )
    parser.add_argument(
        "--calibrate", type=whole(1), default=defaults.calibrate, metavar="N",
        help=f"documents of a file that it is calibrated on, at most (default: {defaults.calibrate:,})",
    )  # fmt: skip
    parser.add_argument("--keep", action="store_true", help="keep the FDE that the model has: calibrate only")
    add_settings(parser, FDE, take="texts", steps=defaults.steps, seed=defaults.seed)


def run(arguments: argparse.Namespace) -> int:
    """Fit, write the file whole, and print where it is."""
    place, model = file_of(arguments, FDE), Model.load(arguments.model)
    names = ("size", "code_bits", "anchors", "steps", "seed", "calibrate")
    settings = Settings(**{name: getattr(arguments, name) for name in names})
    if arguments.keep and not isinstance(model.fde, Lemur):
        raise RecipeError(f"--keep: expected a model with a learned FDE, {model.name!r} has none: fit one")
    collections = _collections(arguments)
    with Progress(quiet=arguments.quiet) as progress:
        if arguments.keep:
            assert isinstance(model.fde, Lemur)
            fde = recalibrated(model, model.fde, collections, settings, progress.update)
        else:
            fde = fit(model, collections, settings, progress.update)
    write(place, store_fde(fde, model.dims))
    return 0


def _collections(arguments: argparse.Namespace) -> list[Collection]:
    queries, documents = arguments.queries, arguments.documents
    if len(queries) != len(documents):
        raise RecipeError(
            f"expected as many files of queries as of documents, found {len(queries)} and {len(documents)}"
        )
    excluded = Exclusion(arguments.exclude)
    collections = []
    for number, (query_file, document_file) in enumerate(zip(queries, documents, strict=True)):
        rng = np.random.Generator(np.random.PCG64((arguments.seed, number)))
        taken = (
            _texts(query_file, QUERY, excluded, arguments.take, rng),
            _texts(document_file, DOCUMENT, excluded, arguments.take, rng),
        )
        every = _texts(document_file, DOCUMENT, excluded, arguments.calibrate, rng)
        collections.append(Collection(*taken, every))
    return collections


def _texts(
    path: Path, fields: tuple[str, ...], excluded: Exclusion, take: int, rng: np.random.Generator
) -> list[str]:
    """`take` different texts of the file, in any order."""
    every = [(text,) for text in dict.fromkeys(_read(path, fields))]
    texts = [text for (text,) in excluded.draw(every, take, rng)]
    if not texts:
        raise RecipeError(f"{path}: no text in it")
    return texts


def _read(path: Path, fields: tuple[str, ...]) -> Iterator[str]:
    if ".jsonl" not in path.suffixes:
        yield from lines(path)
        return
    for number, row in enumerate(objects(path), 1):
        texts = [row[name] for name in fields if isinstance(row.get(name), str)]
        if not texts:
            raise RecipeError(
                f"{path}:{number}: expected a field {' or '.join(fields)}, found {sorted(row)[:8]}"
            )
        if texts[0].strip():
            yield texts[0]
