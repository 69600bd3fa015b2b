"""`femtosearch serve` as a process: it says where it is, stops well, loses nothing that it acknowledged."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

import femtosearch as fs
from femtosearch.cli import main
from femtosearch.errors import FemtosearchError
from femtosearch.server.indexes import Indexes

from .conftest import fill


@pytest.fixture
def serving(tmp_path):
    """serving(*arguments) starts a server on a free port: its process and its address."""
    processes = []

    def serve(*arguments, **environment):
        command = [sys.executable, "-m", "femtosearch", "serve", *map(str, arguments), "--port", "0"]
        process = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}, cwd=tmp_path
        )
        processes.append(process)
        address = re.search(r"http://[\d.:]+", process.stderr.readline())
        assert address, process.stderr.read()
        return process, address[0]

    yield serve
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_it_serves_logs_and_stops_well(serving, model, tmp_path):
    fill(tmp_path / "notes", model)
    key = "a key from the environment"
    process, address = serving("notes", "--log", "json", FEMTOSEARCH_API_KEY=key)
    with fs.connect(address, key=key) as index:
        assert index.search("a cat", k=1)[0].id == "cat"
    with fs.connect(address) as index, pytest.raises(fs.ServerError, match="Authorization"):
        index.search("a cat")
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=30)
    assert process.returncode == 0
    assert [json.loads(line)["status"] for line in log.splitlines()] == [200, 401]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_write_that_has_begun_is_answered_before_the_end(serving, tmp_path, number):
    process, address = serving("notes", "--writable", "--model", "femto")
    stored = []
    documents = [{"id": str(n), "text": f"the cat number {n} sat on a mat"} for n in range(900)]

    def write():
        with fs.connect(address) as index:
            stored.extend(index.add(documents))

    thread = threading.Thread(target=write)
    thread.start()
    time.sleep(0.4)
    process.send_signal(number)
    thread.join(30)
    process.communicate(timeout=30)
    assert process.returncode == 0
    with fs.Index(tmp_path / "notes", model="femto") as index:
        assert len(stored) == len(index) == 900


@pytest.mark.slow
def test_kill_9_loses_nothing_that_was_acknowledged(serving, tmp_path):
    acknowledged, sent = set(), set()
    for attempt in range(4):
        process, address = serving("notes", "--writable", "--model", "femto", "--quiet")

        def write(name, address=address):
            with fs.connect(address, timeout=20) as index, contextlib.suppress(fs.FemtosearchError):
                for n in range(10_000):
                    document = {"id": f"{name}-{n}", "text": f"the cat {name} number {n}"}
                    sent.add(document["id"])
                    acknowledged.update(index.add([document]))

        threads = [threading.Thread(target=write, args=(f"{attempt}-{n}",)) for n in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.7 + 0.2 * attempt)
        process.kill()
        for thread in threads:
            thread.join(30)
    with fs.Index(tmp_path / "notes", model="femto") as index:
        stored = {document.id for document in index}
        assert not index.verify()
    assert len(acknowledged) > 20 and acknowledged <= stored <= sent


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none"], "none"),
        (["--writable", "--host", "0.0.0.0"], "anybody could change"),
        (["--api-key", "short"], "8 or more"),
        (["--writable", "--api-key", "long enough"], "needs --write-key"),
        (["--host", "no.such.host.invalid"], "cannot listen on no.such.host.invalid"),
        (["--host", "999.1.1.1"], "cannot listen on"),
    ],
)
def test_what_cannot_be_served_is_told(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["serve", "--port", "0", *arguments]) == 1
    printed = capsys.readouterr()
    assert message in printed.err and not printed.out and printed.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_port_that_is_taken_is_told(served, capsys):
    assert main(["serve", "--port", str(served.port)]) == 1
    assert "say another --port" in capsys.readouterr().err


def test_names_of_indexes(model, tmp_path):
    fill(tmp_path / "notes", model)
    places = [f"{tmp_path}/notes", f"other={tmp_path}/notes"]
    indexes = Indexes(places, model=model)
    assert indexes.names() == ["notes", "other"]
    indexes.close()
    with pytest.raises(FemtosearchError, match="found two called 'notes': name one, as in other="):
        Indexes([places[0]] * 2, model=model)
    with pytest.raises(fs.StoreError, match="there is no index here"):
        Indexes([f"{tmp_path}/none"], model=model)


def test_without_the_extra_the_command_that_installs_it_is_named(monkeypatch, capsys):
    for name in [name for name in sys.modules if name.startswith("femtosearch.server")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main(["serve"]) == 1
    assert "pip install 'femtosearch[server]'" in capsys.readouterr().err
