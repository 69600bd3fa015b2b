"""The programs in examples/ run, offline, and do what they say."""

import asyncio
import importlib.util
import json
import runpy
import sys
from pathlib import Path
from urllib.parse import urlencode

import pytest

import femtosearch as fs

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture
def notes(tmp_path):
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "bread.md").write_text("# Bread\n\nBake it for forty minutes in the oven.\n")
    (folder / "bicycle.txt").write_text("The chain jumps under load: the sprockets are worn out.\n")
    return folder


@pytest.fixture
def run(monkeypatch, capsys):
    """run(name, *arguments) runs a program, and gives what it printed."""

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return run


def test_notes_are_found_and_followed(run, notes):
    assert run("notes.py", notes, "how long in the oven").splitlines()[0].endswith("bread.md")
    run("notes.py", notes, "how long in the oven")
    with fs.Index(notes / ".index") as index:
        assert index.stats().dead_passages == 0  # what did not change was left alone
    (notes / "bread.md").unlink()
    (notes / "tax.txt").write_text("Receipts go to the tax office.\n")
    assert "bread.md" not in run("notes.py", notes, "how long in the oven")
    with fs.Index(notes / ".index") as index:
        assert {document.id for document in index} == {"bicycle.txt", "tax.txt"}


def test_a_database(run, tmp_path):
    for _ in range(2):
        assert run("database.py", tmp_path / "tickets").splitlines() == [
            "since 2024: ['T-2']",
            "a code: T-1",
            "why T-2: 'chewing' is like 'chewed'",
            "tags: {'cable': 1, 'cat': 1, 'printer': 1, 'upload': 1}",
            "solved: ['T-3']",
            "deleted: 1 of 4",
            "the copy: 3 documents, damage: []",
        ]


def test_a_prompt_has_the_question_and_the_best_passage_first(run, notes):
    prompt = run("context.py", notes, "What is wrong with my bike when the chain jumps?")
    assert "Question: What is wrong with my bike when the chain jumps?" in prompt
    assert prompt.index("[1] bicycle.txt\nThe chain jumps") < prompt.index("[2] bread.md")


def test_a_prompt_keeps_to_its_length(notes):
    passages = runpy.run_path(str(EXAMPLES / "context.py"))["passages"]
    with fs.Index() as index:
        index.add(["A kitten slept.", "A dog ran.", "A whale sang."])
        assert len(passages(index, "a small cat", characters=75)) == 2


@pytest.mark.slow
def test_an_own_model_is_loaded_and_searched_with(run, tmp_path):
    fs.Model.load("femto").save(tmp_path / "mine")
    for arguments in ((), (tmp_path / "mine",)):
        printed = run("own_model.py", *arguments)
        assert "megabyte: A kitten slept on the sofa." in printed
        assert "the index: A kitten slept on the sofa." in printed


def get(app, path, **query):
    """(status, JSON) of a GET, by ASGI itself."""
    messages = []
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": urlencode(query).encode(), "headers": [],
        "server": ("test", 80), "client": ("test", 1), "root_path": "",
    }  # fmt: skip

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        messages.append(message)

    asyncio.run(app(scope, receive, send))
    return messages[0]["status"], json.loads(b"".join(message.get("body", b"") for message in messages))


def test_a_server_answers(tmp_path, monkeypatch):
    pytest.importorskip("fastapi")
    with fs.Index(tmp_path / "index") as index:
        index.add([{"id": "cat", "text": "A kitten slept.", "year": 2020}, "Stock markets fell."])
    monkeypatch.setenv("FEMTOSEARCH_INDEX", str(tmp_path / "index"))
    spec = importlib.util.spec_from_file_location("server", EXAMPLES / "server.py")
    server = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(server)
    with server.index:
        status, hits = get(server.app, "/search", query="a small cat", k=1)
        assert status == 200 and [hit["id"] for hit in hits] == ["cat"]
        assert hits[0]["metadata"] == {"year": 2020}
        status, problem = get(server.app, "/search", query=" ")
        assert status == 422 and "it is empty" in problem["detail"]


def test_every_example_is_on_the_page():
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    programs = sorted(path.name for path in EXAMPLES.glob("*.py"))
    assert len(programs) == 5
    assert all(f"({name})" in page for name in programs)
