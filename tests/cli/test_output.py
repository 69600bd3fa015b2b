"""What others wrote gives a terminal no commands, and closed streams lose no file and no error."""

import json
import os
import subprocess
import sys

import pytest

from femtosearch.cli import main
from femtosearch.cli.output import harmless
from femtosearch.read import lines

ESCAPES = "\x1b[2J\x07\x9b31m\x7f\u202e\u2028"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("the cat sat")
    return tmp_path


def is_clean(text):
    return not any(char in text for char in ESCAPES[0] + "\x07\x9b\x7f\u202e\u2028")


@pytest.mark.parametrize("text", ["plain", "caf\u00e9 \u6f22", "tab\there", ESCAPES, "\udcff", ""])
def test_harmless(text):
    clean = harmless(text)
    assert is_clean(clean) and "\t" not in clean
    clean.encode()
    if text.isprintable():
        assert clean == text


def test_no_name_or_id_moves_the_cursor(here, model, capsys):
    name = "b\x1b[31m.jsonl"
    (here / "docs" / name).write_text('{"text": 5}\n' + json.dumps({"id": ESCAPES, "text": "cat"}))
    missing = "no\x1b[2J\x9b"
    commands = [
        ["index", "i\x1b[0m", "docs", "--model", model],
        ["search", "i\x1b[0m", "cat", "--model", model],
        ["search", "i\x1b[0m", "cat", "--json", "--model", model],
        ["delete", "i\x1b[0m", missing],
        ["info", "i\x1b[0m"],
        ["check", "i\x1b[0m"],
        ["search", missing, "cat", "--model", model],
        ["index", "j", missing],
    ]
    for arguments in commands:
        main(arguments)
        captured = capsys.readouterr()
        assert captured.out + captured.err
        assert is_clean(captured.out) and is_clean(captured.err), arguments
        if "--json" in arguments:
            assert ESCAPES in [json.loads(line)["id"] for line in captured.out.splitlines()]


def test_a_folder_whose_name_is_not_utf8(here, model, capsys):
    folder = os.fsdecode(b"i\xff")
    for command, *options in (["index", "docs", "--model", model], ["info", "--json"], ["info"]):
        assert main([command, folder, *options]) == 0
        captured = capsys.readouterr()
        (captured.out + captured.err).encode()


def run_with(closed, *arguments, **options):
    """Run a command in a process that begins with some standard streams closed: its exit code and output."""
    script = f'exec {sys.executable} -m femtosearch "$@" {closed}'
    done = subprocess.run(["sh", "-c", script, "sh", *arguments], capture_output=True, text=True, **options)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
def test_streams_that_are_closed(here, model):
    index = ["index", "i", "docs", "--model", model]
    assert run_with("<&- 2>&-", *index)[0] == 0
    assert run_with(">&- 2>&- <&-", *index)[0] == 1  # its result cannot be told
    assert run_with("", "check", "i") == (0, "i: 1 document, no damage\n", "")
    assert run_with("2>&-", "search", "nowhere", "cat", "--model", model) == (1, "", "")
    code, out, error = run_with(">&-", "search", "i", "cat", "--model", model)
    assert (code, out) == (1, "") and error == "femtosearch: Bad file descriptor\n"
    code, out, error = run_with("<&-", "search", "i", "-", "--model", model)
    assert (code, out) == (1, "") and error.startswith("femtosearch: standard input: cannot be read")
    assert run_with("<&- 2>&-", "search", "i", "cat", "--quiet", "--model", model)[0] == 0


@pytest.mark.parametrize("kind", [["docs/long.txt"], ["docs/long.jsonl"], ["-"]])
def test_a_line_without_an_end_is_an_error(here, model, capsys, monkeypatch, kind):
    monkeypatch.setattr(lines, "_MOST", 1000)
    for name in ("long.txt", "long.jsonl"):
        (here / "docs" / name).write_text("x" * 1001)
    with (here / "docs" / "long.txt").open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        assert main(["index", "i", *kind, "--model", model]) == 1
    assert "expected a text or line of at most 1,000 characters" in capsys.readouterr().err
    assert main(["index", "j", "docs", "--model", model]) == 0
    assert capsys.readouterr().err.count("skipped: docs/long") == 2


def test_memory_that_runs_out_is_told(here, model, capsys, monkeypatch):
    def full(*_, **__):
        raise MemoryError

    monkeypatch.setattr("femtosearch.cli.indexing.Run", full)
    assert main(["index", "i", "docs", "--model", model]) == 1
    assert capsys.readouterr().err == "femtosearch: there is not enough memory for this\n"


@pytest.mark.parametrize("threads", ["99999999999", "-1", "1.5", "many"])
def test_a_number_of_threads_is_checked(capsys, threads):
    with pytest.raises(SystemExit, match="2"):
        main(["encode", "--json", "hi", "--threads", threads])
    assert "expected a whole number from 0 to 1,000,000" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["search", "i", "a", "-k", "0"], "-k: expected a whole number of 1 or more, found '0'"),
        (["search", "i", "a", "--recall", "most"], "--recall: expected a number such as 0.5, found 'most'"),
        (["facets", "i", "year", "-n", "x"], "-n: expected a whole number of 1 or more, found 'x'"),
    ],
)
def test_wrong_numbers_are_told_in_one_wording(capsys, arguments, message):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert f"argument {message}\n" in capsys.readouterr().err


def test_an_export_leaves_a_link_that_leads_nowhere(here, model, capsys):
    link = here / "link"
    link.symlink_to(here / "nowhere")
    assert main(["export", model, "link"]) == 1
    assert link.is_symlink() and "cannot be written" in capsys.readouterr().err
