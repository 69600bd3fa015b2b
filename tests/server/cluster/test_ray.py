"""A real cluster of several nodes on this machine: built and searched while workers and nodes die."""

import logging
import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from femtosearch.errors import FemtosearchError, ServerError, StoreError
from femtosearch.index.index import Index
from femtosearch.read import read
from femtosearch.server.cluster.build import build
from femtosearch.server.cluster.cluster import Cluster
from femtosearch.server.cluster.router import MissingShardsError, Patience

from .conftest import QUERIES, write_lines

ray = pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
PATIENCE = Patience(timeout=120)  # for actors that start on a busy machine
HOW = ({"mode": "maxsim"}, {}, {"hybrid": 1}, {"mode": "maxsim", "hybrid": 0.36, "k": 50})


@pytest.fixture(scope="module")
def nodes():
    """Three nodes: one for this process, and two that can die."""
    from ray.cluster_utils import Cluster as Nodes

    cluster = Nodes(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    mortal = [cluster.add_node(num_cpus=1) for _ in range(2)]
    ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
    yield cluster, mortal
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    for number in range(4):
        write_lines(folder / f"{number}.jsonl", range(number * 60, number * 60 + 60))
    return folder


@pytest.fixture(scope="module")
def one(texts, model):
    index = Index(model=model)
    index.add(read([texts]))
    return index


OURS = (b"ray::divide", b"ray::encode", b"ray::Holder")
LOOK = 0.005  # seconds between two looks for workers


def workers():
    """The processes that run tasks or actors of ours now."""
    running = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            if Path("/proc", name, "cmdline").read_bytes().startswith(OURS):
                running.append(int(name))
    return running


class Killer(threading.Thread):
    """Kills a worker as soon as one is seen, and the next after a pause, until it is told to stop or has
    killed so many. It looks often, for a task may take a few hundredths of a second.
    """

    def __init__(self, most, pause):
        super().__init__(daemon=True)
        self.most, self.pause, self.killed, self.ended = most, pause, 0, threading.Event()

    def run(self):
        while self.killed < self.most and not self.ended.wait(LOOK):
            for process in workers()[:1]:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
                    self.killed += 1
                    self.ended.wait(self.pause)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.join()


def same(cluster, one):
    return all(cluster.search(QUERIES, **how) == one.search(QUERIES, **how) for how in HOW)


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:1", "http://x y"])
def test_a_bad_address_is_told(texts, tmp_path, address):
    if ray.is_initialized():
        pytest.skip("Ray has one connection a process")
    with pytest.raises(ServerError, match="address"):
        build([texts], tmp_path, shards=1, model="femto", address=address)


def test_workers_that_die_lose_nothing_and_answer_nothing_wrong(nodes, texts, one, tmp_path, monkeypatch):
    monkeypatch.setattr("femtosearch.server.cluster.portions.PORTION", 1)
    with Killer(4, 0.7) as killer:
        built = build([texts], tmp_path / "out", shards=4, model="femto")
    assert killer.killed
    assert built.manifest.documents == len(one)
    with Cluster(tmp_path / "out", replicas=2, patience=PATIENCE) as cluster:
        assert {document.id for document in cluster} == {document.id for document in one}
        assert same(cluster, one)
        with Killer(6, 0.4) as killer:
            ended = time.monotonic() + 120
            while killer.is_alive() and time.monotonic() < ended:
                assert same(cluster, one)
        assert killer.killed >= 5


def test_a_node_that_dies_is_replaced_by_the_others(nodes, texts, one, tmp_path):
    cluster_of_nodes, mortal = nodes
    build([texts], tmp_path / "out", shards=3, model="femto")
    with Cluster(tmp_path / "out", replicas=2, patience=PATIENCE) as cluster:
        assert same(cluster, one)
        cluster_of_nodes.remove_node(mortal.pop(), allow_graceful=False)
        for _ in range(5):
            assert same(cluster, one)
    mortal.append(cluster_of_nodes.add_node(num_cpus=1))


def test_http_drops_no_request_while_workers_die_and_a_new_build_comes(nodes, texts, model, tmp_path):
    pytest.importorskip("uvicorn")
    pytest.importorskip("fastapi")
    from femtosearch.server.indexes import Indexes

    from .askers import Askers, facts_of, refused, served

    expected, texts = [], tmp_path / "texts"
    texts.mkdir()

    def write(turn):
        write_lines(texts / "a.jsonl", range(60), f" {turn}")

    for turn in range(2):
        write(turn)
        with Index(model=model) as index:
            index.add(read([texts]))
            expected.append([facts_of(hits) for hits in index.search(QUERIES)])
    write(0)
    build([texts], tmp_path / "out", shards=2, model="femto")
    cluster = Cluster(tmp_path / "out", replicas=2, poll=0.2, patience=PATIENCE)
    with (
        served(Indexes([], opened={"c": cluster}), timeout=120) as url,
        Askers(url, QUERIES, threads=2) as askers,
    ):
        askers.await_more(3)
        former = cluster.build
        write(1)
        with Killer(2, 0.5) as killer:
            build([texts], tmp_path / "out", shards=2, model="femto")
            while killer.is_alive() or cluster.build == former:
                askers.await_more(1)
        switched = time.monotonic()
        askers.await_more(4)  # of which two may have been asked before
        assert refused(url) == []
    assert killer.killed
    assert askers.errors == []
    assert {expected.index(hits) for hits in askers.asked_since(0)} == {0, 1}
    assert {expected.index(hits) for hits in askers.asked_since(switched)} == {1}


def test_a_lost_shard_is_named(nodes, texts, one, tmp_path):
    build([texts], tmp_path / "out", shards=2, model="femto")
    with Cluster(tmp_path / "out", patience=PATIENCE) as cluster:
        [lost] = cluster._version.router._copies[1]
        lost._started = lambda: lost._actor  # nothing takes its place
        ray.kill(lost._actor)
        cluster._version.router._patience = Patience(timeout=0.5)
        with pytest.raises(MissingShardsError, match="shard 1"):
            cluster.search(QUERIES[0])
        hits = cluster.search(QUERIES[0], partial=True, mode="maxsim", length_penalty=0, k=1000)
        assert hits.missing == ("shard 1",)
        every = one.search(QUERIES[0], mode="maxsim", length_penalty=0, k=1000)
        assert [hit for hit in every if hit.id in {hit.id for hit in hits}] == hits


def test_errors_of_tasks_come_as_they_were(nodes, tmp_path):
    (tmp_path / "bad.jsonl").write_text('{"id": "a"}\n')
    with pytest.raises(FemtosearchError, match="expected a text under 'text'") as error:
        build([tmp_path / "bad.jsonl"], tmp_path / "out", shards=1, model="femto")
    assert "Traceback" not in str(error.value)


def test_s3_is_read_and_written(nodes, texts, one, monkeypatch):
    s3fs = pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer(port=0)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server.start()
    try:
        url = "http://{}:{}".format(*server.get_host_and_port())
        for name, setting in (("ACCESS_KEY_ID", "x"), ("SECRET_ACCESS_KEY", "x"), ("ENDPOINT_URL", url)):
            monkeypatch.setenv(f"AWS_{name}", setting)
        files = s3fs.S3FileSystem()
        files.mkdir("bucket")
        for path in texts.iterdir():
            files.put_file(str(path), f"bucket/texts/{path.name}")
        with pytest.raises(StoreError, match="no cluster's index here"):
            Cluster("s3://bucket/out", address="here")
        build(["s3://bucket/texts"], "s3://bucket/out", shards=2, address="here", model="femto")
        with Cluster("s3://bucket/out", address="here") as cluster:
            assert same(cluster, one)
        with pytest.raises(StoreError, match="s3://nobucket"):
            build(["s3://bucket/texts"], "s3://nobucket/out", shards=2, address="here", model="femto")
    finally:
        server.stop()
