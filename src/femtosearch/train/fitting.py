"""What fits one file to a model from files of texts: the arguments that such commands share, and the file."""

from __future__ import annotations

import argparse
from pathlib import Path

from femtosearch.cli.values import whole
from femtosearch.disk import write_whole
from femtosearch.errors import RecipeError
from femtosearch.train.cache import disk_errors


def add_model(parser: argparse.ArgumentParser) -> None:
    """The model that the file is for."""
    parser.add_argument("model", help="a model folder, or a built-in model's name with --out")


def add_settings(parser: argparse.ArgumentParser, name: str, *, take: str, steps: int, seed: int) -> None:
    """What is taken of the files, where the file of that name is written, and how long is fitted.

    take:  what is taken: "texts" or "pairs".
    """
    parser.add_argument(
        "--exclude", nargs="+", type=Path, default=[], metavar="FILE",
        help="JSON lines with a text: what shares a run of words with one is left out",
    )  # fmt: skip
    parser.add_argument(
        "--take", type=whole(1), default=4000, help=f"{take} of a file, at most (default: 4000)"
    )
    parser.add_argument("--out", type=Path, help=f"the file to write (default: {name} in the model's folder)")
    parser.add_argument("--steps", type=whole(1), default=steps, help=f"of training (default: {steps})")
    parser.add_argument("--seed", type=whole(0), default=seed)


def file_of(arguments: argparse.Namespace, name: str) -> Path:
    """The file to write. Raises RecipeError where there is none that is the user's."""
    if arguments.out is not None:
        return Path(arguments.out)
    if not Path(arguments.model).is_dir():
        raise RecipeError(
            f"{arguments.model}: no model folder here; for a built-in model, or one of the Hub, say where to "
            f"write {name} with --out"
        )
    return Path(arguments.model) / name


def write(place: Path, content: bytes) -> None:
    """Write the file whole, and print where it is. Raises StoreError."""
    with disk_errors(place):
        write_whole(place, content)
    print(place)
