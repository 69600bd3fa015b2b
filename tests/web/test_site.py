"""A site is written whole or not at all, from what a page can search, and is as small as is said."""

import json
import re

import pytest

from femtosearch.cli import main
from femtosearch.errors import CheckpointError, StoreError
from femtosearch.index.index import Index
from femtosearch.model.model import Model
from femtosearch.web import contents
from femtosearch.web.site import write_site

from ..fakes import FakeModel
from .conftest import in_node

FILES = ["index.html", "page.css", "page.js", "search.bin", "search.js"]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small") / "notes"
    with Index(folder, model=Model.load("femto")) as index:
        index.add([
            {"id": "cat", "text": "A small cat slept.", "url": "cat.html", "year": 2020},
            {"id": "dog", "text": "The dog ran.", "url": "javascript:alert(1)", "title": "Dog"},
            {"id": "none", "text": ""},
        ])  # fmt: skip
    return folder


def test_the_command_writes_a_site(small, tmp_path, capsys):
    site = tmp_path / "site"
    assert main(["export", "--web", str(small), str(site), "--title", "Cats & dogs", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert sorted(path.name for path in site.iterdir()) == FILES
    assert told["documents"] == 3 and told["passages"] == 2
    assert told["bytes"] == sum(path.stat().st_size for path in site.iterdir()) < 1_000_000
    page = (site / "index.html").read_text(encoding="utf-8")
    assert "<title>Cats &amp; dogs</title>" in page and "{{" not in page
    assert main(["export", "--web", str(small), str(site)]) == 1
    assert "expected a new or empty folder" in capsys.readouterr().err


def test_the_command_writes_one_file(small, tmp_path, capsys):
    assert main(["export", "--web", str(small), str(tmp_path / "page.html"), "--where", "year = 2020"]) == 0
    assert "a search of 1 document (1 passage)" in capsys.readouterr().out
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("'sha256-") == 3 and "src=" not in page and "href=" not in page


def test_what_the_flags_need(small, tmp_path, capsys):
    for command in (
        ["--web", str(small)],
        ["--web", str(tmp_path), str(tmp_path / "x")],
        ["--title", "x", "y"],
    ):
        assert main(["export", *command]) in (1, 2)
        assert capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_nothing_runs_but_the_scripts(small, tmp_path):
    with Index(small) as index:
        write_site(index, tmp_path / "site")
    for name in FILES[:3] + FILES[4:]:
        text = (tmp_path / "site" / name).read_text(encoding="utf-8")
        for word in ("http:", "https:", "innerHTML", "eval(", "style=", "onclick", "unsafe-inline"):
            assert word not in text, (name, word)
        assert re.findall(r"unsafe\S*", text) in ([], ["unsafe-eval';"])


def test_a_failure_leaves_nothing(small, tmp_path, monkeypatch):
    monkeypatch.setattr(contents, "MOST_PASSAGES", 1)
    with Index(small) as index, pytest.raises(StoreError, match="at most 1 passages"):
        write_site(index, tmp_path / "site")
    monkeypatch.undo()
    with Index(small) as index:
        (tmp_path / "file").write_text("here")
        for taken in (tmp_path / "file", tmp_path):
            with pytest.raises(StoreError, match="new or empty folder"):
                write_site(index, taken)
    with Index(model=FakeModel()) as index:
        index.add(["a cat"])
        with pytest.raises(CheckpointError, match="a page needs a Model"):
            write_site(index, tmp_path / "site")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@in_node
def test_links_lead_to_pages_alone(small, tmp_path, in_page):
    with Index(small) as index:
        write_site(index, tmp_path / "site")
    (answer,) = in_page(tmp_path / "site", ["a cat"], "(query) => engine.search(query, 10)")
    assert [(hit["id"], hit["title"], hit["url"]) for hit in answer["hits"]] == [
        ("cat", None, "cat.html"),
        ("dog", "Dog", None),
    ]


@in_node
def test_links_by_a_pattern(small, tmp_path, in_page, capsys):
    command = ["export", "--web", str(small), str(tmp_path / "site")]
    assert main([*command, "--link", "javascript:{id}"]) == 1
    assert "expected a place on the web" in capsys.readouterr().err
    assert main([*command, "--link", "/{stem}.html#{id}", "--whole-rows"]) == 0
    (answer,) = in_page(tmp_path / "site", ["a cat"], "(query) => engine.search(query, 1).hits")
    assert answer[0]["url"] == "/cat.html#cat"


def test_a_link_has_no_other_names_in_braces(small, tmp_path, capsys):
    command = ["export", "--web", str(small), str(tmp_path / "site")]
    assert main([*command, "--link", "https://a.example/{id}?{url}"]) == 1
    assert "link: expected {id} or {stem}, found '{url}'" in capsys.readouterr().err
    assert not (tmp_path / "site").exists()


@in_node
def test_an_empty_index_finds_nothing(tmp_path, in_page):
    with Index(model=Model.load("femto")) as index:
        write_site(index, tmp_path / "site")
    assert in_page(tmp_path / "site", ["a cat"], "(query) => engine.search(query, 10).hits") == [[]]
