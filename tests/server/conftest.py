import asyncio
import contextlib
import http.client
import json
import logging
import threading
from dataclasses import dataclass
from typing import Any

import pytest

from femtosearch.index.index import Index
from femtosearch.model.model import Model
from femtosearch.server.indexes import Indexes
from femtosearch.server.run import make_server
from femtosearch.server.settings import Settings, key_digests

TEXTS = {"cat": "the cat sat on the mat", "dog": "the dog ran fast", "moon": "red moon night"}


@dataclass
class Running:
    """A server in a thread of this process."""

    port: int
    indexes: Indexes
    app: Any

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method, path, body=None, **headers):
        """(status, headers, JSON or bytes) of one request. A body that is no bytes is sent as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        with contextlib.closing(connection):
            content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            names = {name.replace("_", "-"): text for name, text in headers.items()}
            connection.request(method, path, content, names)
            answer = connection.getresponse()
            content = answer.read()
        if answer.headers.get("content-type") == "application/json":
            content = json.loads(content)
        return answer.status, answer.headers, content

    def error(self, method, path, body=None, **headers):
        """(status, kind, message) of a request that is refused."""
        status, answered, content = self.ask(method, path, body, **headers)
        assert content["error"]["request_id"] == answered["x-request-id"]
        return status, content["error"]["type"], content["error"]["message"]


@pytest.fixture(autouse=True)
def no_log():
    """What a test has told the log to be written to is gone with it."""
    yield
    for name in ("femtosearch.server", "uvicorn"):
        logging.getLogger(name).handlers = []


@pytest.fixture(scope="session")
def model():
    return Model.load("femto")


@contextlib.contextmanager
def running(model, folders, **settings):
    """A server of some folders, while the context lasts."""
    keys = {name: key_digests(settings.pop(name)) for name in ("read_keys", "write_keys") if name in settings}
    chosen = Settings(port=0, **settings, **keys)
    indexes = Indexes([str(folder) for folder in folders], model=model, writable=chosen.writable)
    begun = threading.Event()
    server, listener = make_server(indexes, chosen, lambda address: begun.set())
    port = listener.getsockname()[1]
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
    thread.start()
    try:
        assert begun.wait(20)
        yield Running(port, indexes, server.config.app.app)
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


def fill(folder, model):
    with Index(folder, model=model) as index:
        index.add([{"id": name, "text": text, "length": len(text)} for name, text in TEXTS.items()])
    return folder


@pytest.fixture(scope="module")
def served(model, tmp_path_factory):
    """A server that may be written to, of one index of three documents; tests put back what they change."""
    folder = fill(tmp_path_factory.mktemp("served") / "notes", model)
    with running(model, [folder], writable=True, max_body=1 << 20) as server:
        yield server
