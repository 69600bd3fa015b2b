"""The tools for agents, called by the SDK's own client: in the process, over stdio and over HTTP."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
import threading
from importlib.metadata import version

import pytest

pytest.importorskip("mcp")

from mcp.client import Client
from mcp.client.stdio import StdioServerParameters

from femtosearch.cli import main
from femtosearch.cli.trees import Trees
from femtosearch.errors import ReadError
from femtosearch.index.index import Index
from femtosearch.server.indexes import Indexes
from femtosearch.server.mcp import Tools, _shown, http_app, make_server
from femtosearch.types import Hit

from .conftest import TEXTS, fill


@pytest.fixture
def folder(model, tmp_path):
    return fill(tmp_path / "notes", model)


@pytest.fixture
def call(model, folder):
    """call(tool, **arguments) gives the text of an answer; an error's text begins with "error: "."""
    tools = Tools(lambda: Indexes([str(folder)], model=model, writable=True))

    def call(tool, **arguments):
        async def ask():
            async with Client(make_server(tools, writable=True)) as client:
                return text_of(await client.call_tool(tool, arguments))

        return asyncio.run(ask())

    yield call
    tools.close()


def text_of(answer):
    (content,) = answer.content
    return f"error: {content.text}" if answer.is_error else content.text


def test_a_search_gives_places_and_passages(call, folder, model):
    assert call("search", query="a cat", k=1) == f"cat\n{TEXTS['cat']}"
    with Index(folder, model=model) as index:
        text = "\n".join(["the dog ran fast"] * 400) + "\nred moon at night"
        index.add([{"id": "sub/a.md", "text": text, "path": "docs/sub/a.md", "title": "A title"}])
    place, passage = call("search", query="red moon at night", k=1, where="title = 'A title'").split("\n", 1)
    number = int(re.fullmatch(r"docs/sub/a\.md:(\d+) \(id sub/a\.md\)  A title", place)[1])
    assert passage.endswith(("moon at night", " …")) and text.split("\n")[number - 1] == "the dog ran fast"
    assert call("search", query="a cat", where="length > 99") == "nothing found"


@pytest.mark.parametrize("word", ["電気", "cat\n", "catalogues "])
def test_a_long_passage_is_shown_to_the_end_of_a_word_or_of_what_fits(word):
    text = "cat " + word * 400
    shown = _shown(Hit("a", 1.0, text, {}, (0, len(text)))).split("\n", 1)[1]
    assert shown.endswith(" …") and 680 < len(shown) <= 702
    assert text.startswith(shown[:-2]) and shown[:-2].endswith(word.strip())


def test_an_id_of_several_lines_is_shown_on_one(call):
    call("add", documents=[{"id": "a\nb", "text": "the walrus"}])
    assert call("search", query="walrus", k=1) == '"a\\nb"\nthe walrus'
    assert call("list").splitlines()[-1] == '"a\\nb"'
    assert call("get", id="a\nb") == "the walrus"
    hit = Hit("a", 1.0, "the walrus", {"path": "x\ny", "title": "two\nlines"}, (0, 10))
    assert _shown(hit) == '"x\\ny:1" (id a)  two lines\nthe walrus'


def test_a_document_is_read_some_lines_at_a_time(call):
    call("add", documents=[{"id": "long", "text": "\n".join(map(str, range(1, 501))), "kind": "numbers"}])
    assert call("get", id="long", line=3, lines=2) == "3\n4\n[lines 3 to 4 of 500]"
    assert call("get", id="long", line=500) == "500"
    assert call("get", id="long").endswith("\n200\n[lines 1 to 200 of 500]")
    assert call("get", id="long", line=501).endswith(" line 501: the document has 500 lines")
    assert "there is no document 'none'" in call("get", id="none")


def test_a_line_that_is_too_long_is_read_in_pieces(call):
    text = "first\n" + "a" * 25_000 + " then " + "b" * 30_000 + "\nthird"
    call("add", documents=[{"id": "wide", "text": text}])
    read, line, start = "", 1, 0
    for _ in range(9):
        answer = call("get", id="wide", line=line, start=start)
        piece, _, note = answer.rpartition("\n[cut in line ")
        read += piece if note and piece else answer
        if not piece:
            break
        line, start = (int(number) for number in re.search(r"line=(\d+), start=(\d+)]", note).groups())
    assert read == text
    assert call("get", id="wide", line=1, start=9).endswith("start 9: line 1 has 5 characters")
    assert call("get", id="wide", line=3, start=2) == "ird"


def test_documents_are_listed_added_and_deleted(call):
    assert call("list") == "3 documents\ncat\ndog\nmoon"
    assert call("add", documents=[{"id": str(n), "text": ""} for n in range(100)]).startswith(
        'stored ["0", "1"'
    )
    assert call("add", documents=[{"id": str(n), "text": ""} for n in range(100, 200)])
    first, *rest = call("list").splitlines()
    assert first == "203 documents" and len(rest) == 201
    after = int(re.fullmatch(r"more: list\(after=(\d+)\)", rest[-1])[1])
    assert call("list", after=after) == "203 documents\n197\n198\n199"
    assert call("delete", ids=["0", "none"]) == "deleted 1"
    assert call("list", where="length > 20") == "1 documents\ncat"


@pytest.mark.parametrize(
    ("tool", "arguments", "message"),
    [
        ("search", {"query": " "}, "query: it is empty"),
        ("search", {"query": "a", "where": "a >"}, "where"),
        ("search", {"query": "a", "k": 1000}, "k"),
        ("search", {"query": "a", "index": "none"}, "expected one of this server's, 'notes'"),
        ("add", {"documents": [{"id": "a"}]}, 'it has no "text"'),
        ("add", {"documents": ["a"]}, "documents"),
        ("list", {"after": -5}, "after"),
        ("none", {}, "none"),
    ],
)
def test_what_cannot_be_done_is_told(call, tool, arguments, message):
    try:
        told = call(tool, **arguments)
    except Exception as error:  # an unknown tool is an error of the protocol
        told = f"error: {error}"
    assert told.startswith("error: ") and message in told and "Traceback" not in told


def test_what_fails_inside_tells_an_agent_nothing_of_it(call, monkeypatch):
    monkeypatch.setattr(Index, "search", lambda *_, **__: 1 / 0)
    assert call("search", query="a") == "error: Error executing tool search"


def test_tools_that_change_something_are_offered_where_that_is_allowed(model, folder):
    tools = Tools(lambda: Indexes([str(folder)], model=model))

    async def names(writable):
        async with Client(make_server(tools, writable=writable)) as client:
            offered = (await client.list_tools()).tools
        assert all(tool.description and tool.input_schema["properties"] for tool in offered)
        reading = [tool.name for tool in offered if tool.annotations.read_only_hint]
        return reading, [tool.name for tool in offered if not tool.annotations.read_only_hint]

    assert asyncio.run(names(False)) == (["search", "get", "list"], [])
    assert asyncio.run(names(True)) == (["search", "get", "list"], ["add", "delete"])


def test_agents_are_told_the_version_and_get_no_stream(model, folder):
    httpx2 = pytest.importorskip("httpx2")
    server = make_server(Tools(lambda: Indexes([str(folder)], model=model)), writable=False)

    async def ask():
        async with Client(server) as client:
            assert client.server_info.version == version("femtosearch")
        transport = httpx2.ASGITransport(http_app(server))
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
            return await http.get("/mcp", headers={"Accept": "text/event-stream"}, timeout=10)

    answer = asyncio.run(ask())
    assert answer.status_code == 405 and "POST" in answer.headers["allow"]


@pytest.mark.slow
def test_over_standard_input_and_output(folder):
    command = ["-m", "femtosearch", "mcp", str(folder), "--model", "femto"]

    async def ask():
        async with Client(StdioServerParameters(command=sys.executable, args=command)) as client:
            assert [tool.name for tool in (await client.list_tools()).tools] == ["search", "get", "list"]
            return text_of(await client.call_tool("search", {"query": "a cat", "k": 1}))

    assert asyncio.run(ask()) == f"cat\n{TEXTS['cat']}"


@pytest.mark.slow
def test_over_http(folder):
    command = [sys.executable, "-m", "femtosearch", "mcp", str(folder), "--model", "femto", "--writable"]
    command += ["--http", "--port", "0", "--write-key", "a key to write"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        address = re.search(r"http://\S+/mcp", process.stderr.readline())[0]
        asyncio.run(over_http(address))
    finally:
        process.terminate()
        process.communicate(timeout=30)
    assert process.returncode == 0


async def over_http(address):
    import httpx2
    from mcp.client.streamable_http import streamable_http_client

    headers = {"Authorization": "Bearer a key to write"}
    async with (
        httpx2.AsyncClient(headers=headers) as http,
        Client(streamable_http_client(address, http_client=http)) as client,
    ):
        assert len((await client.list_tools()).tools) == 5
        assert client.server_info.version == version("femtosearch")
        added = await client.call_tool("add", {"documents": [{"id": "b", "text": "a bird"}]})
        assert text_of(added) == 'stored ["b"]'
        assert text_of(await client.call_tool("get", {"id": "b"})) == "a bird"
    async with httpx2.AsyncClient() as http:
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        stream = await http.get(address, headers={**headers, "Accept": "text/event-stream"})
        assert stream.status_code == 405 and "POST" in stream.headers["allow"]
        refused = await http.post(address, json=body)
        assert refused.status_code == 401 and "a key that may write" in refused.text
        assert (await http.post(address, json=body, headers={**headers, "Host": "evil"})).status_code == 421
        evil = {**headers, "Origin": "https://evil.example"}
        assert (await http.post(address, json=body, headers=evil)).status_code == 403


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A folder of files, without an index."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "cat.md").write_text("# Cats\n\nA small cat slept.\n")
    (folder / "moon.txt").write_text("The moon is far away.\n")
    return folder


def ask_of(trees, **arguments):
    """What `search` gives of some trees."""
    tools = Tools(lambda: Indexes(trees.open()), trees.refresh)
    try:
        return asyncio.run(tools.search(**arguments))
    finally:
        tools.close()


def test_files_without_an_index_are_searched_and_followed(files, monkeypatch):
    monkeypatch.setattr("femtosearch.cli.trees.PAUSE", 0)
    monkeypatch.chdir(files)
    trees = Trees(["."])
    assert ask_of(trees, query="a kitten", k=1).startswith(f"{files / 'cat.md'}:1")
    (files / "cat.md").unlink()
    (files / "dog.md").write_text("A puppy barked.\n")
    hits = ask_of(trees, query="a puppy", k=5)
    assert hits.startswith(f"{files / 'dog.md'}:1") and "cat.md" not in hits
    assert sorted(path.name for path in files.iterdir()) == ["dog.md", "moon.txt"]  # nothing is put there


def test_an_answer_does_not_wait_for_ever_and_says_what_is_missing(files, monkeypatch):
    monkeypatch.setattr("femtosearch.cli.trees.PATIENCE", 0.01)
    go_on = threading.Event()
    monkeypatch.setattr("femtosearch.cli.trees.Run.into", lambda *_, **__: go_on.wait(30))
    trees = Trees([str(files)])
    tools = Tools(lambda: Indexes(trees.open()), trees.refresh)
    assert "[still indexing, 0 documents so far" in asyncio.run(tools.search("a kitten"))
    go_on.set()
    tools.close()


def test_files_that_are_gone_are_told(files, monkeypatch, capsys):
    monkeypatch.setattr("femtosearch.cli.trees.PAUSE", 0)
    trees = Trees([f"mine={files}"])
    tools = Tools(lambda: Indexes(trees.open()), trees.refresh)
    assert "cat.md" in asyncio.run(tools.search("a kitten", index="mine"))
    shutil.rmtree(files)
    assert asyncio.run(tools.search("a kitten")).endswith("[the files could not be read again]")
    assert str(files) in capsys.readouterr().err
    tools.close()


def test_an_index_that_was_forgotten_meanwhile_is_made_again(files, monkeypatch):
    monkeypatch.setattr("femtosearch.cli.trees.PAUSE", 0)
    trees = Trees([str(files)])
    tools = Tools(lambda: Indexes(trees.open()), trees.refresh)
    before = asyncio.run(tools.search("a kitten"))
    assert "cat.md" in before and main(["forget", str(files)]) == 0
    assert asyncio.run(tools.search("a kitten")) == before
    tools.close()


@pytest.mark.parametrize("arguments", [["none"], ["files", "--writable"]])
def test_paths_that_cannot_be_offered_are_told_at_once(files, monkeypatch, capsys, arguments):
    monkeypatch.chdir(files.parent)
    assert main(["mcp", *arguments]) == 1
    expected = "found files" if "--writable" in arguments else "there is no such file or folder"
    assert expected in capsys.readouterr().err


def test_what_cannot_be_offered_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["mcp", "none", "--writable", "--http", "--host", "0.0.0.0"]) == 1
    assert "anybody could change" in capsys.readouterr().err
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(
    "places",
    [["a/docs", "b/docs"], ["a/index", "b/index"], ["b/index", "index=a/docs"], ["index=a/docs", "b/index"]],
)
def test_two_places_of_one_name_are_refused(tmp_path, monkeypatch, places):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    for parent in ("a", "b"):
        (tmp_path / parent / "docs").mkdir(parents=True)
        (tmp_path / parent / "docs" / "x.md").write_text("a cat")
        Index(tmp_path / parent / "index").close()
    with pytest.raises(ReadError, match=r"found two called '(docs|index)': name one, as in other="):
        Trees(places)
    Trees([places[0], "other=b/docs"])
