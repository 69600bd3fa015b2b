"""Evaluation of a model: measures of its rankings, their confidence, and where points are lost."""

from femtosearch.evaluation.collection import Collection
from femtosearch.evaluation.compare import Difference, compare
from femtosearch.evaluation.confidence import Interval
from femtosearch.evaluation.evaluation import evaluate
from femtosearch.evaluation.losses import LOSS_MODES, Loss, losses
from femtosearch.evaluation.plots import plot
from femtosearch.evaluation.results import Evaluation, ModeResult, SetResult
from femtosearch.evaluation.sources import read_source

__all__ = [
    "LOSS_MODES", "Collection", "Difference", "Evaluation", "Interval", "Loss", "ModeResult", "SetResult",
    "compare", "evaluate", "losses", "plot", "read_source",
]  # fmt: skip
