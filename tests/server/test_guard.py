"""Whom the server lets in, and what it bears: keys, hosts, origins, sizes, queues, time."""

import json
import logging
import socket
import threading
import time

import pytest

from femtosearch.errors import FemtosearchError
from femtosearch.server.origins import origin_of
from femtosearch.server.protocol import _PatientProtocol
from femtosearch.server.run import log_to
from femtosearch.server.settings import Settings, host_name, key_digests

from .conftest import fill, running

READ, WRITE = "a key to read", "a key to write"


@pytest.fixture(scope="module")
def guarded(model, tmp_path_factory):
    folder = fill(tmp_path_factory.mktemp("guarded") / "notes", model)
    keys = {"read_keys": [READ, "another to read"], "write_keys": [WRITE]}
    with running(model, [folder], writable=True, origins=frozenset({"https://a.example"}), **keys) as server:
        yield server


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


def test_keys_open_what_they_are_for(guarded):
    body = {"query": "a cat"}
    for headers in (
        {},
        bearer(READ[:-1]),
        bearer(""),
        {"Authorization": f"Basic {READ}"},
        {"X-API-Key": "x"},
    ):
        status, answered, _ = guarded.ask("POST", "/search", body, **headers)
        assert status == 401 and answered["www-authenticate"] == "Bearer"
    for headers in (bearer(READ), bearer("another to read"), bearer(WRITE), {"X-API-Key": READ}):
        assert guarded.ask("POST", "/search", body, **headers)[0] == 200
    assert guarded.ask("POST", "/documents", {"documents": []}, **bearer(READ))[0] == 403
    assert guarded.ask("POST", "/documents", {"documents": []}, **bearer("none"))[0] == 401
    assert guarded.ask("POST", "/documents", {"documents": []}, **bearer(WRITE))[2] == {"ids": []}
    assert guarded.ask("DELETE", "/documents/x", **bearer(READ))[0] == 403
    assert guarded.ask("GET", "/metrics")[0] == 401 and guarded.ask("GET", "/openapi.json")[0] == 401
    assert guarded.ask("GET", "/health")[0] == 200 and guarded.ask("POST", "/health", b"")[0] == 401


def test_nothing_is_written_unless_the_server_is_writable(model, tmp_path):
    with running(model, [fill(tmp_path / "notes", model)]) as server:
        assert server.error("POST", "/documents", {"documents": ["a"]})[:2] == (403, "read-only")
        assert server.error("DELETE", "/documents/cat")[:2] == (403, "read-only")
        assert server.ask("GET", "/documents/cat")[0] == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200), ("LOCALHOST:80", 200), ("127.0.0.1:9", 200), ("[::1]:80", 200), ("10.1.2.3", 200),
        ("evil.example", 421), ("127.0.0.1.evil.example", 421), ("localhost.evil.example", 421), ("", 421),
        ("localhost@evil", 421), ("a b", 421), ("localhost:x", 421), ("[::1", 421),
    ],
)  # fmt: skip
def test_a_host_that_is_not_this_servers_is_refused(served, host, status):
    assert served.ask("GET", "/health", Host=host)[0] == status


def test_a_host_that_is_named_is_served(model):
    with running(model, [], names=frozenset({"search.example"})) as server:
        assert server.ask("GET", "/health", Host="Search.Example:80")[0] == 200
        assert server.ask("GET", "/health", Host="other.example")[0] == 421


@pytest.mark.parametrize("origin", ["*", "foo", "https://*.a.example", "https://a.example/b", "ftp://a", ""])
def test_an_origin_that_no_browser_has_is_told(origin):
    with pytest.raises(FemtosearchError, match="expected the origin of a site"):
        origin_of(origin)
    assert origin_of("HTTPS://A.example:8443/") == "https://a.example:8443"


def test_pages_of_other_sites_are_refused(served, guarded):
    own = f"http://127.0.0.1:{served.port}"
    assert served.ask("GET", "/health", Origin=own)[0] == 200
    for origin in ("https://evil.example", "null", "", own + "0", "http://127.0.0.1"):
        assert served.error("POST", "/search", {"query": "a"}, Origin=origin)[:2] == (403, "origin")
    assert served.ask("GET", "/search?q=a", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors")[0] == 403
    assert served.ask("GET", "/search?q=a", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate")[0] == 200
    known = {"Origin": "https://a.example"}
    status, headers, _ = guarded.ask("GET", "/search?q=a", **known, **bearer(READ))
    assert status == 200 and headers["access-control-allow-origin"] == "https://a.example"
    sent = "authorization, content-type, x-stainless-os"  # OpenAI's client sends the last
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": sent}
    assert guarded.ask("OPTIONS", "/search", **known, **asks)[0] == 200
    changes = {**asks, "Access-Control-Request-Method": "PATCH"}
    assert guarded.ask("OPTIONS", "/documents", **known, **changes)[0] == 200
    status, headers, _ = guarded.ask("GET", "/search?q=a", **known)  # without a key
    assert status == 401 and headers["access-control-allow-origin"] == "https://a.example"
    assert guarded.ask("OPTIONS", "/search", Origin="https://evil.example", **asks)[0] == 403
    assert guarded.ask("OPTIONS", "/search", **known)[0] == 401


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"writable": True, "read_keys": key_digests([READ])}, "needs --write-key"),
        ({"write_keys": key_digests([WRITE])}, "opens nothing"),
        ({"writable": True, "host": "0.0.0.0"}, "anybody could change the index"),
    ],
)
def test_settings_that_would_let_anybody_write_are_refused(settings, message):
    with pytest.raises(FemtosearchError, match=message):
        Settings(**settings).check()


@pytest.mark.parametrize("key", ["", "short", "with blank ", "ümlaut-key", "new\nline-key"])
def test_a_key_that_keeps_nobody_out_is_refused(key):
    with pytest.raises(FemtosearchError, match="8 or more printable ASCII"):
        key_digests([key])


def test_a_host_headers_name():
    assert [host_name(text) for text in ("a:1", "[::1]", "[::1]x", "a:b", "a/b", "")] == [
        "a",
        "::1",
        "",
        "",
        "",
        "",
    ]


HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\n"


def raw(server, content, patience=20.0):
    """All that the server answers to bytes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=patience) as connection:
        connection.sendall(content)
        chunks = []
        while chunk := connection.recv(1 << 16):
            chunks.append(chunk)
        return b"".join(chunks)


def test_a_body_that_is_too_large_is_refused_however_it_comes(served):
    assert served.error("POST", "/search", b"x" * ((1 << 20) + 1))[:2] == (413, "body")
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    head = (
        b"POST /search HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    )
    assert raw(served, head + chunk * 40 + b"0\r\n\r\n").startswith(b"HTTP/1.1 413")
    last = (
        b"%x\r\n" % ((1 << 20) + 1) + b"x" * ((1 << 20) + 1) + b"\r\n0\r\n\r\n"
    )  # ends with the chunk too many
    assert raw(served, head + last).startswith(b"HTTP/1.1 413")
    assert served.ask("GET", "/health")[0] == 200


def test_bodies_together_are_bounded(model):
    with running(model, [], max_bodies=1 << 16, timeout=5.0) as server:
        head = b"POST /rerank HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\n"
        with socket.create_connection(("127.0.0.1", server.port)) as slow:
            slow.sendall(head + b" " * 50_000)
            deadline = time.monotonic() + 10
            while server.ask("POST", "/rerank", b" " * 40_000)[0] != 429 and time.monotonic() < deadline:
                time.sleep(0.01)
            assert server.error("POST", "/rerank", b" " * 40_000)[:2] == (429, "busy")
            assert server.ask("POST", "/rerank", {"query": "a", "documents": ["a"]})[0] == 200


def test_too_many_that_wait_are_sent_away_and_told_when_to_come_back(model, tmp_path):
    with running(model, [fill(tmp_path / "notes", model)], threads=1, queue=1) as server:
        begun, hold = threading.Event(), threading.Event()
        index = server.indexes.get(None)
        search = index.search

        def slow(*arguments, **options):
            begun.set()
            assert hold.wait(20)
            return search(*arguments, **options)

        index.search = slow
        statuses = []
        threads = [
            threading.Thread(target=lambda: statuses.append(server.ask("GET", "/search?q=a")[0]))
            for _ in range(2)
        ]
        threads[0].start()
        assert begun.wait(20)
        threads[1].start()
        while b"waiting 1.0" not in server_metrics(server):
            time.sleep(0.01)
        status, headers, content = server.ask("GET", "/search?q=a")
        assert status == 429 and headers["retry-after"] == "1" and content["error"]["type"] == "busy"
        assert server.ask("GET", "/health")[0] == 200
        hold.set()
        for thread in threads:
            thread.join(20)
        assert statuses == [200, 200] and server.ask("GET", "/search?q=a")[0] == 200


def server_metrics(server):
    """The metrics, without a thread of the workers."""
    (state,) = [server.app.state.femtosearch]
    return state.metrics.text({})


def test_what_takes_too_long_is_given_up(model, tmp_path):
    with running(model, [fill(tmp_path / "notes", model)], timeout=0.2) as server:
        index, hold = server.indexes.get(None), threading.Event()
        search = index.search
        index.search = lambda *arguments, **options: hold.wait(20)
        assert server.error("GET", "/search?q=a")[:2] == (504, "timeout")
        hold.set()
        index.search = search
        assert any(server.ask("GET", "/search?q=a")[0] == 200 for _ in range(100))  # or busy
        unfinished = b"POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{"
        assert raw(server, unfinished).startswith(b"HTTP/1.1 408")


@pytest.mark.slow
def test_slow_heads_and_clients_that_do_not_read_are_dropped(model, tmp_path):
    folder = tmp_path / "notes"
    with running(model, [folder], writable=True, head_timeout=0.3, max_body=64 << 20) as server:
        assert raw(server, b"GET /health HTTP/1.1\r\nHost: loc") == b""
        assert raw(server, b"") == b""
        large = {"id": "large", "text": "a cat", "filler": "x" * (16 << 20)}
        assert server.ask("POST", "/documents", {"documents": [large]})[0] == 200
        with socket.create_connection(("127.0.0.1", server.port)) as deaf:
            deaf.sendall(b"GET /documents/large HTTP/1.1\r\nHost: localhost\r\n\r\n")
            time.sleep(1.0)
            received = 0
            with pytest.raises(ConnectionError):
                while chunk := deaf.recv(1 << 20):
                    received += len(chunk)
                raise ConnectionResetError
            assert received < len(large["filler"])
        assert server.ask("GET", "/health")[0] == 200


def test_answers_do_not_wait_for_more_to_send(served, monkeypatch):
    """Nagle's algorithm holds the second half of an answer back until the client's delayed ACK, for 40 ms."""
    options, made = [], _PatientProtocol.connection_made

    def connection_made(protocol, transport):
        options.append(transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        made(protocol, transport)

    monkeypatch.setattr(_PatientProtocol, "connection_made", connection_made)
    assert served.ask("GET", "/health")[0] == 200
    assert options and all(options)


def test_a_client_that_has_closed_its_half_is_answered(served):
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as connection:
        connection.sendall(b"GET /documents/cat HTTP/1.1\r\nHost: localhost\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        chunks = []
        while chunk := connection.recv(1 << 16):
            chunks.append(chunk)
    assert b"".join(chunks).startswith(b"HTTP/1.1 200") and b'"the cat sat on the mat"' in chunks[-1]


@pytest.mark.parametrize(
    "content",
    [
        HEAD + b"".join(b"X-%d: a\r\n" % n for n in range(9000)) + b"\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x00\xff\x00\xff\r\n\r\n",
        "GET /search?q=caf\u00e9 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(),
        b"GET /health HTTP/1.1\r\n\r\n",
        b"POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /search HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=["headers", "path", "bytes", "an address in UTF-8", "no host", "negative", "two lengths", "chunks"],
)
def test_what_is_not_http_is_refused_and_the_next_request_answered(served, content):
    answer = raw(served, content)
    assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5")) and b"Traceback" not in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["message"]
    assert served.ask("GET", "/health")[0] == 200


def test_a_fault_is_logged_and_tells_the_client_nothing(served, monkeypatch, capsys):
    def fault(*arguments, **options):
        raise RuntimeError("/secret/path SELECT * FROM documents")

    stream = Stream()
    log_to(stream, "json")
    try:
        monkeypatch.setattr(served.indexes.get(None), "search", fault)
        status, kind, message = served.error("GET", "/search?q=private+words", X_Request_ID="mine")
        while stream.text.count('"mine"') < 2:  # the request's own line comes after its answer
            time.sleep(0.01)
    finally:
        logging.getLogger("femtosearch.server").handlers = []
    assert (status, kind) == (500, "fault") and "secret" not in message and "SELECT" not in message
    records = [json.loads(line) for line in stream.text.splitlines()]
    fault, answer = [record for record in records if record["request_id"] == "mine"]
    assert "/secret/path" in fault["traceback"]
    assert answer["status"] == 500 and answer["path"] == "/search"
    assert "private" not in stream.text.replace("traceback", "")


class Stream:
    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text

    def flush(self):
        pass


def test_a_server_without_an_index_says_so(model):
    with running(model, []) as server:
        for body in ({"query": "a"}, {"query": "a", "index": "b"}):
            status, kind, text = server.error("POST", "/search", body)
            assert (status, kind) == (404, "index") and "has none: start it as femtosearch serve" in text
        assert server.ask("POST", "/rerank", {"query": "a", "documents": ["a"]})[0] == 200
