"""`femtosearch evaluate` and `femtosearch evaluate compare`."""

import json
import sys

import pytest

from femtosearch.cli import main

from .collections import write_beir


@pytest.fixture
def run(capsys, tiny_folder):
    def run(*arguments):
        code = main(["evaluate", *map(str, arguments)])
        return code, *capsys.readouterr()

    return run


def test_a_table_is_printed_and_what_was_odd_is_said(run, beir, tiny_folder):
    code, out, err = run(beir, "--model", tiny_folder, "--mode", "maxsim,bm25")
    assert code == 0 and out.splitlines()[0].startswith("collection")
    assert [line.split()[2] for line in out.splitlines()[1:]] == ["maxsim", "bm25"]
    assert "toy: 4 documents without a title" in err and "tiny, beir rules" in err


def test_quiet_says_results_only(run, beir, tiny_folder):
    assert run(beir, "--model", tiny_folder, "--mode", "bm25", "--quiet")[2] == ""
    assert run(beir, "--model", tiny_folder, "--mode", "bm25, maxsim", "--quiet")[0] == 0
    code, _, err = run(beir, "--model", tiny_folder, "--mode", "", "--quiet")
    assert code == 1 and "mode: expected one of maxsim" in err


def test_json_is_compared(run, beir, tiny_folder, tmp_path):
    paths = []
    for mode in ("bm25", "exact"):
        paths.append(tmp_path / f"{mode}.json")
        paths[-1].write_text(run(beir, "--model", tiny_folder, "--mode", mode, "--json")[1])
    code, out, _ = run("compare", *paths)
    assert code == 0 and "bm25 / exact" in out
    said = json.loads(run("compare", *paths, "--json", "--measure", "mrr@10")[1])
    assert said["measure"] == "mrr@10" and said["collection"] == "toy" and "p_value" in said


def test_losses_runs_and_plots_are_written(run, beir, tiny_folder, tmp_path):
    pytest.importorskip("matplotlib")
    code, out, err = run(
        beir, "--model", tiny_folder, "--losses", "--run", tmp_path / "r.trec", "--plot", tmp_path / "p.svg"
    )
    assert code == 0 and "the FDE alone" in out and "p.png" in err
    assert (tmp_path / "r.toy.fde.trec").exists() and (tmp_path / "p.svg").exists()


def test_what_could_not_be_written_at_the_end_is_told_at_the_beginning(run, beir, tmp_path, monkeypatch):
    code, _, err = run(beir, "--model", "no such model", "--run", tmp_path / "nowhere" / "file")
    assert code == 1 and "expected a folder to write into, found none" in err
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    code, _, err = run(beir, "--model", "no such model", "--plot", tmp_path / "p.svg")
    assert code == 1 and "a plot needs matplotlib" in err


def test_a_wrong_source_is_one_line(run, tiny_folder):
    code, out, err = run("nowhere", "--model", tiny_folder)
    assert code == 1 and out == "" and err.count("\n") == 1 and "found no such folder" in err


def test_a_set_without_relevant_documents_fails_and_the_others_are_printed(run, beir, tiny_folder, tmp_path):
    bare = write_beir(tmp_path / "bare", qrels="q1\td1\t0\n")
    code, out, err = run(bare, beir, "--model", tiny_folder, "--mode", "bm25", "--quiet")
    assert code == 1 and [line.split()[0] for line in out.splitlines()] == ["collection", "toy"]
    assert err.count("\n") == 1 and "bare: expected a query with a relevant document" in err
