"""What a run knows that nobody can measure of its model afterwards, for the model's card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from femtosearch.disk import write_whole
from femtosearch.train.cache import disk_errors
from femtosearch.train.recipe import Data, Recipe
from femtosearch.train.sources import json_value

FACTS = "card.toml"  # which femtosearch.evaluation.card reads
LICENCE = "to be filled in"


def write_facts(folder: Path, recipe: Recipe, command: str, run: Path, device: torch.device) -> None:
    """card.toml in the model's folder: command, machine, hours, teacher, files and the held-out figures, with
    what is left for a person to fill in. Raises RecipeError when the disk is full.
    """
    lines = _log(run)
    facts = {
        "training": f"`{command}`, seed {recipe.seed}, {_where(device)}: {_hours(lines)}.",
        "held_out": [
            [f"after stage `{line['stage']}`", f"{line['held_out_ndcg']:.3f}"]
            for line in _last_of_each(lines)
        ],
        "teacher": recipe.teacher.source,
        "data": [[name, LICENCE] for name in _files(recipe.data)],
        "weaknesses": "",
    }
    written = {key: json.dumps(value, ensure_ascii=False) for key, value in facts.items() if value != []}
    text = "".join(f"{key} = {value}\n" for key, value in written.items())
    with disk_errors(folder / FACTS):
        write_whole(folder / FACTS, text.encode())


def _log(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's log; one that a power cut has left half written says nothing."""
    lines = (run / "log.jsonl").read_text(encoding="utf-8", errors="replace").splitlines()
    return [entry for entry in map(json_value, lines) if isinstance(entry, dict)]


def _last_of_each(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The last held-out figure of each stage."""
    return list({line["stage"]: line for line in lines if "held_out_ndcg" in line}.values())


def _hours(lines: list[dict[str, Any]]) -> str:
    seconds = next((line["seconds"] for line in reversed(lines) if line.get("stage") == "done"), 0)
    if seconds < 120:
        return f"{seconds} seconds"
    return f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{seconds / 60:.0f} minutes"


def _where(device: torch.device) -> str:
    if device.type == "cuda":
        return f"on {torch.cuda.get_device_name(device)}"
    count = torch.get_num_threads()
    return f"on {count} core{'s' * (count > 1)}"


def _files(data: Data) -> list[str]:
    """Each file, and how many of its lines if not all."""
    named = [
        f"{one.file}, {one.take:,} lines" if one.take else one.file for one in (*data.pairs, *data.texts)
    ]
    return named + ([data.scores.source] if data.scores else [])
