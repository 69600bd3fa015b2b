"""`python -m torture --minutes 20`: docs/reliability.md says what each kind does."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from benchmarks.machine import cores
from torture import report, shim, slices
from torture.counts import Counts
from torture.schedule import Schedule


def main() -> int:
    """Torture the engine, print the counts and, after a fault, how to play it again. The exit code."""
    options = _options()
    kinds = options.kind or list(slices.KINDS)
    seed = random.randrange(1_000_000) * 1000 if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        library = shim.compiled(Path(folder))
        if options.minutes is None:
            counts = {kind: slices.run(kind, 0, seed, library) for kind in kinds}
        else:
            counts = _for_minutes(kinds, options, seed, library)
    print(report.table(counts))
    content = report.document(counts, options.minutes or 0, seed)
    if options.json:
        report.write_json(options.json, content)
    if options.page:
        report.write_page(options.page, content)
    if any(count.faulty for count in counts.values()):
        print(report.faults(counts))
        return 1
    return 0


def _for_minutes(
    kinds: list[str], options: argparse.Namespace, seed: int, library: Path
) -> dict[str, Counts]:
    schedule = Schedule(kinds, options.minutes * 60, seed, library)

    def show() -> None:
        print(f"{report.table(schedule.counts)}\n{schedule.seconds_left:.0f} s left\n", flush=True)

    schedule.run(options.jobs, show, options.every)
    return schedule.counts


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m torture", description="Torture femtosearch's engine.")
    parser.add_argument("--kind", action="append", choices=slices.KINDS, help="only this; may be repeated")
    parser.add_argument("--minutes", type=float, metavar="N", help="in all (default: one round a kind)")
    parser.add_argument("--seed", type=int, metavar="N", help="of the first round (default: by chance)")
    parser.add_argument("--jobs", type=int, default=cores(), metavar="N", help="at once (default: cores)")
    parser.add_argument("--every", type=float, default=30, metavar="S", help="seconds between tables (30)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the counts there")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write a table between the page's markers")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
