"""Where points are lost, from the full-precision model down to what an index does."""

from __future__ import annotations

from dataclasses import dataclass

from femtosearch.evaluation.compare import difference
from femtosearch.evaluation.results import SetResult


@dataclass(frozen=True, slots=True)
class Step:
    """What a choice is, in words, the mode that it makes, and the one that it is a choice after."""

    said: str
    mode: str
    after: str | None


STEPS = (
    Step("float32 rows of the whole text, every passage scored", "float32", None),
    Step("... of the text cut at the model's length", "exact", "float32"),
    Step("int8 rows", "maxsim", "float32"),
    Step("only the candidates that the FDE finds", "rerank", "maxsim"),
    Step("the FDE alone", "fde", "rerank"),
)
LOSS_MODES = tuple(step.mode for step in STEPS)


@dataclass(frozen=True, slots=True)
class Loss:
    """A step on one collection: the measure's mean, what the step changed, and the p-value of that."""

    step: Step
    value: float
    change: float | None
    p_value: float | None


def losses(found: SetResult, measure: str = "ndcg@10") -> list[Loss]:
    """The steps that were evaluated (`modes=LOSS_MODES` evaluates all), each after the one before it."""
    rows = []
    for step in STEPS:
        if step.mode not in found.modes:
            continue
        value = found.modes[step.mode].means[measure].mean
        if step.after is None or step.after not in found.modes:
            rows.append(Loss(step, value, None, None))
            continue
        both = found.modes[step.after], found.modes[step.mode]
        apart = difference(found.name, (step.after, step.mode), *both, measure)
        rows.append(Loss(step, value, apart.second - apart.first, apart.p_value))
    return rows
