"""`fs.connect`: an index of a server has the methods of one that is here, and raises what that raises."""

import asyncio
import math
import socket
import threading
from datetime import date
from decimal import Decimal

import numpy as np
import pytest

import femtosearch as fs
from femtosearch.server import calls
from femtosearch.server.calls import Server
from femtosearch.server.client import RemoteIndex

from .conftest import TEXTS, fill, running


@pytest.fixture
def server(model, tmp_path):
    with running(model, [fill(tmp_path / "notes", model)], writable=True) as server:
        yield server


@pytest.fixture
def index(server):
    with fs.connect(server.url) as index:
        yield index


def test_hits_are_those_of_the_library(index, server):
    local = server.indexes.get(None)
    assert index.search("a cat", k=2) == local.search("a cat", k=2)
    assert index.search(["a cat", "the moon"], k=1, mode="maxsim") == local.search(
        ["a cat", "the moon"], k=1, mode="maxsim"
    )
    assert index.search("a cat", explain=True) == local.search("a cat", explain=True)
    assert index.search([]) == []


def test_a_context_is_that_of_the_library(index, server):
    fill = " ".join(f"something else number {n} is told here at length." for n in range(60))
    index.add(
        [{"id": "manual", "text": f"A cat sleeps a lot.\n\n{fill}\n\nCats purr when they sleep.\n\n{fill}"}]
    )
    local = server.indexes.get(None)
    context = index.context("how do cats sleep", max_tokens=2500)
    assert context == local.context("how do cats sleep", max_tokens=2500)
    assert len([citation for citation in context.citations if citation.id == "manual"]) > 1
    for how in ({"k": 1}, {"where": "length > 20"}, {"max_tokens": 9}):
        assert index.context("a cat", **how) == local.context("a cat", **how)
    for wrong in ({"max_tokens": 0}, {"k": 0}, {"where": "length >"}, {"where": {"length": object()}}):
        with pytest.raises(fs.QueryError, match=f"^{next(iter(wrong))}: "):
            index.context("a cat", **wrong)
    with pytest.warns(fs.UnknownQueryWarning):
        assert index.context("ዠዠዠ") == local.context("ዠዠዠ")


def test_documents_go_there_and_come_back(index, server):
    documents = [
        "a bird",
        {"id": "a/b?c#d é", "text": "fish", "year": 1},
        fs.Document("d", "", {"x": [None]}),
    ]
    ids = index.add(iter(documents))
    assert ids[1:] == ["a/b?c#d é", "d"] and len(index) == 6 == len(server.indexes.get(None))
    assert index.get("a/b?c#d é") == fs.Document("a/b?c#d é", "fish", {"year": 1})
    assert index.get("none") is None and "d" in index and "e" not in index and 5 not in index
    assert list(index) == list(server.indexes.get(None))
    assert index.delete(["d", "none"]) == 1 and index.delete(ids[0]) == 1 and index.delete([]) == 0
    assert index.stats() == server.indexes.get(None).stats()


def test_filters_reach_every_method(index, server):
    local = server.indexes.get(None)
    for where in ("length > 15", {"length": {"$gt": 15}}):
        assert index.search("a cat", where=where) == local.search("a cat", where=where)
        assert index.count(where) == 2 and [d.id for d in index.documents(where)] == ["cat", "dog"]
        assert index.facets("length", where=where) == local.facets("length", where=where) == {16: 1, 22: 1}
    assert index.page(limit=1, where="length > 15").documents[0].id == "cat"
    assert index.get(["dog", "none", "cat"]) == local.get(["dog", "none", "cat"])
    assert index.update(["dog", "none"], {"lang": "en"}) == 1
    assert index.get("dog").metadata == {"length": 16, "lang": "en"}
    assert index.facets("lang", limit=1) == {"en": 1} and index.count() == 3
    assert index.delete(where={"lang": "en"}) == 1 and "dog" not in index
    with pytest.raises(fs.FemtosearchError, match="neither"):
        index.delete()
    with pytest.raises(fs.QueryError, match="where"):
        index.count("length >")
    with pytest.raises(fs.QueryError, match="where: "):
        index.count({"length": object()})


def test_filters_are_those_of_the_library(index, server):
    local = server.indexes.get(None)
    index.update(["dog"], {"day": "2024-03-02"})
    for where in (
        {"day": {"$gte": date(2024, 1, 10)}},
        {"day": {"$in": {date(2024, 3, 2), "never"}}},
        {"length": {"$in": (16, 22)}},
        {"length": {"$lte": Decimal(22)}, "$or": [{"length": np.int64(16)}, {"length": np.int64(22)}]},
    ):
        assert index.count(where) == local.count(where) > 0
        assert index.search("a cat", where=where) == local.search("a cat", where=where)
    assert index.delete(where={"day": {"$lt": date(2025, 1, 1)}}) == 1


def test_documents_are_stored_as_they_are(index, server):
    documents = [
        fs.Document("titled", "text", {"title": "Hello"}),
        fs.Document("nested", "text", {"metadata": {"a": 1}, "n": None}),
        fs.Document("odd", "text", {"id": "other", "text": 1, "exact": True}),
    ]
    assert index.add(documents) == ["titled", "nested", "odd"]
    assert [index.get(document.id) for document in documents] == documents
    assert index.get(["titled"]) == server.indexes.get(None).get(["titled"])
    first = index.add(["the same text", {"text": "the same text", "n": 1}])
    assert index.add(["the same text", {"text": "the same text", "n": 1}]) == first
    assert server.indexes.get(None).add(["the same text"]) == first[:1]
    assert index.add([{"id": "mapping", "title": "Hello", "text": "text"}]) == ["mapping"]
    assert index.get("mapping").text == "Hello text"


def test_long_ids_are_asked_for_in_several_links(index):
    names = [f"https://example.com/{n}/" + "\u00fc" * 900 for n in range(30)]
    index.add({"id": name, "text": "a"} for name in names)
    stored = index.get([*names, "x" * 30_000])
    assert [document and document.id for document in stored] == [*names, None]


def test_many_documents_go_in_several_requests(index):
    seen = []
    index.add(({"id": str(n), "text": ""} for n in range(1500)), progress=seen.append)
    assert seen == [256, 512, 768, 1024, 1280, 1500] and len(index) == 1503
    assert [document.id for document in index][-1] == "1499"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda index: index.search(" "), fs.QueryError, "query"),
        (lambda index: index.search("a", k=0), fs.QueryError, "k: expected a whole number of 1 or more"),
        (lambda index: index.search("a", k=1001), fs.QueryError, "k: expected at most 1,000"),
        (lambda index: index.search("a", k=math.nan), fs.QueryError, "k: expected a whole number"),
        (lambda index: index.search("a", mode="best"), fs.QueryError, "mode: expected"),
        (lambda index: index.add("a"), fs.DocumentError, "put one into a list"),
        (lambda index: index.add([{"id": "a"}]), fs.DocumentError, 'it has no "text"'),
        (lambda index: index.get(5), fs.DocumentError, "expected an id"),
        (lambda index: index.delete(5), fs.DocumentError, "expected an id"),
    ],
)
def test_what_cannot_be_done_is_an_error_of_the_library(index, call, error, message):
    with pytest.raises(error, match=message):
        call(index)


@pytest.mark.parametrize(
    "call",
    [
        lambda index: index.search("a", k=None),
        lambda index: index.search("a", mode=None),
        lambda index: index.search("a", where={5: 6}),
        lambda index: index.search(["a", ""]),
        lambda index: index.search(5),
        lambda index: index.search("a", hybrid=2),
        lambda index: index.count({5: 6}),
        lambda index: index.facets("length", where={5: 6}),
        lambda index: index.facets("length", limit=0),
        lambda index: index.facets("length", limit="2"),
        lambda index: index.delete(where={5: 6}),
        lambda index: index.delete(),
        lambda index: index.page(where={5: 6}),
        lambda index: index.page(-2),
        lambda index: index.page(None),
        lambda index: index.page(limit=0),
        lambda index: index.page(limit=True),
        lambda index: index.update("cat", {5: 1}),
        lambda index: index.update([], {5: 1}),
        lambda index: index.update("cat", {"a": math.nan}),
        lambda index: index.update("cat", {"a": object()}),
        lambda index: index.update("cat", 5),
        lambda index: index.update("", {"a": 1}),
        lambda index: index.update([5], {"a": 1}),
        lambda index: index.update(5, {"a": 1}),
        lambda index: index.delete([5]),
        lambda index: index.delete(["cat", ""]),
        lambda index: index.delete("\ud800"),
        lambda index: index.get([5]),
        lambda index: index.get(None),
    ],
)
def test_errors_are_those_of_the_library(index, server, call):
    local = server.indexes.get(None)
    with pytest.raises(fs.FemtosearchError) as expected:
        call(local)
    with pytest.raises(type(expected.value)) as raised:
        call(index)
    assert type(raised.value) is type(expected.value) and len(local) == 3
    assert all(set(document.metadata) == {"length"} for document in local)


def test_an_option_that_there_is_none_of_is_told(index, server):
    for searched in (index, server.indexes.get(None)):
        with pytest.raises(TypeError, match="unexpected keyword argument 'fuzzy'"):
            searched.search("a", fuzzy=True)
    assert index.search("a cat", fold=False, spots=False) == index.search("a cat")
    assert index.search("a cat", spots=True)[0].span is not None
    index.add([{"id": "twin", "text": index.get("cat").text}])
    assert index.search("a cat", fold=True)[0].copies and not index.search("a cat")[0].copies


def test_ids_that_no_document_has(index):
    for name in ("z" * 50_000, "", "\ud800", "none"):
        assert index.get(name) is None and name not in index and index.get([name, "cat"])[0] is None
    for call in (
        lambda: index.delete("z" * 5000),
        lambda: index.update(["cat", "z" * 5000], {"a": 1}),
        lambda: index.add([{"id": "z" * 5000, "text": ""}]),
    ):
        with pytest.raises(fs.DocumentError, match="at most 4,096 characters"):
            call()
    assert index.get("cat").metadata == {"length": 22}


def test_what_is_beyond_a_request_goes_in_several(index, server):
    local = server.indexes.get(None)
    local.add({"id": f"{n:04}", "text": "", "n": n} for n in range(2100))
    queries = [f"a cat {n}" for n in range(130)]
    assert index.search(queries, k=2) == local.search(queries, k=2)
    assert index.search(tuple(queries[:3]), k=1) == local.search(queries[:3], k=1)
    for after, limit in ((-1, 1), (-1, 2500), (3, 2050), (-1, 2103), (-1, 2000), ((1 << 63) - 1, 5)):
        assert index.page(after, limit) == local.page(after, limit)
    where = {"n": {"$gte": 500}}
    assert index.page(limit=1200, where=where) == local.page(limit=1200, where=where)
    assert index.facets("n", limit=20_000) == local.facets("n", limit=20_000)
    names = [f"{n:04}" for n in range(2100)]
    assert index.get(names) == local.get(names)
    assert index.update(names, {"seen": True}) == 2100 and index.delete(names) == 2100


@pytest.mark.parametrize("key", ["a\nb", "a key\r", "schl\u00fcssel", " key", 5])
def test_what_is_no_key_is_told(key):
    with pytest.raises(fs.ServerError, match="key: expected printable"):
        fs.connect("http://127.0.0.1:1", key=key)


def test_keys_and_names_are_sent(model, tmp_path):
    folders = [fill(tmp_path / "one", model), fill(tmp_path / "two", model)]
    with running(model, folders, read_keys=["a key to read"]) as server:
        with fs.connect(server.url, index="one", key="a key to read") as index:
            assert index.search("a cat", k=1)[0].id == "cat" and len(index) == 3
            with pytest.raises(fs.ServerError, match="read-only"):
                index.delete("cat")
        with fs.connect(server.url) as index, pytest.raises(fs.ServerError, match="expected Authorization"):
            index.search("a")
        with fs.connect(server.url, key="a key to read") as index:
            with pytest.raises(fs.StoreError, match="which of 'one', 'two'"):
                index.search("a")
            with pytest.raises(fs.StoreError, match="say which"):
                len(index)


@pytest.mark.parametrize("url", ["", "localhost:80", "ftp://a", "http://", "http://a:99999", "http://a b", 5])
def test_what_is_no_address_is_told(url):
    with pytest.raises(fs.ServerError, match="url: expected"):
        fs.connect(url)


def test_nobody_there_is_told(index):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
    with pytest.raises(fs.ServerError, match="is `femtosearch serve` running there"):
        fs.connect(address).search("a")
    index.close()
    with pytest.raises(fs.ServerError, match="connect again"):
        index.search("a")


def answering(*answers):
    """A server that gives each connection the next of some answers; its address."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer():
        for content in answers:
            connection, _ = listener.accept()
            with connection:
                request = b""
                while not request.endswith(b"}"):  # the end of its body
                    request += connection.recv(1 << 16)
                connection.sendall(content)
        listener.close()

    threading.Thread(target=answer, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def http(status, body, *headers):
    lines = [f"HTTP/1.1 {status} x", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


HITS = http(200, b'{"hits": []}')


def test_a_call_is_made_again_where_that_helps(monkeypatch):
    pauses = []
    monkeypatch.setattr("femtosearch.server.client.time.sleep", pauses.append)
    address = answering(http(429, b"{}", "Retry-After: 3"), b"", http(503, b"{}"), HITS)
    assert fs.connect(address).search("a") == []
    assert pauses == [3.0, 0.4]


@pytest.mark.parametrize(
    "answer",
    [
        http(200, b"<html>"),
        http(200, b"[]"),
        http(200, b'{"hits": 5}'),
        http(200, b'{"hits": [{"id": 1}]}'),
        http(200, b"[" * 100_000),
        http(200, b"\xff"),
        http(500, b"oops"),
        http(302, b"", "Location: http://evil.example"),
        http(200, b'{"hits": [{"id": "a", "score": "x", "text": "", "metadata": {}, "passage": null}]}'),
    ],
)
def test_a_server_that_is_none_of_ours_is_told(answer):
    with pytest.raises(fs.ServerError, match=r"not one of femtosearch's|is it femtosearch\?"):
        fs.connect(answering(answer)).search("a")


def test_it_may_be_called_from_many_threads(index):
    with pytest.raises(AttributeError):
        index.compact  # noqa: B018  # what a server does not let others do
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(index.search("a cat", k=1)[0].id)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == ["cat"] * 8


def test_the_same_for_asyncio(server):
    pytest.importorskip("httpx2")

    async def use():
        async with fs.connect_async(server.url) as index:
            ids = await index.add(["a bird", {"id": "b", "text": "fish"}])
            hits, several = await asyncio.gather(
                index.search("a cat", k=1), index.search(["the moon", "a dog"], k=1)
            )
            assert hits == server.indexes.get(None).search("a cat", k=1)
            assert [[hit.id for hit in hits] for hits in several] == [["moon"], ["dog"]]
            assert await index.context("a cat") == server.indexes.get(None).context("a cat")
            assert await index.get("b") == fs.Document("b", "fish") and await index.get("c") is None
            assert [document.id async for document in index] == [*TEXTS, *ids]
            assert (await index.stats()).documents == 5
            assert await index.delete(ids) == 2
            with pytest.raises(fs.QueryError, match="query"):
                await index.search("")
            with pytest.raises(TypeError, match="fuzzy"):
                await index.search("a", fuzzy=True)
            assert len(await index.search(["a cat"] * 65)) == 65 and await index.search([]) == []
            assert len((await index.page(limit=5000)).documents) == 3
            assert await index.get("z" * 50_000) is None and await index.update("cat", {"a": 1}) == 1
            with pytest.raises(fs.DocumentError, match="not a string"):
                await index.update("cat", {5: 1})
        with pytest.raises(fs.ServerError, match="connect again"):
            await index.search("a")

    asyncio.run(use())


def test_a_call_waits_as_long_as_the_server_says_but_not_without_end():
    assert calls.pause({"retry-after": "2"}, 0) == 2 and calls.pause({"retry-after": "9999"}, 0) == 10
    assert calls.pause({"retry-after": "soon"}, 1) == 0.2
    assert repr(RemoteIndex(Server("http://a"))) == "<RemoteIndex 'http://a'>"
