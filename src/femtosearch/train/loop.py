"""The training loop: AdamW, one cycle, checkpoints that a later run resumes from, and a log of JSON lines."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from femtosearch.errors import RecipeError
from femtosearch.train.student import Student

WARM_UP = 0.05
CLIP = 1.0
LOG_EVERY = 50
SAVE_EVERY = 250


class Run:
    """A folder that a training run lives in: its checkpoints and its log."""

    def __init__(self, folder: Path, *, quiet: bool = False) -> None:
        self.folder = folder
        self.quiet = quiet
        folder.mkdir(parents=True, exist_ok=True)

    def log(self, **entry: object) -> None:
        """Append a line to log.jsonl and, unless quiet, print it."""
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        if not self.quiet:
            print("  ".join(f"{key} {_short(value)}" for key, value in entry.items()), flush=True)

    def train(
        self,
        stage: str,
        student: Student,
        steps: int,
        rates: tuple[float, float],
        loss_at: Callable[[int], dict[str, Tensor]],
        evaluate: Callable[[], float],
    ) -> None:
        """Run a stage to its end, from its checkpoint if there is one. rates: (learning rate, token table's
        factor).

        loss_at(step) gives named losses; "loss" is the one that is followed. It may depend on the step
        alone, so that a resumed run sees the same batches. A loss that is not finite stops the run at the
        last good checkpoint.
        """
        optimiser, schedule = _optimiser(student, steps, rates)
        path = self.folder / f"{stage}.pt"
        first = self._resume(path, student, optimiser, schedule)
        began, seen = time.monotonic(), first
        for step in range(first, steps):
            losses = loss_at(step)
            if not torch.isfinite(losses["loss"]):
                raise RecipeError(
                    f"{stage}: the loss is not finite at step {step}; {path} holds the last good state"
                )
            optimiser.zero_grad(set_to_none=True)
            losses["loss"].backward()
            torch.nn.utils.clip_grad_norm_(student.parameters(), CLIP)
            optimiser.step()
            schedule.step()
            last = step + 1 == steps
            if step % LOG_EVERY == 0 or last:
                rate = (step + 1 - seen) / max(time.monotonic() - began, 1e-9)
                values = {name: round(value.item(), 4) for name, value in losses.items()}
                self.log(
                    stage=stage, step=step + 1, of=steps, **values, left_s=round((steps - step - 1) / rate)
                )
            if (step + 1) % SAVE_EVERY == 0 or last:
                self._save(path, step + 1, student, optimiser, schedule)
            if (step + 1) % (4 * SAVE_EVERY) == 0 or last:
                self.log(stage=stage, step=step + 1, held_out_ndcg=round(evaluate(), 4))

    def _save(
        self, path: Path, step: int, student: Student, optimiser: torch.optim.Optimizer, schedule: object
    ) -> None:
        state = {
            "step": step,
            "student": student.state_dict(),
            "optimiser": optimiser.state_dict(),
            "schedule": schedule.state_dict(),  # type: ignore[attr-defined]
        }
        temporary = path.with_suffix(".tmp")
        torch.save(state, temporary)
        temporary.replace(path)

    def _resume(
        self, path: Path, student: Student, optimiser: torch.optim.Optimizer, schedule: object
    ) -> int:
        if not path.exists():
            return 0
        state = torch.load(path, weights_only=True)
        student.load_state_dict(state["student"])
        optimiser.load_state_dict(state["optimiser"])
        schedule.load_state_dict(state["schedule"])  # type: ignore[attr-defined]
        return int(state["step"])


def _optimiser(
    student: Student, steps: int, rates: tuple[float, float]
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
    rate, factor = rates
    table = student.bert.embeddings.word_embeddings.embeddings.weight
    others = [parameter for parameter in student.parameters() if parameter is not table]
    groups = [{"params": [table], "lr": rate * factor, "weight_decay": 0.0}, {"params": others, "lr": rate}]
    optimiser = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.01)
    warm = max(1, int(steps * WARM_UP))

    def cycle(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))

    return optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, cycle)


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
