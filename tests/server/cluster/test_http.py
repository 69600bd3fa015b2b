"""HTTP before a cluster: `femtosearch serve` opens it beside indexes, and a new build drops no request."""

import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from urllib.parse import urlencode

import pytest

from femtosearch.errors import ServerError, StoreError
from femtosearch.index.index import Index
from femtosearch.read import read
from femtosearch.server.client import connect
from femtosearch.server.cluster.build import build
from femtosearch.server.cluster.cluster import Cluster
from femtosearch.server.cluster.watch import LOG, Watch

from .conftest import QUERIES, SHARDS, write_lines

pytest.importorskip("uvicorn")
pytest.importorskip("fastapi")
from femtosearch.server.indexes import Indexes

from .askers import Askers, facts_of, refused, served


def opened(place):
    return Cluster(place, address="here", replicas=2)


def answer(url, path):
    with urllib.request.urlopen(url + path, timeout=30) as response:
        return json.load(response)


@pytest.fixture(scope="module")
def both(built, model, tmp_path_factory):
    """The address of a server of a cluster's index and of an ordinary one, which may be written to."""
    notes = tmp_path_factory.mktemp("both") / "notes"
    with Index(notes, model=model) as index:
        index.add(["the cat sat on the mat"])
    indexes = Indexes([f"shards={built}", str(notes)], model=model, writable=True, open_cluster=opened)
    with served(indexes, writable=True) as url:
        yield url


def test_hits_over_http_are_those_of_one_index(both, single):
    with connect(both, index="shards") as remote:
        for how in ({}, {"explain": True}, {"mode": "maxsim", "where": "year > 2004", "length_penalty": 0}):
            answers = remote.search(QUERIES, **how)
            assert [*map(facts_of, answers)] == [*map(facts_of, single.search(QUERIES, **how))]
        assert (len(remote), remote.count("year > 2005")) == (len(single), single.count("year > 2005"))
        assert remote.get("d3") == single.get("d3")
        assert remote.facets("author") == single.facets("author")
        assert {document.id for document in remote} == {document.id for document in single}
        assert remote.stats().passages == single.stats().passages
    asked = urlencode({"q": "flutter \U0001f98a", "index": "shards"})
    assert answer(both, f"/search?{asked}")["coverage"]["unknown"] == ["\U0001f98a"]
    assert [entry["name"] for entry in answer(both, "/indexes")["indexes"]] == ["shards", "notes"]


def test_a_clusters_index_is_not_written_to(both):
    with connect(both, index="shards") as remote:
        for write in (lambda: remote.add(["a text"]), lambda: remote.delete("d3")):
            with pytest.raises(StoreError, match="changes by a new build alone"):
                write()
    with connect(both, index="notes") as remote:
        assert remote.add([{"id": "dog", "text": "the dog ran"}]) == ["dog"]


def test_only_a_server_opens_a_cluster(built, model):
    with pytest.raises(StoreError, match="femtosearch serve opens it"):
        Indexes([str(built)], model=model)


def test_a_server_that_lacks_a_shard_says_so_and_counts(built, tmp_path, single):
    shutil.copytree(built, tmp_path / "out")
    shutil.rmtree(next(tmp_path.glob("out/build-*/shard-0001-*/segments")))
    cluster = Cluster(tmp_path / "out", address="here", partial=True)
    with served(Indexes([], opened={"c": cluster})) as url:
        [entry] = answer(url, "/indexes")["indexes"]
        assert entry == {"name": "c", "documents": len(single), "missing": ["shard 1"]}
        with connect(url) as remote:
            hits = remote.search(QUERIES[0])
            assert hits.missing == ("shard 1",)
            assert facts_of(hits) == facts_of(cluster.search(QUERIES[0]))
            assert remote.search(QUERIES)[1].missing == ("shard 1",)
            with pytest.raises(ServerError, match="shards of the index do not answer"):
                remote.search(QUERIES[0], partial=False)
            with pytest.raises(ServerError, match="shard 1 did not answer"):
                remote.stats()
        with urllib.request.urlopen(url + "/metrics", timeout=30) as response:
            assert f'femtosearch_documents{{index="c"}} {len(single)}.0' in response.read().decode()


def test_a_new_build_takes_the_place_of_the_old_one_without_a_dropped_request(model, tmp_path):
    texts, out, expected = tmp_path / "a.jsonl", tmp_path / "out", []
    for turn in range(3):
        write_lines(texts, range(40 + turn), f" {turn}")
        with Index(model=model) as index:
            index.add(read([texts]))
            expected.append([facts_of(hits) for hits in index.search(QUERIES)])
    builds = []

    def make(turn):
        write_lines(texts, range(40 + turn), f" {turn}")
        builds.append(build([texts], out, shards=SHARDS, address="here", model="femto").manifest.build)

    make(0)
    cluster = Cluster(out, address="here", replicas=2, poll=0.02)
    with served(Indexes([], opened={"c": cluster})) as url, Askers(url, QUERIES) as askers:
        for turn in (1, 2):
            askers.await_more(5)
            make(turn)
            ended = time.monotonic() + 60
            while cluster.build != builds[-1] and time.monotonic() < ended:
                time.sleep(0.01)
            assert cluster.build == builds[-1]
        switched = time.monotonic()
        askers.await_more(6)  # of which three may have been asked before
        assert refused(url) == []
    assert askers.errors == []
    assert {expected.index(hits) for hits in askers.asked_since(0)} == {0, 1, 2}
    assert {expected.index(hits) for hits in askers.asked_since(switched)} == {2}


def test_a_look_that_fails_is_logged_and_there_is_a_next_one(caplog, monkeypatch):
    monkeypatch.setattr(LOG, "propagate", False)
    LOG.addHandler(caplog.handler)
    outcomes, ended = iter([StoreError("no manifest"), OSError("gone"), None, "b2"]), threading.Event()

    def refresh():
        outcome = next(outcomes, None)
        if isinstance(outcome, Exception):
            raise outcome
        if outcome is not None:
            ended.set()
        return outcome

    with caplog.at_level(logging.INFO, LOG.name):
        watch = Watch(refresh, 0.001)
        assert ended.wait(30)
        watch.close()
    assert [(record.message, record.fields) for record in caplog.records] == [
        ("the new build is not served", {"error": "no manifest"}),
        ("the new build is not served", {"error": "OSError('gone')"}),
        ("serving another build", {"build": "b2"}),
    ]


@pytest.mark.slow
def test_the_command_serves_a_cluster_and_its_next_build(tmp_path):
    texts, out = write_lines(tmp_path / "a.jsonl", range(9)), tmp_path / "out"
    build([texts], out, shards=2, address="here", model="femto")
    flags = ["--address", "here", "--replicas", "2", "--poll", "1", "--port", "0", "--log", "json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "femtosearch", "serve", f"shards={out}", *flags],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ},
    )
    try:
        told = process.stderr.readline()
        url = re.search(r"http://[\d.:]+", told)[0]
        assert "serving shards on" in told
        with connect(url) as remote:
            assert len(remote) == 9
            write_lines(texts, range(12))
            build([texts], out, shards=2, address="here", model="femto")
            ended = time.monotonic() + 60
            while len(remote) == 9 and time.monotonic() < ended:
                time.sleep(0.1)
            assert {document.id for document in remote} == {f"d{number}" for number in range(12)}
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0
    assert "serving another build" in [json.loads(line)["message"] for line in log.splitlines()]
