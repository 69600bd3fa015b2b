"""A model's card, from the model itself, its card.toml and an evaluation.

    python -m femtosearch.evaluation.card MODEL [EVALUATION.json]

writes README.md into the model's folder. A person fills in what nobody can measure (its training data, their
licences, its weaknesses) in card.toml beside the weights; everything else is read or measured.
"""

from __future__ import annotations

import argparse
import os
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from femtosearch.errors import FemtosearchError, ReadError
from femtosearch.evaluation.confidence import Interval
from femtosearch.evaluation.measures import MEASURES, shown
from femtosearch.evaluation.results import Evaluation
from femtosearch.model.model import FDE, Model
from femtosearch.types import BertConfig

FACTS = "card.toml"
CARD = "README.md"
TEXTS = ("title", "summary", "training", "teacher", "texts", "weaknesses", "more")  # of card.toml
TABLES = ("held_out", "data")  # lists of [what, value]
MODES = {
    "exact": "full MaxSim",
    "rerank": "FDE + MaxSim of 100",
    "fde": "FDE only",
    "maxsim": "`Index.search`",
    "hybrid": "MaxSim and BM25",
    "bm25": "BM25",
}


def card(model: Model, facts: Mapping[str, Any], evaluation: Evaluation | None) -> str:
    """The card in Markdown.

    facts:  the content of card.toml. Raises ReadError for an evaluation of another model.
    """
    if evaluation is not None and evaluation.fingerprint != model.fingerprint:
        raise ReadError(
            f"expected an evaluation of {model.name} ({model.fingerprint}), found one of {evaluation.model} "
            f"({evaluation.fingerprint}): evaluate it again"
        )
    blocks = [
        f"---\nlicense: {facts.get('license', 'other')}\nlanguage: {facts.get('language', 'en')}\n"
        "tags: [ColBERT, late-interaction, MaxSim, femtosearch]\n---",
        f"# {facts.get('title', model.name)}",
        *_text(facts, "summary"),
        table(["", ""], _architecture(model)),
        *_text(facts, "more"),
        *_training(facts),
        *(_scores(evaluation) if evaluation else ()),
        *_headed("Weaknesses", _text(facts, "weaknesses")),
    ]
    return "\n\n".join(blocks) + "\n"


def read_facts(folder: Path) -> dict[str, Any]:
    """Read and check card.toml; an empty dict if there is none. Raises ReadError."""
    path = folder / FACTS
    if not path.is_file():
        return {}
    try:
        facts = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ReadError(f"{path}: expected TOML, found something else ({error})") from error
    names = {*TEXTS, *TABLES, "license", "language"}
    for name, value in facts.items():
        if name not in names:
            raise ReadError(f"{path}: expected {', '.join(sorted(names))}, found {name!r}")
        pairs = isinstance(value, list) and all(
            isinstance(row, list) and [type(cell) for cell in row] == [str, str] for row in value
        )
        if not (pairs if name in TABLES else isinstance(value, str)):
            kind = "a list of pairs of texts" if name in TABLES else "a text"
            raise ReadError(f"{path}: {name}: expected {kind}, found {value!r}")
    return facts


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def scored(interval: Interval) -> str:
    """A mean with its interval: `.676 [.631, .720]`."""
    return f"{_plain(interval.mean)} [{_plain(interval.low)}, {_plain(interval.high)}]"


def weights_of(model: Model) -> int:
    """The size of a model's files of weights in bytes, without its FDE's."""
    files = (path for path in Path(model.source).rglob("*.safetensors") if path.name != FDE)
    return sum(path.stat().st_size for path in files)


def _architecture(model: Model) -> list[list[str]]:
    config, conventions = model.config, model.conventions
    shape = f"{config.architecture}, {config.hidden_size} wide"
    if isinstance(config, BertConfig):
        shape += f", {config.layers} layers of {config.heads} heads, {config.intermediate_size} wide inside"
    rows = [
        ["architecture", shape],
        ["a row", f"{model.dims} numbers"],
        ["numbers when loaded", f"{model.parameters:,}"],
        ["weights on disk", f"{weights_of(model):,} bytes"],
        ["vocabulary", f"{config.vocab_size:,} pieces"],
        ["queries", f"up to {conventions.query_length} tokens"],
        ["documents", f"up to {conventions.document_length} tokens a passage"],
    ]
    if model.fde is not None:
        size = model.fde.size(model.dims)
        rows.append(["its FDE", f"{model.fde.kind}, {size:,} numbers of {model.fde.code_bits} bits"])
    return [*rows, ["fingerprint", f"`{model.fingerprint}`"]]


def _training(facts: Mapping[str, Any]) -> Iterator[str]:
    blocks = [*_text(facts, "training")]
    if facts.get("held_out"):
        blocks.append(table(["nDCG@10 on held-out pairs", ""], facts["held_out"]))
    blocks += [f"**Teacher:** {text}" for text in _text(facts, "teacher")]
    blocks += [f"**Texts:** {text}" for text in _text(facts, "texts")]
    if facts.get("data"):
        blocks.append(table(["source", "licence"], facts["data"]))
    yield from _headed("Training", blocks)


def _scores(evaluation: Evaluation) -> Iterator[str]:
    """nDCG@10 of each mode and collection; every measure of the first mode; times and their machine."""
    modes = [mode for mode in MODES if mode in evaluation.means]
    rows = [
        [f"{result.name} ({result.queries:,} queries, {result.documents:,} documents)"]
        + [scored(result.modes[mode].means["ndcg@10"]) for mode in modes]
        for result in evaluation.sets
    ]
    rows.append(["mean", *(scored(evaluation.means[mode]["ndcg@10"]) for mode in modes)])
    yield from _headed("Scores", [
        f"nDCG@10 with 95% bootstrap intervals, by `femtosearch evaluate --rules {evaluation.rules}`; "
        "docs/evaluation.md says what each mode is.",
        table(["", *(MODES[mode] for mode in modes)], rows),
        f"Every measure, {MODES[modes[0]]}, the mean of the collections:",
        table(["", ""], [[shown(name), scored(evaluation.means[modes[0]][name])] for name in MEASURES]),
    ])  # fmt: skip
    yield from _headed("Speed", _speed(evaluation))


def _speed(evaluation: Evaluation) -> Iterator[str]:
    machine = evaluation.machine
    rows = []
    for result in evaluation.sets:
        rate = f"{result.documents / result.indexing_seconds:,.0f}" if result.indexing_seconds else ""
        exact = result.modes.get("maxsim")
        milliseconds = f"{exact.milliseconds:.1f}" if exact and exact.milliseconds else ""
        size = f"{exact.bytes / 1e3:.1f}" if exact and exact.bytes else ""
        rows.append([result.name, rate, milliseconds, size])
    yield f"{machine['processor']}, {machine['cores']} cores, the {machine['kernel']} kernel:"
    yield table(["", "documents indexed a second", "ms a query (median)", "kB of rows a document"], rows)


def _headed(title: str, blocks: Sequence[str] | Iterator[str]) -> Iterator[str]:
    listed = [*blocks]
    if listed:
        yield f"## {title}"
        yield from listed


def _text(facts: Mapping[str, Any], name: str) -> list[str]:
    return [facts[name].strip()] if facts.get(name, "").strip() else []


def _plain(value: float) -> str:
    return f"{value:.3f}".removeprefix("0") if value < 1 else f"{value:.3f}"


def main(argv: Sequence[str] | None = None) -> int:
    """Write the card of a model."""
    parser = argparse.ArgumentParser("femtosearch.evaluation.card", description=__doc__.splitlines()[0])
    parser.add_argument("model", metavar="MODEL", help="a model folder, or a built-in model's name")
    parser.add_argument(
        "evaluation", metavar="EVALUATION.json", nargs="?", help="the output of evaluate --json"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help=f"default: {CARD} in the model's folder")
    options = parser.parse_args(argv)
    try:
        model = Model.load(options.model)
        evaluation = Evaluation.read(options.evaluation) if options.evaluation else None
        text = card(model, read_facts(Path(model.source)), evaluation)
        target = options.out or Path(model.source) / CARD
        temporary = target.with_name(f"{target.name}.{os.getpid()}")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(target)
    except (FemtosearchError, OSError) as error:
        print(f"femtosearch: {error}", file=sys.stderr)
        return 1
    print(target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
