"""Plots of quality against cost."""

from __future__ import annotations

import os
from pathlib import Path
from statistics import fmean
from typing import Any

from femtosearch.errors import QueryError, missing_extra
from femtosearch.evaluation.confidence import Interval
from femtosearch.evaluation.results import Evaluation

FORMATS = (".png", ".svg")
Point = tuple[str, float, Interval]  # mode, cost, nDCG@10
COSTS = (("bytes", "bytes a document"), ("milliseconds", "milliseconds a query (median)"))


def plot(evaluation: Evaluation, path: str | os.PathLike[str]) -> list[Path]:
    """Plot mean nDCG@10 of each mode with its interval, against bytes a document and milliseconds a query.

    path:    the files are PNG and SVG, whatever it ends in.
    Returns  the files' paths. Raises MissingExtraError, QueryError.
    """
    target = Path(path)
    points = {name: _points(evaluation, name) for name, _ in COSTS}
    if not any(points.values()):
        raise QueryError(
            f"plot: expected a mode that is searched, found {', '.join(evaluation.means) or 'none'}"
        )
    figure_of = figure_class()
    figure = figure_of(figsize=(10, 4.2), layout="constrained")
    for axes, (name, label) in zip(figure.subplots(1, 2, sharey=True), COSTS, strict=True):
        _draw(axes, points[name], label)
    figure.suptitle(
        f"{evaluation.model}: mean of {', '.join(result.name for result in evaluation.sets)}", fontsize=10
    )
    stem = target.with_suffix("") if target.suffix in FORMATS else target
    written = [stem.with_name(stem.name + ending) for ending in FORMATS]
    for file in written:
        figure.savefig(file, dpi=150)
    return written


def _points(evaluation: Evaluation, cost: str) -> list[Point]:
    """The modes that cost something, with their mean cost over collections."""
    points = []
    for mode, means in evaluation.means.items():
        costs = [getattr(result.modes[mode], cost) for result in evaluation.sets]
        if all(costs):
            points.append((mode, fmean(costs), means["ndcg@10"]))
    return points


def _draw(axes: Any, points: list[Point], label: str) -> None:
    from matplotlib.ticker import LogLocator

    for mode, cost, score in points:
        apart = [[max(0.0, score.mean - score.low)], [max(0.0, score.high - score.mean)]]
        axes.errorbar(cost, score.mean, yerr=apart, fmt="o", capsize=3, label=mode)
    axes.set(xscale="log", xlabel=label, ylabel="nDCG@10")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.xaxis.set_minor_formatter("")
    axes.margins(x=0.15)
    axes.grid(alpha=0.3)
    if points:
        axes.legend()


def figure_class() -> Any:
    """Matplotlib's figure. Raises MissingExtraError if it is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise missing_extra("a plot", error.name, "evaluate") from error
    return Figure
