"""The commands that look into an index: get, facets, update, delete and search with a filter."""

import json

import pytest

from femtosearch.cli import main
from femtosearch.errors import StoreError
from femtosearch.index.index import Index

from ..tiny import write_tiny_model

DOCUMENTS = [
    {"id": "a", "text": "the cat sat", "year": 2020, "tag": ["x", "y"]},
    {"id": "b", "text": "a red moon", "year": 2021, "tag": "x"},
    {"id": "c", "text": "a dog\nran fast", "lang": "en"},
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def run(capsys, tmp_path, model, monkeypatch):
    """Run a command on an index of DOCUMENTS: its exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)
    with Index("notes", model=model) as index:
        index.add(DOCUMENTS)

    def run(command, *arguments):
        options = ["--model", str(model)] if command == "search" else []
        code = main([command, *options, *map(str, arguments)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_search_with_a_filter(run):
    code, out, _ = run("search", "notes", "cat", "--where", "year >= 2021", "--json")
    assert code == 0 and [json.loads(line)["id"] for line in out.splitlines()] == ["b"]
    code, out, err = run("search", "notes", "cat", "--where", "year > 3000")
    assert (code, out) == (0, "") and "holds 3 documents, 0 of which pass" in err
    for where, reason in (
        ("yaer = 2020", "0 of which pass (no document has 'yaer')"),
        ('year >= "2020"', "'year' is a number in 2 documents: compare it without quotes"),
        ("not year exists and tag = 5", "'tag' is a text in 2 documents: put the number in quotes"),
        ("year in (1, 2) and tag prefix 'z'", "0 of which pass\n"),
        ("year prefix '2'", "0 of which pass\n"),
        ("`$year` = 1", "0 of which pass (no document has '$year')"),
    ):
        assert reason in run("search", "notes", "cat", "--where", where)[2]
    code, out, err = run("search", "notes", "cat", "--where", "year >")
    assert code == 1 and err.startswith("femtosearch: where: at the end: expected a value")


def test_search_with_a_quota_and_a_least_score(run):
    hits = run("search", "notes", "cat", "--per", "tag=1", "--json")[1].splitlines()
    assert {json.loads(line)["id"] for line in hits} in ({"a", "c"}, {"b", "c"})
    assert run("search", "notes", "cat", "--min-score", "1000", "--quiet")[:2] == (0, "")
    for wrong in ("x", "=1", "a=b", "-1"):
        with pytest.raises(SystemExit):
            run("search", "notes", "cat", f"--per={wrong}")


def test_get(run):
    assert run("get", "notes", "c", "z") == (
        0,
        'c  {"lang": "en"}\n    a dog\n    ran fast\n',
        "not in notes: z\n",
    )
    _, out, _ = run("get", "notes", "--where", "tag = 'x'", "--json")
    assert [json.loads(line) for line in out.splitlines()] == [
        {"id": d["id"], "text": d["text"], "metadata": {k: d[k] for k in ("year", "tag")}}
        for d in DOCUMENTS[:2]
    ]
    assert run("get", "notes", "a", "c", "--where", "lang exists")[1].startswith("c ")
    assert run("get", "nowhere")[0] == 1


def test_facets(run):
    assert run("facets", "notes", "tag") == (0, "        2  x\n        1  y\n", "")
    assert run("facets", "notes", "tag", "-n", 1, "--json")[1] == '{"value": "x", "documents": 2}\n'
    assert run("facets", "notes", "none") == (0, "", "no document has 'none'\n")
    nothing = run("facets", "notes", "lang", "--where", "id = 'a'")
    assert nothing == (0, "", "no document that passes has 'lang'\n")
    assert run("update", "notes", '{"lang": {"of": "en"}}', "c")[0] == 0
    assert "has mappings or empty lists alone: name a key within" in run("facets", "notes", "lang")[2]
    assert run("facets", "notes", "year", "--where", "id = 'a'")[1] == "        1  2020\n"


def test_update(run):
    assert run("update", "notes", '{"year": 1}', "a", "z") == (0, "updated 1 document\n", "not in notes: z\n")
    assert json.loads(run("get", "notes", "a", "--json")[1])["metadata"] == {"year": 1, "tag": ["x", "y"]}
    assert json.loads(run("update", "notes", "{}", "a", "--replace", "--json")[1]) == {
        "updated": 1,
        "unknown": [],
    }
    assert json.loads(run("get", "notes", "a", "--json")[1])["metadata"] == {}
    for wrong in ("", "[]", "{", '{"a": NaN}', "[" * 100_000):
        code, _, err = run("update", "notes", wrong, "a")
        assert code == 1 and err.startswith("femtosearch: update: ")


def test_delete_by_filter(run):
    assert run("delete", "notes", "--where", "year exists")[1] == "deleted 2 documents; notes holds 1\n"
    with pytest.raises(SystemExit):
        run("delete", "notes")


def test_copies_and_files(run, tmp_path):
    assert run("snapshot", "notes", "copy")[1].startswith("copy: a copy of notes, ")
    code, _, err = run("snapshot", "notes", "copy")
    assert code == 1 and "it is there already" in err
    assert run("export", "copy", "e.jsonl", "--vectors", "--where", "year exists")[1] == (
        "wrote 2 documents of copy to e.jsonl\n"
    )
    code, out, _ = run("import", "notes", "e.jsonl", "--json")
    assert code == 0 and json.loads(out) == {"documents": 2, "with_vectors": 2}
    assert len(run("get", "notes", "--json")[1].splitlines()) == 3
    code, _, err = run("import", "new", "nowhere.jsonl")
    assert code == 1 and "there is no such file or folder" in err and not (tmp_path / "new").exists()
    assert run("export", "nowhere", "e.jsonl", "--vectors")[0] == 1


def test_check_and_repair(run, tmp_path, model):
    run("snapshot", "notes", "copy")
    (segment,) = (tmp_path / "copy" / "segments").iterdir()
    content = bytearray(segment.read_bytes())
    content[300] ^= 0xFF
    segment.write_bytes(content)
    assert run("check", "copy")[0] == 1
    code, _, err = run("check", "copy", "--repair")
    assert code == 1 and "model" in err
    code, out, _ = run("check", "copy", "--repair", "--json", "--model", model)
    assert code == 0 and json.loads(out)["damage"] == [] and len(json.loads(out)["mended"]) == 2
    assert run("check", "copy") == (0, "copy: 3 documents, no damage\n", "")


def test_an_import_that_fails_leaves_no_index_that_was_not_there(tmp_path, capsys):
    (tmp_path / "bad.jsonl").write_text('{"id": "a", "text": "a cat"}\nnonsense\n')
    index = str(tmp_path / "new")
    assert main(["import", index, str(tmp_path / "bad.jsonl"), "--model", "femto"]) == 1
    assert not (tmp_path / "new").exists() and "line 2" in capsys.readouterr().err
    with Index(index, model="femto") as store:
        store.add(["a dog"])
    assert main(["import", index, str(tmp_path / "bad.jsonl")]) == 1
    with Index(index) as store:
        assert len(store) == 1


def test_what_an_import_failed_by_is_told_where_no_index_came_of_it(tmp_path, monkeypatch, capsys):
    def fails(folder, **options):
        folder = tmp_path / "new"
        folder.mkdir()
        raise StoreError(f"{folder}: the disk is full")

    (tmp_path / "good.jsonl").write_text('{"id": "a", "text": "a cat"}\n')
    monkeypatch.setattr("femtosearch.cli.database.Index", fails)
    assert main(["import", str(tmp_path / "new"), str(tmp_path / "good.jsonl")]) == 1
    assert capsys.readouterr().err.endswith("the disk is full\n")
