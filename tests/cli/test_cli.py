"""The command line: every command, what goes to which stream, how each run ends."""

import argparse
import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from femtosearch.cli import commands, main, show
from femtosearch.cli.arguments import parser
from femtosearch.errors import FemtosearchError
from femtosearch.fde import Muvera, store_fde
from femtosearch.index.filing import Filing
from femtosearch.index.index import Index
from femtosearch.model.model import Model
from femtosearch.progress import duration
from femtosearch.read import steps
from femtosearch.types import Hit

from ..tiny import write_tiny_model

KEYS = ("query", "unknown", "rank", "id", "score", "text", "metadata", "passage", "maxsim", "bm25")
KEYS += ("source", "lines", "page", "cell", "row", "heading", "span", "copies")
DOCS = Path(__file__).parents[2] / "docs" / "cli.md"
TEXTS = {
    "a.md": "# The cat\n\nthe cat sat on a mat",
    "b.txt": "red moon at night",
    "sub/c.txt": "a dog ran fast",
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder with some documents."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "60")
    for name, text in TEXTS.items():
        path = tmp_path / "docs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


@pytest.fixture
def run(capsys, model):
    """Run a command with the tiny model: its exit code, standard output and standard error."""

    def run(*arguments):
        arguments = list(map(str, arguments))
        if arguments[0] in ("index", "refresh", "search", "rerank", "encode"):
            arguments[1:1] = ["--model", model]
        code = main(arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def notes(here, run):
    assert run("index", "notes", "docs", "--quiet") == (0, "", "")
    return "notes"


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def command(*arguments):
    return [sys.executable, "-m", "femtosearch", *map(str, arguments)]


# index


def test_index_says_what_it_did(here, run):
    code, out, err = run("index", "notes", "docs")
    assert (code, err) == (0, "")
    assert out.startswith("indexed 3 documents in ")
    assert "; notes holds 3 documents (3 passages), " in out
    assert len(out.splitlines()) == 1


def test_indexing_again_replaces(here, run, notes):
    (here / "docs" / "b.txt").write_text("another text")
    _, out, _ = run("index", notes, "docs", "--json")
    [said] = lines(out)
    assert said["documents"] == 3
    assert said["index"]["documents"] == 3
    assert run("search", notes, "another", "-k", 1, "--json")[1].count('"another text"') == 1


def test_index_json(here, run):
    (here / "docs" / "d.jsonl").write_text('{"text": "one"}\nnot json\n')
    (here / "docs" / "e.png").write_bytes(b"\x89PNG")
    code, out, err = run("index", "notes", "docs", "--json")
    [said] = lines(out)
    assert (code, err) == (0, "")
    assert said["documents"] == 4
    assert [item["where"] for item in said["skipped"]] == ["docs/d.jsonl:2"]
    assert said["unknown"] == 1
    assert said["index"]["passages"] == 4


def test_index_notes_what_it_skipped(here, run):
    (here / "docs" / "d.jsonl").write_text("no\n" * 8)
    (here / "docs" / "e.png").write_bytes(b"\x89PNG")
    code, out, err = run("index", "notes", "docs")
    assert code == 0
    assert "indexed 3 documents" in out
    assert err.count("skipped: docs/d.jsonl:") == 5
    assert "skipped: 3 more" in err
    assert "left out: 1 file of a kind that is not read" in err
    code, out, err = run("index", "strict", "docs", "--strict")
    assert (code, out) == (1, "")
    assert err.startswith("femtosearch: docs/d.jsonl:1: expected a JSON object")
    assert not (here / "strict").exists()


def test_index_columns_and_standard_input(here, run, stdin):
    (here / "a.csv").write_text("key;body\n1;the cat\n2;the moon\n")
    assert run("index", "notes", "a.csv", "--text-column", "body", "--id-column", "key", "--quiet")[0] == 0
    stdin(b"the dog\nthe day\n")
    assert run("index", "notes", "-", "--quiet")[0] == 0
    stdin(b'{"id": "json", "text": "the mat"}\n')
    assert run("index", "notes", "-", "--stdin", "jsonl", "--threads", 1, "--quiet")[0] == 0
    _, out, _ = run("search", "notes", "the", "--json")
    found = {hit["id"]: hit["text"] for hit in lines(out)}
    assert len(found) == 5
    assert found["2"] == "the moon"
    assert found["json"] == "the mat"


def test_index_of_nothing(here, run, stdin):
    stdin(b"")
    code, out, _ = run("index", "notes", "-")
    assert code == 0
    assert out.startswith("indexed 0 documents")


def test_index_commits_as_it_goes(here, run, stdin, monkeypatch):
    monkeypatch.setattr(steps, "COMMIT_DOCUMENTS", 2)
    put, calls = Filing.put, []

    def interrupted(self, *arguments):
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return put(self, *arguments)

    monkeypatch.setattr(Filing, "put", interrupted)
    stdin(b"one\ntwo\nthree\nfour\nfive\n")
    code, out, err = run("index", "notes", "-")
    assert (code, out) == (130, "")
    before, said = err.splitlines()
    assert before.startswith("added 4 documents to notes before this; the same command goes on")
    assert said == "femtosearch: interrupted"
    assert json.loads(run("info", "notes", "--json")[1])["index"]["documents"] == 4


def test_an_interrupted_index_goes_on_where_it_was(here, run, monkeypatch):
    (here / "a.jsonl").write_text("".join(f'{{"text": "cat {n}"}}\n' for n in range(6)))
    monkeypatch.setattr(steps, "COMMIT_SECONDS", -1)  # after each step
    put, calls = Filing.put, []
    monkeypatch.setattr(
        Filing, "put", lambda self, *a: calls.append(1) or (put(self, *a) if len(calls) < 5 else 1 / 0)
    )
    assert run("index", "notes", "a.jsonl")[0] == 1
    monkeypatch.setattr(Filing, "put", put)
    [said] = lines(run("index", "notes", "a.jsonl", "--json")[1])
    assert (said["stored"], said["unchanged"], said["documents"]) == (2, 4, 6)


def test_a_wrong_line_after_a_commit(here, run, monkeypatch):
    monkeypatch.setattr(steps, "COMMIT_DOCUMENTS", 1)
    (here / "a.jsonl").write_text('{"text": "one"}\n{}\n')
    assert run("index", "other", "a.jsonl")[0] == 1
    assert not (here / "other").exists()  # what is wrong is known before the index is made
    run("index", "notes", "docs")
    code, _, err = run("index", "notes", "a.jsonl")
    assert code == 1
    first, second = err.splitlines()
    assert first.startswith("added 1 document to notes before this")
    assert second.startswith("femtosearch: a.jsonl:2: expected a text")


# search


def test_search_for_people(run, notes):
    code, out, err = run("search", notes, "cat", "-k", 2)
    assert (code, err) == (0, "")
    head, *_ = rows = out.splitlines()
    assert head.split()[0] == "1"
    assert len([row for row in rows if not row.startswith("    ")]) == 2
    assert any(row.endswith("  red moon at night") or row.endswith("  a dog ran fast") for row in rows)
    assert all(len(row) < 60 for row in rows)
    assert "\x1b" not in out


def test_search_json(run, notes):
    code, out, err = run("search", notes, "cat", "--json")
    hits = lines(out)
    assert (code, err) == (0, "")
    assert [hit["rank"] for hit in hits] == [1, 2, 3]
    assert {tuple(hit) for hit in hits} == {KEYS}
    assert {hit["id"]: hit["text"] for hit in hits} == TEXTS
    assert hits[0]["score"] >= hits[1]["score"] >= hits[2]["score"]


def test_search_agrees_with_the_library(run, notes, model):
    with Index(notes, model=Model.load(model)) as index:
        expected = [(hit.id, hit.score) for hit in index.search("a dog", k=2, mode="maxsim")]
    hits = lines(run("search", notes, "a dog", "-k", 2, "--mode", "maxsim", "--json")[1])
    assert [(hit["id"], hit["score"]) for hit in hits] == expected


def test_search_many(run, notes, stdin):
    stdin(b"cat\n\nmoon\n")
    hits = lines(run("search", notes, "-", "-k", 1, "--json")[1])
    assert [hit["query"] for hit in hits] == ["cat", "moon"]
    stdin(b"cat\nmoon\n")
    out = run("search", notes, "-", "-k", 1)[1]
    assert [row for row in out.splitlines() if row.startswith("? ")] == ["? cat", "? moon"]


def test_what_a_model_does_not_see_of_a_query_is_told(run, notes):
    long = " ".join(["cat"] * 30)
    assert "the query has 30 tokens, of which the first 9 are used" in run("search", notes, long)[2]
    assert (
        "2 of 3 words or pieces of the query unknown to the model: '🎂', '猫'"
        in run("search", notes, "cat 🎂 猫")[2]
    )
    assert run("search", notes, "the cat")[2] == ""
    assert run("search", notes, "🎂", "--quiet")[2] == ""


def test_output_that_a_terminal_cannot_write(run, notes, here, model):
    (here / "docs" / "k.txt").write_text("K\u00e4ufer \u732b", encoding="utf-8")
    run("index", notes, "docs", "--quiet")
    environment = {**os.environ, "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    shown = {}
    for flags in ((), ("--json",)):
        search = command("search", "--model", model, notes, "cat", *flags)
        shown[flags] = subprocess.run(search, capture_output=True, env=environment, check=True).stdout
    assert b"K\\xe4ufer \\u732b" in shown[()]
    assert "K\u00e4ufer \u732b".encode() in shown[("--json",)]


def test_nothing_found(here, run, stdin):
    stdin(b"")
    run("index", "empty", "-")
    assert run("search", "empty", "cat") == (0, "", "nothing found: empty holds 0 documents\n")
    assert run("search", "empty", "cat", "--json", "--quiet") == (0, "", "")


@pytest.mark.parametrize("verb", [("search", "cat"), ("delete", "a"), ("compact",)])
def test_a_folder_without_an_index_stays_as_it_is(here, run, verb):
    name, *rest = verb
    for folder in ("missing", "docs"):
        before = sorted(here.rglob("*"))
        code, out, err = run(name, folder, *rest)
        assert (code, out) == (1, "")
        assert err.startswith("femtosearch: ")
        assert err.count("\n") == 1
        assert sorted(here.rglob("*")) == before


# rerank, encode


def test_rerank(here, run, stdin):
    stdin("a cat\n\n!!!\na moon\nnaïve b\udcffd\n".encode("utf-8", "surrogateescape"))
    code, out, err = run("rerank", "moon", "--json")
    hits = lines(out)
    assert (code, err) == (0, "")
    assert sorted(hit["id"] for hit in hits) == ["1", "3", "4", "5"]
    assert hits[-1] == {**hits[-1], "id": "3", "score": None}
    stdin(b"a cat\na moon\n")
    [line] = run("rerank", "moon", "-k", 1)[1].splitlines()
    assert line.split(maxsplit=2)[2] in ("1  a cat", "2  a moon")


def test_rerank_of_nothing(here, run, stdin):
    stdin(b"\n \n")
    assert run("rerank", "moon") == (
        1,
        "",
        "femtosearch: expected documents on standard input, one a line, found none: say < FILE\n",
    )


@pytest.mark.parametrize("side", ["--query", "--document"])
def test_encode(here, run, stdin, model, side):
    loaded = Model.load(model)
    encode = loaded.encode_queries if side == "--query" else loaded.encode_documents
    expected = encode(["the cat", "a dog ran"])
    code, out, err = run("encode", "the cat", "a dog ran", side, "--out", "rows.npz")
    assert (code, out) == (0, "")
    assert err == f"2 texts, {len(expected.rows)} rows -> rows.npz\n"
    with np.load("rows.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["rows"], expected.rows)
        np.testing.assert_array_equal(arrays["starts"], expected.starts)
    stdin(b"the cat\na dog ran\n")
    said = lines(run("encode", side, "--json", "--threads", 1)[1])
    assert [item["text"] for item in said] == ["the cat", "a dog ran"]
    for item, rows in zip(said, expected, strict=True):
        np.testing.assert_array_equal(np.array(item["rows"], np.float32), rows)


def test_encode_has_to_know_where_to(here, run):
    assert run("encode", "cat")[2].startswith("femtosearch: expected --out FILE or --json, found neither")
    code, _, err = run("encode", "cat", "--out", "missing/rows.npz")
    assert (code, err) == (1, "femtosearch: missing/rows.npz: No such file or directory\n")


# info, delete, compact


def test_info_of_a_model(run, model):
    said = json.loads(run("info", model, "--json")[1])
    assert said["kernel"] in said["kernels"]
    assert said["model"]["architecture"] == "bert_hash"
    assert said["model"]["parameters"] == Model.load(model).parameters
    assert said["model"]["conventions"]["query_length"] == 12
    code, out, err = run("info", model)
    assert (code, err) == (0, "")
    assert "architecture       bert_hash" in out
    assert "query_prefix         '[Q] '" in out


def test_info_says_where_each_convention_was_read(run, model):
    said = json.loads(run("info", model, "--json")[1])["model"]
    assert said["layout"] == "PyLate"
    assert said["origins"].keys() == said["conventions"].keys()
    assert said["origins"]["query_length"] == "config_sentence_transformers.json: query_length"
    shown = run("info", model, "--conventions", "txtai", "--pool-factor", "2")[1]
    assert "(config_sentence_transformers.json: query_length)\n" in shown
    assert "expand_queries       no  (txtai)\n" in shown
    assert "pool_factor          2.0  (given)\n" in shown
    assert "origins" not in shown


def test_info_of_an_index(run, notes):
    said = json.loads(run("info", notes, "--json")[1])
    assert said["index"]["documents"] == 3
    assert "documents       3\n" in run("info", notes)[1]


def test_info_of_neither(here, run):
    code, out, err = run("info", "docs")
    assert (code, out) == (1, "")
    assert err.startswith("femtosearch: docs")
    assert "nope: expected an index, a model folder or one of megabyte, femto" in run("info", "nope")[2]


@pytest.mark.parametrize(
    "record, says",
    [
        ('{"id": "b", "text": "x", "n": 1e400}', "inf is not JSON"),
        ('{"id": "b", "text": "x", "n": ' + "[" * 101 + "]" * 101 + "}", "nested deeper than 100"),
        ('{"id": "b", "text": "x", "metadata": {"deep": [[-1e999]]}}', "-inf is not JSON"),
    ],
)
def test_one_record_that_cannot_be_stored_loses_no_other(here, run, record, says):
    folder = here / "many"
    folder.mkdir()
    (folder / "a.jsonl").write_text(
        '{"id": "a", "text": "good"}\n' + record + '\n{"id": "c", "text": "fine"}\n'
    )
    (folder / "b.txt").write_text("hello")
    code, out, _ = run("index", "r", str(folder), "--json")
    [answer] = lines(out)
    assert code == 0 and answer["documents"] == 3
    [skipped] = answer["skipped"]
    assert skipped["where"].endswith("a.jsonl:2") and says in skipped["reason"]
    code, _, err = run("index", "r", str(folder), "--strict")
    assert code == 1 and "a.jsonl:2" in err


def test_check_looks_for_damage(run, notes):
    code, out, _ = run("check", notes)
    assert code == 0 and "no damage" in out
    segment = next((Path(notes) / "segments").iterdir())
    content = bytearray(segment.read_bytes())
    content[256] ^= 1  # a row's code, which a search reads without its checksum
    segment.write_bytes(content)
    code, out, _ = run("check", notes, "--json")
    [answer] = lines(out)
    assert code == 1 and ["section CODE" in item["message"] for item in answer["damage"]] == [True]
    code, out, _ = run("check", notes)
    assert code == 1 and out.count("\n") == 1 and "the segment is damaged" in out
    assert run("check", "nothing")[0] == 1 and not Path("nothing").exists()


def test_delete_and_compact(run, notes):
    code, out, err = run("delete", notes, "a.md", "nowhere", "a.md")
    assert (code, out) == (0, "deleted 1 document; notes holds 2\n")
    assert err == "not in notes: nowhere\n"
    assert lines(run("delete", notes, "b.txt", "x", "--json")[1]) == [
        {"deleted": 1, "unknown": ["x"], "documents": 1}
    ]
    assert run("compact", notes)[0] == 0
    [said] = lines(run("compact", notes, "--json")[1])
    assert set(said) == {"bytes_before", "bytes"}
    assert [hit["id"] for hit in lines(run("search", notes, "dog", "--json")[1])] == ["sub/c.txt"]


@pytest.mark.slow
def test_an_index_with_an_fde(here, capsys):
    def run(*arguments):
        code = main([*arguments, "--json"])
        said = capsys.readouterr()
        return code, lines(said.out), said.err

    code, [said], _ = run("index", "notes", "docs", "--fde", "txtai")
    assert code == 0 and said["index"]["fde"]["variant"] == "txtai" and said["index"]["fde"]["dims"] == 10_240
    exact = run("search", "notes", "a dog", "--mode", "maxsim")[1]
    assert run("search", "notes", "a dog", "--mode", "rerank", "--candidates", "99")[1] == exact
    assert {hit["id"] for hit in run("search", "notes", "a dog", "--mode", "fde")[1]} == {
        hit["id"] for hit in exact
    }
    code, _, err = run("index", "notes", "docs", "--fde", "muvera")
    assert code == 1 and "expected the FDE muvera" in err and "compact FOLDER --fde NAME" in err
    assert run("compact", "notes", "--fde", "none")[0] == 0
    assert run("info", "notes")[1][0]["index"]["fde"] is None
    code, _, err = run("search", "notes", "a dog", "--mode", "fde")
    assert code == 1 and "'fde' needs an FDE and this index has none" in err
    assert run("compact", "notes", "--fde", "fastembed")[0] == 0
    assert len(run("search", "notes", "a dog", "--mode", "rerank")[1]) == len(exact)
    assert "expected one of muvera, txtai, fastembed" in run("compact", "notes", "--fde", "lemur")[2]


@pytest.mark.slow
def test_calibrate(here, stdin, capsys):
    def run(*arguments):
        code = main([*arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    stdin("\n".join(f"the cat {n} sat on a mat" for n in range(40)).encode())
    assert run("index", "notes", "-", "--fde", "txtai")[0] == 0
    code, _, err = run("search", "notes", "a cat", "--recall", "0.9")
    assert code == 1 and "(femtosearch calibrate FOLDER)" in err
    Path("queries.txt").write_text("\n".join(f"cat {n}\n" for n in range(25)))
    code, out, _ = run("calibrate", "notes", "queries.txt")
    assert code == 0 and re.search(r"recall 0.99   \d+ candidates of 40\n", out)
    [said] = lines(run("calibrate", "notes", "queries.txt", "--json")[1])
    assert said["passages"] == said["calibration"]["measured"] == 40 and said["queries"] == 25
    code, out, _ = run("calibrate", "notes")  # by its own texts
    assert code == 0 and re.search(r"recall 0.99   \d+ candidates of 40\n", out)
    [said] = lines(run("calibrate", "notes", "--json")[1])
    assert said["calibration"]["measured"] == 40 and said["queries"] is None
    assert run("search", "notes", "a cat", "--recall", "0.9", "--mode", "rerank")[0] == 0
    with pytest.raises(SystemExit):
        run("search", "notes", "a cat", "--recall", "0.9", "--candidates", "9")
    assert "not allowed with argument --recall" in capsys.readouterr().err
    code, _, err = run("calibrate", "notes", "nowhere.txt")
    assert code == 1 and "nowhere.txt: cannot be read: No such file" in err
    assert run("calibrate", "nothing", "queries.txt")[0] == 1 and not Path("nothing").exists()


def test_a_model_that_brings_its_fde(here, capsys):
    def run(*arguments):
        code = main([*arguments, "--json"])
        said = capsys.readouterr()
        return code, lines(said.out), said.err

    write_tiny_model(here / "m")
    assert run("info", "m")[1][0]["model"]["fde"] is None
    (here / "m" / "fde.safetensors").write_bytes(store_fde(Muvera(3, 2, 4), 10))
    mine = {"kind": "muvera", "dims": 48, **Muvera(3, 2, 4).spec(), "calibrated": None}
    assert run("info", "m")[1][0]["model"]["fde"] == mine
    assert run("index", "own", "docs", "--model", "m")[1][0]["index"]["fde"] == mine
    assert run("index", "own", "docs", "--model", "m")[0] == 0
    assert run("index", "none", "docs", "--model", "m", "--fde", "none")[1][0]["index"]["fde"] is None
    assert run("compact", "none", "--fde", "auto", "--model", "m")[0] == 0
    assert run("info", "none")[1][0]["index"]["fde"] == mine
    (here / "m" / "fde.safetensors").write_bytes(b"no FDE")
    assert "not a safetensors file" in run("info", "m")[1][0]["model"]["fde"]
    assert run("index", "own", "docs", "--model", "m")[0] == 0
    assert run("search", "own", "a dog", "--model", "m")[0] == 0
    code, _, err = run("index", "new", "docs", "--model", "m")
    assert code == 1 and "fetch the file again, or remove it" in err and not (here / "new").exists()


# How a run ends


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["serach"],
        ["search"],
        ["search", "notes"],
        ["index", "notes"],
        ["search", "notes", "q", "-k", "0"],
        ["search", "notes", "q", "-k", "-1"],
        ["search", "notes", "q", "-k", "many"],
        ["search", "notes", "q", "--nonsense"],
        ["encode", "x", "--query", "--document"],
        ["encode", "x", "--threads", "-1"],
        ["delete", "notes"],
    ],
)
def test_a_wrong_command_line_is_2(here, capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "usage: femtosearch" in said.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["search", "notes", " "],
        ["search", "notes", "cat", "--mode", "nonsense"],
        ["index", "notes", "missing.txt"],
        ["index", "notes", "docs", "--stdin", "pdf"],
        ["rerank", ""],
    ],
)
def test_an_error_is_one_line_and_1(run, notes, stdin, arguments):
    stdin(b"a line\n")
    code, out, err = run(*arguments)
    assert (code, out) == (1, "")
    assert err.startswith("femtosearch: ")
    assert err.count("\n") == 1
    with pytest.raises(FemtosearchError):
        run(*arguments, "--debug")


def test_an_index_of_another_model(run, notes, tmp_path, model):
    other = write_tiny_model(tmp_path / "other", seed=1)
    code, out, err = run("search", notes, "cat", "--model", other)
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert run("delete", notes, "b.txt")[0] == 0  # which needs no model


def test_a_model_that_is_nowhere_is_told_with_the_names_there_are(capsys, here):
    assert main(["index", "new", "docs", "--model", "NOPE"]) == 1
    assert "built-in model's name (megabyte, femto) or OWNER/NAME on the Hub" in capsys.readouterr().err


def test_a_fault_of_ours_says_so(run, model, monkeypatch):
    monkeypatch.setattr(commands, "_about_model", lambda _: 1 // 0)
    code, _, err = run("info", model)
    assert code == 1
    assert err.startswith("femtosearch: a fault of femtosearch, not yours: ZeroDivisionError")


def test_arguments_that_are_not_utf8(run, notes):
    assert run("search", notes, "cat \udcff", "--json")[0] == 0
    assert run("delete", notes, "\udcff")[2] == "not in notes: \ufffd\n"


def test_train_without_torch(here, capsys, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("femtosearch.train")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert main(["train", "recipe.toml"]) == 1
    assert "pip install 'femtosearch[train]'" in capsys.readouterr().err


def test_help_and_version_import_nothing_heavy():
    script = (
        # The package's own __init__ is its affair; what the command line adds to it is looked at here.
        "import sys, types\npackage = types.ModuleType('femtosearch')\npackage.__path__ = [sys.argv.pop()]\n"
        "sys.modules['femtosearch'] = package\nfrom femtosearch.cli import main\n"
        "try: main(sys.argv[1:])\nexcept SystemExit as end: assert end.code == 0, end\n"
        "heavy = {'numpy', 'tokenizers', 'torch', 'sqlite3'} & set(sys.modules)\nassert not heavy, heavy"
    )
    package = Path(show.__file__).parent.parent
    for flag in ("--help", "--version"):
        done = subprocess.run([sys.executable, "-c", script, flag, package], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        assert "femtosearch" in done.stdout


# Processes: pipes, signals and terminals


@pytest.mark.slow
def test_a_closed_pipe_is_silent(notes, model):
    with subprocess.Popen(
        command("search", notes, "cat", "--json", "--model", model),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdout.close()
        assert process.wait(20) == 141
        assert process.stderr.read() == b""


@pytest.mark.slow
def test_ctrl_c_is_one_line_and_130(notes, model):
    with subprocess.Popen(
        command("search", notes, "-", "--json", "--model", model),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores it
    ) as process:
        process.stdin.write(b"cat\n")
        assert json.loads(process.stdout.readline())["query"] == "cat"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert process.stderr.read() == b"femtosearch: interrupted\n"


def on_a_terminal(arguments, **environment):
    """What a command writes where both of its streams are a terminal."""
    ours, theirs = pty.openpty()
    rest = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TERM")}
    process = subprocess.Popen(
        command(*arguments), stdout=theirs, stderr=theirs, env={**rest, "TERM": "xterm", **environment}
    )
    os.close(theirs)
    said = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # how Linux says that the other end is closed
            piece = b""
        if not piece:
            break
        said += piece
    os.close(ours)
    assert process.wait(20) == 0
    return said.decode().replace("\r\n", "\n")


@pytest.mark.slow
def test_a_terminal_gets_bold_words(notes, model):
    arguments = ("search", notes, "red moon", "-k", "3", "--model", model)
    assert "\x1b[1mred\x1b[22m \x1b[1mmoon\x1b[22m at night" in on_a_terminal(arguments)
    assert "\x1b" not in on_a_terminal(arguments, NO_COLOR="1")


@pytest.mark.slow
def test_a_terminal_gets_a_progress_bar(here, model):
    said = on_a_terminal(("index", "notes", "docs", "--model", model))
    assert "\rindexing" not in said.split("\x1b[K")[0]
    assert "indexing [" in said
    assert "3 documents" in said
    *_, last = said.split("\x1b[K")
    assert last.startswith("indexed 3 documents")
    assert "indexing" not in on_a_terminal(("index", "notes", "docs", "--model", model, "--quiet"))


def test_the_snippet_of_text_without_blanks():
    text = "ab" * 200 + "\u8acb\u6c42\u66f8" + "cd" * 200
    assert "\u8acb\u6c42\u66f8" in show.snippet(text, ["\u8acb\u6c42\u66f8"], 180)
    assert "xyz" in show.snippet("\u6771" * 300 + "xyz" + "\u4eac" * 300, ["nothing"], 120, focus=300)
    assert show.snippet("a" * 500, ["b"], 100).startswith("aaa")


def test_the_snippet_is_where_it_matched():
    text = "First words of it. " * 20 + "A feline napped on the couch. " + "Then more of it. " * 20
    shown = show.snippet(text, ["sleeping", "cat"], 160, focus=text.index("feline"))
    assert "A feline napped on the couch." in shown


def test_words_that_are_all_there_are_shown_first():
    text = "\u6771\u4eac" * 200 + "\u8acb\u6c42\u66f8" + "\u5929\u66f8" * 200
    assert "\u8acb\u6c42\u66f8" in show.snippet(text, ["\u8acb\u6c42\u66f8"], 100, focus=700)
    assert all(len(line) > 2 for line in show._wrap("\u2026 " + "\u6771" * 60, 50))


def test_a_hit_says_its_place(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    path = str(tmp_path / "d" / "a.md")
    hit = Hit("a.md", 1.0, "x", {"title": "T"}, source=path, lines=(7, 9), heading=("T", "Part"))
    assert show.place_of(hit) == "d/a.md:7"
    [line] = show.hit_lines(1, hit, "x", io.StringIO())
    assert line == "  1    1.00  d/a.md:7 T \u203a Part  x"
    assert show.place_of(Hit("1", 1.0, "x", source=path, row=4, lines=(4, 4))) == "d/a.md:4  1"
    assert show.place_of(Hit("b", 1.0, "x", source=path, page=3)) == "d/a.md (page 3)"
    assert show.place_of(Hit("b", 1.0, "x", source="/elsewhere/b", cell=2)) == "/elsewhere/b (cell 2)"
    assert show.place_of(Hit("b", 1.0, "x")) == "b"
    [line] = show.hit_lines(1, Hit("b", 1.0, "x", copies=("c", "d")), "x", io.StringIO())
    assert "(and 2 copies)" in line


# The pieces


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (974_000, "974 kB"),
        (999_700, "1.0 MB"),
        (27e6, "27 MB"),
    ],
)
def test_size(number, text):
    assert show.size(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.05, "0.05 s"), (2.94, "2.9 s"), (59.97, "1 min 0 s"), (192, "3 min 12 s"), (7500, "2 h 5 min")],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_a_snippet_is_where_most_words_are():
    text = "a cat. " + "filler words here " * 30 + "the red moon shines on a cat " + "more filler " * 30
    shown = show.snippet(text, ["red", "moon", "cat"], 80)
    assert "the red moon shines on a cat" in shown
    assert shown.startswith("… ")
    assert shown.endswith(" …")
    assert len(shown) <= 80
    assert show.snippet("short", ["x"], 80) == "short"
    assert show.snippet(text, [], 40).startswith("a cat. filler")
    assert show.snippet("x" * 500, ["y"], 40).endswith(" …")


@pytest.mark.parametrize("text", ["日本語の文章" * 40, "word " * 100, "x" * 300, "é" * 300, "🎉" * 100])
@pytest.mark.parametrize("columns", ["20", "61", "200"])
def test_no_line_is_wider_than_the_terminal(monkeypatch, text, columns):
    monkeypatch.setenv("COLUMNS", columns)
    hit = Hit("an id that is long " * 20, 1.0, text, {"title": "t" * 300})
    for line in show.hit_lines(1, hit, "word 文章", io.StringIO()):
        assert show._columns(line) < max(int(columns), 21)


def test_a_document_cannot_move_the_cursor():
    hit = Hit("id\x1b[2J", 1.0, "red\x1b[2J\x07\r\u202emoon\0")
    shown = "\n".join(show.hit_lines(1, hit, "red", io.StringIO()))
    assert all(char.isprintable() or char == "\n" for char in shown)


def test_query_words():
    assert show.query_words("What is the Moon?") == ["what", "the", "moon"]
    assert show.query_words("C is") == ["c", "is"]
    assert show.query_words("日本 x") == ["日本"]
    assert show.embolden("The moon, moons", ["moon"]) == "The \x1b[1mmoon\x1b[22m, moons"


# The documentation


def _flags(command):
    return {
        option for action in command._actions for option in action.option_strings if option.startswith("-")
    }


def test_every_command_and_flag_is_documented():
    said = DOCS.read_text()
    [verbs] = [a for a in parser()._actions if isinstance(a, argparse._SubParsersAction)]
    for name, command in verbs.choices.items():
        assert f"femtosearch {name}" in said, name
        for flag in _flags(command):
            assert f"{flag}`" in said or f"{flag} " in said, f"{name} {flag}"


@pytest.mark.parametrize("trains", ["command", "fde_command"])
def test_train_is_documented(trains):
    pytest.importorskip("torch")
    [verbs] = [a for a in parser(trains)._actions if isinstance(a, argparse._SubParsersAction)]
    for flag in _flags(verbs.choices["train"]):
        assert flag in DOCS.read_text(), flag
