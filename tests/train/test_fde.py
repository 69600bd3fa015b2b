"""`femtosearch train fde`: on made-up texts its FDE finds what MaxSim finds, and the folder keeps it."""

import json
from dataclasses import replace

import numpy as np
import pytest

from femtosearch.cli.arguments import main
from femtosearch.codes import quantise
from femtosearch.errors import RecipeError
from femtosearch.fde import Lemur, inner_products, restore_fde
from femtosearch.index.index import Index
from femtosearch.model.checkpoint.query_weights import QUERY_WEIGHTS
from femtosearch.model.model import FDE, Model
from femtosearch.scoring import maxsim
from femtosearch.train import fde as fitting

from ..tiny import write_tiny_model

WORDS = ["red", "moon", "fast", "dog", "ran", "the", "a", "word1", "word2", "word3", "word4", "word5"]
SETTINGS = fitting.Settings(
    size=128, hidden=16, anchors=100, rows=400, documents=60, components=20, steps=60, batch=64, calibrate=80
)


def texts(seed, count, least, most):
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, rng.integers(least, most))) for _ in range(count)]


COLLECTIONS = [
    fitting.Collection(texts(1, 150, 2, 5), texts(2, 100, 5, 12)),
    fitting.Collection(texts(3, 150, 2, 5), texts(4, 100, 5, 12)),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return Model.load(write_tiny_model(tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="module")
def fitted(model):
    said = []
    fde = fitting.fit(model, COLLECTIONS, SETTINGS, lambda what, *_: said.append(what))
    assert set(said) >= {"encode", "anchors", "targets", "features", "calibrate"}
    return fde


def test_it_finds_what_maxsim_finds(model, fitted):
    queries, documents = (
        model.encode_queries(texts(5, 30, 2, 5)),
        model.encode_documents(texts(6, 200, 5, 12)),
    )
    codes = quantise(fitted.documents(documents), fitted.code_bits)
    exact = np.argsort(-maxsim(queries, documents), axis=1)[:, :5]
    found = [np.argsort(-inner_products(query, codes))[:20] for query in fitted.queries(queries)]
    recall = np.mean([len(set(a) & set(b)) / 5 for a, b in zip(exact, found, strict=True)])
    assert recall > 0.6  # 20 of 200 at random: 0.1


def test_it_is_calibrated_and_for_this_model(model, fitted):
    assert isinstance(fitted, Lemur) and fitted.model == model.fingerprint
    assert fitted.calibration and fitted.calibration.prefixes == (128, 64) and fitted.code_bits == 4


def quiet(*_):
    """No progress."""


def test_a_calibration_is_of_all_documents_together(model, fitted):
    assert fitted.calibration.measured == 2 * SETTINGS.calibrate
    pool = [collection._replace(all_documents=texts(8, 300, 5, 12)) for collection in COLLECTIONS]
    larger = fitting.recalibrated(model, fitted, pool, replace(SETTINGS, calibrate=250), quiet)
    assert larger.calibration.measured == 500 and larger.spec() == fitted.spec()
    few = [fitting.Collection(texts(1, 5, 2, 5), texts(2, 100, 5, 12))]
    assert fitting.recalibrated(model, fitted, few, SETTINGS, quiet) is fitted


def test_the_same_seed_gives_the_same(model, fitted):
    assert fitting.fit(model, COLLECTIONS, SETTINGS, lambda *_: None).spec() == fitted.spec()


def test_too_few_texts(model):
    with pytest.raises(RecipeError, match="expected 60 documents or more, found 3"):
        fitting.fit(model, [fitting.Collection(texts(1, 200, 2, 5), texts(2, 3, 5, 12))], SETTINGS, quiet)
    with pytest.raises(RecipeError, match="expected queries of 200 rows or more for 100 anchors"):
        fitting.fit(model, [fitting.Collection(texts(1, 5, 2, 5), texts(2, 100, 5, 12))], SETTINGS, quiet)


@pytest.fixture
def small(monkeypatch):
    settings = {
        name: getattr(SETTINGS, name) for name in ("hidden", "rows", "documents", "components", "batch")
    }
    monkeypatch.setattr(
        "femtosearch.train.fde_command.Settings", lambda **given: fitting.Settings(**{**settings, **given})
    )


def test_the_command(tmp_path, small, capsys):
    folder = write_tiny_model(tmp_path / "model")
    pairs = zip(texts(1, 150, 2, 5), texts(2, 150, 5, 12), strict=True)
    lines = [json.dumps({"query": query, "positive": document}) for query, document in pairs]
    (tmp_path / "pairs.jsonl").write_text("\n".join(lines) + "\n")
    (tmp_path / "queries.txt").write_text("\n".join(texts(3, 150, 2, 5)) + "\n")
    (tmp_path / "documents.txt").write_text("\n".join(texts(4, 150, 5, 12)) + "\n")
    queries, documents = (["pairs.jsonl", name] for name in ("queries.txt", "documents.txt"))
    asked = ["train", "fde", str(folder), "--quiet", "--size", "64", "--anchors", "50", "--steps", "5"]
    asked += ["--queries", *(str(tmp_path / name) for name in queries)]
    asked += ["--documents", *(str(tmp_path / name) for name in documents)]
    assert main(asked) == 0
    assert capsys.readouterr().out.strip() == str(folder / FDE)
    model = Model.load(folder)
    assert isinstance(model.fde, Lemur) and model.fde.size(model.dims) == 64
    with Index(model=model) as index:
        index.add(texts(7, 40, 5, 12))
        assert index.stats().fde["kind"] == "lemur"
        assert len(index.search("red moon", mode="fde", k=3)) == 3
        assert len(index.search("red moon", mode="rerank", recall=0.9, k=3)) == 3
    model.save(tmp_path / "copy")
    assert Model.load(tmp_path / "copy").fde.spec() == model.fde.spec()
    assert main([*asked, "--keep", "--calibrate", "100", "--out", str(tmp_path / "kept")]) == 0
    kept = restore_fde((tmp_path / "kept").read_bytes(), "kept")
    assert kept.spec() == model.fde.spec() and kept.calibration.measured == 200
    (folder / FDE).unlink()
    assert main([*asked, "--keep"]) == 1 and not (folder / FDE).exists()
    assert "--keep: expected a model with a learned FDE" in capsys.readouterr().err


ALONE, TWO = ["--documents", "d.txt"], ["--documents", "d.txt", "q.txt"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--queries", "q.txt", *TWO], "as many files of queries as of documents, found 1 and 2"),
        (["--queries", "none.txt", *ALONE], "none.txt: cannot be read"),
        (["--queries", "empty.txt", *ALONE], "empty.txt: no text in it"),
        (["--queries", "bad.jsonl", *ALONE], "bad.jsonl:1: expected a field query or text, found ['other']"),
        (["--queries", "q.txt", *ALONE, "--exclude", "e.jsonl"], "d.txt: no text in it"),
    ],
)
def test_bad_files(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "q.txt").write_text("red moon\n")
    (tmp_path / "d.txt").write_text("the fast dog ran\n")
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "bad.jsonl").write_text('{"other": "text"}\n')
    (tmp_path / "e.jsonl").write_text('{"text": "the fast dog ran"}\n')
    folder = write_tiny_model(tmp_path / "model")
    assert main(["train", "fde", str(folder), "--quiet", *arguments]) == 1
    assert message in capsys.readouterr().err and not (folder / FDE).exists()


@pytest.mark.parametrize(
    "option",
    ["--seed=-1", "--steps=0", "--take=-3", "--size=0", "--anchors=0", "--seed=1e9"],
)
def test_numbers_that_make_no_sense_are_refused_at_once(capsys, option):
    with pytest.raises(SystemExit):
        main(["train", "fde", "femto", "--queries", "q", "--documents", "d", option])
    assert "expected a whole number of" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["fde", "femto", "--queries", "q", "--documents", "d"], ["weights", "femto", "--pairs", "p"]],
)
def test_a_built_in_model_needs_a_place(arguments, capsys):
    name = {"fde": FDE, "weights": QUERY_WEIGHTS}[arguments[0]]
    assert main(["train", *arguments]) == 1
    assert f"say where to write {name} with --out" in capsys.readouterr().err
