"""Distil from scores in the data: the schema of lightonai/ms-marco-en-bge-gemma, and the published recipe."""

import gzip
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tokenizers import Tokenizer

from femtosearch.errors import MissingExtraError, RecipeError
from femtosearch.train import command
from femtosearch.train.corpus import read_corpus
from femtosearch.train.recipe import Data, DistilStage, ScoredSource, TeacherSource, read_recipe

from ..tiny import write_tiny_model
from .toys import TWINS, losses, write_lines

RECIPES = Path(__file__).parents[2] / "recipes"


def tables():
    """Rows of the three tables: a query's score of a document is how many of its letters' twins are there."""
    rng = np.random.default_rng(1)
    documents = [rng.permutation(list(TWINS))[:7] for _ in range(60)]
    rows, queries = [], []
    for n in range(40):
        chosen = rng.permutation(60)[:5]
        asked = list(documents[chosen[0]][:6])
        scores = [float(np.isin(asked, documents[d]).sum()) for d in chosen]
        queries.append({"query_id": f"q{n}", "text": " ".join(TWINS[letter] for letter in asked)})
        rows.append({"query_id": f"q{n}", "document_ids": [f"d{d}" for d in chosen], "scores": scores})
    texts = [{"document_id": f"d{n}", "text": " ".join(letters)} for n, letters in enumerate(documents)]
    return {"train": rows, "queries": queries, "documents": texts}


@pytest.fixture
def scored(tmp_path):
    folder = tmp_path / "data" / "scored"
    folder.mkdir(parents=True)
    found = tables()
    write_lines(folder / "train.jsonl", found["train"])
    write_lines(folder / "queries.jsonl", found["queries"])
    text = "\n".join(map(json.dumps, found["documents"]))
    (folder / "documents.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    return folder


def read(folder, teacher, **settings):
    tokenizer = Tokenizer.from_file(str(teacher / "tokenizer.json"))
    source = ScoredSource(folder.name, **{"ways": 4} | settings)
    return read_corpus(Data(scores=source, hold_out=4), folder.parent, tokenizer, 1)


def test_rows_become_queries_passages_and_scores(scored, teacher):
    corpus = read(scored, teacher, take=30)
    assert corpus.scored.passages.shape == corpus.scored.scores.shape == (27, 4)
    assert not np.isin(corpus.scored.queries, corpus.held_out).any()
    best = corpus.scored.scores.argmax(1)
    answers = corpus.scored.passages[np.arange(27), best]
    assert np.array_equal(corpus.answers[corpus.scored.queries], answers)


def test_lists_that_are_text_are_read(scored, teacher):
    rows = [row | {key: str(row[key]) for key in ("document_ids", "scores")} for row in tables()["train"]]
    before = read(scored, teacher).scored
    write_lines(scored / "train.jsonl", rows)
    assert np.array_equal(read(scored, teacher).scored.passages, before.passages)


def test_documents_that_are_missing_do_not_count(scored, teacher):
    rows = tables()["train"]
    rows[0]["document_ids"][1] = "nowhere"
    rows[1]["document_ids"] = ["d1", "no", "no", "no", "no"]
    rows[2]["query_id"] = "unknown"
    write_lines(scored / "train.jsonl", rows)
    corpus = read(scored, teacher)
    assert len(corpus.queries) == 38
    assert (corpus.scored.passages == -1).sum() <= 1


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "table 'train' is empty"),
        ([{"query_id": "q1"}], "expected a column 'document_ids', found query_id"),
        ([{"query_id": "q1", "document_ids": ["d1"], "scores": [1, 2]}], "row 1: 1 documents, 2 scores"),
        ([{"query_id": "q1", "document_ids": ["d1", "d2"], "scores": [1, float("nan")]}], "not a finite"),
        *(
            (
                [{"query_id": "q1", "document_ids": ["d1", "d2"], "scores": scores}],
                "row 1: a score that is not",
            )
            for scores in (["a", "b"], [[1], [2]], [[1], 2], [None, 2], [10**400, 1], "['a', 'b']")
        ),
        *(
            (
                [{"query_id": "q1", "document_ids": names, "scores": [1, 2]}],
                "expected document_ids to be a list",
            )
            for names in (3, "['d1', 'd2'", "print(1)", "(1, 2)", "[" * 5000, "d1")
        ),
        (
            [{"query_id": "x", "document_ids": ["d1", "d2"], "scores": [1, 2]}],
            "no row whose query and at least",
        ),
        (["text"], "train.jsonl:1: expected a JSON object"),
    ],
)
def test_tables_that_cannot_be_used_are_named(scored, teacher, rows, message):
    write_lines(scored / "train.jsonl", rows)
    with pytest.raises(RecipeError, match=message):
        read(scored, teacher)


def test_a_table_that_is_not_there_is_named(scored, teacher):
    with pytest.raises(RecipeError, match=r"no table 'other'; expected other \+ \.jsonl or"):
        read(scored, teacher, table="other")


def test_parquet_and_the_hub_need_extras(scored, teacher, monkeypatch):
    (scored / "parts.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(MissingExtraError, match=r"parquet.*pip install 'femtosearch\[teachers\]'"):
        read(scored, teacher, table="parts")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match="which needs datasets"):
        list(read(Path("hub:someone"), teacher))


def test_the_hub_gives_its_tables(teacher, monkeypatch):
    found = tables()

    def load_dataset(name, table, split, streaming):
        assert (name, split, streaming) == ("someone", "train", True)
        if table not in found:
            raise ValueError("no such config")
        return iter(found[table])

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    assert len(read(Path("hub:someone"), teacher).queries) == 40
    with pytest.raises(RecipeError, match="the Hub did not give its table 'other': no such config"):
        read(Path("hub:someone"), teacher, table="other")


def test_a_student_learns_scores(scored, shape, teacher, tmp_path, recipe):
    stage = DistilStage(learning_rate=1e-2, epochs=30.0, batch=18, token_weight=0.0, teacher_scale=1.0)
    own = replace(
        recipe,
        model=replace(shape, tokenizer=str(teacher)),
        teacher=TeacherSource(kind="scores"),
        data=Data(scores=ScoredSource("scored", ways=5), hold_out=4),
        tokens=None,
        distil=stage,
    )
    command.train(own, scored.parent, tmp_path / "run", quiet=True)
    found = losses(tmp_path / "run", "distil", "kl")
    assert found[-1] < 0.7 * found[0]


def test_a_change_of_scores_alone_is_noticed(scored, teacher):
    before = read(scored, teacher).digest
    rows = tables()["train"]
    write_lines(scored / "train.jsonl", rows)
    assert read(scored, teacher).digest == before
    rows[3]["scores"][1] += 0.5
    write_lines(scored / "train.jsonl", rows)
    assert read(scored, teacher).digest != before


def test_the_published_recipe_runs_on_a_small_data_set(scored, tmp_path):
    recipe = read_recipe(RECIPES / "published.toml")
    assert recipe.distil.normalise == "none"
    base = write_tiny_model(tmp_path / "base", code_width=3)
    (base / "modules.json").unlink()
    (base / "1_Dense" / "model.safetensors").unlink()
    (base / "1_Dense" / "config.json").unlink()
    (base / "1_Dense").rmdir()
    model = replace(recipe.model, query_length=12, document_length=24)
    source = replace(recipe.data.scores, source="scored", table="train")
    small = replace(recipe, start=str(base), model=model, data=replace(recipe.data, scores=source))
    student = command.train(small, scored.parent, tmp_path / "run", quiet=True)
    assert student.shape.dims == 50 and student.shape.code_width == 3
    assert student.conventions.expand_queries
    assert len(losses(tmp_path / "run", "distil", "kl")) == 2
