"""Evaluation: what a model's rankings are worth, how sure that is, and where points are lost."""

from femtosearch.evaluate.collection import Collection
from femtosearch.evaluate.compare import Difference, compare
from femtosearch.evaluate.confidence import Interval
from femtosearch.evaluate.evaluation import evaluate
from femtosearch.evaluate.losses import LOSS_MODES, Loss, losses
from femtosearch.evaluate.plots import plot
from femtosearch.evaluate.results import Evaluation, ModeResult, SetResult
from femtosearch.evaluate.sources import read_source

__all__ = [
    "LOSS_MODES", "Collection", "Difference", "Evaluation", "Interval", "Loss", "ModeResult", "SetResult",
    "compare", "evaluate", "losses", "plot", "read_source",
]  # fmt: skip
