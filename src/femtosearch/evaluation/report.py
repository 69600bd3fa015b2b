"""Results as text: tables for a terminal, TREC runs for other programs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from femtosearch.evaluation.compare import Difference
from femtosearch.evaluation.confidence import Interval
from femtosearch.evaluation.losses import losses
from femtosearch.evaluation.measures import MEASURES, shown
from femtosearch.evaluation.rankings import Ranked
from femtosearch.evaluation.results import Evaluation, ModeResult

BRIEF = ("ndcg@10", "mrr@10", "recall@100")
MEAN = "mean"


def table(evaluation: Evaluation, *, every: bool = False) -> str:
    """A row a collection and mode: measures with their 95% intervals, milliseconds and bytes."""
    names = MEASURES if every else BRIEF
    head = ["collection", "queries", "mode", *map(shown, names), "ms", "bytes"]
    rows = [
        [one.name, f"{one.queries:,}", mode, *_cells(found.means, names), *_costs(found)]
        for one in evaluation.sets
        for mode, found in one.modes.items()
    ]
    if len(evaluation.sets) > 1:
        rows += [[MEAN, "", mode, *_cells(means, names), "", ""] for mode, means in evaluation.means.items()]
    return aligned([head, *rows])


def counted(evaluation: Evaluation) -> list[str]:
    """What was odd in the collections' files, a line each."""
    return [
        f"{one.name}: {number:,} {what}" for one in evaluation.sets for what, number in one.counts.items()
    ]


def loss_table(evaluation: Evaluation) -> str:
    """A row a collection and step: nDCG@10, what the step changed, and whether that may be noise."""
    rows = [["collection", "step", "nDCG@10", "change", "p"]]
    for one in evaluation.sets:
        for loss in losses(one):
            change = "" if loss.change is None else f"{loss.change:+.4f} after {loss.step.after}"
            p_value = "" if loss.p_value is None else _p(loss.p_value)
            rows.append(
                [one.name, f"{loss.step.mode}: {loss.step.said}", f"{loss.value:.4f}", change, p_value]
            )
    return aligned(rows)


def comparison(differences: Sequence[Difference], measure: str) -> str:
    """A row a collection and mode of two evaluations."""
    rows = [["collection", "queries", "mode", f"{shown(measure)} first", "second", "second - first", "p", ""]]
    for one in differences:
        mode = one.modes[0] if one.modes[0] == one.modes[1] else " / ".join(one.modes)
        said = "may be noise" if one.noise else "differ"
        cells = [f"{one.first:.4f}", f"{one.second:.4f}", f"{one.second - one.first:+.4f}", _p(one.p_value)]
        rows.append([one.collection, f"{one.queries:,}", mode, *cells, said])
    return aligned(rows)


def write_runs(evaluation: Evaluation, path: Path) -> list[Path]:
    """TREC's run format; of several collections or modes a file each, whose names say which. The paths."""
    several = sum(len(one.modes) for one in evaluation.sets) > 1
    written = []
    for one in evaluation.sets:
        for mode, found in one.modes.items():
            target = path.with_name(f"{path.stem}.{one.name}.{mode}{path.suffix}") if several else path
            lines = "".join(_run_lines(found.rankings, f"femtosearch-{mode}"))
            _write_whole(target, lines)
            written.append(target)
    return written


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns of one width, numbers to the right."""
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(size) if cell[:1].isdigit() or cell[:1] in "+-" else cell.ljust(size)
            for cell, size in zip(row, widths, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _cells(means: Mapping[str, Interval], names: Sequence[str]) -> list[str]:
    return [f"{means[name].mean:.4f} [{means[name].low:.3f}, {means[name].high:.3f}]" for name in names]


def _costs(found: ModeResult) -> list[str]:
    took = "" if found.milliseconds is None else f"{found.milliseconds:.1f}"
    return [took, "" if found.bytes is None else f"{found.bytes:,.0f}"]


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _write_whole(path: Path, text: str) -> None:
    part = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _run_lines(rankings: Mapping[str, Ranked], tag: str) -> Iterator[str]:
    for query, found in rankings.items():
        for rank, (document, score) in enumerate(found, 1):
            yield f"{query} Q0 {document} {rank} {score:.6f} {tag}\n"
