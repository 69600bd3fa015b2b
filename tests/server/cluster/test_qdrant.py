"""An index in Qdrant gives MaxSim's hits: qdrant-client's local mode, and Qdrant Edge."""

import json

import numpy as np
import pytest

import femtosearch as fs
from femtosearch.cli import main
from femtosearch.errors import (
    DocumentError,
    FdeError,
    ModelMismatchError,
    QueryError,
    ServerError,
)
from femtosearch.index.index import Index
from femtosearch.index.searches import Searches
from femtosearch.server.cluster import qdrant as qdrant_module
from femtosearch.server.cluster import qdrant_store
from femtosearch.server.cluster.qdrant import QdrantIndex, export_to_qdrant, point_id

from .conftest import QUERIES, write_lines

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
PLACES = {"qdrant": "qdrant_client", "qdrant-edge": "qdrant_edge"}


@pytest.fixture(scope="module", params=PLACES)
def address(request, tmp_path_factory, single):
    """An index that was exported."""
    pytest.importorskip(PLACES[request.param])
    address = f"{request.param}:{tmp_path_factory.mktemp('qdrant') / 'store'}"
    steps = []
    assert export_to_qdrant(single, address, progress=steps.append) == len(single)
    assert steps[-1] == len(single)
    return address


@pytest.fixture(scope="module")
def qdrant(address):
    with fs.connect(address) as opened:
        yield opened


def test_the_ten_best_are_maxsims_with_its_scores(qdrant, single):
    exact = single.search(QUERIES, mode="maxsim", length_penalty=0)
    for mode in ("auto", "maxsim"):
        for ours, theirs in zip(qdrant.search(QUERIES, mode=mode), exact, strict=True):
            assert {hit.id for hit in ours} == {hit.id for hit in theirs}
            scores = {hit.id: hit.score for hit in theirs}
            np.testing.assert_allclose(
                [hit.score for hit in ours], [scores[hit.id] for hit in ours], rtol=1e-5
            )
            assert {hit.id: (hit.text, hit.metadata) for hit in ours} == {
                hit.id: (hit.text, hit.metadata) for hit in theirs
            }
            assert all(hit.passage is not None for hit in ours)


def test_the_fde_alone_finds(qdrant, single):
    ours, theirs = qdrant.search(QUERIES[0], mode="fde"), single.search(QUERIES[0], mode="fde")
    assert len({hit.id for hit in ours} & {hit.id for hit in theirs}) >= 9


def test_documents_are_the_indexs(qdrant, single):
    everything = {document.id: document for document in single}
    assert {document.id: document for document in qdrant} == everything
    assert len(qdrant) == len(single)
    assert qdrant.get(["d3", "nobody"]) == single.get(["d3", "nobody"])
    assert "d3" in qdrant
    assert isinstance(qdrant, Searches)
    assert qdrant.context(QUERIES[0]).text


def test_hits_can_be_left_out(qdrant):
    hits = qdrant.search(QUERIES[0])
    assert qdrant.search(QUERIES[0], k=3) == hits[:3]
    assert qdrant.search(QUERIES[0], min_score=hits[4].score) == hits[:5]
    assert len(qdrant.search(QUERIES[0], candidates=12, k=8)) <= 8
    assert qdrant.search([]) == []


def test_a_condition_of_qdrants_own(address, qdrant, single):
    if address.startswith("qdrant-edge"):
        import qdrant_edge as models

        match = models.MatchValue("a1")
    else:
        from qdrant_client import models

        match = models.MatchValue(value="a1")
    condition = models.Filter(must=[models.FieldCondition(key="metadata.author", match=match)])
    theirs = single.search(QUERIES[0], mode="maxsim", length_penalty=0, where={"author": "a1"})
    assert [hit.id for hit in qdrant.search(QUERIES[0], filter=condition)] == [hit.id for hit in theirs]
    assert qdrant.count(filter=condition) == single.count({"author": "a1"})
    assert len(list(qdrant.documents(filter=condition))) == single.count({"author": "a1"})


@pytest.mark.parametrize(
    ("ask", "error"),
    [
        (lambda qdrant: qdrant.search("x", hybrid=0.5), QueryError),
        (lambda qdrant: qdrant.search("x", where={"year": 1}), QueryError),
        (lambda qdrant: qdrant.search(""), QueryError),
        (lambda qdrant: qdrant.count({"year": 1}), QueryError),
        (lambda qdrant: qdrant.get(3), DocumentError),
    ],
)
def test_what_qdrant_does_not_do_is_told(qdrant, ask, error):
    with pytest.raises(error):
        ask(qdrant)


@pytest.mark.parametrize("name", ["add", "delete", "facets", "page", "stats", "coverage"])
def test_methods_that_are_not_there_say_so(qdrant, name):
    with pytest.raises(AttributeError, match=f"an index in Qdrant has no '{name}'"):
        getattr(qdrant, name)


@pytest.mark.parametrize("condition", ["year > 1", {"must": []}, 3])
def test_a_condition_that_is_none_of_qdrants_is_told(qdrant, condition):
    for ask in (lambda: qdrant.search("x", filter=condition), lambda: qdrant.count(filter=condition),
                lambda: qdrant.documents(filter=condition)):  # fmt: skip
        with pytest.raises(QueryError, match="filter: expected a Filter of qdrant_"):
            ask()


@pytest.mark.parametrize("scheme", PLACES)
def test_passages_without_rows_and_odd_documents_come_along(tmp_path, model, scheme):
    pytest.importorskip(PLACES[scheme])
    index = Index(model=model)
    metadata = {
        "n": 2**60,
        "f": 1.5,
        "b": True,
        "none": None,
        "l": [1, "x", None],
        "d": {"e": {}},
        "": 1,
        "a.b": 2,
    }
    index.add(
        [
            {"id": "a/ü#\n", "text": "flow of heat", "metadata": metadata},
            {"id": "unknown", "text": "emoji\U0001f600", "metadata": {"id": "x", "number": 7, "passage": 3}},
            {"id": "empty", "text": ""},
            {"id": "long", "text": "flow " * 600},
        ]
    )
    address = f"{scheme}:{tmp_path / 'store'}"
    assert export_to_qdrant(index, address) == 4
    with fs.connect(address) as opened:
        assert {document.id: document for document in opened} == {document.id: document for document in index}
        exact = index.search("heat", mode="maxsim", length_penalty=0, k=100)
        assert [hit.id for hit in opened.search("heat", k=100)] == [hit.id for hit in exact]


@pytest.mark.parametrize("scheme", PLACES)
def test_what_is_broken_off_leaves_nothing(tmp_path, single, scheme):
    pytest.importorskip(PLACES[scheme])
    address = f"{scheme}:{tmp_path / 'store'}"

    def stop(written):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_to_qdrant(single, address, progress=stop)
    assert export_to_qdrant(single, address) == len(single)


def test_a_request_is_of_bounded_size(tmp_path, model, monkeypatch):
    pytest.importorskip("qdrant_client")
    sizes = []
    put = qdrant_store._Client.put

    def counted(self, points):
        sizes.append(len(points))
        put(self, points)

    monkeypatch.setattr(qdrant_store._Client, "put", counted)
    monkeypatch.setattr(qdrant_module, "_NUMBERS", 10_000)
    index = Index(model=model)
    index.add(["flow " * 4000, "heat"])
    export_to_qdrant(index, f"qdrant:{tmp_path / 'store'}")
    assert len(sizes) > 3 and sum(sizes) == index.stats().passages + 1
    with fs.connect(f"qdrant:{tmp_path / 'store'}") as opened:
        assert len(opened) == 2


@pytest.mark.parametrize("scheme", PLACES)
def test_a_folder_of_something_else_is_refused(tmp_path, single, scheme):
    pytest.importorskip(PLACES[scheme])
    (tmp_path / "precious").touch()
    with pytest.raises(ServerError, match=r"expected a new or empty folder|it is there already"):
        export_to_qdrant(single, f"{scheme}:{tmp_path}")
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_nothing_is_replaced(address, qdrant, single):
    qdrant.close()
    with pytest.raises(ServerError, match="it is there already"):
        export_to_qdrant(single, address)


def test_connecting_takes_a_model_a_key_and_no_index(tmp_path, model, monkeypatch):
    client = pytest.importorskip("qdrant_client")
    model.save(tmp_path / "own")
    index = Index(model=str(tmp_path / "own"))
    index.add(["heat transfer"])
    export_to_qdrant(index, f"qdrant:{tmp_path / 'store'}")
    with fs.connect(f"qdrant:{tmp_path / 'store'}", model=str(tmp_path / "own")) as opened:
        assert opened.search("heat")[0].text == "heat transfer"
    with pytest.raises(ServerError, match="named behind #"):
        fs.connect(f"qdrant:{tmp_path / 'store'}", index="notes")
    with pytest.raises(ServerError, match="model: expected none"):
        fs.connect("http://127.0.0.1:1", model="femto")
    asked = []
    monkeypatch.setattr(client, "QdrantClient", lambda **how: asked.append(how) or 1 / 0)
    monkeypatch.setenv("QDRANT_API_KEY", "theirs")
    for key in ("mine", None):
        with pytest.raises(ServerError):
            fs.connect("qdrant:http://127.0.0.1:1", key=key, timeout=2.5)
    assert [(how["api_key"], how["timeout"]) for how in asked] == [("mine", 3), ("theirs", 3)]


def test_another_model(address, qdrant):
    qdrant.close()
    with QdrantIndex(address, model="megabyte") as other, pytest.raises(ModelMismatchError):
        other.search("x")


@pytest.mark.parametrize(
    "address",
    [
        *("qdrant:", "qdrant-edge:", "qdrant:nowhere", "qdrant-edge:nowhere", "qdrant:http://127.0.0.1:9"),
        "qdrant-edge:nowhere#name",
    ],
)
def test_addresses_without_a_collection(tmp_path, monkeypatch, address):
    for name in PLACES.values():
        pytest.importorskip(name)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ServerError):
        fs.connect(address)
    assert not list(tmp_path.iterdir())


def test_a_collection_of_others_is_refused(tmp_path):
    client = pytest.importorskip("qdrant_client")
    with_theirs = client.QdrantClient(path=str(tmp_path / "theirs"))
    vector = client.models.VectorParams(size=2, distance=client.models.Distance.DOT)
    with_theirs.create_collection("femtosearch", vectors_config={"fde": vector})
    with_theirs.close()
    with pytest.raises(ServerError, match="not made by femtosearch"):
        fs.connect(f"qdrant:{tmp_path / 'theirs'}")


def test_facts_that_were_changed_are_refused(tmp_path, model):
    client = pytest.importorskip("qdrant_client")
    index = Index(model=model)
    index.add(["heat transfer", "---", "a shell"])
    address = f"qdrant:{tmp_path / 'store'}#mine"
    export_to_qdrant(index, address)
    from femtosearch.server.cluster.qdrant import _FACTS

    for facts in ({"format": 2}, {"format": 1}, {"format": 1, "model": {}, "fde": "!"}, 3):
        opened = client.QdrantClient(path=str(tmp_path / "store"))
        opened.set_payload("mine", {"femtosearch": facts}, points=[_FACTS])
        opened.close()
        with pytest.raises(ServerError):
            fs.connect(address)


def test_an_index_without_an_fde(tmp_path, model):
    pytest.importorskip("qdrant_client")
    index = Index(model=model, fde=None)
    index.add(["heat"])
    with pytest.raises(FdeError, match="set_fde"):
        export_to_qdrant(index, f"qdrant:{tmp_path / 'store'}")


def test_points_are_called_alike_for_ever():
    assert point_id("a", 0) == point_id("a", 0) != point_id("a", 1)


def test_the_command(tmp_path, capsys):
    pytest.importorskip("qdrant_client")
    texts = write_lines(tmp_path / "a.jsonl", range(8))
    folder, place = str(tmp_path / "index"), f"qdrant:{tmp_path / 'store'}#eight"
    assert main(["index", folder, str(texts), "--model", "femto", "--quiet"]) == 0
    assert main(["export", folder, "--to", place, "--where", "year >= 2002", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"documents": 6, "to": place}
    assert main(["export", folder, "x.jsonl", "--to", place]) == 1
    assert "no TARGET" in capsys.readouterr().err
    assert main(["export", str(tmp_path / "nothing"), "--to", place]) == 1
    assert main(["export", folder, "--to", "elsewhere"]) == 1
    assert "qdrant:URL" in capsys.readouterr().err
