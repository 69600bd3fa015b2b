"""The benchmarks can be started: their modules import what there is, and compare finds a loss and no more."""

import doctest
import importlib
import json
import lzma
import re
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks import __main__ as command_line
from benchmarks import compare, engines, own_language
from benchmarks.machine import machine
from benchmarks.passages import passages
from femtosearch.errors import MissingExtraError

from .evaluation.collections import write_beir

FOLDER = Path(compare.__file__).parent
PEERS = {"pylate_side", "txtai_side"}  # which run in environments of their own
MODULES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem[0] != "_" and path.stem not in PEERS)
EXTRAS = {"torch", "transformers", "datasets", "pylate", "ray", "txtai"}


@pytest.mark.parametrize("name", MODULES)
def test_every_benchmark_imports(name):
    try:
        importlib.import_module(f"benchmarks.{name}")
    except ImportError as error:
        if not isinstance(error, MissingExtraError) and error.name not in EXTRAS:
            raise
        pytest.skip(str(error))


def test_past_the_text_that_there_is_it_comes_again_with_other_words(tmp_path):
    (tmp_path / "text").mkdir()
    with lzma.open(tmp_path / "text" / "a.txt.xz", "wt") as file:
        file.write("One cat sat here. Two dogs ran.\nThe power failed at night.\n")
    some = list(passages(tmp_path, 6))
    assert some[:2] == ["One cat sat here. Two dogs ran.", "The power failed at night."]
    assert len(set(some)) == 6 and some == list(passages(tmp_path, 6))
    assert all(len(text.split()) in (5, 7) for text in some)
    with pytest.raises(SystemExit, match="found no text"):
        list(passages(tmp_path / "text", 1))


def test_every_benchmark_is_on_the_page(monkeypatch, capsys):
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["benchmarks", "--help"])
    with pytest.raises(SystemExit):
        command_line._options()
    names = re.findall(r"^ {4}(\w+)", capsys.readouterr().out, re.M)
    assert {"encode", "compare", "parity"} <= set(names)
    assert [name for name in names if f"`{name}`" not in page and f"benchmarks {name}" not in page] == []


@pytest.fixture
def sides(monkeypatch):
    """sides(base, head): seconds that the two commits take, in turn. Returns who ran, in order."""
    ran = []

    def sides(**seconds):
        @contextmanager
        def built(commit, place):
            yield Path(commit)

        def run(packages, texts):
            assert all(len(text) > 200 for text in json.loads(texts.read_text()))
            ran.append(packages.name)
            return {"search": seconds[packages.name], "encode": 1.0}

        monkeypatch.setattr(compare, "_built", built)
        monkeypatch.setattr(compare, "_run", run)
        monkeypatch.setattr(compare, "_commit", str)
        return ran

    return sides


def test_a_loss_above_ten_percent_is_flagged(sides):
    ran = sides(base=1.0, head=1.2)
    results, rows = compare.measure("base", "head", rounds=4)
    assert results["losses"] == ["search"]
    assert [unit for _, _, unit in rows] == ["% LOSS", "%"]
    assert ran == ["head", "base", "base", "head"] * 2  # in turn, and neither always first
    assert len(results["seconds"]["head"]["search"]) == 4


def test_less_is_none(sides):
    sides(base=1.0, head=1.05)
    assert compare.measure("base", "head", rounds=2)[0]["losses"] == []


def test_one_disturbed_process_is_no_loss():
    assert compare.changed([1.0, 1.0, 1.0], [1.0, 5.0, 5.0]) == 0
    assert doctest.testmod(compare) == (0, 1)


@pytest.mark.slow
def test_engines_are_asked_in_processes_of_their_own(tmp_path, capsys):
    documents = {"a": "A kitten slept on the sofa.", "b": "Stock markets fell.", "c": "Bake the bread."}
    queries = {"1": "a small cat", "2": "share prices", "3": "how to make a loaf"}
    folder = write_beir(tmp_path / "small", documents, queries, "1\ta\t1\n2\tb\t1\n3\tc\t1\n")
    results, rows = engines.measure(folder, "femto", 1, {}, None)
    assert set(results["engines"]) == {"femtosearch", "femtosearch-maxsim"} and len(rows) == 12
    for of in results["engines"].values():
        assert of["ndcg@10"] == 1 and of["bytes_a_document"] > 0 and of["query_ms"]["p50"] > 0
    assert results["ratios"]["femtosearch"] == {"index": 1, "query": 1}
    kept = FOLDER / "results" / "unreleased" / "engines-avx2.json"
    page = engines.page([{"machine": machine(), **results}, json.loads(kept.read_text(encoding="utf-8"))])
    assert page.count("\n## ") == 2 and "\n## AVX2\n" in page and page.count("| **femtosearch**") == 2
    with pytest.raises(SystemExit, match="pylate, with"):
        engines.measure(folder, "femto", 1, {"pylate": "false"}, None)


def json_lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(
    ("folder", "message"), [("none", "none: expected a file or a folder"), ("short", "no section of 120")]
)
def test_folders_without_sections_are_told_and_nothing_is_written(
    tmp_path, monkeypatch, capsys, folder, message
):
    (tmp_path / "short").mkdir()
    (tmp_path / "short" / "a.md").write_text("# A title\n\nA line.\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["own_language", folder, "--out", "data"])
    with pytest.raises(SystemExit):
        own_language.main()
    assert message in capsys.readouterr().err and not (tmp_path / "data").exists()


def test_sections_of_a_language_ask_and_are_held_out_by_file(tmp_path, monkeypatch, capsys):
    body = "Der Hund schläft auf dem Sofa, und die Katze sieht ihm lange dabei zu. " * 3
    for n in range(30):
        text = (
            f"# Seite {n}\n\nVon Tieren {n}.\n\n## Hunde und Katzen {n}\n\n{body}{n}\n\n## Siehe\n\n{body}\n"
        )
        (tmp_path / "seiten" / f"{n}.md").parent.mkdir(exist_ok=True)
        (tmp_path / "seiten" / f"{n}.md").write_text(text, encoding="utf-8")
    out = tmp_path / "data"
    monkeypatch.chdir(tmp_path)  # for which files are held out depends on their names
    arguments = ["own_language", "seiten", "--out", str(out), "--vocabulary", "200"]
    monkeypatch.setattr("sys.argv", arguments)
    own_language.main()
    questions = [record["text"] for record in json_lines(out / "judged" / "queries.jsonl")]
    pairs = json_lines(out / "pairs.jsonl")
    asked = {pair["query"] for pair in pairs}
    assert questions and all(question.startswith("Hunde und Katzen") for question in questions)
    assert asked and not asked & set(questions)
    assert all("Hunde und Katzen" not in pair["positive"] for pair in pairs)
    pieces = json.loads((out / "tokenizer" / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    assert "schläft" in pieces or "##ä" in pieces
