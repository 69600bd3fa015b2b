"""What `femtosearch evaluate` and `femtosearch evaluate compare` do."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

from femtosearch.cli.show import duration
from femtosearch.errors import ReadError
from femtosearch.evaluation import LOSS_MODES, Evaluation, plot
from femtosearch.evaluation import compare as differences
from femtosearch.evaluation import evaluate as score
from femtosearch.evaluation.report import comparison, counted, loss_table, table, write_runs
from femtosearch.model.model import Model
from femtosearch.progress import Line, bar

PERIOD = 0.1  # seconds between two drawings


class Said:
    """The line that says what is done, how far it is and how fast."""

    def __init__(self, *, quiet: bool) -> None:
        self._line = Line(PERIOD, quiet=quiet)
        self._what, self._start, self._first = "", 0.0, 0
        self.clear = self._line.clear

    def update(self, what: str, done: int, total: int) -> None:
        """Draw it, if it is time to."""
        now = time.monotonic()
        if what != self._what:
            self._what, self._start, self._first = what, now, done
        if self._line.due():
            fresh = done - self._first  # since the start, which was noticed when the first were done
            rate = f"  {fresh / (now - self._start):,.0f}/s" if fresh > 0 and now > self._start else ""
            self._line.draw(f"{what} {bar(done / max(1, total))} {done:,} of {total:,}{rate}")


def evaluate(options: argparse.Namespace) -> None:
    """Score, print the table, write what was asked for."""
    said, start = Said(quiet=options.quiet), time.monotonic()
    modes = options.mode.split(",") if options.mode else None
    if options.losses:
        modes = [*(modes or []), *LOSS_MODES]
    how = {"conventions": options.conventions, "pool_factor": options.pool_factor}
    model = Model.load(options.model, engine=options.engine, revision=options.revision, **how)
    try:
        found = score(
            options.source, model, modes=modes, rules=options.rules, split=options.split, limit=options.limit,
            candidates=options.candidates, cache=options.cache, progress=said.update,
        )  # fmt: skip
    finally:
        said.clear()
    _show(options, found)
    written = write_runs(found, Path(options.run)) if options.run else []
    written += plot(found, options.plot) if options.plot else []
    if not options.quiet:
        for line in [*counted(found), *(f"-> {path}" for path in written)]:
            print(line, file=sys.stderr)
        print(f"{found.model}, {found.rules} rules, {duration(time.monotonic() - start)}", file=sys.stderr)
    if found.errors:
        raise ReadError("; ".join(found.errors.values()))


def compare(options: argparse.Namespace) -> None:
    """Print which differences may be noise."""
    found = differences(Evaluation.read(options.first), Evaluation.read(options.second), options.measure)
    if not options.json:
        print(comparison(found, options.measure))
        return
    for one in found:
        print(json.dumps({"measure": options.measure, **asdict(one), "noise": one.noise}))


def _show(options: argparse.Namespace, found: Evaluation) -> None:
    if options.json:
        print(json.dumps(found.json()))
        return
    print(table(found, every=options.all))
    if options.losses:
        print()
        print(loss_table(found))
