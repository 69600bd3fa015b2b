"""Results as text: tables for a terminal, TREC's run files for other programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from femtosearch.disk import write_whole
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
        [result.name, f"{result.queries:,}", mode, *_cells(scores.means, names), *_costs(scores)]
        for result in evaluation.sets
        for mode, scores in result.modes.items()
    ]
    if len(evaluation.sets) > 1:
        rows += [[MEAN, "", mode, *_cells(means, names), "", ""] for mode, means in evaluation.means.items()]
    return aligned([head, *rows])


def counted(evaluation: Evaluation) -> list[str]:
    """The oddities of the collections' files, a line each."""
    return [
        f"{result.name}: {number:,} {oddity}"
        for result in evaluation.sets
        for oddity, number in result.counts.items()
    ]


def loss_table(evaluation: Evaluation) -> str:
    """A row a collection and step: nDCG@10, its change by the step, and the change's p-value."""
    rows = [["collection", "step", "nDCG@10", "change", "p"]]
    for result in evaluation.sets:
        for loss in losses(result):
            change = "" if loss.change is None else f"{loss.change:+.4f} after {loss.step.after}"
            p_value = "" if loss.p_value is None else _p(loss.p_value)
            step = f"{loss.step.mode}: {loss.step.words}"
            rows.append([result.name, step, f"{loss.value:.4f}", change, p_value])
    return aligned(rows)


def comparison(differences: Sequence[Difference], measure: str) -> str:
    """A row a collection and mode of two evaluations."""
    rows = [["collection", "queries", "mode", f"{shown(measure)} first", "second", "second - first", "p", ""]]
    for row in differences:
        mode = row.modes[0] if row.modes[0] == row.modes[1] else " / ".join(row.modes)
        verdict = "may be noise" if row.noise else "differ"
        cells = [f"{row.first:.4f}", f"{row.second:.4f}", f"{row.second - row.first:+.4f}", _p(row.p_value)]
        rows.append([row.collection, f"{row.queries:,}", mode, *cells, verdict])
    return aligned(rows)


def write_runs(evaluation: Evaluation, path: Path) -> list[Path]:
    """Write the rankings in TREC's run format, and return the files' paths.

    Of several collections or modes each has a file of its own, with their names in its name.
    """
    has_many = sum(len(result.modes) for result in evaluation.sets) > 1
    written = []
    for result in evaluation.sets:
        for mode, scores in result.modes.items():
            target = path.with_name(f"{path.stem}.{result.name}.{mode}{path.suffix}") if has_many else path
            lines = "".join(_run_lines(scores.rankings, f"femtosearch-{mode}"))
            write_whole(target, lines.encode())
            written.append(target)
    return written


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows as text, in columns of one width, numbers to the right."""
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


def _costs(scores: ModeResult) -> list[str]:
    milliseconds = "" if scores.milliseconds is None else f"{scores.milliseconds:.1f}"
    return [milliseconds, "" if scores.bytes is None else f"{scores.bytes:,.0f}"]


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _run_lines(rankings: Mapping[str, Ranked], tag: str) -> Iterator[str]:
    for query, ranked in rankings.items():
        for rank, (document, score) in enumerate(ranked, 1):
            yield f"{query} Q0 {document} {rank} {score:.6f} {tag}\n"
