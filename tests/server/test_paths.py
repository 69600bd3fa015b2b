"""What each path of the server answers, over a real socket."""

import base64
import http.client
import json
import re
import time

import numpy as np
import pytest

from femtosearch.cli import main
from femtosearch.index.index import Index
from femtosearch.model.model import Model
from femtosearch.server.bodies import EmbeddingsBody, RerankBody
from femtosearch.server.guard import access_of
from femtosearch.server.models import embeddings, ranks

from ..tiny import write_tiny_model
from .conftest import TEXTS, fill, running


def ids(content):
    return [hit["id"] for hit in content["hits"]]


def test_a_search_has_the_hits_of_the_library(served):
    status, headers, content = served.ask("POST", "/search", {"query": "a cat on a mat", "k": 2})
    expected = served.indexes.get(None).search("a cat on a mat", k=2)
    assert status == 200 and len(headers["x-request-id"]) == 16
    assert ids(content) == [hit.id for hit in expected] and content["hits"][0]["score"] == expected[0].score
    best = content["hits"][0]
    assert best["id"] == "cat" and best["text"] == TEXTS["cat"] and best["metadata"] == {"length": 22}
    assert best["passage"] == list(expected[0].passage)


def test_several_queries_have_a_list_each(served):
    _, _, content = served.ask("POST", "/search", {"query": ["dog", "moon"], "k": 1})
    assert [[hit["id"] for hit in hits] for hits in content["hits"]] == [["dog"], ["moon"]]


def test_a_link_searches(served):
    status, _, content = served.ask("GET", "/search?q=red+moon&k=1&text=none")
    assert status == 200 and ids(content) == ["moon"] and content["hits"][0]["text"] == ""


def test_a_hit_may_have_its_passage_alone(served):
    text = " ".join(["the dog ran fast"] * 200) + " red moon night"
    served.ask("POST", "/documents", {"documents": [{"id": "long", "text": text}]})
    _, _, content = served.ask("POST", "/search", {"query": "red moon night", "k": 4, "text": "passage"})
    (hit,) = [hit for hit in content["hits"] if hit["id"] == "long"]
    assert hit["text"] == text[slice(*hit["passage"])] and len(hit["text"]) < len(text)
    served.ask("DELETE", "/documents/long")


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        ({"query": " "}, "body", "query"),
        ({"query": []}, None, None),
        ({"query": "a", "k": 0}, "body", "k: expected at least 1, found 0"),
        ({"query": "a", "k": "5"}, "body", 'k: expected a whole number, found "5"'),
        ({"query": "a", "k": 10**6}, "body", "k: expected at most 1,000"),
        ({"query": "a", "mode": "best"}, "body", "mode: expected 'auto', 'maxsim'"),
        ({"query": "a", "q": 1}, "body", "q: expected no such key"),
        (
            {"query": "a", "recall": 0.9, "candidates": 5},
            "query",
            "candidates or recall, found both",
        ),
        ({"query": "\ud800"}, "body", "query"),
        ({"query": "a", "index": "other"}, "index", "expected one of this server's, 'notes', found 'other'"),
        ({"query": {"a": 1}}, "body", "query"),
        ([], "body", "the body"),
        ({}, "body", "query: expected a value"),
    ],
)
def test_what_cannot_be_searched_for_is_told(served, body, kind, message):
    if kind is None:
        assert served.ask("POST", "/search", body)[2] == {"hits": [], "coverage": []}
        return
    status, told, text = served.error("POST", "/search", body)
    assert status in (404, 422) and told == kind and message in text


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b'{"query": "\xc3"}',
        b"[" * 100_000,
        b'{"query": "a", "k": ' + b"9" * 10_000 + b"}",
        b"\x00",
        b'{"query": "a"} trailing',
    ],
    ids=["empty", "broken", "bytes", "utf-8", "deep", "digits", "nul", "trailing"],
)
def test_a_body_that_is_not_json_is_told(served, body):
    status, kind, text = served.error("POST", "/search", body)
    assert (status, kind) in {(400, "json"), (422, "body")} and len(text) < 300
    assert served.ask("GET", "/health")[0] == 200


def test_documents_are_stored_read_and_deleted(served):
    documents = [
        {"id": "a/b c", "text": "red dog", "year": 2020, "deep": {"x": [1, None]}},
        "a cat",
        {"text": ""},
    ]
    status, _, content = served.ask("POST", "/documents", {"documents": documents})
    assert status == 200 and content["ids"][0] == "a/b c" and len(set(content["ids"])) == 3
    expected = {"id": "a/b c", "text": "red dog", "metadata": {"year": 2020, "deep": {"x": [1, None]}}}
    assert served.ask("GET", "/documents/a%2Fb%20c")[2] == expected
    assert served.ask("GET", "/documents/a/b%20c")[2] == expected
    assert served.ask("GET", "/documents?id=a/b+c&id=none")[2] == {"documents": [expected], "after": None}
    assert served.ask("DELETE", "/documents/a/b%20c")[2] == {"deleted": 1}
    assert served.ask("POST", "/documents/delete", {"ids": content["ids"]})[2] == {"deleted": 2}
    assert served.error("GET", "/documents/a/b%20c") == (404, "document", "there is no document with this id")


def test_filters_and_facets(served):
    found = served.ask("POST", "/search", {"query": "a cat", "where": {"length": {"$lt": 20}}, "per": 1})[2]
    assert sorted(ids(found)) == ["dog", "moon"]
    assert ids(served.ask("GET", "/search?q=a+cat&where=length+%3E+20")[2]) == ["cat"]
    assert served.ask("GET", "/count?where=%7B%22length%22:22%7D")[2] == {"count": 1}
    entries = served.ask("GET", "/facets?field=length&limit=1")[2]["facets"]
    assert entries == [{"value": 14, "count": 1}]
    for path in ("/count?where=%7B", "/facets?field=a&where=a+%3E", "/search?q=a&where=%3B+DROP+TABLE"):
        status, kind, message = served.error("GET", path)
        assert (status, kind) == (422, "query") and "where" in message
    body = {"ids": ["moon"], "metadata": {"lang": "en"}}
    assert served.ask("PATCH", "/documents", body)[2] == {"updated": 1}
    assert served.ask("GET", "/documents?where=lang+%3D+'en'")[2]["documents"][0]["id"] == "moon"
    body |= {"metadata": {"length": 14}, "replace": True}
    assert served.ask("PATCH", "/documents", body)[2] == {"updated": 1}


def test_documents_are_listed_some_at_a_time(served):
    _, _, first = served.ask("GET", "/documents?limit=2")
    assert [document["id"] for document in first["documents"]] == ["cat", "dog"]
    _, _, last = served.ask("GET", f"/documents?limit=2&after={first['after']}")
    assert [document["id"] for document in last["documents"]] == ["moon"] and last["after"] is None
    assert served.error("GET", "/documents?limit=0")[:2] == (422, "body")
    assert served.error("GET", "/documents?after=-2")[:2] == (422, "body")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"text": 5}, "expected a string, found 5"),
        ({"id": "a"}, "text: expected a value, found none"),
        ({"id": "", "text": "a"}, "at least 1 character"),
        ({"id": "a", "text": "\ud800"}, "lone surrogate"),
        ({"id": "a", "text": "a", "x": float("inf")}, "inf is not JSON"),
        ({"id": "a", "text": "a", "x": json.loads("[" * 200 + "]" * 200)}, "nested deeper than 100"),
    ],
)
def test_a_wrong_document_loses_no_other_and_is_told(served, document, message):
    body = json.dumps({"documents": ["a cat", document]}).encode()
    status, _, text = served.error("POST", "/documents", body)
    assert status == 422 and message in text
    assert len(served.indexes.get(None)) == 3


@pytest.mark.filterwarnings("ignore::femtosearch.UnknownQueryWarning")
def test_a_rerank_of_no_known_word_gives_all_in_their_order():
    body = RerankBody(query="\u4f60\u597d", documents=["a", "b", "c"], top_n=2)
    results = ranks(Model.load("femto"), body, "1")["results"]
    assert [(entry["index"], entry["relevance_score"]) for entry in results] == [(0, -1.0), (1, -1.0)]


def test_a_rerank_has_the_shape_of_coheres(served):
    body = {
        "model": "rerank-v3.5",
        "query": "the cat",
        "documents": ["red moon", {"text": "the cat"}, ""],
        "top_n": 2,
        "return_documents": True,
        "max_chunks_per_doc": 3,
    }
    for path in ("/rerank", "/v1/rerank", "/v2/rerank"):
        status, _, content = served.ask("POST", path, body)
        assert status == 200 and content["model"] == "femto"
        assert [entry["index"] for entry in content["results"]] == [1, 0]
        assert content["results"][0]["document"] == {"text": "the cat"}
    scores = [
        entry["relevance_score"]
        for entry in served.ask("POST", "/rerank", {**body, "top_n": 3})[2]["results"]
    ]
    assert scores == sorted(scores, reverse=True) and scores[-1] == -1 and scores[0] <= 1.0001
    assert (
        "document" not in served.ask("POST", "/rerank", {**body, "return_documents": False})[2]["results"][0]
    )


@pytest.mark.parametrize(
    "body", [RerankBody(query="a", documents=["a"]), EmbeddingsBody(input="a")], ids=["rerank", "embeddings"]
)
def test_what_a_client_was_not_told_may_be_null(body):
    needless = {name: None for name, field in type(body).model_fields.items() if not field.is_required()}
    nulls = type(body).model_validate({**body.model_dump(), **needless})
    answer = ranks if isinstance(body, RerankBody) else lambda model, body, _: embeddings(model, body)
    model = Model.load("femto")
    assert answer(model, nulls, "1") == answer(model, body, "1")


def test_no_documents_are_in_order_already(served):
    assert served.ask("POST", "/rerank", {"query": "a", "documents": []})[2]["results"] == []


def test_matches_are_of_the_texts_as_they_are_heard(model):
    with running(model, []) as server:
        text = "\ufb01nancial infor-\nmation"
        _, _, content = server.ask("POST", "/matches", {"query": "information", "text": text})
    shape = np.array(content["products"]).shape
    assert shape == (len(content["query"]), len(content["passage"]))
    assert {"\ufb01nancial", "infor-\nmation"} <= set(content["passage"])
    best = np.argmax(content["products"][content["query"].index("information")])
    assert content["passage"][best] == "infor-\nmation"


def test_a_model_without_an_fde_says_so(tmp_path):
    with running(Model.load(write_tiny_model(tmp_path / "tiny")), []) as server:
        status, kind, text = server.error("POST", "/v1/embeddings", {"input": "a cat"})
    assert (status, kind) == (422, "query") and "'tiny' brings no FDE" in text


@pytest.mark.slow  # the FDE is prepared when it is first used
def test_embeddings_are_the_models_fdes(model):
    with running(model, []) as server:
        texts = ["a small cat", "stock markets fell"]
        _, _, content = server.ask("POST", "/v1/embeddings", {"input": texts, "model": "any"})
        expected = model.fde.documents(model.encode_documents(texts))
        assert content["model"] == "femto" and content["usage"]["total_tokens"] > 4
        np.testing.assert_array_equal(np.float32([entry["embedding"] for entry in content["data"]]), expected)
        body = {
            "input": "a cat",
            "encoding_format": "base64",
            "input_type": "query",
            "dimensions": 128,
            "rows": True,
        }
        (entry,) = server.ask("POST", "/v1/embeddings", {**body, "dimensions": 128})[2]["data"]
        rows = model.encode_queries(["a cat"])
        decoded = np.frombuffer(base64.b64decode(entry["embedding"]), "<f4")
        np.testing.assert_array_equal(decoded, model.fde.queries(rows)[0, :128])
        np.testing.assert_array_equal(np.float32(entry["rows"]), rows.rows)
        (entry,) = server.ask("POST", "/v1/embeddings", {"input": "a", "dimensions": 10**6})[2]["data"]
        assert len(entry["embedding"]) == expected.shape[1]
        for wrong in ({"rows": 0}, {"rows": "yes"}, {"dimensions": "3"}, {"dimensions": True}):
            assert server.error("POST", "/v1/embeddings", {"input": "a", **wrong})[:2] == (422, "body")
        assert server.ask("GET", "/v1/models")[2]["data"][0]["id"] == "femto"
        assert server.error("POST", "/search", {"query": "a"})[:2] == (404, "index")


def test_several_indexes_are_told_apart_by_name(model, tmp_path):
    with running(
        model, [fill(tmp_path / "first", model), f"other={fill(tmp_path / 'second', model)}"]
    ) as server:
        assert server.error("POST", "/search", {"query": "cat"})[:2] == (422, "index")
        for name in ("first", "other"):
            assert ids(server.ask("POST", "/search", {"query": "cat", "k": 1, "index": name})[2]) == ["cat"]
            assert server.ask("GET", f"/documents/dog?index={name}")[2]["text"] == TEXTS["dog"]
        described = server.ask("GET", "/indexes")[2]
        assert [entry["name"] for entry in described["indexes"]] == ["first", "other"]
        assert described["indexes"][0]["documents"] == 3 and not described["writable"]


def test_health_readiness_and_metrics(served):
    assert served.ask("GET", "/health")[2] == {"status": "ok"}
    deadline = time.monotonic() + 20
    while served.ask("GET", "/ready")[0] != 200 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert served.ask("GET", "/ready")[2] == {"ready": True}
    served.ask("GET", "/nothing/here")
    text = served.ask("GET", "/metrics")[2].decode()
    assert 'femtosearch_documents{index="notes"} 3.0' in text
    assert 'femtosearch_requests_total{method="GET",route="/health",status="200"}' in text
    assert 'route="other",status="404"' in text and "femtosearch_requests_waiting 0.0" in text
    assert "/nothing/here" not in text


def test_unknown_paths_and_methods_are_told(served):
    assert served.error("GET", "/docs")[:2] == (404, "path")
    status, headers, content = served.ask("PUT", "/search", {})
    assert (status, content["error"]["type"]) == (405, "method") and headers["allow"] == "GET, POST"
    assert served.ask("PATCH", "/documents/a/b")[1]["allow"] == "DELETE, GET"
    assert served.ask("PATCH", "/documents/delete")[1]["allow"] == "POST"


def test_openapi_names_every_path_and_the_shape_of_errors(served):
    described = served.ask("GET", "/openapi.json")[2]
    assert {"/search", "/documents", "/documents/{id}", "/rerank", "/v1/embeddings", "/metrics"} <= set(
        described["paths"]
    )
    responses = described["paths"]["/search"]["post"]["responses"]
    assert responses["422"]["content"]["application/json"]["schema"]["$ref"].endswith("/ProblemBody")
    assert described["components"]["securitySchemes"]
    parameters = described["paths"]["/documents"]["get"]["parameters"]
    (ids,) = [parameter["schema"] for parameter in parameters if parameter["name"] == "id"]
    assert ids["type"] == "array" and ids["items"] == {"type": "string"}  # a link has no null


def test_each_path_that_changes_something_needs_the_right_to_write(served):
    described = served.ask("GET", "/openapi.json")[2]
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            changes = operation["operationId"] in {"add", "delete", "delete_many", "update"}
            assert (access_of(method.upper(), path) == "write") == changes, (method, path)


def test_every_answer_has_the_headers_that_keep_browsers_safe(served):
    for method, path in (("GET", "/health"), ("GET", "/nothing"), ("POST", "/search")):
        headers = served.ask(method, path)[1]
        assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY"
        assert headers["cache-control"] == "no-store"


def test_a_request_id_that_is_sent_comes_back_unless_it_is_odd(served):
    assert served.ask("GET", "/health", X_Request_ID="abc-1.2_3")[1]["x-request-id"] == "abc-1.2_3"
    assert served.ask("GET", "/health", X_Request_ID="a" * 65)[1]["x-request-id"] != "a" * 65


def test_a_context_for_a_question(served):
    status, _, content = served.ask("POST", "/context", {"question": "the moon", "max_tokens": 100, "k": 2})
    assert status == 200 and content["text"].startswith(f"[1] moon\n{TEXTS['moon']}")
    assert content["citations"][0]["text"] == TEXTS["moon"] and content["coverage"]["unknown"] == []
    assert 0 < content["tokens"] <= 100 and len(content["citations"]) == 2
    for wrong in ({}, {"question": " "}, {"question": "a", "max_tokens": 0}, {"question": "a", "k": 9999}):
        assert served.ask("POST", "/context", wrong)[0] == 422


def test_a_context_names_no_folder_of_the_server(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "note.txt").write_text("The moon is red.")
    assert main(["index", "index", "note.txt", "--model", "femto"]) == 0
    with Index(tmp_path / "index") as index:
        index.update("note.txt", {}, replace=True)
    with running(model, [tmp_path / "index"]) as server:
        content = server.ask("POST", "/context", {"question": "the moon"})[2]
    assert content["citations"][0]["place"] == "note.txt:1" and str(tmp_path) not in str(content)


def test_a_link_with_an_unknown_parameter_is_refused(served):
    for path in ("/search?q=a&limit=3", "/search?q=a&K=3", "/count?filter=a", "/facets?field=a&k=1"):
        status, _, content = served.ask("GET", path)
        name = re.findall(r"[?&](\w+)=", path)[-1]
        assert status == 422 and content["error"]["message"].startswith(f"{name}: expected one of the param")
    for path in ("/documents?ids=cat", "/documents/moon?k=1"):
        assert served.ask("GET", path)[0] == 422
    for path in ("/health?cache=1", "/?q=moon", "/v1/models?api-version=2"):
        assert served.ask("GET", path)[0] == 200
    assert served.ask("POST", "/rerank?api-version=2", {"query": "a", "documents": ["a"]})[0] == 200


@pytest.mark.parametrize("path", ["/", "/health", "/ready", "/search?q=moon", "/documents/moon", "/nothing"])
def test_a_head_is_that_of_the_answer(served, path):
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)
    answers = []
    for method in ("GET", "HEAD", "HEAD", "GET"):  # on one connection, which a body too many would upset
        connection.request(method, path)
        answer = connection.getresponse()
        answers.append((answer.status, answer.headers["content-type"], answer.headers["content-length"]))
        assert bool(answer.read()) == (method == "GET")
    assert len(set(answers)) == 1
    connection.close()


@pytest.mark.parametrize(
    "path, body, message",
    [
        ("/search", {}, "query: expected a value, found none"),
        ("/search", {"query": 3}, "query: expected a string or a list, found 3"),
        ("/search", {"query": ["cat", 3]}, "query.1: expected a string, found 3"),
        ("/search", {"query": " "}, 'query: expected a character that is no blank or a list, found " "'),
        ("/search", {"query": "cat", "k": 1.5}, "k: expected a whole number, found 1.5"),
        ("/search", {"query": "cat", "k": 0}, "k: expected at least 1, found 0"),
        ("/search", {"query": "cat", "top": 1}, "top: expected no such key, found 1"),
        ("/search", {"query": "cat", "mode": "best"}, "mode: expected 'auto', 'maxsim', 'rerank' or 'fde'"),
        ("/search", {"query": "cat", "per": {"a": "x"}}, 'per.a: expected a whole number, found "x"'),
        ("/search", ["cat"], "the body: expected an object, found a list of 1"),
        (
            "/rerank",
            {"query": "cat", "documents": ["a", {}]},
            "documents.1.text: expected a value, found none",
        ),
        ("/v1/embeddings", {"input": []}, None),
        ("/search", {"query": "x" * 100_001}, "query: expected at most 100,000 characters or a list, found"),
        ("/search?k=many&q=cat", None, 'k: expected a whole number, found "many"'),
        ("/search", {"a": 1, "b": 1, "c": 1}, "query: expected a value, found none; a: expected no such key"),
    ],
)
def test_what_a_body_should_have_been_is_told_in_plain_words(served, path, body, message):
    if message is None:
        assert served.ask("POST", path, body)[0] == 200
        return
    status, kind, told = served.error("GET" if body is None else "POST", path, body)
    assert (status, kind) == (422, "body") and told.startswith(message)
    assert "constrained" not in told and "Document" not in told


def test_a_hit_is_as_openapi_describes_it(served):
    described = served.ask("GET", "/openapi.json")[2]
    shapes = described["components"]["schemas"]
    (hit, *_) = served.ask("POST", "/search", {"query": "the cat", "explain": True})[2]["hits"]
    assert set(hit) == set(shapes["HitBody"]["properties"])
    assert set(hit["explanation"]) == set(shapes["ExplanationBody"]["properties"])
    assert set(hit["explanation"]["tokens"][0]) == set(shapes["TokenMatchBody"]["properties"])
    assert {"/rerank", "/v1/rerank", "/v2/rerank"} <= set(described["paths"])
