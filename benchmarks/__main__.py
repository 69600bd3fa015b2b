"""`python -m benchmarks NAME`: benchmarks/README.md says what each measures."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import (
    commits,
    compare,
    encode,
    engines,
    family,
    fde,
    kernels,
    members,
    million,
    parity,
    peers,
    precision,
    pruning,
    results,
    search,
    start,
)
from benchmarks.checkpoints import SIZES
from benchmarks.machine import machine
from benchmarks.passages import count_of

DATA = "FEMTOSEARCH_DATA"


def main() -> None:
    """Measure, print a table and, with --out, write everything as JSON."""
    options = _options()
    before = machine()
    results, rows = _measure(options)
    width = max(len(name) for name, _, _ in rows)
    for name, value, unit in rows:
        print(f"{name:<{width}}  {_number(value):>12} {unit}".rstrip())
    if options.out:
        report = {"benchmark": options.benchmark, "machine": before, **results}
        Path(options.out).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if results.get("losses"):
        sys.exit(1)


def _measure(options: argparse.Namespace) -> tuple[dict[str, Any], list[tuple[str, float, str]]]:
    if options.benchmark == "compare":
        return compare.measure(options.base, options.head, options.rounds)
    if options.benchmark == "results":
        return results.measure(options.folder)
    if options.benchmark == "pruning":
        return pruning.measure(options.folder, options.model, options.texts)
    if options.benchmark == "teacher":  # which needs torch
        from benchmarks import teacher

        return teacher.measure(options.folder)
    if options.benchmark == "words":  # which cuts queries as training does
        from benchmarks import words

        return words.measure(options.folder, options.model)
    if options.benchmark == "short":
        from benchmarks import short

        return short.measure(options.folder, options.model, options.fde)
    if options.benchmark == "hybrid":
        from benchmarks import hybrid

        return hybrid.measure(options.folder, options.cache, options.index, options.questions)
    if options.benchmark == "precision":
        return precision.measure(options.folder or [_folder(options)], options.model, options.runs)
    if options.benchmark == "fde":
        return fde.measure(options.folder or [_folder(options)], options.model, options.runs, options.python)
    if options.benchmark == "peers":
        return peers.measure(_folder(options), options.model, options.runs, options.python, options.limit)
    if options.benchmark == "million":
        asked = options.folder, options.recall, options.calibrate, options.calibrate_own
        return million.measure(_folder(options), options.passages, options.index, *asked)
    if options.benchmark == "start":
        return start.measure(_folder(options), options.python, options.runs)
    if options.benchmark == "parity":
        return parity.measure(_pythons(options, parity.PEERS), options.doc)
    if options.benchmark == "engines":
        pythons = _pythons(options, engines.PEERS)
        asked_of = _folder(options), options.model, options.runs, pythons, options.limit
        return engines.measure(*asked_of, options.doc, options.beside)
    if options.benchmark == "commits":
        return commits.measure(options.documents)
    if options.benchmark == "kernels":  # which makes up its own data
        return kernels.measure(runs=options.runs)
    if options.benchmark == "family":
        return family.measure(options.runs, options.size)
    if options.benchmark == "members":
        return members.measure(_folder(options), options.size or list(SIZES), options.limit)
    module = {"encode": encode, "search": search}[options.benchmark]
    return module.measure(_folder(options), options.model, options.runs)


def _pythons(options: argparse.Namespace, peers: Mapping[str, str]) -> dict[str, str]:
    """The Python of each peer's environment that was named."""
    named = {peer: vars(options)[peer.replace("-", "_")] for peer in peers}
    return {peer: python for peer, python in named.items() if python}


def _folder(options: argparse.Namespace) -> Path:
    if options.data is None:
        sys.exit(f"expected a BEIR folder in --data DIR or ${DATA}, such as SciFact's, found neither")
    return Path(options.data)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks", description="Measure femtosearch.")
    commands = parser.add_subparsers(dest="benchmark", metavar="BENCHMARK", required=True)
    _add_timed(commands)
    _add_compare(commands)
    _add_commits(commands)
    _add_parity(commands)
    _add_engines(commands)
    _add_million(commands)
    _add_start(commands)
    _add_judged(commands, "results", results.__doc__)
    _add_judged(commands, "teacher", "The teacher's own ranking, for reference; needs the extra [train].")
    words = _add_judged(
        commands, "words", "MaxSim, BM25 and both fused, for whole and short queries; needs [train]."
    )
    hybrid = _add_judged(
        commands, "hybrid", "How much words count beside MaxSim, as other collections choose; needs [train]."
    )
    hybrid.add_argument("--cache", type=Path, required=True, metavar="DIR", help="where indexes are kept")
    hybrid.add_argument("--index", type=Path, metavar="DIR", help="an index of files, for --questions")
    hybrid.add_argument("--questions", type=Path, metavar="FILE", help="JSON: question, and patterns of ids")
    prunes = _add_judged(commands, "pruning", pruning.__doc__)
    description = "paragraphs that say which pieces are common, whose rows are left out for a try"
    prunes.add_argument("--texts", type=Path, metavar="FILE", help=description)
    prunes.add_argument("--model", metavar="DIR", help="a model folder (default: the built-in model)")
    short = _add_judged(commands, "short", "What an FDE finds, for whole and short queries; needs [train].")
    short.add_argument("--model", metavar="DIR", help="a model folder (default: the built-in model)")
    short.add_argument("--fde", type=Path, metavar="FILE", help="an FDE (default: the model's own)")
    words.add_argument("--model", metavar="DIR", help="a model folder (default: the built-in model)")
    return parser.parse_args()


def _add_timed(commands: Any) -> None:
    for module in (encode, precision, search, fde, peers, kernels, family, members):
        name = module.__name__.rsplit(".", 1)[1]
        command = commands.add_parser(name, help=(module.__doc__ or "").strip(), description=module.__doc__)
        command.add_argument(
            "--data", default=os.environ.get(DATA), metavar="DIR", help=f"a BEIR folder (default: ${DATA})"
        )
        command.add_argument("--model", metavar="DIR", help="a model folder (default: the built-in model)")
        command.add_argument("--out", metavar="FILE", help="write the results there, as JSON")
        if module in (fde, precision):
            command.add_argument(
                "folder", nargs="*", type=Path, help="BEIR folders (default: the one of --data)"
            )
        command.add_argument("--runs", type=int, default=5, metavar="N", help="repetitions (default: 5)")
        if module in (family, members):
            names = ", ".join(SIZES)
            command.add_argument("size", nargs="*", help=f"of {names} (default: all)")
        if module is fde:
            command.add_argument("--python", help="the Python of an environment with txtai, to compare")
        if module in (peers, members):
            limit = 2000 if module is peers else 500
            command.add_argument("--limit", type=int, default=limit, metavar="N", help=f"documents ({limit})")
        if module is peers:
            command.add_argument("--python", required=True, help="the Python of an environment with PyLate")


def _add_compare(commands: Any) -> None:
    command = commands.add_parser("compare", help=compare.__doc__, description=compare.__doc__)
    command.add_argument("base", metavar="BASE", help="the commit to compare with")
    command.add_argument("head", metavar="HEAD", nargs="?", default="HEAD", help="the other (default: HEAD)")
    command.add_argument("--rounds", type=int, default=5, metavar="N", help="processes of each (default: 5)")
    command.add_argument("--out", metavar="FILE", help="write the results there, as JSON")


def _add_commits(commands: Any) -> None:
    command = commands.add_parser("commits", help=commits.__doc__, description=commits.__doc__)
    command.add_argument("--documents", type=int, default=10_000, metavar="N", help="how many (10,000)")
    command.add_argument("--out", metavar="FILE", help="write the results there, as JSON")


def _add_start(commands: Any) -> None:
    command = commands.add_parser("start", help=start.__doc__, description=start.__doc__)
    command.add_argument(
        "--data", default=os.environ.get(DATA), metavar="DIR", help=f"a BEIR folder (default: ${DATA})"
    )
    command.add_argument("--python", help="the Python of an environment with femtosearch (default: this one)")
    command.add_argument("--runs", type=int, default=15, metavar="N", help="rounds (default: 15)")
    command.add_argument("--out", metavar="FILE", help="write the results there, as JSON")


def _add_peers(command: argparse.ArgumentParser, peers: Mapping[str, str]) -> None:
    for peer, name in peers.items():
        command.add_argument(f"--{peer}", metavar="PYTHON", help=f"the Python of an environment with {name}")


def _add_engines(commands: Any) -> None:
    command = commands.add_parser("engines", help=engines.__doc__, description=engines.__doc__)
    command.add_argument(
        "--data", default=os.environ.get(DATA), metavar="DIR", help=f"a BEIR folder (default: ${DATA})"
    )
    command.add_argument("--model", metavar="DIR", help="a model folder (default: the built-in model)")
    command.add_argument("--limit", type=int, metavar="N", help="documents (default: all)")
    command.add_argument("--runs", type=int, default=3, metavar="N", help="turns of each (default: 3)")
    _add_peers(command, engines.PEERS)
    command.add_argument("--doc", type=Path, metavar="FILE", help="write a page, such as docs/benchmarks.md")
    command.add_argument(
        "--beside", type=Path, nargs="*", default=[], metavar="FILE", help="results that the page shows, too"
    )
    command.add_argument("--out", metavar="FILE", help="write the results there, as JSON")


def _add_parity(commands: Any) -> None:
    command = commands.add_parser("parity", help=parity.__doc__, description=parity.__doc__)
    _add_peers(command, parity.PEERS)
    command.add_argument(
        "--doc", type=Path, metavar="FILE", help="write the tables there, such as docs/parity.md"
    )
    command.add_argument("--out", metavar="FILE", help="write the results there, as JSON")


def _add_million(commands: Any) -> None:
    command = commands.add_parser("million", help=million.__doc__, description=million.__doc__)
    command.add_argument("folder", nargs="+", type=Path, help="BEIR folders, whose queries are asked")
    command.add_argument("--data", required=True, metavar="DIR", help="text/*.txt.xz and pairs/*.jsonl.xz")
    command.add_argument(
        "--index", type=Path, required=True, help="the index; one that is there gets what it lacks"
    )
    description = "how many, such as 10M (1M); past what there is they are repeated, with changed words"
    command.add_argument("--passages", type=count_of, default=1_000_000, metavar="N", help=description)
    command.add_argument("--recall", type=float, help="of the ten best (default: as a search picks it)")
    description = "measure the candidates with N other queries of each folder first (0: as the model says)"
    command.add_argument("--calibrate", type=int, default=0, metavar="N", help=description)
    command.add_argument("--calibrate-own", action="store_true", help="... with stretches of its own texts")
    command.add_argument("--out", metavar="FILE", help="write the results there, as JSON")


def _add_judged(commands: Any, name: str, description: str | None) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=description, description=description)
    command.add_argument("folder", nargs="+", type=Path, help="BEIR folders")
    command.add_argument("--out", metavar="FILE", help="write the results there, as JSON")
    return command


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.4f}" if value < 1 else f"{value:.2f}"


if __name__ == "__main__":
    main()
