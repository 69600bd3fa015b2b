"""The training loop: AdamW, one cycle, checkpoints that a later run resumes from, and a log of JSON lines."""

from __future__ import annotations

import io
import json
import math
import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from femtosearch.disk import write_whole
from femtosearch.errors import RecipeError
from femtosearch.progress import Progress
from femtosearch.train.cache import digest, disk_errors
from femtosearch.train.recipe import Rates

CLIP = 1.0
LOG_EVERY = 50
SAVE_EVERY = 250
CLAIMS = "made-from.json"

Losses = Callable[[int], dict[str, Tensor]]


class Run:
    """A folder that a training run lives in: its checkpoints, its log and, unless `cache` is another folder,
    what it keeps of its teacher.
    """

    def __init__(self, folder: Path, cache: Path | None = None, *, quiet: bool = False) -> None:
        self.folder, self.cache = folder, cache or folder
        self.quiet = quiet
        self.progress = Progress(quiet=quiet)
        self.digests: dict[str, str] = {}
        for each in (self.folder, self.cache):
            with disk_errors(each):
                each.mkdir(parents=True, exist_ok=True)

    def claim(self, **digests: str) -> None:
        """Say what the run is made from. Raises RecipeError if the folder has checkpoints of something else;
        before the first checkpoint a recipe may still change, and caches know themselves what they are of.
        """
        path = self.folder / CLAIMS
        digests_of = _claims(path)
        begun = any(self.folder.glob("*.pt"))
        unknown = {} if digests_of else dict.fromkeys(digests, "")  # checkpoints of nobody knows what
        for name, made_from in digests.items():
            if begun and (digests_of or unknown).get(name, made_from) != made_from:
                raise RecipeError(
                    f"{self.folder}: begun with another {name}; give another --out, or remove the folder to "
                    "start afresh"
                )
        with disk_errors(path):
            write_whole(path, json.dumps(digests_of | digests).encode())
        self.digests |= digests

    @property
    def key(self) -> str:
        """Of all that the run is made from."""
        return digest(sorted(self.digests.items()))

    def log(self, **entry: object) -> None:
        """Append a line to log.jsonl and, unless quiet, print it."""
        path = self.folder / "log.jsonl"
        with disk_errors(path), path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        if not self.quiet:
            self.progress.clear()
            print("  ".join(f"{key} {_short(value)}" for key, value in entry.items()), flush=True)

    def train(
        self,
        stage: str,
        model: nn.Module,
        steps: int,
        rates: Rates,
        losses: Losses,
        evaluate: Callable[[], float | None],
    ) -> None:
        """Run a stage to its end, from its checkpoint if there is one. model: a Student, or a module with a
        `table` as it has.

        losses(step) gives named losses; "loss" is the one that is followed. It may depend on the step
        alone, so that a resumed run sees the same batches. A loss or gradient that is not finite stops the
        run at the last good checkpoint.
        """
        state = State(self.folder / f"{stage}.pt", model, steps, rates)
        first = state.resume()
        began = time.monotonic()
        for step in range(first, steps):
            values = _values(state.step(losses, step))
            last = step + 1 == steps
            left = (steps - step - 1) * (time.monotonic() - began) / (step + 1 - first)
            self.progress.update(stage, step + 1, steps, note=f"loss {values['loss']:.4g}")
            if step % LOG_EVERY == 0 or last:
                self.log(stage=stage, step=step + 1, of=steps, **values, left_s=round(left))
            if (step + 1) % SAVE_EVERY == 0 or last:
                state.save(step + 1)
            if (step + 1) % (4 * SAVE_EVERY) == 0 or last:
                score = evaluate()
                if score is not None:
                    self.log(stage=stage, step=step + 1, held_out_ndcg=round(score, 4))


@dataclass
class State:
    """A model in training, with its optimiser: what a checkpoint holds."""

    path: Path
    model: nn.Module
    steps: int
    rates: Rates

    def __post_init__(self) -> None:
        self.optimiser, self.schedule = _optimiser(self.model, self.steps, self.rates)
        self.device = self.model.table.device.type
        self.half = self.rates.half and self.device == "cuda"
        self.scaler = torch.amp.GradScaler(self.device, enabled=self.half)

    def step(self, losses: Losses, step: int) -> dict[str, Tensor]:
        """One step of the optimiser."""
        with torch.autocast(self.device, torch.float16, enabled=self.half):
            values = losses(step)
        if not torch.isfinite(values["loss"]):
            raise self._stopped("loss", step)
        self.optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(values["loss"]).backward()
        self.scaler.unscale_(self.optimiser)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        if not self.half and not torch.isfinite(norm):  # in fp16 the scaler leaves such a step out
            raise self._stopped("gradient", step)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.schedule.step()
        return values

    def save(self, step: int) -> None:
        """Write the checkpoint, whole or not at all."""
        content = io.BytesIO()
        torch.save(
            {"step": step} | {name: part.state_dict() for name, part in self._parts().items()}, content
        )
        with disk_errors(self.path):
            write_whole(self.path, content.getbuffer())

    def resume(self) -> int:
        """Take up the checkpoint, if there is one. Returns the step to go on from."""
        if not self.path.exists():
            return 0
        try:
            saved = torch.load(self.path, weights_only=True, map_location=self.device)
            for name, part in self._parts().items():
                part.load_state_dict(saved[name])
        except (RuntimeError, KeyError, ValueError, EOFError, pickle.UnpicklingError) as error:
            raise RecipeError(
                f"{self.path}: no checkpoint of this stage, or a damaged one; remove it to begin again"
            ) from error
        return int(saved["step"])

    def _parts(self) -> dict[str, torch.nn.Module | torch.optim.Optimizer]:
        return {
            "student": self.model,
            "optimiser": self.optimiser,
            "schedule": self.schedule,
            "scaler": self.scaler,
        }

    def _stopped(self, what: str, step: int) -> RecipeError:
        kept = f"{self.path} holds the last good state" if self.path.exists() else "nothing was saved yet"
        return RecipeError(
            f"{self.path.stem}: the {what} is not finite at step {step}; {kept}; try a lower learning_rate"
        )


def _optimiser(
    model: nn.Module, steps: int, rates: Rates
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
    table = model.table
    parameters = [parameter for parameter in model.parameters() if parameter is not table]
    groups = [
        {"params": [table], "lr": rates.learning_rate * rates.table_rate, "weight_decay": 0.0},
        {"params": parameters, "lr": rates.learning_rate},
    ]
    optimiser = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=rates.weight_decay)
    warm = max(1, int(steps * rates.warm_up))

    def cycle(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        done = (step - warm) / max(1, steps - warm)
        if rates.schedule == "linear":
            return max(0.0, 1 - done)
        return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done))

    return optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, cycle)


def _claims(path: Path) -> dict[str, str]:
    """What a run says that it is made from; nothing where that file is not there or damaged."""
    try:
        claims = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}


def _values(losses: dict[str, Tensor]) -> dict[str, float]:
    return {name: round(value.item(), 4) for name, value in losses.items()}


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
