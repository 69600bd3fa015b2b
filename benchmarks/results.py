"""The built-in models on judged collections: their cards, and docs/results.md."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from textwrap import fill
from typing import Any

from benchmarks.encode import Row
from femtosearch.evaluation import Evaluation, evaluate
from femtosearch.evaluation.card import CARD, MODES, card, read_facts, scored, table, weights_of
from femtosearch.evaluation.confidence import Interval
from femtosearch.model.model import Model, built_in

HERE = Path(__file__).parent
PLACE = HERE / "results" / "unreleased"
PAGE = HERE.parent / "docs" / "results.md"
FAMILY = {"pico": "0.45M", "nano": "0.97M", "micro": "4M"}  # recipes of the published shapes, and parameters
WANTED = ("exact", "rerank", "fde", "maxsim")
SETS = ("NFCorpus", "SciDocs", "SciFact")  # of the published table
PUBLISHED = {  # nDCG@10, from the model card of NeuML/colbert-muvera-femto
    ("colbert-muvera-femto", "0.2M"): (
        (0.2513, 0.0870, 0.4710), (0.2316, 0.0858, 0.4641), (0.1851, 0.0411, 0.3518),
    ),
    ("colbert-muvera-pico", "0.4M"): (
        (0.3005, 0.1117, 0.6452), (0.2821, 0.1004, 0.6090), (0.1926, 0.0564, 0.4424),
    ),
    ("colbert-muvera-nano", "0.9M"): (
        (0.3180, 0.1262, 0.6576), (0.2996, 0.1201, 0.6249), (0.2355, 0.0807, 0.4904),
    ),
    ("colbert-muvera-micro", "4M"): (
        (0.3235, 0.1244, 0.6676), (0.3095, 0.1228, 0.6464), (0.2348, 0.0882, 0.4875),
    ),
    ("ColBERT v2", "110M"): (
        (0.3165, 0.1497, 0.6456), (0.3025, 0.1538, 0.6278), (0.2356, 0.1229, 0.5002),
    ),
}  # fmt: skip


def measure(folders: list[Path]) -> tuple[dict[str, Any], list[Row]]:
    """Evaluate every built-in model, write its results, its card and then the page."""
    evaluations: list[Evaluation] = []
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as cache:  # empty: what is indexed is timed
        for name in built_in():
            modes = [*WANTED, "bm25"] if not evaluations else list(WANTED)
            model = Model.load(name)
            evaluation = evaluate(folders, model, modes=modes, cache=cache, progress=_say)
            (PLACE / f"evaluation-{name}.json").write_text(json.dumps(evaluation.brief(), indent=1) + "\n")
            (Path(model.source) / CARD).write_text(card(model, read_facts(Path(model.source)), evaluation))
            evaluations.append(evaluation)
            rows += [
                (f"{name}, {mode}: nDCG@10", evaluation.means[mode]["ndcg@10"].mean, "") for mode in modes
            ]
    PAGE.write_text(page(evaluations, _teacher(), _family()), encoding="utf-8")
    return {"models": [evaluation.brief() for evaluation in evaluations]}, rows


def page(
    evaluations: list[Evaluation], teacher: dict[str, dict[str, Interval]], family: list[Evaluation]
) -> str:
    """docs/results.md.

    evaluations:   of the built-in models.
    family:  of models that were trained by the recipes of FAMILY.
    """
    machine = evaluations[0].machine
    names = [result.name for result in evaluations[0].sets]
    parts = [
        "# Results",
        "Made by `make results`: nothing here is typed by hand but the published rows. nDCG@10 with 95% "
        "bootstrap intervals, zero-shot; [evaluation](evaluation.md) says how. "
        f"{machine['processor']}, {machine['cores']} cores, the {machine['kernel']} kernel.",
        "## The built-in models",
        table(
            ["", *names, "mean"],
            [*_model_rows(evaluations, names), *_reference_rows(evaluations[0], teacher, names)],
        ),
        "BM25 and the teacher are for reference. The DL19 pool's scores cannot be compared with those on all "
        "of MS MARCO."
        if "trec_dl19_pool" in names
        else "BM25 and the teacher are for reference.",
        "## Beside the published models",
        "The rows marked * are published, from the model card of NeuML/colbert-muvera-femto, and were not "
        "measured here. What is empty was not at hand: `femtosearch evaluate beir/nfcorpus beir/scidocs` "
        "fills it where the Hub can be reached.",
        table(
            [
                "",
                "parameters, or weights",
                *(f"{name}, {MODES[mode]}" for mode in WANTED[:3] for name in SETS),
            ],
            [
                *_published_rows(),
                *(
                    _beside(evaluation, f"{weights_of(Model.load(evaluation.model)) / 1e6:.2f} MB")
                    for evaluation in evaluations
                ),
                *(_beside(evaluation, FAMILY[evaluation.model]) for evaluation in family),
            ],
        ),
        *_family_parts(family, names),
        "## What it costs",
        table(
            ["", "mode", "nDCG@10, mean", "ms a query (median)", "bytes a document"],
            [row for evaluation in evaluations for row in _costs(evaluation)],
        ),
    ]
    return "\n\n".join(map(_wrapped, parts)) + "\n"


def _family_parts(family: list[Evaluation], names: list[str]) -> list[str]:
    """What recipes of the published shapes give; nothing before one has been run to its end."""
    if not family:
        return []
    return [
        "## The published shapes, trained here",
        "Made by `femtosearch train RECIPE` and `make fde`, on two cores, of the data and in the "
        "stages of femto, and by `femtosearch evaluate COLLECTION... --model FOLDER --mode "
        "exact,maxsim,rerank,fde --json`. They are not built in: at their sizes a table of codes (femto) and "
        "int8 (megabyte) hold more.",
        table(["", *names, "mean"], list(_model_rows(family, names))),
    ]


def _family() -> list[Evaluation]:
    """The evaluations of the published shapes that are there."""
    paths = {name: PLACE / f"evaluation-{name}.json" for name in FAMILY}
    return [replace(Evaluation.read(path), model=name) for name, path in paths.items() if path.is_file()]


def _wrapped(block: str) -> str:
    """Prose in lines of at most 110 characters; a heading or a table as it is."""
    return block if block.startswith(("#", "|")) else fill(block, 110, break_on_hyphens=False)


def _model_rows(evaluations: list[Evaluation], names: list[str]) -> Iterator[list[str]]:
    for evaluation in evaluations:
        sets = {result.name: result for result in evaluation.sets}
        for mode in WANTED:
            cells = [scored(sets[name].modes[mode].means["ndcg@10"]) for name in names]
            yield [f"{evaluation.model}, {MODES[mode]}", *cells, scored(evaluation.means[mode]["ndcg@10"])]


def _reference_rows(
    first: Evaluation, teacher: dict[str, dict[str, Interval]], names: list[str]
) -> Iterator[list[str]]:
    sets = {result.name: result for result in first.sets}
    cells = [scored(sets[name].modes["bm25"].means["ndcg@10"]) for name in names]
    yield ["BM25", *cells, scored(first.means["bm25"]["ndcg@10"])]
    for way in next(iter(teacher.values()), {}):
        yield [way, *(scored(teacher[name][way]) if name in teacher else "" for name in names), ""]


def _published_rows() -> Iterator[list[str]]:
    for (name, size), modes in PUBLISHED.items():
        yield [f"{name} *", size, *(f"{value:.4f}".removeprefix("0") for mode in modes for value in mode)]


def _beside(evaluation: Evaluation, size: str) -> list[str]:
    """A row of the table beside the published models."""
    sets = {result.name.lower(): result for result in evaluation.sets}
    cells = [
        scored(sets[name.lower()].modes[mode].means["ndcg@10"]) if name.lower() in sets else ""
        for mode in WANTED[:3]
        for name in SETS
    ]
    return [evaluation.model, size, *cells]


def _costs(evaluation: Evaluation) -> Iterator[list[str]]:
    for mode in ("maxsim", "rerank", "fde"):
        modes = [result.modes[mode] for result in evaluation.sets]
        took = sum(result.milliseconds or 0 for result in modes) / len(modes)
        size = sum(result.bytes or 0 for result in modes) / len(modes)
        yield [
            evaluation.model,
            MODES[mode],
            scored(evaluation.means[mode]["ndcg@10"]),
            f"{took:.1f}",
            f"{size:,.0f}",
        ]


def _teacher() -> dict[str, dict[str, Interval]]:
    """What `python -m benchmarks teacher --out` has measured, if it has."""
    path = PLACE / "teacher.json"
    if not path.is_file():
        return {}
    collections = json.loads(path.read_text())["collections"]
    return {
        name: {way: Interval(**value) for way, value in ways.items()} for name, ways in collections.items()
    }


def _say(what: str, done: int, total: int) -> None:
    if done == total:
        print(f"{what}: {total:,}", file=sys.stderr)
