"""The commands `femtosearch evaluate` and `femtosearch evaluate compare`."""

from __future__ import annotations

import argparse
import errno
import os
from dataclasses import asdict
from pathlib import Path

from femtosearch.cli.output import write_json, write_line, write_note
from femtosearch.errors import ReadError
from femtosearch.evaluation import LOSS_MODES, Evaluation, plot
from femtosearch.evaluation import compare as compare_evaluations
from femtosearch.evaluation import evaluate as score
from femtosearch.evaluation.plots import figure_class
from femtosearch.evaluation.report import comparison, counted, loss_table, table, write_runs
from femtosearch.model.model import Model
from femtosearch.progress import Progress, duration


def evaluate(options: argparse.Namespace) -> None:
    """Score a model on collections, print the table, and write the files that were requested."""
    _check_outputs(options)
    progress = Progress(quiet=options.quiet)
    modes = None if options.mode is None else [mode.strip() for mode in options.mode.split(",")]
    if options.losses:
        modes = [*(modes or []), *LOSS_MODES]
    model_options = {
        "conventions": options.conventions,
        "pool_factor": options.pool_factor,
        "prune_above": options.prune_above,
        "precision": options.precision,
    }
    model = Model.load(options.model, engine=options.engine, revision=options.revision, **model_options)
    try:
        evaluation = score(
            options.source, model, modes=modes, rules=options.rules, split=options.split, limit=options.limit,
            candidates=options.candidates, cache=options.cache, progress=progress.update,
        )  # fmt: skip
    finally:
        progress.clear()
    _show(options, evaluation)
    written = write_runs(evaluation, Path(options.run)) if options.run else []
    written += plot(evaluation, options.plot) if options.plot else []
    if not options.quiet:
        for line in [*counted(evaluation), *(f"-> {path}" for path in written)]:
            write_note(line)
        write_note(f"{evaluation.model}, {evaluation.rules} rules, {duration(progress.seconds)}")
    if evaluation.errors:
        raise ReadError("; ".join(evaluation.errors.values()))


def _check_outputs(options: argparse.Namespace) -> None:
    """Check, before the minutes that scoring takes, that the files can be written. Raises MissingExtraError,
    OSError.
    """
    if options.plot:
        figure_class()
    for path in (options.run, options.plot):
        if path and not os.path.isdir(folder := os.path.dirname(path) or "."):
            raise FileNotFoundError(
                errno.ENOENT, "expected a folder to write into, found none: make it first", folder
            )


def compare(options: argparse.Namespace) -> None:
    """Compare two evaluations, and print which differences may be noise."""
    differences = compare_evaluations(
        Evaluation.read(options.first), Evaluation.read(options.second), options.measure
    )
    if not options.json:
        _write_lines(comparison(differences, options.measure))
        return
    for difference in differences:
        write_json({"measure": options.measure, **asdict(difference), "noise": difference.noise})


def _show(options: argparse.Namespace, evaluation: Evaluation) -> None:
    if options.json:
        write_json(evaluation.json())
        return
    _write_lines(table(evaluation, every=options.all))
    if options.losses:
        _write_lines("\n" + loss_table(evaluation))


def _write_lines(text: str) -> None:
    for line in text.split("\n"):
        write_line(line)
