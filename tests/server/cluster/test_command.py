"""The command `cluster`, and a server before a cluster."""

import asyncio
import json
import shutil
import threading

import pytest

from femtosearch.cli import main
from femtosearch.cli.cluster import _refreshed
from femtosearch.errors import ServerError
from femtosearch.server.client import connect
from femtosearch.server.cluster.build import build
from femtosearch.server.cluster.cluster import Cluster

from .conftest import QUERIES, SHARDS, write_lines


def run(capsys, *arguments):
    code = main([*map(str, arguments)])
    output = capsys.readouterr()
    return code, output.out, output.err


def test_build_and_search(corpus, single, tmp_path, capsys):
    build_it = (
        "cluster",
        "build",
        corpus,
        tmp_path / "out",
        "--shards",
        2,
        "--address",
        "here",
        "--model",
        "femto",
    )
    code, output, _ = run(capsys, *build_it, "--json")
    facts = json.loads(output)
    assert (code, facts["documents"], facts["shards"], facts["encoded"]) == (0, len(single), 2, 2)
    code, output, _ = run(capsys, *build_it)
    assert "(2 were there)" in output
    ask = ("cluster", "search", tmp_path / "out", QUERIES[0], "--address", "here", "-k", 3, "--json")
    code, output, error = run(capsys, *ask)
    assert [json.loads(line)["id"] for line in output.splitlines()] == [
        hit.id for hit in single.search(QUERIES[0], k=3)
    ]
    code, output, error = run(capsys, *ask, "--where", "year > 3000")
    assert (code, output) == (0, "")
    assert "nothing found" in error


def test_what_is_lost_is_said(built, tmp_path, capsys):
    shutil.copytree(built, tmp_path / "out")
    shutil.rmtree(next(tmp_path.glob("out/build-*/shard-0001-*/segments")))
    ask = ("cluster", "search", tmp_path / "out", QUERIES[0], "--address", "here", "--json")
    code, output, error = run(capsys, *ask)
    assert (code, output) == (1, "")
    assert "1 of 3 shards did not answer" in error
    code, output, error = run(capsys, *ask, "--partial")
    assert code == 0
    assert output
    assert "without shard 1, which did not answer" in error


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["search", "nowhere", "x", "--address", "here"], 1, "no cluster's index here"),
        (["build", "nowhere", "out", "--shards", "2", "--address", "here"], 1, "nowhere"),
        (["serve", "nowhere", "--address", "here", "--port", "0"], 1, "no cluster's index here"),
    ],
)
def test_what_is_not_there_is_told(tmp_path, monkeypatch, capsys, arguments, code, told):
    if arguments[0] == "serve":
        pytest.importorskip("uvicorn")
    monkeypatch.chdir(tmp_path)
    ended, _, error = run(capsys, "cluster", *arguments)
    assert ended == code
    assert told in error


@pytest.fixture
def served(built, tmp_path):
    """A server before a cluster of which one shard is lost, and the cluster."""
    pytest.importorskip("uvicorn")
    pytest.importorskip("fastapi")
    from femtosearch.server.indexes import Indexes
    from femtosearch.server.run import make_server
    from femtosearch.server.settings import Settings

    shutil.copytree(built, tmp_path / "out")
    shutil.rmtree(next(tmp_path.glob("out/build-*/shard-0001-*/segments")))
    cluster = Cluster(tmp_path / "out", address="here", partial=True)
    started = threading.Event()
    indexes = Indexes([], opened={"c": cluster})
    server, listener = make_server(indexes, Settings(port=0), lambda address: started.set())
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
    thread.start()
    assert started.wait(30)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}", cluster
    server.should_exit = True
    thread.join()


def test_a_server_says_which_shards_are_missing(served):
    url, cluster = served
    with connect(url) as remote:
        hits = remote.search(QUERIES[0])
        assert hits.missing == ("shard 1",)
        assert [(hit.id, hit.score) for hit in hits] == [
            (hit.id, hit.score) for hit in cluster.search(QUERIES[0])
        ]
        assert remote.search(QUERIES)[1].missing == ("shard 1",)
        with pytest.raises(ServerError, match="shards of the index do not answer"):
            remote.search(QUERIES[0], partial=False)
        with pytest.raises(ServerError):
            remote.add(["a text"])


def test_a_new_build_is_looked_for(tmp_path):
    texts = write_lines(tmp_path / "a.jsonl", range(6))
    build([texts], tmp_path / "out", shards=SHARDS, address="here", model="femto")
    with Cluster(tmp_path / "out", address="here") as cluster:
        former = cluster.build
        write_lines(texts, range(7))
        build([texts], tmp_path / "out", shards=SHARDS, address="here", model="femto")
        refreshed = threading.Event()
        refresh = cluster.refresh
        cluster.refresh = lambda: refresh() and not refreshed.set()
        with _refreshed(cluster, 0.01):
            assert refreshed.wait(30)
        assert cluster.build != former
        assert len(cluster) == 7
