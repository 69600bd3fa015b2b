"""Where points are lost, from the full-precision model down to what an index does."""

from __future__ import annotations

from dataclasses import dataclass

from femtosearch.evaluation.compare import difference
from femtosearch.evaluation.results import SetResult


@dataclass(frozen=True, slots=True)
class Step:
    """A choice in words, the mode that makes it, and the mode that it is compared with."""

    words: str
    mode: str
    after: str | None


STEPS = (
    Step("float32 rows of the whole text, every passage scored", "float32", None),
    Step("... of the text cut at the model's length", "exact", "float32"),
    Step("coded rows", "maxsim", "float32"),
    Step("only the candidates that the FDE finds", "rerank", "maxsim"),
    Step("the FDE alone", "fde", "rerank"),
)
LOSS_MODES = tuple(step.mode for step in STEPS)


@dataclass(frozen=True, slots=True)
class Loss:
    """A step on one collection: the measure's mean, its change by the step, and the change's p-value."""

    step: Step
    value: float
    change: float | None
    p_value: float | None


def losses(result: SetResult, measure: str = "ndcg@10") -> list[Loss]:
    """The losses of the steps that were evaluated; `modes=LOSS_MODES` evaluates all."""
    rows = []
    for step in STEPS:
        if step.mode not in result.modes:
            continue
        value = result.modes[step.mode].means[measure].mean
        if step.after is None or step.after not in result.modes:
            rows.append(Loss(step, value, None, None))
            continue
        before_and_after = result.modes[step.after], result.modes[step.mode]
        apart = difference(result.name, (step.after, step.mode), *before_and_after, measure)
        rows.append(Loss(step, value, apart.second - apart.first, apart.p_value))
    return rows
