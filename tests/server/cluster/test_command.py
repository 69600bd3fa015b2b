"""The command `cluster`."""

import json
import shutil

import pytest

from femtosearch.cli import main

from .conftest import QUERIES


def run(capsys, *arguments):
    code = main([*map(str, arguments)])
    output = capsys.readouterr()
    return code, output.out, output.err


def build_command(source, out, shards):
    return "cluster", "build", source, out, "--shards", shards, "--address", "here", "--model", "femto"


def test_build_and_search(corpus, single, tmp_path, capsys):
    build_it = build_command(corpus, tmp_path / "out", 2)
    code, output, _ = run(capsys, *build_it, "--json")
    facts = json.loads(output)
    assert (code, facts["documents"], facts["shards"], facts["encoded"]) == (0, len(single), 2, 2)
    code, output, _ = run(capsys, *build_it)
    assert "(2 were there)" in output
    ask = ("cluster", "search", tmp_path / "out", QUERIES[0], "--address", "here", "-k", 3, "--json")
    code, output, error = run(capsys, *ask)
    assert [json.loads(line)["id"] for line in output.splitlines()] == [
        hit.id for hit in single.search(QUERIES[0], k=3)
    ]
    code, output, error = run(capsys, *ask[:-1], "--explain")
    assert code == 0
    assert "ranks: MaxSim of everything 1" in output
    code, output, error = run(capsys, *ask, "--where", "year > 3000")
    assert (code, output) == (0, "")
    assert "nothing found" in error


def test_what_was_skipped_is_said(tmp_path, capsys):
    source = tmp_path / "a.jsonl"
    source.write_text('{"text": "a flow"}\n' + "no JSON\n" * 7)
    build_it = build_command(source, tmp_path / "out", 1)
    code, _, error = run(capsys, *build_it)
    assert code == 1 and f"{source}:2: " in error and "--keep-going" in error
    code, _, error = run(capsys, *build_it, "--keep-going")
    assert code == 0 and error.count(f"skipped: {source}:") == 5 and "skipped: 2 more" in error
    (tmp_path / "b.txt").write_bytes("é".encode("latin-1"))
    code, _, error = run(capsys, *build_it[:2], tmp_path / "b.txt", *build_it[3:], "--encoding", "latin-1")
    assert (code, error) == (0, "")


@pytest.mark.parametrize("command", [("cluster", "serve"), ("serve",), ("cluster", "search")])
def test_another_model_is_told_before_anything_is_served(built, capsys, command):
    more = ["heat"] if command[-1] == "search" else ["--port", 0]
    code, output, error = run(capsys, *command, built, *more, "--address", "here", "--model", "megabyte")
    assert (code, output) == (1, "") and error.count("\n") == 1
    assert "made with the model 'femto'" in error and "opened with 'megabyte'" in error


def test_what_is_lost_is_said(built, tmp_path, capsys):
    shutil.copytree(built, tmp_path / "out")
    shutil.rmtree(next(tmp_path.glob("out/build-*/shard-0001-*/segments")))
    ask = ("cluster", "search", tmp_path / "out", QUERIES[0], "--address", "here", "--json")
    code, output, error = run(capsys, *ask)
    assert (code, output) == (1, "")
    assert "1 of 3 shards did not answer" in error
    code, output, error = run(capsys, *ask, "--partial")
    assert code == 0
    assert output
    assert "without shard 1, which did not answer" in error


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["search", "nowhere", "x", "--address", "here"], 1, "no cluster's index here"),
        (["build", "nowhere", "out", "--shards", "2", "--address", "here"], 1, "nowhere"),
        (["serve", "nowhere", "--address", "here", "--port", "0"], 1, "no cluster's index here"),
    ],
)
def test_what_is_not_there_is_told(tmp_path, monkeypatch, capsys, arguments, code, told):
    if arguments[0] == "serve":
        pytest.importorskip("uvicorn")
    monkeypatch.chdir(tmp_path)
    ended, _, error = run(capsys, "cluster", *arguments)
    assert ended == code
    assert told in error
