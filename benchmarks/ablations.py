"""Small training runs that rank the choices of a recipe: each variant's quality, beside how much is noise.

`python -m benchmarks.ablations --data DIR --runs DIR`. The variants are in ablations.toml.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from tokenizers.normalizers import BertNormalizer

from benchmarks.machine import machine
from benchmarks.own_language import write_tokenizer
from femtosearch.evaluation import evaluate
from femtosearch.model.model import Model
from femtosearch.train.command import train
from femtosearch.train.recipe import Recipe, merged, recipe_of
from femtosearch.train.sources import lines

VARIANTS = Path(__file__).with_suffix(".toml")
BERT_LIMITS = {"min_frequency": 2, "limit_alphabet": 1000}  # as BERT's vocabularies are made


def main() -> None:
    """Train and judge each variant, and write DIR/ablations.json after each; begun runs go on."""
    options = _options()
    results: dict[str, Any] = {}
    for name, recipe in variants(options.only, options.data, options.runs).items():
        out = options.runs / name.replace("/", "-")
        train(recipe, options.data, out, cache=options.runs / "cache" / data_key(recipe), quiet=True)
        results[name] = {"held out": _held_out(out)} | _quality(Model.load(out / "model"), options.folder)
        print(f"{name:<40}", *(f"{key} {value:.3f}" for key, value in results[name].items()), flush=True)
        report = {"benchmark": "ablations", "machine": machine(), "variants": results}
        (options.runs / "ablations.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.ablations", description=__doc__)
    parser.add_argument("folder", nargs="*", type=Path, help="BEIR folders to judge by")
    parser.add_argument("--data", type=Path, required=True, help="the training data's folder")
    parser.add_argument("--runs", type=Path, default=Path("runs/ablations"), help="folder of the runs")
    parser.add_argument("--only", nargs="*", default=[], help="names of variants (default: all)")
    return parser.parse_args()


def variants(only: list[str], data: Path, runs: Path) -> dict[str, Recipe]:
    """The recipes by name. A stage that a variant sets to false is left out; `vocabulary` makes a tokenizer
    of so many pieces.
    """
    table = tomllib.loads(VARIANTS.read_text(encoding="utf-8"))
    recipes = {}
    for name in only or table["variants"]:
        changes = dict(table["variants"][name])
        size = changes.pop("vocabulary", 0)
        stages = merged(table["base"], changes)
        stages = {key: value for key, value in stages.items() if value is not False}
        recipe = recipe_of(stages, f"{VARIANTS}: {name}")
        if size:
            folder = runs / f"vocabulary-{size}"
            write_tokenizer(folder, _passages(recipe, data), size, BertNormalizer(), **BERT_LIMITS)
            recipe = replace(recipe, model=replace(recipe.model, tokenizer=str(folder)))
        recipes[name] = recipe
    return recipes


def _passages(recipe: Recipe, data: Path) -> Iterator[str]:
    for source in recipe.data.pairs:
        for line in islice(lines(data / source.file), source.take or None):
            yield json.loads(line)["positive"]


def data_key(recipe: Recipe) -> str:
    """A folder's name for the teacher's vectors of a recipe's texts; variants with the same ones share it."""
    sources = [*recipe.data.pairs, *recipe.data.texts]
    parts = [f"{Path(source.file).name.split('.')[0]}{source.take}" for source in sources]
    made = (recipe.seed, recipe.data.keywords, recipe.teacher.kind, Path(recipe.model.tokenizer).name)
    return "-".join([*map(str, made), *parts])[:200]


def _held_out(run: Path) -> float | None:
    lines = map(json.loads, (run / "log.jsonl").read_text(encoding="utf-8").splitlines())
    steps = [
        line["held_out_ndcg"] for line in lines if "held_out_ndcg" in line and line["stage"] != "project"
    ]
    return steps[-1] if steps else None


def _quality(model: Model, folders: list[Path]) -> dict[str, float]:
    evaluation = evaluate(folders, model, modes=["exact"])
    return {result.name: result.modes["exact"].means["ndcg@10"].mean for result in evaluation.sets}


if __name__ == "__main__":
    main()
