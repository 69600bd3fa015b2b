"""Shards in this process: together they are one index; what is missing, swapped or foreign is told."""

import json
import shutil
import threading

import pytest

from femtosearch.errors import (
    DocumentError,
    FemtosearchError,
    QueryError,
    StoreError,
    UnknownQueryWarning,
)
from femtosearch.index.index import Index
from femtosearch.index.searches import Searches
from femtosearch.read import read
from femtosearch.server.client import connect
from femtosearch.server.cluster.build import build
from femtosearch.server.cluster.cluster import Cluster
from femtosearch.server.cluster.router import MissingShardsError, Patience

from .conftest import QUERIES, SHARDS, text_of, write_lines

UNKNOWN = "\U0001f98a \U0001f98b"  # the model knows no word of it


@pytest.fixture(scope="module")
def cluster(built):
    with Cluster(built, address="here", replicas=2) as opened:
        yield opened


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"mode": "maxsim"},
        {"mode": "maxsim", "length_penalty": 0},
        {"mode": "maxsim", "hybrid": 0.36},
        {"hybrid": 0.9, "k": 3},
        {"hybrid": 1},
        {"hybrid": 1, "k": 1000},
        {"k": 1000},
        {"k": 1},
        {"fold": True, "k": 20},
        {"spots": True, "k": 2},
        {"per": {"author": 2}},
        {"per": {"author": 1}, "k": 2, "mode": "maxsim"},
        {"min_score": 0.3},
        {"mode": "maxsim", "length_penalty": 0, "where": {"author": {"$in": ["a1", "a2"]}}},
        {"hybrid": 1, "where": "year >= 2004"},
        {"mode": "maxsim", "length_penalty": 0, "where": "author = 'nobody'"},
        {"explain": True},
        {"explain": True, "mode": "maxsim", "k": 100},
        {"explain": True, "hybrid": 1, "where": "year >= 2004"},
        {"explain": True, "per": {"author": 1}, "fold": True},
    ],
    ids=str,
)
def test_hits_are_those_of_one_index(cluster, single, how):
    assert cluster.search(QUERIES, **how) == single.search(QUERIES, **how)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["rerank", "fde"])
def test_all_candidates_are_found(built, single, mode):
    with Cluster(built, address="here", patience=Patience(timeout=300)) as cluster:
        for query in QUERIES[:3]:
            ids = [hit.id for hit in cluster.search(query, mode=mode)]
            assert ids == [hit.id for hit in single.search(query, mode=mode)]
        hits = cluster.search(QUERIES[0], mode="fde", explain=True, k=5, where="year >= 2004")
        assert [hit.explanation.ranks for hit in hits] == [{"fde": rank} for rank in range(1, 6)]


def test_documents_are_those_of_one_index(cluster, single):
    everything = {document.id: document for document in single}
    assert {document.id: document for document in cluster} == everything
    assert (len(cluster), cluster.count("year > 2005")) == (len(single), single.count("year > 2005"))
    assert cluster.get(["d3", "nobody", "d80"]) == single.get(["d3", "nobody", "d80"])
    assert cluster.get("nobody") is None
    assert "d3" in cluster
    assert 3 not in cluster
    assert cluster.facets("author") == single.facets("author")
    assert list(cluster.facets("author", limit=2)) == list(single.facets("author", limit=2))
    assert cluster.context(QUERIES[0]).text == single.context(QUERIES[0]).text
    ours, theirs = cluster.stats(), single.stats()
    assert (ours.documents, ours.passages, ours.rows) == (theirs.documents, theirs.passages, theirs.rows)


def test_what_has_no_rows_or_is_no_text_counts_as_in_one_index(tmp_path, model):
    """A document that the model knows nothing of counts as the least that any shard has; true is 1."""
    values = [True, 1, 2.0, 2, "a", None, 1, "b", True]
    lines = [
        {"id": f"d{n}", "text": text, "value": value}
        for n, value in enumerate(values)
        for text in [f"{text_of(n)} 😀" if n % 3 else "emoji😀"]
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    single = Index(model=model)
    single.add(read([tmp_path / "a.jsonl"]))
    build([tmp_path / "a.jsonl"], tmp_path / "out", shards=4, address="here", model="femto")
    with Cluster(tmp_path / "out", address="here") as cluster:
        for query in (f"heat transfer emoji😀 {QUERIES[0]}", f"{QUERIES[-1]} emoji😀"):
            hits = single.search(query, k=20, explain=True)
            assert cluster.search(query, k=20, explain=True) == hits
            assert {hit.maxsim is None for hit in hits} == {True, False}
        for limit in (None, 1, 2):
            facets = [list(index.facets("value", limit=limit).items()) for index in (cluster, single)]
            assert facets[0] == facets[1] and facets[0][0] == (1, 4)


def test_pages_go_over_all_shards(cluster, single):
    names, after = [], -1
    while after is not None:
        page = cluster.page(after, 7)
        names += [document.id for document in page.documents]
        after = page.after
    assert sorted(names) == sorted(document.id for document in single)


def test_everything_that_is_searched_is_alike(cluster, single):
    remote = connect("http://127.0.0.1:9")
    for searched in (cluster, single, remote):
        assert isinstance(searched, Searches)


@pytest.mark.parametrize(
    ("ask", "error", "told"),
    [
        (lambda cluster: cluster.search(""), QueryError, "it is empty"),
        (lambda cluster: cluster.search("x", k=0), QueryError, "k: expected"),
        (lambda cluster: cluster.search("x", colour=1), QueryError, "found 'colour'"),
        (lambda cluster: cluster.search("x", where="(("), QueryError, "where"),
        (lambda cluster: cluster.search(3), QueryError, "query"),
        (lambda cluster: cluster.count({"$no": 1}), QueryError, "no"),
        (lambda cluster: cluster.facets(""), QueryError, "facets"),
        (lambda cluster: cluster.page(limit="x"), DocumentError, "limit"),
        (lambda cluster: cluster.page(limit=True), DocumentError, "limit"),
        (lambda cluster: cluster.facets("author", limit=0), QueryError, "limit"),
        (lambda cluster: cluster.get(3), DocumentError, "get"),
        (lambda cluster: cluster.get([3]), DocumentError, "get"),
        (lambda cluster: cluster.page(True), DocumentError, "after"),
        (lambda cluster: cluster.search("x", mode="fde", hybrid=1), QueryError, "hybrid"),
    ],
)
def test_what_is_wrong_is_told_as_by_an_index(cluster, ask, error, told):
    with pytest.raises(error, match=told):
        ask(cluster)


def test_no_query_has_no_answers(cluster):
    assert cluster.search([]) == []
    assert cluster.search([], explain=True) == []


def test_what_of_a_query_is_unknown_is_told_as_by_an_index(cluster, single):
    assert cluster.coverage("flutter zzqx") == single.coverage("flutter zzqx")
    with pytest.warns(UnknownQueryWarning, match="knows no word of it"):
        hits = cluster.search(UNKNOWN, explain=True)
    with pytest.warns(UnknownQueryWarning):
        assert hits == single.search(UNKNOWN, explain=True)


def test_without_a_shard_hits_are_explained_by_the_others(built, tmp_path):
    with Cluster(harmed(built, tmp_path, lose), address="here", partial=True) as cluster:
        hits = cluster.search(QUERIES[0], explain=True)
        assert hits.missing == ("shard 1",)
        assert sorted(hit.explanation.ranks["exact"] for hit in hits)[0] == 1


@pytest.mark.parametrize("seconds", [-1, True, "5", float("nan")])
def test_a_time_to_look_again_that_is_none_is_told(built, seconds):
    with pytest.raises(StoreError, match="poll: expected a number of seconds"):
        Cluster(built, address="here", poll=seconds)


def harmed(built, tmp_path, harm):
    """A copy of an index, to whose shards' folders something was done."""
    out = tmp_path / "harmed"
    shutil.copytree(built, out)
    manifest = json.loads((out / "manifest.json").read_text())
    harm([out / f"build-{manifest['build']}" / shard["folder"] for shard in manifest["shards"]])
    return out


def lose(folders):
    shutil.rmtree(folders[1])


def swap(folders):
    folders[0].rename(folders[0].with_name("x"))
    folders[1].rename(folders[0])
    folders[0].with_name("x").rename(folders[1])


def flip(folders):
    path = next((folders[1] / "segments").glob("*.seg"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def cut(folders):
    path = folders[1] / "catalog.db"
    path.write_bytes(path.read_bytes()[:-4096])


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lose, "cannot be read"),
        (swap, "than the manifest says"),
        (flip, "other bytes"),
        (cut, "another size"),
    ],
)
def test_a_shard_that_is_not_what_the_manifest_says(built, tmp_path, single, harm, told):
    out = harmed(built, tmp_path, harm)
    with pytest.raises(MissingShardsError, match=told):
        Cluster(out, address="here")
    with Cluster(out, address="here", partial=True) as cluster:
        hits = cluster.search("heat transfer", k=100)
        assert "shard 1" in hits.missing
        assert 0 < len(hits) < 90 or harm is swap
        with pytest.raises(MissingShardsError):
            cluster.search("heat transfer", partial=False)
        with pytest.raises(MissingShardsError):
            cluster.count("year > 2005")
        assert len(cluster) == len(single)  # which the manifest says


def test_shards_that_were_swapped_with_the_manifests_help(built, tmp_path):
    out = harmed(built, tmp_path, lambda folders: None)
    facts = json.loads((out / "manifest.json").read_text())
    facts["shards"].reverse()
    (out / "manifest.json").write_text(json.dumps(facts))
    with pytest.raises(MissingShardsError, match="folders were swapped"):
        Cluster(out, address="here")


def test_a_manifest_of_another_model(built, tmp_path):
    out = harmed(built, tmp_path, lambda folders: None)
    content = (out / "manifest.json").read_text()
    fingerprint = json.loads(content)["model"]["fingerprint"]
    (out / "manifest.json").write_text(content.replace(fingerprint, "0" * len(fingerprint)))
    with pytest.raises(MissingShardsError, match="it was made with the model 'femto'"):
        Cluster(out, address="here")


def test_another_model_than_the_indexs(built):
    with (
        Cluster(built, address="here", model="megabyte") as cluster,
        pytest.raises(StoreError, match="made with the model 'femto'"),
    ):
        cluster.search("heat")


@pytest.mark.parametrize("place", ["", "nowhere", "nosuch://x", 3, "a\0b"])
def test_places_without_an_index(tmp_path, monkeypatch, place):
    pytest.importorskip("fsspec")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError):
        Cluster(place, address="here")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("replicas", [0, True, "2", 101])
def test_replicas_are_counted(built, replicas):
    with pytest.raises(StoreError, match="replicas"):
        Cluster(built, address="here", replicas=replicas)


def test_a_closed_cluster_says_so(built):
    cluster = Cluster(built, address="here")
    cluster.close()
    cluster.close()
    with pytest.raises(StoreError, match="closed"):
        cluster.search("heat")


def test_a_new_build_is_served_without_a_failed_request(tmp_path):
    texts = write_lines(tmp_path / "a.jsonl", range(12))
    build([texts], tmp_path / "out", shards=2, address="here", model="femto")
    failures, versions, ended = [], set(), threading.Event()

    def ask(cluster):
        while not ended.is_set():
            try:
                versions.add(cluster.search("heat transfer flow", k=30)[-1].text[-5:] == " anew")
                assert len(cluster.get(["d1", "d2"])) == 2
            except FemtosearchError as error:
                failures.append(error)

    with Cluster(tmp_path / "out", address="here") as cluster:
        former, threads = cluster.build, [threading.Thread(target=ask, args=[cluster]) for _ in range(3)]
        for thread in threads:
            thread.start()
        assert not cluster.refresh()
        for turn in range(2):
            write_lines(texts, range(12 + turn), " anew")
            build([texts], tmp_path / "out", shards=2, address="here", model="femto")
            assert cluster.refresh()
            assert cluster.build != former
        cluster.search("heat")
        ended.set()
        for thread in threads:
            thread.join()
        assert len(cluster) == 13
    assert failures == []
    assert True in versions


def test_a_new_build_that_cannot_be_opened_is_not_served(tmp_path):
    texts = write_lines(tmp_path / "a.jsonl", range(6))
    build([texts], tmp_path / "out", shards=SHARDS, address="here", model="femto")
    with Cluster(tmp_path / "out", address="here") as cluster:
        former = cluster.build
        write_lines(texts, range(6), " anew")
        new = build([texts], tmp_path / "out", shards=SHARDS, address="here", model="femto").manifest
        shutil.rmtree(tmp_path / "out" / new.folder(0))
        with pytest.raises(MissingShardsError):
            cluster.refresh()
        assert cluster.build == former
        assert cluster.get("d1").text == text_of(1)


def test_shards_without_words(tmp_path, single):
    texts = write_lines(tmp_path / "a.jsonl", range(9))
    manifest = build([texts], tmp_path / "out", shards=2, address="here", model="femto").manifest
    with Index(tmp_path / "out" / manifest.folder(0)) as index:
        index.set_words(False)
    with pytest.raises(MissingShardsError, match="than the manifest says"):
        Cluster(tmp_path / "out", address="here")
