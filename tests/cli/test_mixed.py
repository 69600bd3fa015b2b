"""Flags may stand before, between and behind the arguments of any command."""

import json

import pytest

from femtosearch.cli import main
from femtosearch.cli.mixed import MixedParser


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(f"A cat in {name}.")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--quiet", "notes", "a.txt", "b.txt"],
        ["notes", "--quiet", "a.txt", "b.txt"],
        ["notes", "a.txt", "--quiet", "--model", "femto", "b.txt"],
        ["notes", "a.txt", "b.txt", "--quiet"],
        ["--quiet", "notes", "a.txt", "--", "b.txt"],
    ],
)
def test_indexing(here, arguments, capsys):
    assert main(["index", *arguments]) == 0
    assert main(["info", "--json", "notes"]) == 0
    assert json.loads(capsys.readouterr().out)["index"]["documents"] == 2


@pytest.mark.parametrize("query", [["--", "--cat"], ["cat"]])
def test_searching(here, query, capsys):
    assert main(["index", "notes", "a.txt", "b.txt", "--quiet"]) == 0
    assert main(["search", "--json", "notes", "-k", "1", *query]) == 0
    assert json.loads(capsys.readouterr().out)["query"] == query[-1]


@pytest.mark.parametrize(
    "arguments", [["search", "notes"], ["search", "notes", "a", "--json", "b"], ["index"]]
)
def test_too_few_and_too_many(here, arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "required" in (text := capsys.readouterr().err) or "unrecognized arguments: b" in text


@pytest.mark.parametrize(
    ("arguments", "query", "paths", "count"),
    [
        (["-k", "1", "--", "-x", "d"], "-x", ["d"], 1),
        (["--", "-x", "--", "-d"], "-x", ["--", "-d"], 10),
        (["q", "-k", "2", "--", "-x"], "q", ["-x"], 2),
        (["--", "q"], "q", [], 10),
    ],
)
def test_what_follows_two_dashes_is_no_flag(arguments, query, paths, count):
    parser = MixedParser()
    parser.add_argument("query")
    parser.add_argument("path", nargs="*")
    parser.add_argument("-k", type=int, default=10)
    options = parser.parse_args(arguments)
    assert (options.query, options.path, options.k) == (query, paths, count)


@pytest.mark.parametrize(
    ("command", "missing"), [("get", "FOLDER"), ("find", "QUERY"), ("delete", "FOLDER"), ("forget", "FOLDER")]
)
def test_only_what_is_required_is_said_to_be_missing(command, missing, capsys):
    with pytest.raises(SystemExit):
        main([command])
    assert capsys.readouterr().err.endswith(f"the following arguments are required: {missing}\n")


def test_the_help_of_cluster_calls_ray_by_its_name(capsys):
    with pytest.raises(SystemExit):
        main(["cluster", "--help"])
    assert "\nAn index of several shards, on the nodes of a Ray cluster (" in capsys.readouterr().out
