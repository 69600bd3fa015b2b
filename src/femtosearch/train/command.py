"""`femtosearch train RECIPE.toml`: a recipe and a data folder -> a model folder."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from femtosearch.train.device import DEVICES, chosen
from femtosearch.train.facts import write_facts
from femtosearch.train.loop import Run
from femtosearch.train.recipe import Recipe, read_recipe
from femtosearch.train.student import Student
from femtosearch.train.training import Training


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `femtosearch train`."""
    parser.add_argument("recipe", type=Path, help="a TOML recipe; recipes/ has examples")
    parser.add_argument(
        "--data", type=Path, default=Path("data"), help="folder that the recipe's files are in"
    )
    parser.add_argument("--out", type=Path, default=None, help="folder of the run (default: runs/RECIPE)")
    parser.add_argument(
        "--cache",
        type=Path,
        default=None,
        help="folder of the teacher's vectors, to share them (default: OUT)",
    )
    parser.add_argument(
        "--device",
        choices=DEVICES,
        default=None,
        help="where to compute (default: a GPU if there is one, and then also what the recipe's [gpu] says)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Train, and print where the model is."""
    out = arguments.out or Path("runs") / arguments.recipe.stem
    device = chosen(arguments.device)
    recipe = read_recipe(arguments.recipe, gpu=device.type == "cuda")
    train(recipe, arguments.data, out, cache=arguments.cache, quiet=arguments.quiet, device=device)
    write_facts(out / "model", recipe, f"femtosearch train {arguments.recipe}", out, device)
    print(out / "model")
    return 0


def train(
    recipe: Recipe,
    data: Path,
    out: Path,
    *,
    cache: Path | None = None,
    quiet: bool = False,
    device: torch.device | None = None,
) -> Student:
    """Run every stage of a recipe; a run that was cut off goes on from its last checkpoint.

    cache: a folder for the teacher's vectors, that runs on the same data with the same teacher may share, one
    after the other; none: `out`. device: where to compute; none: a GPU if there is one.
    Raises RecipeError: what in the recipe, its data or the run's folder cannot be used, and what to do.
    """
    began = time.monotonic()
    torch.manual_seed(recipe.seed)
    run = Run(out, cache, quiet=quiet)
    training = Training(recipe, data, run, device or chosen())
    training.stages()
    run.log(stage="done", seconds=round(time.monotonic() - began))
    return training.pupil.student
