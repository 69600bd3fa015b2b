"""The commands and their flags, and the exit code of a run.

Nothing heavy is imported before the arguments are known to be right: `--help` and `--version` are instant.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from femtosearch.cli import output
from femtosearch.cli.chosen import Chosen, Names
from femtosearch.cli.cluster_arguments import CLUSTER, add_cluster
from femtosearch.cli.database_arguments import DATABASE, FUNCTIONS, add_database, add_where
from femtosearch.cli.find_arguments import FINDING, add_finding, hint_of, with_find
from femtosearch.cli.indexing_arguments import FDES, INDEXING, add_indexing, add_threads
from femtosearch.cli.mixed import MixedParser
from femtosearch.cli.search_arguments import add_search_flags
from femtosearch.cli.serving_arguments import SERVING, add_serving
from femtosearch.cli.values import number, offering, text, whole
from femtosearch.errors import FemtosearchError, UnknownQueryWarning

OK, FAILED, INTERRUPTED, BROKEN_PIPE = 0, 1, 130, 141  # a wrong command line is argparse's 2
MODULES = {  # of the commands; else `commands`
    **dict.fromkeys(INDEXING, "indexing"),
    **dict.fromkeys(DATABASE, "database"),
    **dict.fromkeys(FINDING, "find"),
    **dict.fromkeys(SERVING, "serving"),
    CLUSTER: "cluster",
    "install": "agents",
    "completion": "completion",
}
DESCRIPTION = (
    'Late-interaction search. `femtosearch "a question" [PATH...]` searches files, with no index to name.'
)
EPILOG = (
    "exit codes: 0 done; 1 an error, told in one line; 2 a wrong command line; 130 Ctrl-C; 141 a closed pipe"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. Raises SystemExit for a wrong command line, --help,
    --version.
    """
    output.open_missing_streams()
    arguments = list(sys.argv[1:] if argv is None else argv)
    output.set_encodings(json="--json" in arguments)
    reported: tuple[type[BaseException], ...] = (
        () if "--debug" in arguments else (Exception, KeyboardInterrupt)
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnknownQueryWarning)  # commands print notes instead
            code = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read our output has gone (`| head`): go too, and silently
        output.drop_output()
        return BROKEN_PIPE
    except reported as error:
        return _tell(error)
    return code


def _run(arguments: list[str]) -> int:
    trains = _trainer(arguments) if arguments[:1] == ["train"] else None
    compares = arguments[:2] == ["evaluate", "compare"]
    lists = any(argument.startswith("--files-from") for argument in arguments)
    names = Names()
    _add_commands(names, trains, compares=compares, lists=lists)
    arguments = with_find(arguments, names.names)
    chosen = arguments[0] if arguments[:1] and arguments[0] in names.names else None
    parsing = parser(trains, compares=compares, lists=lists, chosen=chosen)
    if arguments and (hint := hint_of(arguments[0], names.names)):
        parsing.error(hint)
    options = parsing.parse_args(arguments)
    if options.command == "delete" and not options.id and options.where is None:
        parsing.error("delete: the following arguments are required: ID, or --where")
    if trains:
        return _train(trains, "run")(options) or OK
    if options.command == "evaluate":
        evaluation = importlib.import_module("femtosearch.cli.evaluation")
        return (evaluation.compare if compares else evaluation.evaluate)(options) or OK
    module = MODULES.get(options.command, "commands")
    commands = importlib.import_module(f"femtosearch.cli.{module}")  # numpy and all
    function: Any = getattr(commands, {**FUNCTIONS, **FINDING}.get(options.command, options.command))
    return function(options) or OK


def command_names(parsing: argparse.ArgumentParser) -> list[str]:
    """The names of all commands."""
    return [name for action in parsing._actions if action.dest == "command" for name in action.choices or ()]


def _tell(error: BaseException) -> int:
    """Write one line about an error to standard error; returns the exit code."""
    message, code = str(error), FAILED
    if isinstance(error, KeyboardInterrupt):
        message, code = "interrupted", INTERRUPTED
    elif isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        message = f"{where}{error.strerror or error}"
    elif isinstance(error, MemoryError):
        message = "there is not enough memory for this"
    elif not isinstance(error, FemtosearchError):
        message = f"a fault of femtosearch, not yours: {type(error).__name__}: {error}; --debug shows where"
    output.write_note(f"femtosearch: {' '.join(message.split())}")
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        output.drop_output()
    return code


def _trainer(arguments: list[str]) -> str:
    """The module of `train RECIPE`, of `train fde MODEL`, or of `train weights MODEL`."""
    kind = arguments[1] if len(arguments) > 1 else ""
    return f"{kind}_command" if kind in ("fde", "weights") else "command"


def _train(module: str, name: str) -> Any:
    """A function of a training command, which needs torch."""
    return getattr(importlib.import_module(f"femtosearch.train.{module}"), name)


class _Version(argparse.Action):
    """--version, which looks the version up only when it is asked for."""

    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, **options)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        print("femtosearch", version())
        parser.exit()


def version() -> str:
    """The version that is installed."""
    from importlib import metadata  # slow to import, and seldom wanted

    return metadata.version("femtosearch")


def parser(
    trains: str | None = None,
    *,
    compares: bool = False,
    lists: bool = False,
    chosen: str | None = None,
) -> argparse.ArgumentParser:
    """Make the parser of the command line.

    trains:    the module of a training command, whose arguments are added, too.
    compares:  whether `evaluate compare` takes the place of `evaluate SOURCE`.
    lists:     whether a list of paths is given, so that `index` needs no path.
    chosen:    the only command that gets its arguments; None for all.
    """
    top = argparse.ArgumentParser("femtosearch", description=DESCRIPTION, epilog=EPILOG)
    top.add_argument("--version", action=_Version, help="print the version and exit")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=MixedParser)
    _add_commands(Chosen(commands, chosen) if chosen else commands, trains, compares=compares, lists=lists)
    return top


def _add_commands(commands: Any, trains: str | None, *, compares: bool, lists: bool) -> None:
    add_finding(commands, _command)
    add_indexing(commands, _command, _add_model, lists=lists)
    _add_search(commands)
    _add_rerank(commands)
    _add_encode(commands)
    _add_info(commands)
    _add_export(commands)
    add_database(commands, _command)
    _add_compact(commands)
    _add_calibrate(commands)
    add_serving(commands, _command, _add_model)
    add_cluster(commands, _command)
    (_add_compare if compares else _add_evaluate)(commands)
    _add_completion(commands)
    help = "train a model from a recipe, or parts: `train fde`, `train weights` (needs the extra [train])"
    trainer = _command(commands, "train", help, json=False)
    if trains:
        _train(trains, "add_arguments")(trainer)


def _command(commands: Any, name: str, help: str, *, json: bool = True) -> argparse.ArgumentParser:
    """A command with the flags that every command has."""
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=help, description=help[0].upper() + help[1:] + ".", epilog=EPILOG
    )
    if json:
        command.add_argument("--json", action="store_true", help="print JSON, one object a line")
    command.add_argument("--quiet", action="store_true", help="print hits, JSON and errors only")
    command.add_argument("--debug", action="store_true", help="let an error show its traceback")
    return command


def _add_model(command: argparse.ArgumentParser) -> None:
    description = (
        "a folder, a built-in model's name, or OWNER/NAME on the Hub (default: the index's, or built-in)"
    )
    command.add_argument("--model", metavar="MODEL", help=description)
    _add_reading(command)


def _add_reading(command: argparse.ArgumentParser) -> None:
    """Add the flags of how a model is read."""
    description = "native (the default), or torch, for any architecture (needs the extra [torch])"
    command.add_argument("--engine", choices=("native", "torch"), default="native", help=description)
    description = "what the native engine computes in: float32 (the default), or int8, which is faster"
    command.add_argument("--precision", choices=("float32", "int8"), default="float32", help=description)
    description = (
        "pylate, sentence-transformers or txtai: read the model as that does (default: as it says itself)"
    )
    conventions = command.add_argument("--conventions", metavar="NAME", help=description)
    offering(conventions, "pylate", "sentence-transformers", "txtai")
    description = "pool documents to about one row in F (default: as the model says)"
    command.add_argument("--pool-factor", type=number, metavar="F", help=description)
    description = (
        "drop a passage's row whose product with a row before it is above P (default: as the model says)"
    )
    command.add_argument("--prune-above", type=number, metavar="P", help=description)
    command.add_argument("--revision", metavar="NAME", help="a branch, tag or commit of a model on the Hub")


def _add_k(command: argparse.ArgumentParser, default: int | None) -> None:
    shown = "all" if default is None else default
    command.add_argument(
        "-k", type=whole(1), default=default, metavar="N", help=f"hits to show (default: {shown})"
    )


def _add_search(commands: Any) -> None:
    command = _command(commands, "search", "search an index")
    command.add_argument("folder", metavar="FOLDER", help="the index")
    command.add_argument(
        "query", type=text, metavar="QUERY", help="the query, or - for one a line on standard input"
    )
    command.add_argument("--text", action="store_true", help="with --json the whole text, not the passage")
    description = "show every document, also those that have the text of one before"
    command.add_argument("--no-fold", dest="fold", action="store_false", help=description)
    add_search_flags(command)
    _add_k(command, 10)
    _add_model(command)


def _add_rerank(commands: Any) -> None:
    command = _command(commands, "rerank", "put the lines of standard input in the order of a query")
    command.add_argument("query", type=text, metavar="QUERY", help="the query")
    _add_k(command, None)
    _add_model(command)


def _add_encode(commands: Any) -> None:
    command = _command(commands, "encode", "turn texts into rows: one vector a token")
    command.add_argument(
        "text", type=text, metavar="TEXT", nargs="*", help="texts (default: the lines of standard input)"
    )
    side = command.add_mutually_exclusive_group()
    side.add_argument("--query", action="store_true", help="as queries")
    side.add_argument("--document", action="store_true", help="as documents (the default)")
    command.add_argument("--out", metavar="FILE", help="write the arrays rows and starts to FILE, as .npz")
    add_threads(command)
    _add_model(command)


def _add_info(commands: Any) -> None:
    command = _command(commands, "info", "say what is here: version, kernel, and a model or an index")
    command.add_argument(
        "folder", metavar="FOLDER", nargs="?", help="a model or an index (default: the built-in model)"
    )
    _add_reading(command)


def _add_export(commands: Any) -> None:
    command = _command(commands, "export", "write an index's documents, or a model for other libraries")
    form = command.add_mutually_exclusive_group()
    form.add_argument("--onnx", action="store_true", help="write an ONNX graph (needs the extra [onnx])")
    form.add_argument("--fold-dense", action="store_true", help="make one Dense of several, as txtai needs")
    form.add_argument("--vectors", action="store_true", help="of an index: with the rows of its passages")
    form.add_argument("--web", action="store_true", help="of an index: a static site that searches itself")
    description = "an index, a model folder, or a built-in model's name"
    command.add_argument("model", metavar="SOURCE", nargs="?", help=description)
    description = (
        "for an index FILE.jsonl, .jsonl.gz or .parquet; for a model or a site a new folder, or FILE.onnx"
    )
    command.add_argument("target", metavar="TARGET", help=description)
    _add_site(command.add_argument_group("of a site (--web)"))
    description = "of an index: a new collection, qdrant:URL#NAME, qdrant:FOLDER#NAME or qdrant-edge:FOLDER"
    command.add_argument("--to", metavar="PLACE", help=f"{description} (needs the extra [qdrant])")
    add_where(command)
    _add_reading(command)


def _add_site(group: Any) -> None:
    group.add_argument("--title", metavar="TEXT", help="of the page (default: Search)")
    description = "where hits lead, such as '{stem}.html': {id}, or {stem}, the id without .md or the like"
    group.add_argument("--link", metavar="PATTERN", help=f"{description} (default: the metadata's url)")
    description = "all rows as the index has them: larger, and nothing is left to be made exact"
    group.add_argument("--whole-rows", action="store_true", help=description)


def _add_compact(commands: Any) -> None:
    command = _command(commands, "compact", "give back the space of deleted and replaced documents")
    command.add_argument("folder", metavar="FOLDER", help="the index")
    names = "auto (the model's own), muvera, txtai or fastembed, or none to take it out"
    fde = command.add_argument("--fde", metavar="NAME", help=f"give every passage another FDE: {names}")
    offering(fde, *FDES)
    description = "bits of a number of the rows, which are most of an index: 4 halve them"
    command.add_argument("--bits", type=int, choices=(8, 4), help=description)
    description = "declare keys of the metadata, with commas between: filters on them have indexes"
    command.add_argument("--keys", metavar="NAMES", help=description)
    description = "make the table of words, or take it out"
    command.add_argument("--words", action=argparse.BooleanOptionalAction, help=description)
    _add_model(command)


def _add_completion(commands: Any) -> None:
    command = commands.add_parser("completion", help="print a script that completes commands in a shell")
    command.add_argument("shell", choices=("bash", "zsh", "fish"), help="which shell")
    command.add_argument("--debug", action="store_true", help="let an error show its traceback")


def _add_calibrate(commands: Any) -> None:
    command = _command(commands, "calibrate", "measure how many candidates an index's FDE needs")
    command.add_argument("folder", metavar="FOLDER", help="the index")
    description = (
        "a file with a query a line, at least 20, or - for standard input (default: a few words of 200 of "
        "the documents)"
    )
    command.add_argument("queries", metavar="QUERIES", nargs="?", help=description)
    _add_model(command)


def _add_evaluate(commands: Any) -> None:
    command = _command(
        commands,
        "evaluate",
        "score a model on judged collections, or compare two such evaluations",
        json=False,
    )
    description = (
        "a folder in BEIR's or NanoBEIR's layout, beir/NAME, nanobeir or nanobeir/NAME; or: compare A B"
    )
    command.add_argument("source", metavar="SOURCE", nargs="+", help=description)
    description = (
        "of maxsim, rerank, fde, hybrid, bm25, exact, float32, with commas between (default: as rules say)"
    )
    modes = command.add_argument("--mode", metavar="MODES", help=description)
    offering(modes, "maxsim", "rerank", "fde", "hybrid", "bm25", "exact", "float32")
    description = "beir (the default), txtai, pylate or sentence-transformers: score as that does"
    rules = command.add_argument("--rules", default="beir", metavar="NAME", help=description)
    offering(rules, "beir", "txtai", "pylate", "sentence-transformers")
    command.add_argument("--split", metavar="NAME", help="of the qrels (default: test, or the only one)")
    command.add_argument("--limit", type=whole(1), metavar="N", help="ask the first N queries only")
    command.add_argument(
        "--candidates", type=whole(1), default=100, metavar="N", help="passages that rerank scores (100)"
    )
    command.add_argument("--losses", action="store_true", help="where points are lost, from float32 to FDE")
    command.add_argument("--all", action="store_true", help="print every measure")
    command.add_argument("--json", action="store_true", help="print JSON, with every query's values")
    command.add_argument("--run", metavar="FILE", help="write the rankings, in TREC's format")
    command.add_argument("--plot", metavar="FILE", help="write quality against cost, as .png and .svg")
    command.add_argument("--cache", metavar="DIR", help="keep indexes there ($FEMTOSEARCH_CACHE, ~/.cache)")
    _add_model(command)


def _add_compare(commands: Any) -> None:
    command = _command(commands, "evaluate", "say which differences of two evaluations may be noise")
    command.add_argument("compare", choices=["compare"], help="compare two evaluations")
    command.add_argument("first", metavar="A.json", help="what evaluate --json printed")
    command.add_argument("second", metavar="B.json", help="the other")
    command.add_argument("--measure", default="ndcg@10", metavar="NAME", help="what is compared (ndcg@10)")
