"""A server in this process, and threads that ask it without a pause. It needs the extra [server]."""

import asyncio
import contextlib
import threading
import time
import urllib.request

from femtosearch.server.client import connect
from femtosearch.server.run import make_server
from femtosearch.server.settings import Settings


@contextlib.contextmanager
def served(indexes, **settings):
    """The address of a server of these indexes, in a thread of this process."""
    started = threading.Event()
    server, listener = make_server(indexes, Settings(port=0, **settings), lambda address: started.set())
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
    thread.start()
    try:
        assert started.wait(30)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)


def refused(url):
    """The server's counts of answers that were an error; a client asks again after some of them."""
    with urllib.request.urlopen(url + "/metrics", timeout=30) as response:
        lines = response.read().decode().splitlines()
    return [line for line in lines if line.startswith("femtosearch_problems_total")]


def facts_of(hits):
    return [(hit.id, hit.score, hit.text, hit.explanation) for hit in hits]


class Askers:
    """Threads that search until they are told to end; what they were answered, each with the moment when it
    was asked (answers of two threads may come in another order), and what failed.
    """

    def __init__(self, url, queries, threads=3):
        self.answers, self.errors, self._ended = [], [], threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(url, queries)) for _ in range(threads)]

    def _run(self, url, queries):
        with connect(url, timeout=300) as remote:
            while not self._ended.is_set():
                moment = time.monotonic()
                try:
                    self.answers.append((moment, [facts_of(hits) for hits in remote.search(queries)]))
                except Exception as error:
                    self.errors.append(error)
                    return

    def await_more(self, count):
        """Wait until so many more answers are there."""
        wanted, ended = len(self.answers) + count, time.monotonic() + 300
        while len(self.answers) < wanted and not self.errors:
            assert time.monotonic() < ended
            time.sleep(0.01)

    def asked_since(self, moment):
        """The answers to what was asked after a moment of `time.monotonic`."""
        return [answer for asked, answer in self.answers if asked > moment]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        for thread in self._threads:
            thread.join()
